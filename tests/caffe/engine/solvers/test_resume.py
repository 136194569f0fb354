"""A training that is resumed ends as one that was not interrupted, bit for bit."""

import hashlib
import json
import logging
import os
import random
import re
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import caffe
import resumable
from caffe.engine import values
from caffe.engine.solvers.attributes import Attributes
from caffe.log import logger
from caffe.proto import caffe_pb2


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    resumable.make_files(folder)
    return folder


@pytest.fixture
def folder(files, tmp_path, monkeypatch):
    """Where snapshots are written; the data are those of the working directory."""
    monkeypatch.chdir(files)
    return tmp_path


@pytest.fixture
def losses():
    """The losses in the log, of the training and of its tests."""
    found = []

    class Handler(logging.Handler):
        def emit(self, record):
            found.extend(re.findall(r"(?:Iteration \d+|Test net|Train net|lr = ).*?= (\S+)",
                                    record.getMessage()))

    handler = Handler()
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


def end(solver):
    """The weights and histories of a solver, and how random numbers go on."""
    arrays = [blob.data.copy() for blobs in solver.net.params.values() for blob in blobs]
    return [*arrays, *(history.numpy().copy() for history in solver.history)]


def assert_equal(one, other):
    for mine, theirs in zip(one, other, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize("name", resumable.SETUPS)
def test_a_resumed_training_ends_as_one_that_was_not_interrupted(folder, losses, name):
    solver = resumable.make_solver(folder, name)
    solver.step(7)
    expected, seen = end(solver), losses[:]
    state = resumable.snapshots(folder, name)[1]
    assert "_iter_4." in state
    losses.clear()
    again = resumable.make_solver(folder, name)
    random.seed()
    again.restore(state)
    assert again.iter == 4
    again.step(3)
    assert_equal(end(again), expected)
    assert losses == seen[-len(losses):] and len(losses) > 5


def in_a_process(function):
    """Have a forked process call function(); returns its number."""
    process = os.fork()
    if process:
        return process
    status = 1
    try:
        function()
        status = 0
    finally:
        os._exit(status)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.parametrize("name", sorted(set(resumable.SETUPS) - {resumable.SEEDLESS}))
def test_a_training_that_is_killed_again_and_again(folder, name):
    """Killed at 20 random moments and resumed each time, it ends as if nothing had happened."""
    draws = random.Random(name)
    resumable.make_solver(folder, name).step(1)     # loads here what each child would load

    def train_to(end):
        return in_a_process(lambda: resumable.train(folder, name, end))

    for _ in range(20):
        before = resumable.snapshots(folder, name)
        process = train_to(1_000_000)
        while resumable.snapshots(folder, name) == before:
            time.sleep(0.002)
            assert os.waitpid(process, os.WNOHANG) == (0, 0)
        time.sleep(draws.random() * 0.02)
        assert os.waitpid(process, os.WNOHANG) == (0, 0)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
    last = resumable.iteration(resumable.snapshots(folder, name)[-1]) + 3
    ends = []
    for _ in range(2):
        assert os.waitpid(train_to(last), 0)[1] == 0
        ends.append(dict(np.load(folder / f"{name}.npz")))
        for path in folder.glob("*_iter_*"):
            path.unlink()
    assert len(ends[0]) == len(ends[1]) > 0
    for key, array in ends[1].items():
        np.testing.assert_array_equal(ends[0][key], array)


@pytest.mark.parametrize("form", ["", "snapshot_format: HDF5"])
@pytest.mark.parametrize("kind", ["solverstate", "caffemodel", "solverstate.resume"])
def test_a_page_of_zeros_is_found_and_nothing_changes(folder, monkeypatch, kind, form):
    monkeypatch.setitem(resumable.SETUPS, "zeros", (resumable.LMDB + resumable.BEHIND,
                                                    resumable.MOMENTUM + form))
    solver = resumable.make_solver(folder, "zeros")
    solver.step(5)
    state = Path(resumable.snapshots(folder, "zeros")[-1])
    suffix = ".h5" * bool(form)
    damaged = folder / (f"zeros_iter_4.{kind}" if kind == "caffemodel"
                        else f"zeros_iter_4.solverstate{suffix}{kind[len('solverstate'):]}")
    if kind == "caffemodel":
        damaged = Path(f"{damaged}{suffix}")
    content = damaged.read_bytes()
    damaged.write_bytes(content[:100] + bytes(50) + content[150:])
    before, place = end(solver), solver.net.layers[0].place
    with pytest.raises(caffe.WeightsError, match=f"{damaged.name}: damaged") as raised:
        solver.restore(str(state))
    if kind != "solverstate.resume":
        assert re.search("expected the SHA-256 [0-9a-f]{64}, got [0-9a-f]{64}; continue from the "
                         "snapshot before", str(raised.value))
    assert solver.iter == 5 and solver.net.layers[0].place == place
    assert_equal(end(solver), before)
    with pytest.raises(caffe.WeightsError, match="whole snapshots beside it: .*_iter_2.solverstate"
                                                 f"{suffix}$"):
        solver.solve(str(state))


def test_without_the_file_beside_it_a_state_resumes_as_in_the_original(folder, caplog):
    solver = resumable.make_solver(folder, "lmdb")
    solver.step(5)
    state = resumable.snapshots(folder, "lmdb")[-1]
    os.unlink(state + ".resume")
    again = resumable.make_solver(folder, "lmdb")
    again.restore(state)
    assert again.iter == 4 and again.net.layers[0].place["passed"] == 0


@pytest.mark.parametrize("change", [
    {"files": []}, {"files": None}, {"files": "x"}, {"files": {"solverstate": []}},
    {"nets": {}}, {"nets": [[]]}, {"nets": [{"data": 3}]}, {"nets": [None, 5]},
    {"nets": 7}, {"losses": 3}, {"random": []}, [], "files", 5, None])
def test_a_resume_file_with_a_valid_hash_and_any_content(folder, change):
    """What others wrote is the project's error, or taken with a warning; never a traceback."""
    solver = resumable.make_solver(folder, "lmdb")
    solver.step(3)
    state = resumable.snapshots(folder, "lmdb")[-1]
    path = Path(state + ".resume")
    content = json.loads(path.read_text())["content"]
    content = {**content, **change} if isinstance(change, dict) else change
    text = json.dumps(content, sort_keys=True)
    path.write_text(json.dumps({"version": 1, "content": content,
                                "sha256": hashlib.sha256(text.encode()).hexdigest()}))
    if change in ({"nets": {}}, {"nets": [[]]}, {"nets": [{"data": 3}]}):
        return solver.restore(state)
    with pytest.raises(caffe.WeightsError, match="iter_2.solverstate.*(damaged|expected)"):
        solver.restore(state)
    assert solver.iter == 3


@pytest.mark.parametrize("name", ["images", "lmdb", "segdata", "python"])
def test_the_log_tells_of_layers_with_a_state_on_one_side_only(folder, monkeypatch, capfd, name):
    solver = resumable.make_solver(folder, name)
    solver.step(5)
    state = resumable.snapshots(folder, name)[-1]
    net, lines = resumable.SETUPS[name]
    monkeypatch.setitem(resumable.SETUPS, name,
                        (net.replace('name: "data"', 'name: "renamed"'), lines))
    again = resumable.make_solver(folder, name)
    capfd.readouterr()
    again.restore(state)
    printed = capfd.readouterr().err
    for place in ("train net", "test net #0"):
        assert re.search(rf"layer 'renamed' \(\w+\) of the {place} goes on where it", printed)
        assert f"holds where layer 'data' of the {place} stood" in printed


def test_the_log_tells_of_test_nets_on_one_side_only(folder, monkeypatch, capfd):
    net, lines = resumable.SETUPS["lmdb"]
    two = 'test_iter: 1 test_state { } test_state { } '
    for before, after, what in ((two, "", "holds where layer 'data' of the test net #1 stood"),
                                ("", two, "layer 'data' (Data) of the test net #1 goes on")):
        monkeypatch.setitem(resumable.SETUPS, "lmdb", (net, lines + before))
        solver = resumable.make_solver(folder, "lmdb")
        solver.step(3)
        monkeypatch.setitem(resumable.SETUPS, "lmdb", (net, lines + after))
        again = resumable.make_solver(folder, "lmdb")
        capfd.readouterr()
        again.restore(resumable.snapshots(folder, "lmdb")[-1])
        assert capfd.readouterr().err.count(what) == 1


@pytest.mark.parametrize("name, change", [
    ("images", ("batch_size: 3", "batch_size: 2")), ("hdf5", ("rows.txt", "other.txt")),
    ("images", ("list.txt", "other_list.txt")), ("segdata", ("'jitter': 2", "'jitter': 1")),
    ("python", ('"Drawing"', '"Drawing" param_str: "new"'))])
def test_layers_that_have_changed_begin_anew_and_the_log_says_so(folder, monkeypatch, capfd, name,
                                                                 change):
    Path("other.txt").write_text("1.h5\n0.h5\n")
    Path("other_list.txt").write_text("JPEGImages/1.png 2\nJPEGImages/3.png 2\n" * 9)
    solver = resumable.make_solver(folder, name)
    solver.step(5)
    state = resumable.snapshots(folder, name)[-1]
    net, lines = resumable.SETUPS[name]
    monkeypatch.setitem(resumable.SETUPS, name, (net.replace(*change), lines))
    again = resumable.make_solver(folder, name)
    capfd.readouterr()
    again.restore(state)
    assert "layer 'data'" in (printed := capfd.readouterr().err)
    assert "does not continue where the snapshot was taken" in printed and "changed" in printed \
        or "lists other files" in printed
    again.step(1)
    assert again.iter == 5


def test_a_list_that_has_changed_under_its_name(folder, capfd):
    solver = resumable.make_solver(folder, "images")
    solver.step(5)
    state, lines = resumable.snapshots(folder, "images")[-1], Path("list.txt").read_text()
    try:
        Path("list.txt").write_text(lines + "JPEGImages/1.png 3\n")
        resumable.make_solver(folder, "images").restore(state)
    finally:
        Path("list.txt").write_text(lines)
    assert "list.txt: it, or what it lists, has changed" in capfd.readouterr().err


class Odd(resumable.Drawing):
    """Keeps what cannot be recorded."""

    def setup(self, bottom, top):
        super().setup(bottom, top)
        self.order = iter(range(100))
        self.lock = threading.Lock()
        self.path = self.param_str

    def forward(self, bottom, top):
        super().forward(bottom, top)
        next(self.order)


def test_what_cannot_be_recorded_is_said_once_and_settings_are_not_recorded(folder, monkeypatch,
                                                                            capfd):
    monkeypatch.setattr(resumable, "Odd", Odd, raising=False)
    monkeypatch.setitem(resumable.SETUPS, "odd", (resumable.PYTHON % "Odd" + resumable.BEHIND,
                                                  resumable.MOMENTUM))
    solver = resumable.make_solver(folder, "odd")
    solver.step(7)
    printed = capfd.readouterr().err
    assert printed.count("snapshots do not hold its attributes") == 2       # of train and test net
    assert "'order' (range_iterator)" in printed and "resume_state()" in printed
    content = json.loads(Path(resumable.snapshots(folder, "odd")[-1] + ".resume").read_text())
    recorded = {tuple(path) for path, _, _ in content["content"]["nets"][0]["data"]["state"]}
    assert {("sum",), ("seen",), ("old",), ("loader", "current"), ("loaders", 1, "current")} \
        <= recorded and ("path",) not in recorded and ("order",) not in recorded


class Draws(caffe.Layer):
    """Draws by methods of its generators, and shares one between a list and an object."""

    def setup(self, bottom, top):
        shared = np.random.default_rng(1)
        self.draw, self.uniform = np.random.default_rng(2).random, random.Random(3).uniform
        self.generators, self.holder = [shared, np.random.RandomState(4)], resumable.Holder()
        self.holder.generator = shared
        self.named = {"one": np.random.default_rng(5)}

    def reshape(self, bottom, top):
        top[0].reshape(1)

    def forward(self, bottom, top):
        top[0].data[...] = (self.draw() + self.uniform(0, 1) + self.generators[0].random()
                            + self.holder.generator.random() + self.generators[1].rand()
                            + self.named["one"].random())


def test_generators_that_are_shared_or_used_by_their_methods(tmp_path, monkeypatch):
    monkeypatch.setattr(resumable, "Holder", type("Holder", (), {"__module__": "resumable"}),
                        raising=False)
    monkeypatch.setattr(resumable, "Draws", Draws, raising=False)
    path = tmp_path / "net.prototxt"
    path.write_text('layer { name: "d" type: "Python" top: "x" '
                    'python_param { module: "resumable" layer: "Draws" } }')
    first, second = caffe.Net(str(path), caffe.TRAIN), caffe.Net(str(path), caffe.TRAIN)
    marks = [Attributes(net.layers[0]) for net in (first, second)]
    for _ in range(3):
        first.forward()
    marks[1].plan(marks[0].changed())()
    for _ in range(3):
        assert first.forward()["x"] == second.forward()["x"]


@pytest.mark.parametrize("state", [
    {"bit_generator": "MT19937", "state": {"key": [1] * 624, "pos": 10 ** 6}},
    {"bit_generator": "os", "state": {}}])
def test_states_that_would_be_read_beyond_their_end_are_refused(state):
    with pytest.raises(ValueError, match="expected pos between 0 and 624|unknown bit generator"):
        values.generator(state)


@pytest.mark.parametrize("value", [
    None, True, 1, 2 ** 80, 0.1, float("inf"), "ü\ud800", b"\0\xff", (1, [2, {3: (4,)}]), {1, 2},
    frozenset("a"), {"a": 1, 2: None}, np.arange(6.).reshape(2, 3), np.float32(0.1), Path("a/b")])
def test_values_come_back_as_they_were(value):
    stored = json.loads(json.dumps(values.encode(value)))
    again = values.decode(stored)
    assert type(again) is type(value)
    assert np.array_equal(again, value) if isinstance(value, np.ndarray) else again == value


def test_a_state_that_cannot_be_is_refused(folder):
    solver = resumable.make_solver(folder, "dropout")
    solver.step(2)
    state = resumable.snapshots(folder, "dropout")[-1]
    os.unlink(state + ".resume")
    message = caffe_pb2.SolverState.FromString(Path(state).read_bytes())
    for field, complaint in (("iter", "holds iteration -5"), ("history", "1 of .* history 0 are "
                                                                         "not finite")):
        spoilt = caffe_pb2.SolverState()
        spoilt.CopyFrom(message)
        if field == "iter":
            spoilt.iter = -5
        else:
            spoilt.history[0].data[0] = float("nan")
        Path(state).write_bytes(spoilt.SerializeToString())
        with pytest.raises(caffe.WeightsError, match=complaint):
            solver.restore(state)
        assert solver.iter == 2


def test_weights_that_are_not_finite_are_said(folder, capfd):
    net = resumable.make_solver(folder, "dummy").net
    param = caffe_pb2.NetParameter()
    layer = param.layer.add(name="conv")
    for blob in net.params["conv"]:
        stored = layer.blobs.add(double_data=[1.0] * blob.count)
        stored.shape.dim.extend(blob.shape)
    layer.blobs[0].double_data[3:5] = [1e300, float("nan")]
    (folder / "w.caffemodel").write_bytes(param.SerializeToString())
    net.copy_from(str(folder / "w.caffemodel"))
    assert "w.caffemodel: 2 of 108 values of a parameter of layer 'conv' are not finite" \
        in capfd.readouterr().err
    assert np.isinf(net.params["conv"][0].data.flat[3])


@pytest.mark.parametrize("lines, complaint", [
    ("base_lr: nan", "base_lr, got nan"), ("weight_decay: inf", "weight_decay, got inf"),
    ("clip_gradients: -inf", "clip_gradients, got -inf"), ("momentum: 1", "momentum 1 makes"),
    ('momentum: 2 type: "AdaDelta"', "momentum 2 makes the training diverge.* AdaDelta"),
    ('momentum: -0.5 type: "AdaDelta"', "momentum -0.5 makes"),
    ('momentum: 0.9 momentum2: 1 type: "Adam"', "momentum2 1 makes"),
    ("momentum: -0.5", None), ('momentum: -0.5 type: "Nesterov"', None)])
def test_settings_that_cannot_be_right(folder, monkeypatch, lines, complaint):
    monkeypatch.setitem(resumable.SETUPS, "set", (resumable.DUMMY + resumable.BEHIND,
                                                  'base_lr: 0.1 lr_policy: "fixed" ' + lines
                                                  if "base_lr" not in lines else lines))
    path = resumable.write_solver(folder, "set")
    if complaint is None:
        caffe.get_solver(path).step(1)
        return
    with pytest.raises(caffe.CaffeError, match=f"set_solver.prototxt: .*{complaint}"):
        caffe.get_solver(path)


@pytest.mark.parametrize("field", ["param { lr_mult: nan }", "param { decay_mult: inf }",
                                   "loss_weight: nan"])
def test_multipliers_that_cannot_be_right(folder, monkeypatch, field):
    net = resumable.DUMMY + resumable.BEHIND.replace('name: "score"', 'name: "score" ' + field)
    monkeypatch.setitem(resumable.SETUPS, "set", (net, resumable.MOMENTUM))
    with pytest.raises(caffe.CaffeError, match="set.prototxt: layer 'score'.*expected a finite"):
        caffe.get_solver(resumable.write_solver(folder, "set"))
