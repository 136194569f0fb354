"""Measures one subject, in a process of its own: python benchmarks/measure.py TASK SUBJECT

Prints one line of JSON: the seconds of each run after the first, which do not count, and the peak
memory, of the process or on the GPU, in MiB. Or why there is nothing: {"absent": reason}.
"""

import argparse
import json
import resource
import tempfile
from pathlib import Path

from subjects.clock import timed
from subjects.machine import Absent
from subjects.table import SUBJECTS

# {task: (how many runs do not count, how many do)}; a GPU's passes are recorded the second time
RUNS = {"gpu_forward": (3, 20), "gpu_step": (3, 20), "gpu_schedule": (1, 1)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("task", help="one of bench.py's TASKS")
    parser.add_argument("subject")
    args = parser.parse_args()
    task = args.task.partition("-")[0]
    if args.subject not in SUBJECTS.get(task, ()):
        known = "; ".join(f"{name}: {', '.join(map(repr, SUBJECTS[name]))}" for name in SUBJECTS)
        parser.error(f"no subject {args.subject!r} of the task {args.task!r}; there are {known}")
    first, runs = RUNS.get(task, (1, 2))
    try:
        with tempfile.TemporaryDirectory() as folder:
            run = SUBJECTS[task][args.subject](args.task, Path(folder))
            seconds = [timed(run) for _ in range(first + runs)][first:]
    except (Absent, ImportError) as error:
        print(json.dumps({"absent": str(error)}))
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if task.startswith("gpu"):
        import torch
        peak = torch.cuda.max_memory_allocated() / 2 ** 20
    print(json.dumps({"seconds": seconds, "peak_mib": peak}))


if __name__ == "__main__":
    main()
