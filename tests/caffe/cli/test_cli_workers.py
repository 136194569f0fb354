"""Training in several processes: scripts in the way of the original's, and the command line."""

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

import caffe
from caffe import context
from caffe.cli import main, workers
from caffe.errors import CaffeError
from caffe.images import datasets

# what a script for several GPUs does with pycaffe's names, and what it times
SCRIPT = """
import sys
from multiprocessing import Process
import caffe

def work(uid, rank, count, times):
    caffe.set_device(rank)
    caffe.set_mode_gpu()
    caffe.set_solver_count(count)
    caffe.set_solver_rank(rank)
    caffe.set_multiprocess(True)
    solver = caffe.SGDSolver("solver.prototxt")
    nccl = caffe.NCCL(solver, uid)
    nccl.bcast()
    if times and rank == 0:
        timers = [caffe.Timer() for _ in solver.net.layers]
        reducing = caffe.Timer()
        solver.net.before_backward(lambda layer: timers[layer].start())
        solver.net.after_backward(lambda layer: timers[layer].stop())
        solver.add_callback(lambda: None, lambda: reducing.start())
        solver.add_callback(nccl)
        solver.add_callback(lambda: "", lambda: (reducing.stop(), caffe.log(
            f"reducing took {reducing.ms:.2f} ms, fc {timers[1].ms:.2f} ms")))
    else:
        solver.add_callback(nccl)
    if solver.param.layer_wise_reduce:
        solver.net.after_backward(nccl)
    solver.step(solver.param.max_iter)

if __name__ == "__main__":
    count = int(sys.argv[1])
    uid = caffe.NCCL.new_uid()
    caffe.init_log()
    started = [Process(target=work, args=(uid, rank, count, "--timing" in sys.argv), daemon=True)
               for rank in range(count)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    sys.exit(max(process.exitcode for process in started))
"""
NET = """
layer { name: "data" type: "Data" top: "x" top: "t"
        data_param { source: "db" backend: LMDB batch_size: 1 } transform_param { scale: 0.01 } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "s" inner_product_param {
        num_output: 8 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "s" bottom: "t" top: "l" }
"""
SOLVER = """net: "net.prototxt" base_lr: 0.1 momentum: 0.9 lr_policy: "fixed" random_seed: 3
type: "SGD" max_iter: %d display: 2 snapshot: 4 snapshot_prefix: "%s" iter_size: %d test_iter: 1
test_interval: 3 test_initialization: false snapshot_after_train: true
"""
PLAIN = {**os.environ, "CAFFE_MODE": "cpu", "OMP_NUM_THREADS": "1"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(7):
        Image.fromarray(rng.integers(0, 256, (5, 5, 3)).astype(np.uint8)).save(f"{i}.png")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(7)))
    datasets.convert_imageset("list.txt", "", "db")
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER % (8, "s", 1))
    return tmp_path


def weights(path):
    net = caffe.Net("net.prototxt", path, caffe.TEST)
    return [blob.data.copy() for blob in net.params["fc"]]


def alone(iter_size):
    """What one process trains."""
    with open("alone.prototxt", "w") as file:
        file.write(SOLVER % (8, f"alone{iter_size}", iter_size))
    solver = caffe.get_solver("alone.prototxt")
    solver.solve()
    return weights(f"alone{iter_size}_iter_8.caffemodel")


def test_a_script_for_several_gpus_runs_on_cpus(folder):
    (folder / "train.py").write_text(SCRIPT)
    done = subprocess.run([sys.executable, "train.py", "2", "--timing"], env=PLAIN, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = weights("s_iter_8.caffemodel")
    for one, other in zip(found, alone(2)):
        np.testing.assert_array_equal(one, other)
    assert max(np.abs(one - other).max() for one, other in zip(found, alone(1))) > 1e-3
    log = done.stderr
    assert log.count("CAFFE_MODE=cpu: GPU mode was asked for") == 2     # once in each process
    assert log.count("Snapshotting to binary") == 2 and log.count("Testing net") == 2
    assert log.count("Creating training net") == 1
    assert len(re.findall("Iteration 2 .*loss = ", log)) == 1
    assert len(re.findall(r"reducing took \d+\.\d\d ms, fc", log)) == 8


@pytest.mark.slow
def test_the_command_starts_the_processes(folder):
    command = [sys.executable, "-m", "caffe", "train", "--solver", "solver.prototxt"]
    done = subprocess.run([*command, "--cpu_workers", "2"], env=PLAIN, text=True,
                          capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "2 solvers train together: each update averages over 2 x 1 = 2 samples (batch 1, " \
        "iter_size 1), one process over 1." in done.stderr
    for one, other in zip(weights("s_iter_8.caffemodel"), alone(2)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGKILL, 137)])
def test_signals_to_the_command_and_to_one_process(folder, number, status):
    (folder / "solver.prototxt").write_text(SOLVER % (100000, "s", 1))
    command = [sys.executable, "-m", "caffe", "train", "-solver", "solver.prototxt",
               "--cpu_workers=2"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, env=PLAIN, stderr=log)
    try:
        last = time.monotonic() + 90
        while "s_iter_4.solverstate" not in os.listdir() and time.monotonic() < last:
            time.sleep(0.05)
        if number == signal.SIGTERM:
            process.send_signal(number)
        else:
            os.kill(int(next(pid for pid in _children(process.pid) if "\0RANK=1\0" in
                             Path(f"/proc/{pid}/environ").read_text())), number)
        begin = time.monotonic()
        assert process.wait(40) == status and time.monotonic() - begin < 30
    finally:
        process.kill()
    text = (folder / "log").read_text()
    if number == signal.SIGTERM:
        assert text.count("stopped by SIGTERM; continue with") == 1
        assert re.search(r"caffe train --solver solver.prototxt --snapshot "
                         r"s_iter_(\d+).solverstate --cpu_workers=2", text)
    else:
        assert re.search(r"rank 1 of 2 \(process \d+\) was ended by SIGKILL", text)
        assert re.search(r"rank 0 cannot go on with .*: rank 1 \(process .*\) is gone", text)
    assert not _children(process.pid)


def _children(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True)
    return sorted(found.stdout.split(), key=int)


@pytest.mark.parametrize("flags, message", [
    (["--gpu", "0,1", "--cpu_workers", "2"], "give --gpu or --cpu_workers, not both"),
    (["--gpu", "0,1,0"], "names GPU 0 twice"),
    (["--gpu", "97,98"], "GPU 97 is not available"),
])
def test_flags_that_do_not_fit(folder, capsys, flags, message):
    assert main(["train", "--solver", "solver.prototxt", *flags]) == 1
    assert message in capsys.readouterr().err


def test_no_workers(folder, capsys):
    with pytest.raises(SystemExit):
        main(["train", "--solver", "solver.prototxt", "--cpu_workers", "0"])
    assert "expected a number of at least 1" in capsys.readouterr().err


def test_with_caffe_mode_cpu_gpus_are_not_looked_for(monkeypatch):
    monkeypatch.setenv("CAFFE_MODE", "cpu")
    context.stays_on_cpu.cache_clear()
    try:
        assert workers.wanted("3,5", None) == 2
        caffe.set_device(5)
        caffe.set_mode_gpu()
        assert context.device().type == "cpu"
        monkeypatch.setenv("CAFFE_MODE", "tpu")
        context.stays_on_cpu.cache_clear()
        with pytest.raises(CaffeError, match="expected CAFFE_MODE.*to be cpu, got 'tpu'"):
            caffe.set_mode_gpu()
    finally:
        context.stays_on_cpu.cache_clear()
        caffe.set_device(0)
