"""What a process takes stays flat: memory over passes and nets, files, threads."""

import gc
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import caffe

NET = """layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {
  num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "r" type: "ReLU" bottom: "p" top: "p" }
layer { name: "l" type: "Reduction" bottom: "p" top: "l" loss_weight: 1 }
"""
LIST = """layer { name: "data" type: "ImageData" top: "data" top: "t"
  image_data_param { source: "LIST" batch_size: 2 } }
"""
WARM, EVERY = 100, 5        # passes before the first number, and from one to the next
MOST_LOST = 4_000          # bytes a pass
LENGTHS = [200, pytest.param(2000, marks=pytest.mark.slow)]


def resident() -> int:
    """The bytes in memory of this process."""
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


pytestmark = pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")


def slope(taken: list[int]) -> float:
    """The median growth over a tenth of the numbers, for each step: what the allocator takes now
    and then does not show in it, what each step loses does."""
    lag = len(taken) // 10
    return float(np.median(np.subtract(taken[lag:], taken[:-lag]))) / lag


def growth(solver: caffe.Solver, passes: int) -> float:
    """The bytes that each pass of a training on images of varying sizes loses."""
    sizes = np.random.default_rng(0).integers(8, 40, (passes + WARM, 2))
    taken = []
    for number, size in enumerate(sizes):
        solver.net.blobs["data"].reshape(1, 3, *map(int, size))
        solver.step(1)
        if number >= WARM and number % EVERY == 0:
            taken.append(resident())
    return slope(taken) / EVERY


def train(tmp_path: Path, passes: int) -> None:
    """Print the bytes that each pass of a small training loses."""
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 1e-9 lr_policy: "fixed" momentum: 0.9')
    solver = caffe.get_solver(str(tmp_path / "solver.prototxt"))
    print(growth(solver, passes))


@pytest.mark.parametrize("passes", LENGTHS)
def test_memory_of_a_training_over_passes_of_varying_sizes(tmp_path: Path, passes: int) -> None:
    """In a process of its own: what other tests have used and freed hides what is lost."""
    run = subprocess.run([sys.executable, __file__, tmp_path, str(passes)], text=True, check=True,
                         capture_output=True, env={**os.environ, "GLOG_minloglevel": "1",
                                                   "PYTHONPATH": os.pathsep.join(sys.path)})
    assert float(run.stdout) < MOST_LOST


def test_the_slope_shows_a_leak_among_steps_of_the_allocator() -> None:
    steps = [10_000_000 * (number > 11) for number in range(40)]
    assert slope(steps) / EVERY < MOST_LOST
    leaking = [step + 2 * MOST_LOST * EVERY * number for number, step in enumerate(steps)]
    assert slope(leaking) / EVERY > MOST_LOST


@pytest.mark.parametrize("count", [30, pytest.param(200, marks=pytest.mark.slow)])
def test_nets_that_are_dropped_leave_nothing(tmp_path: Path, count: int) -> None:
    from PIL import Image
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "list").write_text(f"{tmp_path}/a.png 1\n")
    path = tmp_path / "net.prototxt"
    path.write_text(LIST.replace("LIST", str(tmp_path / "list")))
    taken = []
    for number in range(count):
        net = caffe.Net(str(path), caffe.TEST)
        net.forward()
        del net
        if number in (count // 4, count - 1):
            gc.collect()
            for thread in threading.enumerate():        # those of dropped nets end by themselves
                if thread is not threading.current_thread():
                    thread.join(0.3)
            taken.append((resident(), len(os.listdir("/proc/self/fd")), threading.active_count()))
    (memory, files, threads), (memory_after, files_after, threads_after) = taken
    assert files_after <= files
    assert threads_after <= threads
    assert memory_after - memory < 5e6 + 20_000 * count


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
