"""Nets in several threads, and in forked processes."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

import caffe
import resumable
from caffe.engine.layers.input.prefetch import Prefetch

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
READING = ("images", "lmdb", "windows", "hdf5", "segdata")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    resumable.make_files(folder)
    return folder


@pytest.fixture
def net(files, tmp_path, monkeypatch):
    """net(name): the train net of a set-up."""
    monkeypatch.chdir(files)
    return lambda name: resumable.make_solver(tmp_path, name).net


def passes(net, count=4):
    """What a net's data layer gives in so many passes."""
    found = []
    for _ in range(count):
        net.forward()
        net.backward()
        found += [blob.data.copy() for blob in list(net.blobs.values())[:2]]
    return found


def forked(function, seconds=60):
    """What function() returns in a forked process, an array; fails where that takes too long."""
    process = os.fork()
    if not process:
        status = 1
        try:
            signal.alarm(seconds)
            np.save("forked.npy", np.concatenate([np.ravel(array) for array in function()]))
            status = 0
        finally:
            os._exit(status)
    assert os.waitpid(process, 0)[1] == 0
    return np.load("forked.npy")


@pytest.mark.parametrize("before", [0, 1, 3])
@pytest.mark.parametrize("name", READING)
def test_a_forked_process_goes_on_where_its_parent_was(net, name, before):
    made = net(name)
    passes(made, before)
    child = forked(lambda: passes(made))
    np.testing.assert_array_equal(child, np.concatenate(list(map(np.ravel, passes(made)))))


def test_a_fork_while_the_thread_holds_the_lock_of_its_queue(net):
    made = net("images")
    passes(made, 1)
    with made.layers[0].prefetch._items.mutex:
        child = forked(lambda: passes(made))
    np.testing.assert_array_equal(child, np.concatenate(list(map(np.ravel, passes(made)))))


def _send(made, queue):
    queue.put([array.tolist() for array in passes(made)])


def test_multiprocessing_that_forks(net):
    made, context = net("lmdb"), multiprocessing.get_context("fork")
    passes(made, 2)
    queue = context.Queue()
    process = context.Process(target=_send, args=(made, queue))
    process.start()
    found = queue.get(timeout=60)
    process.join(60)
    assert process.exitcode == 0
    assert found == [array.tolist() for array in passes(made)]


def test_a_forked_process_computes_though_its_parent_used_several_threads(net, tmp_path):
    """OpenMP's threads are not there."""
    (tmp_path / "net.prototxt").write_text("""
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 16 dim: 64 dim: 64 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
        convolution_param { num_output: 32 kernel_size: 5 } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "relu" }""")
    script = ("import caffe, os, signal, sys; net = caffe.Net(sys.argv[1], caffe.TEST)\n"
              "net.forward()\nif not os.fork():\n signal.alarm(60); net.forward(); os._exit(0)\n"
              "sys.exit(os.waitpid(-1, 0)[1])")
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", script, str(tmp_path / "net.prototxt")],
                          env=environment).returncode == 0


def test_a_prefetch_goes_on_from_any_place():
    def count(place):
        while True:
            place += 1
            yield place, place
    assert [Prefetch(count, start, 2).next() for start in (0, 7)] == [1, 8]


# threads

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 40 dim: 40 } } }
layer { name: "wait" type: "Python" bottom: "x" top: "y"
        python_param { module: "test_threads" layer: "Waiting" } }
layer { name: "conv" type: "Convolution" bottom: "y" top: "conv" convolution_param {
        num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "fc" type: "InnerProduct" bottom: "conv" top: "fc"
        inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Reduction" bottom: "fc" top: "loss" loss_weight: 1 }
"""


class Waiting(caffe.Layer):
    """Calls `during` in the middle of a pass."""

    during = staticmethod(lambda: None)

    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
        self.during()

    def backward(self, top, propagate_down, bottom):
        pass


@pytest.fixture
def waiting(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "test_threads", sys.modules[__name__])
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 '
        f'snapshot_prefix: "{tmp_path}/s"')
    return tmp_path


def in_a_thread(function):
    """The exception that function() raises in a thread, or what it returns."""
    found = []

    def run():
        try:
            found.append(function())
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=run, name="the other")
    thread.start()
    thread.join(60)
    return found[0]


def test_a_net_in_two_threads_at_the_same_time(waiting):
    net, errors = caffe.Net(str(waiting / "net.prototxt"), caffe.TEST), []
    calls = (net.forward, net.backward, net.reshape, lambda: net.save(str(waiting / "w")))
    net.layers[1].during = lambda: errors.extend(map(in_a_thread, calls))
    net.forward()
    assert len(errors) == 4
    for error, name in zip(errors, ("forward", "backward", "reshape", "save")):
        assert type(error) is caffe.CaffeError
        assert str(error).startswith(f"{waiting}/net.prototxt: {name}() in the thread 'the other'")
    net.layers[1].during = lambda: None
    assert isinstance(in_a_thread(net.forward), dict)      # one after the other


def test_a_solver_in_two_threads_at_the_same_time(waiting):
    solver, errors = caffe.get_solver(str(waiting / "solver.prototxt")), []
    calls = (lambda: solver.step(1), solver.solve, solver.snapshot, lambda: solver.restore("s"),
             solver.net.forward)
    solver.net.layers[1].during = lambda: errors.extend(map(in_a_thread, calls))
    solver.step(1)
    assert [type(error) for error in errors] == [caffe.CaffeError] * 5
    assert "Give each thread one of its own" in str(errors[0])


def test_a_layer_may_run_its_own_net_in_the_same_thread(waiting):
    net, seen = caffe.Net(str(waiting / "net.prototxt"), caffe.TEST), []
    net.layers[1].during = lambda: seen.append(net.forward(start="conv", end="conv")["conv"].sum())
    net.blobs["x"].data[...] = 1
    net.forward()
    assert len(seen) == 1


def test_nets_of_their_own_in_many_threads(waiting):
    """Built, with shared weights, and run at the same time."""
    first = caffe.Net(str(waiting / "net.prototxt"), caffe.TEST)
    image = np.random.default_rng(1).normal(size=(1, 3, 40, 40)).astype(np.float32)
    first.blobs["x"].data[...] = image
    expected = first.forward()["loss"].copy()

    def serve(found):
        try:
            net = caffe.Net(str(waiting / "net.prototxt"), caffe.TEST)
            net.share_with(first)
            for _ in range(20):
                net.blobs["x"].data[...] = image
                found.append(float(net.forward()["loss"]))
                net.backward()
        except BaseException as error:
            found.append(error)

    results = [[] for _ in range(6)]
    threads = [threading.Thread(target=serve, args=(found,)) for found in results]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in results:
        np.testing.assert_allclose(found, [float(expected)] * 20, rtol=1e-5)
