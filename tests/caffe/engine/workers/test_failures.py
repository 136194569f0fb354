"""What goes wrong between several solvers is said, by every one of them, and nobody waits."""

import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from datetime import timedelta

import numpy as np
import pytest
import torch
from PIL import Image

import caffe
import several
from caffe.engine import parallel
from caffe.engine.workers import beats, meeting
from caffe.errors import CaffeError, DeviceError, LayerError
from caffe.images import datasets

NET = """
layer { name: "data" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 }
        data_filler { type: "gaussian" } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "s" inner_product_param {
        num_output: %s weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "s" bottom: "x" top: "l" }
"""


@pytest.fixture
def solver(tmp_path):
    def make(rank=0, width="3", **settings):
        net, path = tmp_path / f"net{rank}.prototxt", tmp_path / f"solver{rank}.prototxt"
        net.write_text(NET.replace("%s", width))
        lines = {"net": f'"{net}"', "base_lr": 0.1, "lr_policy": '"fixed"', "random_seed": 3,
                 "type": '"SGD"', "snapshot_prefix": f'"{tmp_path}/s"', **settings}
        path.write_text("\n".join(f"{name}: {value}" for name, value in lines.items()))
        return caffe.get_solver(str(path))
    return make


def texts(results):
    assert all(isinstance(result, CaffeError) for result in results), results
    return [str(result) for result in results]


def test_a_rank_that_is_killed_ends_the_others(solver):
    def work(rank, uid):
        made = solver(rank)
        several.joined(made, uid)
        made.step(2)
        if rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        begin = time.monotonic()
        with pytest.raises(CaffeError) as error:
            made.step(1)
        return str(error.value), time.monotonic() - begin
    first, killed, third = several.run(3, work)
    assert killed is None
    for text, seconds in (first, third):
        assert seconds < 30
        assert "cannot go on with the exchange of the gradients of iteration 2: " in text
        assert re.search(r"rank 1 \(process \d+ on \S+\) is gone, it was last heard of in ", text)


def test_a_rank_that_hangs_is_named_with_what_it_does(solver, monkeypatch):
    monkeypatch.setattr(beats, "EVERY", 0.2)

    def work(rank, uid):
        made = solver(rank)
        nccl = several.joined(made, uid)
        made.step(2)
        nccl.timeout = 1.0
        if rank == 1:
            nccl.note("the test of iteration 2")
            time.sleep(5)
            return None
        made.step(1)
        return None
    first, _ = several.run(2, work)
    text, = texts([first])
    assert re.search(r"rank 1 \(process \d+ on \S+\) has not got on for 1 s: it was last heard of "
                     "in the test of iteration 2. Rank 0 waits for it in the exchange of the "
                     "gradients of iteration 2. .*NCCL.timeout", text)


class Endless:
    """An exchange that never comes to its end, as one of NCCL's that hangs."""

    def wait(self, *_):
        raise RuntimeError("timed out")

    def is_completed(self):
        return False


def test_an_exchange_to_which_all_came_and_that_hangs(solver, monkeypatch):
    monkeypatch.setattr(beats, "EVERY", 0.2)

    def work(rank, uid):
        made = solver(rank)
        nccl = several.joined(made, uid)
        made.step(2)
        nccl.timeout, nccl._send = 1.0, lambda tensor: nccl._works.append(Endless())
        made.step(1)
    for text in texts(several.run(2, work, 40)):
        assert re.search(r"rank \d has waited \d+ s for the exchange of the gradients of iteration "
                         r"2, to which all 2 ranks came: .* hangs .*NCCL_DEBUG.*NCCL.timeout", text)


def test_ranks_that_do_not_connect_to_each_other(solver, monkeypatch):
    monkeypatch.setattr(beats, "EVERY", 0.2)
    monkeypatch.setattr(parallel, "CONNECTING", timedelta(seconds=1))

    def stuck(*_):
        time.sleep(5)
        raise RuntimeError("stuck")

    def work(rank, uid):
        if rank == 1:       # it has met the other, but does not go on
            monkeypatch.setattr(parallel, "_group", stuck)
        caffe.NCCL(solver(rank), uid)
    for text in texts(several.run(2, work, 40)):
        assert "cannot go on with the connection of the ranks to each other: " in text


def test_a_rank_that_is_lost_while_it_waits_is_named(solver, monkeypatch):
    monkeypatch.setattr(beats, "EVERY", 0.2)
    monkeypatch.setattr(beats, "DEAD", 2.0)

    def work(rank, uid):
        made = solver(rank)
        nccl = several.joined(made, uid)
        made.step(2)
        process = nccl.gather(os.getpid())[1]
        if rank == 1:       # as if its machine were gone: no connection breaks
            threading.Timer(1, os.kill, (process, signal.SIGSTOP)).start()
        if rank == 2:
            time.sleep(2)
        with pytest.raises(CaffeError) as error:
            made.step(1)
        if rank == 0:
            time.sleep(1)
            os.kill(process, signal.SIGKILL)
        return str(error.value)
    first, lost, third = several.run(3, work, 40)
    assert lost is None
    for text in (first, third):
        assert re.search(r"rank 1 \(process \d+ on \S+\) is gone.* it was last heard of in ", text)


LEFT_ALONE = """
import os, signal, sys
import caffe
from caffe.engine.workers import beats
beats.EVERY, beats.DEAD = 0.2, 2.0
rank = int(sys.argv[1])
caffe.set_solver_count(2)
caffe.set_solver_rank(rank)
caffe.set_multiprocess(True)
solver = caffe.get_solver(sys.argv[2])
nccl = caffe.NCCL(solver, sys.argv[3])
nccl.bcast()
solver.add_callback(nccl)
solver.step(2)
if rank:
    os.kill(os.getpid(), signal.SIGSTOP)
solver.step(9)
"""


def test_a_rank_whose_other_stands_still_comes_to_its_end(solver, tmp_path):
    """No connection breaks there, and threads of gloo go on waiting."""
    uid = caffe.NCCL.new_uid().decode()
    for rank in range(2):
        solver(rank)
    processes = [subprocess.Popen([sys.executable, "-c", LEFT_ALONE, str(rank),
                                   str(tmp_path / f"solver{rank}.prototxt"), uid],
                                  stderr=subprocess.PIPE, text=True) for rank in range(2)]
    try:
        assert "rank 1 (process " in processes[0].communicate(timeout=150)[1]
        assert processes[0].returncode == 1
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_a_process_that_forks_may_have_trained_before(solver):
    """Its groups have threads that the new process lacks, and must not wait for."""
    made = solver()
    made.itself = made, several.joined(made, caffe.NCCL.new_uid())      # goes with the next
    del made                                                            # collection of garbage
    process = os.fork()
    if not process:
        signal.alarm(60)
        gc.collect()
        os._exit(0)
    assert os.waitpid(process, 0)[1] == 0


def test_a_test_that_is_interrupted_does_not_make_the_snapshot_an_older_one(solver, tmp_path):
    def work(rank, uid):
        made = solver(rank, test_iter=2, test_interval=2)
        several.joined(made, uid)
        made.requested_action = lambda: "stop" if rank == 0 and made.iter == 2 else None
        made.step(9)
        made.snapshot()
        return made.iter, made.passes.done
    assert several.run(2, work) == [(3, 6), (3, 6)]
    resume = json.loads((tmp_path / "s_iter_3.solverstate.resume").read_text())
    assert resume["content"]["passes"] == [6, 3]


def test_a_rank_that_never_comes(solver, monkeypatch):
    monkeypatch.setattr(caffe.NCCL, "timeout", 0.5)

    def work(rank, uid):
        if rank == 0:
            caffe.NCCL(solver(rank), uid)
    text, = texts(several.run(2, work)[:1])
    assert "rank 1 of 2 ranks did not come within 0.5 s" in text


@pytest.mark.parametrize("width, settings, expected", [
    ("3 bias_filler { value: 1 }", {}, "has another net than rank 0: the layer 'fc' differs"),
    ("3", {"base_lr": 0.2}, "has another solver than rank 0: base_lr is 0.2 there, and 0.1 for"),
    ("3", {"random_seed": 4}, "random_seed is 4 there, and 3 for rank 0"),
])
def test_ranks_with_different_prototxts(solver, width, settings, expected):
    def work(rank, uid):
        caffe.NCCL(solver(rank, width, **settings) if rank else solver(rank), uid)
    for text in texts(several.run(2, work)):
        assert expected in text and "rank 1 (process" in text


def test_ranks_with_different_weights(solver, tmp_path):
    def work(rank, uid):
        made = solver(rank)
        made.add_callback(caffe.NCCL(made, uid))
        made.step(1)
    for text in texts(several.run(2, work)):
        assert "does not begin with the same weights as rank 0" in text and "nccl.bcast()" in text


def test_ranks_that_were_told_of_different_numbers(solver):
    def work(rank, uid):
        caffe.set_solver_count(2 + rank)
        caffe.NCCL.timeout = 0.5 if rank else 60.0
        caffe.NCCL(solver(rank), uid)
    assert "rank 1 was told of 3 solvers, rank 0 of 2" in texts(several.run(2, work)[:1])[0]


def test_more_solvers_than_samples(tmp_path, net, monkeypatch):
    for i in range(2):
        Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / f"{i}.png")
    (tmp_path / "list.txt").write_text("".join(f"{tmp_path}/{i}.png 0\n" for i in range(2)))
    datasets.convert_imageset(str(tmp_path / "list.txt"), "", str(tmp_path / "db"))
    caffe.set_solver_count(3)
    try:
        for kind, field, what in (("Data", "data_param { backend: LMDB source: \"%s/db\"",
                                   "records"),
                                  ("ImageData", "image_data_param { source: \"%s/list.txt\"",
                                   "images")):
            text = (f'layer {{ name: "d" type: "{kind}" top: "x" top: "t" {field % tmp_path} '
                    'batch_size: 1 } }')
            with pytest.raises(LayerError, match=f"3 solvers cannot share 2 {what}: train with at "
                                                 "most 2"):
                net(text, phase=caffe.TRAIN)
            net(text, phase=caffe.TEST)
    finally:
        caffe.set_solver_count(1)


def test_a_uid_that_is_none(solver):
    with pytest.raises(CaffeError, match="expected a uid that caffe.NCCL.new_uid"):
        caffe.NCCL(solver(), b"\x00\x01")


def test_nobody_answers(solver, monkeypatch):
    monkeypatch.setattr(meeting, "CONNECT", 1.0)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        with pytest.raises(CaffeError, match="finds no meeting place of the solvers at 127.0.0.1"):
            caffe.NCCL(solver(), f"caffe:127.0.0.1:{place.getsockname()[1]}:x")


def test_another_program_that_does_not_answer(solver, monkeypatch):
    monkeypatch.setattr(meeting, "CONNECT", 0.5)
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        place.listen()
        with pytest.raises(CaffeError, match="finds no meeting place.*does not answer"):
            caffe.NCCL(solver(), f"caffe:127.0.0.1:{place.getsockname()[1]}:x")


@pytest.mark.parametrize("address, port, message", [
    ("127.0.0.1", "abc", "MASTER_PORT, in the environment, .* a port, 1 to 65535, got 'abc'"),
    ("127.0.0.1", "99999", "a port, 1 to 65535, got '99999'"),
    ("no.such.host.invalid", "29777", "rank 0 cannot be reached at no.such.host.invalid:29777"),
])
def test_a_place_that_cannot_be(monkeypatch, address, port, message):
    monkeypatch.setattr(meeting, "CONNECT", 1.0)
    for name, value in dict(RANK="0", WORLD_SIZE="2", MASTER_ADDR=address,
                            MASTER_PORT=port).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CaffeError, match=message):
        caffe.NCCL.uid_from_environment()


def test_a_port_in_use(monkeypatch):
    with socket.socket() as place:
        place.bind(("0.0.0.0", 0))
        place.listen()
        port = place.getsockname()[1]
        for name, value in dict(RANK="0", WORLD_SIZE="2", MASTER_ADDR="127.0.0.1",
                                MASTER_PORT=str(port)).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(CaffeError, match=f"at 127.0.0.1:{port}.*port is in use.*--master-port"):
            caffe.NCCL.uid_from_environment()


def test_a_rank_beyond_the_count(solver):
    caffe.set_solver_rank(2)
    try:
        with pytest.raises(CaffeError, match="solver_rank from 0 to 0 for a solver_count of 1"):
            caffe.NCCL(solver(), caffe.NCCL.new_uid())
    finally:
        caffe.set_solver_rank(0)


def test_a_callback_of_another_kind(solver):
    with pytest.raises(CaffeError, match="on_gradients_ready, got 3"):
        solver().add_callback(3)


def test_gpus_without_nccl(solver, monkeypatch):
    made = solver()
    monkeypatch.setattr(parallel.context, "device", lambda: torch.device("cuda", 0))
    monkeypatch.setattr(parallel.dist, "is_nccl_available", lambda: False)
    with pytest.raises(DeviceError, match="no NCCL.*CAFFE_MODE=cpu"):
        caffe.NCCL(made, caffe.NCCL.new_uid())


def test_all_stop_when_one_is_asked_to(solver, tmp_path):
    def work(rank, uid):
        made = solver(rank, max_iter=50, snapshot_after_train="true")
        several.joined(made, uid)
        made.requested_action = lambda: "stop" if rank == 1 and made.iter == 3 else None
        made.solve()
        return made.iter
    assert several.run(2, work) == [4, 4]
    assert sorted(path.name for path in tmp_path.glob("s_*")) == [
        "s_iter_4.caffemodel", "s_iter_4.solverstate", "s_iter_4.solverstate.resume"]


def test_solvers_that_exchange_nothing_are_warned(solver, capfd):
    caffe.set_solver_count(2)
    try:
        made = solver()
        made.step(1)
        made.step(1)
    finally:
        caffe.set_solver_count(1)
    assert capfd.readouterr().err.count("exchanges no gradients with the others") == 1
