"""Workers as they are started on the command line; one of them is killed."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caffe.proto import caffe_pb2
from fcn.nets.source import ROOT

pytestmark = [pytest.mark.slow,
              pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")]
SECONDS = 560
OPTIONS = ("--head", "fcn32s", "--width", "0.02", "--iterations", "24", "--interval", "8",
           "--lr", "1e-6", "--force")
BY_US, BY_TORCHRUN = (), ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Seven images to train on, five to score, in VOC layout; their names do not say the class."""
    root, rng = tmp_path_factory.mktemp("workers") / "data", np.random.default_rng(2)
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / name).mkdir(parents=True)
    for split, count in (("train", 7), ("val", 5)):
        for i in range(count):
            label = np.zeros((40 + 3 * i, 48 - 2 * i), np.uint8)
            label[8:20 + i, 10:25], label[20:, 30:] = 1, 2
            colours = np.array([(150, 120, 60), (60, 120, 150), (90, 200, 30)])[label]
            pixels = (colours + rng.normal(scale=30, size=colours.shape)).clip(0, 255)
            Image.fromarray(pixels.astype(np.uint8)).save(root / f"JPEGImages/{split}{i}.jpg")
            Image.fromarray(label).save(root / f"SegmentationClass/{split}{i}.png")
        (root / f"ImageSets/Segmentation/{split}.txt").write_text(
            "".join(f"{split}{i}\n" for i in range(count)))
    (root / "classes.txt").write_text("a\nb\nc\n")
    return root


def start(folder, name, *arguments, launcher=BY_US):
    environment = {**os.environ, "FCN_BUILD": str(folder.parent / "build"),
                   "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *launcher, ROOT / "solvers" / "solve.py", "--data", folder, "--name",
         name, *OPTIONS, *(() if launcher else ("--workers", "2")), *arguments],
        cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def weights(folder, name, iteration=24):
    """Without the prototxt beside them, which says from which sample on it is."""
    path = folder.parent / "build" / name / "snapshot" / f"train_iter_{iteration}.caffemodel"
    net = caffe_pb2.NetParameter.FromString(path.read_bytes())
    return [(layer.name, blob.SerializeToString()) for layer in net.layer for blob in layer.blobs]


@pytest.fixture(scope="module")
def whole(folder):
    """The last weights of a run that nothing happened to."""
    process = start(folder, "whole")
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert out.count("training whole\n") == 1
    assert out.count("2 workers: an update averages the gradients of 2 x 1 image;") == 1
    assert weights(folder, "whole") != weights(folder, "whole", 16)
    return weights(folder, "whole")


def kill(folder, name, rank, process):
    """Kill the worker of a rank, once there is a snapshot."""
    first = folder.parent / "build" / name / "snapshot" / "train_iter_8.solverstate.resume"
    end = time.monotonic() + SECONDS
    while not first.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
            command = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        if f"RANK={rank}".encode() in environment and f"\0{name}\0".encode() in command:
            os.kill(int(entry.name), signal.SIGKILL)
            return time.monotonic()
    raise AssertionError(f"there is no rank {rank}: {process.communicate()}")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_worker_that_is_killed_ends_all_and_the_run_goes_on(folder, whole, rank):
    name = f"killed-{rank}"
    process = start(folder, name)
    begin = kill(folder, name, rank, process)
    _, err = process.communicate(timeout=SECONDS)
    assert time.monotonic() - begin < 30
    assert process.returncode == 137
    assert re.search(rf"error: rank {rank} of 2 \(process \d+\) was ended by SIGKILL, .*; the "
                     rf"others are ended. Continue with\n    .*solve.py --data .* --name {name}",
                     err)
    assert "Traceback" not in err
    process = start(folder, name)
    assert process.communicate(timeout=SECONDS)[0].count("continuing") == 1
    assert weights(folder, name) == whole


@pytest.mark.parametrize("launcher, restarted", [(BY_US, ("--max-restarts", "2")),
                                                 ((*BY_TORCHRUN, "--max-restarts", "2"), ())])
def test_workers_begin_anew_by_themselves(folder, whole, launcher, restarted):
    """To the same bits; --fresh does so once."""
    name = f"anew-{len(launcher)}"
    process = start(folder, name, *restarted, "--fresh", launcher=launcher)
    kill(folder, name, 1, process)
    out, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, err
    assert f"continuing {name} from" in out and out.count(f"training {name}\n") == 1
    assert weights(folder, name) == whole


def test_a_launcher_that_is_killed_ends_all(folder):
    process = start(folder, "orphans")
    first = folder.parent / "build" / "orphans" / "progress.json"
    while not first.exists() and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    process.wait()
    end = time.monotonic() + 30
    while time.monotonic() < end and any(map(is_of_orphans, Path("/proc").glob("[0-9]*"))):
        time.sleep(0.5)
    assert not any(map(is_of_orphans, Path("/proc").glob("[0-9]*")))


def is_of_orphans(entry):
    try:
        return b"\0orphans\0" in (entry / "cmdline").read_bytes()
    except OSError:
        return False
