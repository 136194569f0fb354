"""The engine beside its peers, in one run: python benchmarks/bench.py [--quick | TASK ...]

Every subject runs in a process of its own, in turns, several rounds; what is shown is the median.
Ratios come first: absolute times say as much of the machine as of the software. Results go to
build/bench.json too.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

from tqdm import tqdm

from segdata.arguments import ArgumentParser
from subjects import ROOT
from subjects.table import SUBJECTS

TASKS = {
    "forward-500": "FCN-8s forward, one image of 500x500",
    "forward-375": "FCN-8s forward, one image of 375x500",
    "stream": "FCN-8s forward, six images of different sizes",
    "fcn32s-500": "FCN-32s forward, one image of 500x500",
    "alexnet-500": "FCN-AlexNet forward, one image of 500x500",
    "googlenet-500": "FCN-GoogLeNet forward, one image of 500x500",
    "deeplab-513": "DeepLab-LargeFOV forward, one image of 513x513",
    "unet-572": "U-Net forward, one tile of 572x572",
    "bf16_forward-500": "FCN-8s forward in bf16, one image of 500x500",
    "bf16_step-500": "FCN-8s training step with update in bf16, one image of 500x500",
    "small_step-lenet": "LeNet, a training step with update, 64 digits of 28x28",
    "small_step-cifar": "CIFAR-10 quick, a training step with update, 100 images of 32x32",
    "small_step-caffenet": "CaffeNet, a training step with update, 8 images of 227x227",
    "small_step-narrow": "FCN-32s at an eighth of its width, a training step with update, 480x360",
    "step-500": "FCN-8s training step with update, one image of 500x500",
    "step-375": "FCN-8s training step with update, one image of 375x500",
    "gpu_forward-500": "FCN-8s forward on a GPU, one image of 500x500",
    "gpu_step-500": "FCN-8s training step with update on a GPU, one image of 500x500",
    "gpu_schedule-voc": "500 training steps on a GPU, photographs of VOC's sizes; the schedule, of "
                        "3 x 100,000, takes 600 times that",
    "crf-1": "dense CRF, 500x375, 21 classes, 10 iterations, one thread",
    "crf-2": "dense CRF, 500x375, 21 classes, 10 iterations, two threads (pydensecrf2 uses one)",
    "data": "16 samples, JPEG photographs of 500x375 with PNG labels",
    "far-9": "what a step of 9 ms waits for a sample of two files, each 9 ms away",
    "far-30": "what a step of 9 ms waits for a sample of two files, each 30 ms away",
    "caffemodel": "FCN-8s' caffemodel, 538 MB",
    "start": "start-up",
}
QUICK = ("forward-375", "step-500", "gpu_forward-500", "gpu_step-500", "crf-1", "crf-2", "data",
         "far-9", "far-30", "caffemodel", "start")
REFERENCE = "engine"


def main():
    parser = ArgumentParser(description=__doc__.split("\n")[0])
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--quick", action="store_true", help="fewer tasks, one round")
    chosen.add_argument("tasks", nargs="*", type=known, default=[], metavar="TASK",
                        help=f"some of {', '.join(TASKS)} (default: all)")
    args = parser.parse_args()
    tasks, rounds = (QUICK, 1) if args.quick else (tuple(args.tasks or TASKS), 2)
    turns = [(task, subject) for _ in range(rounds) for task in tasks
             for subject in SUBJECTS[task.partition("-")[0]]]
    found = {}
    for task, subject in tqdm(turns, unit="run"):
        found.setdefault((task, subject), []).append(measure(task, subject))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, "
          f"Python {platform.python_version()}")
    results = {task: {subject: summary(found[task, subject]) for t, subject in found if t == task}
               for task in tasks}
    for task in tasks:
        print(f"\n{TASKS[task]}\n{table(results[task])}")
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def known(text):
    """An argparse type: one of TASKS."""
    if text not in TASKS:
        raise argparse.ArgumentTypeError(f"no task {text!r}; there are {', '.join(TASKS)}")
    return text


def measure(task, subject):
    """What measure.py prints, as a dict."""
    run = subprocess.run([sys.executable, Path(__file__).with_name("measure.py"), task, subject],
                         capture_output=True, text=True)
    if run.returncode:
        said = run.stderr.strip().splitlines() or [f"ended with status {run.returncode}"]
        return {"absent": said[-1]}
    return json.loads(run.stdout.splitlines()[-1])


def summary(runs):
    """The median seconds and the peak memory over the rounds, or why there are none."""
    absent = [run["absent"] for run in runs if "absent" in run]
    if absent:
        return {"absent": absent[0]}
    return {"seconds": statistics.median(s for run in runs for s in run["seconds"]),
            "peak_mib": max(run["peak_mib"] for run in runs)}


def table(results):
    """Ratio to the engine, seconds and memory of each subject."""
    reference = results.get(REFERENCE, {}).get("seconds")
    lines = [f"{'':22}{'ratio':>8}{'seconds':>10}{'peak MiB':>10}"]
    for subject, result in results.items():
        if "absent" in result:
            lines.append(f"{subject:22}  –  {result['absent']}")
            continue
        ratio = f"{result['seconds'] / reference:.2f}" if reference else ""
        memory = "" if subject.startswith("floor") else f"{result['peak_mib']:.0f}"
        lines.append(f"{subject:22}{ratio:>8}{result['seconds']:>10.3f}{memory:>10}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
