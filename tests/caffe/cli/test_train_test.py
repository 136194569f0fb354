"""caffe train, test, time and device_query: flags, effects of signals, lines of the log."""

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

import caffe
import single_layers
from caffe.cli import main

NET = """
name: "tiny"
layer { name: "x" type: "DummyData" top: "x" top: "y"
        dummy_data_param { shape { dim: 4 dim: 3 } shape { dim: 4 }
                           data_filler { type: "gaussian" } data_filler { value: 1 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "fc"
        inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "y" top: "loss" }
layer { name: "extra" type: "Power" bottom: "fc" top: "extra" include { stage: "more" } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" display: 2 max_iter: 4 snapshot: 2 '
        'snapshot_prefix: "s" test_iter: 1 test_interval: 4')
    return tmp_path


def messages(capsys):
    return [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize("dashes", ["--", "-"])
def test_train_and_resume(folder, capsys, dashes):
    assert main(["train", f"{dashes}solver=solver.prototxt"]) == 0
    assert {path.name for path in folder.glob("s_*")} == {
        f"s_iter_{i}.{kind}" for i in (2, 4)
        for kind in ("caffemodel", "solverstate", "solverstate.resume")}
    lines = messages(capsys)
    start = lines.index("Starting Optimization")
    assert lines[start + 1:start + 3] == ["Solving tiny", "Learning Rate Policy: fixed"]
    assert lines[-1] == "Optimization Done."
    assert main(["train", f"{dashes}solver", "solver.prototxt",
                 f"{dashes}snapshot", "s_iter_2.solverstate"]) == 0
    lines = messages(capsys)
    assert "Restoring previous solver status from s_iter_2.solverstate" in lines
    assert [line for line in lines if line.endswith("lr = 0.1")] == ["Iteration 2, lr = 0.1"]


def test_finetune(folder):
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.params["fc"][0].data[...] = 7
    net.save("start.caffemodel")
    (folder / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "s"')
    assert main(["train", "--solver", "solver.prototxt", "--weights", "start.caffemodel"]) == 0
    trained = caffe.Net("net.prototxt", "s_iter_1.caffemodel", caffe.TEST)
    np.testing.assert_array_equal(trained.params["fc"][0].data, 7)


def test_what_train_refuses(folder, capsys):
    both = ["--solver", "solver.prototxt", "--snapshot", "net.prototxt",
            "--weights", "net.prototxt"]
    assert main(["train", *both]) == 1
    assert "not both" in capsys.readouterr().err


@pytest.mark.parametrize("command", [
    "train --solver absent", "train --solver solver.prototxt --weights absent",
    "test --model absent", "export absent net.prototxt -o x.onnx", "draw_net absent x.dot",
    "convert_imageset . absent db", "extract_features absent net.prototxt x x 1 lmdb"])
def test_files_that_are_not_there_are_said_before_torch_is_loaded(folder, command):
    run = subprocess.run([sys.executable, "-X", "importtime", "-m", "caffe", *command.split()],
                         capture_output=True, text=True,
                         env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    assert run.returncode == 2 and "absent: no such file" in run.stderr
    assert "| torch\n" not in run.stderr and "| torch " not in run.stderr


@pytest.mark.parametrize("command, said", [
    ("train --solver net.prototxt", "net.prototxt:.*SolverParameter has no field '.*': it is the "
                                    "prototxt of a net, expected that of a solver"),
    ("time --model solver.prototxt", "solver.prototxt:.*NetParameter has no field '.*': it is the "
                                     "prototxt of a solver, expected that of a net"),
    ("train --solver w.caffemodel", "w.caffemodel: it is a binary file, such as a caffemodel; "
                                    "expected a prototxt"),
    ("time --model w.caffemodel", "w.caffemodel: it is a binary file, such as a caffemodel"),
    ("export w.caffemodel net.prototxt -o x.h5", "w.caffemodel: it is a binary file"),
    ("test --model net.prototxt --weights net.prototxt",
     "net.prototxt: not a caffemodel.*: it is a text file, such as a prototxt"),
    ("train --solver solver.prototxt --snapshot net.prototxt",
     "net.prototxt: .*it is a text file, such as a prototxt"),
    ("upgrade_net_proto_binary net.prototxt x",
     "net.prototxt: it is a text file, such as a prototxt; expected a caffemodel"),
    ("convert_imageset . list db --resize_width 30", "expected both --resize_height and "
                                                     "--resize_width, or neither, got 0 and 30")])
def test_files_and_options_that_are_mixed_up(folder, capsys, command, said):
    caffe.Net("net.prototxt", caffe.TEST).save("w.caffemodel")
    (folder / "list").write_text("x.png 0")
    assert main(command.split()) == 1
    assert re.search(f"^caffe .*{said}", capsys.readouterr().err, re.M)


@pytest.mark.parametrize("command, said", [
    ("train --solver .", "argument --solver/-solver: .: is a folder, expected a file"),
    ("migrate net.prototxt", "net.prototxt: is a file, expected the folder of a project"),
    ("time --model net.prototxt --level x", "--level/-level: expected a whole number, got 'x'")])
def test_arguments_of_another_kind(folder, capsys, command, said):
    with pytest.raises(SystemExit):
        main(command.split())
    assert said in capsys.readouterr().err


@pytest.fixture
def signalled(monkeypatch):
    """A function that has signals come during the first iteration; handlers are put back."""
    kinds = signal.SIGINT, signal.SIGHUP, signal.SIGTERM
    before = list(map(signal.getsignal, kinds))
    step = caffe.SGDSolver.apply_update

    def have_come(*numbers):
        def interrupted(solver):
            step(solver)
            if solver.iter == 1:
                for number in numbers:
                    signal.raise_signal(number)
        monkeypatch.setattr(caffe.SGDSolver, "apply_update", interrupted)
    yield have_come
    for number, handler in zip(kinds, before):
        signal.signal(number, handler)


def snapshots(folder):
    return {int(re.search(r"\d+", path.name)[0]) for path in folder.glob("*.solverstate*")
            if not path.name.endswith(".resume")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("effect, kept", [("stop", {1}), ("snapshot", {1, 2, 4}), ("none", {2, 4})])
def test_signals(folder, signalled, number, effect, kept):
    """A signal during the first iteration takes effect after it."""
    signalled(number)
    assert main(["train", "--solver", "solver.prototxt",
                 f"--{number.name.lower()}_effect", effect]) == 0
    assert snapshots(folder) == kept


@pytest.mark.parametrize("settings, state", [
    ("", "s_iter_1.solverstate"), ("snapshot_after_train: false", "s_iter_1.solverstate"),
    ("snapshot_format: HDF5", "s_iter_1.solverstate.h5")])
def test_sigterm_leaves_a_snapshot_and_the_command_that_continues(folder, signalled, capsys,
                                                                  settings, state):
    with (folder / "solver.prototxt").open("a") as file:
        file.write(f" {settings}")
    signalled(signal.SIGTERM)
    with pytest.raises(SystemExit) as end:
        main(["train", "--solver", "solver.prototxt"])
    assert end.value.code == 143 and snapshots(folder) == {1}
    command = capsys.readouterr().err.splitlines()[-1].split()
    assert command == ["caffe", "train", "--solver", "solver.prototxt", "--snapshot", state]
    signalled()
    assert main(command[1:]) == 0 and snapshots(folder) == {1, 2, 4}


@pytest.mark.parametrize("after_train", ["true", "false"])
@pytest.mark.parametrize("start", [0, 2])
def test_sigterm_in_the_first_test_leaves_the_state_that_it_names(
        folder, signalled, capsys, monkeypatch, after_train, start):
    """Also where the training was resumed from another folder, at a multiple of `snapshot`."""
    flags = ["train", "--solver", "solver.prototxt"]
    text = (folder / "solver.prototxt").read_text().replace("test_interval: 4", "test_interval: 2")
    (folder / "solver.prototxt").write_text(f"{text} snapshot_after_train: {after_train}")
    if start:
        assert main(flags) == 0
        (folder / "other").mkdir()
        for path in folder.glob("s_iter_*"):
            path.rename(folder / "other" / path.name)
        flags += ["--snapshot", "other/s_iter_2.solverstate"]
    test, come = caffe.SGDSolver._test, []

    def interrupted(solver, number):
        if not come:
            come.append(signal.raise_signal(signal.SIGTERM))
        test(solver, number)
    monkeypatch.setattr(caffe.SGDSolver, "_test", interrupted)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(flags)
    command = capsys.readouterr().err.splitlines()[-1].split()
    assert end.value.code == 143 and command[-1] == f"s_iter_{start}.solverstate"
    assert (folder / command[-1]).is_file() and main(command[1:]) == 0


@pytest.mark.parametrize("first, second, status", [
    (signal.SIGTERM, signal.SIGTERM, 143), (signal.SIGINT, signal.SIGTERM, 143),
    (signal.SIGTERM, signal.SIGINT, 130), (signal.SIGINT, signal.SIGINT, 130)])
def test_a_second_signal_stops_at_once(folder, signalled, first, second, status):
    signalled(first, second)
    with pytest.raises(SystemExit) as end:
        main(["train", "--solver", "solver.prototxt"])
    assert end.value.code == status and not snapshots(folder)


def test_test_shows_the_mean_of_each_output(capsys):
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.params["fc"][0].data[...] = 0
    net.save("zero.caffemodel")
    assert main(["test", "-model", "net.prototxt", "-weights", "zero.caffemodel",
                 "-iterations", "3"]) == 0
    loss = f"{np.log(3):g}"
    lines = messages(capsys)
    assert lines[lines.index("Running for 3 iterations."):] == [
        "Running for 3 iterations.", *[f"Batch {i}, loss = {loss}" for i in range(3)],
        f"Loss: {loss}", f"loss = {loss} (* 1 = {loss} loss)"]


@pytest.fixture
def precision_as_before():
    yield
    caffe.set_precision("tf32")


def test_precision(folder, signalled, capsys, precision_as_before):
    """Products are computed in it, also after a stop."""
    net = (folder / "net.prototxt").read_text()
    (folder / "net.prototxt").write_text(net.replace(
        'type: "gaussian"', "value: 1.001").replace('type: "xavier"', "value: 1.001"))
    caffe.Net("net.prototxt", caffe.TEST).save("ones.caffemodel")
    for precision, value in ("fp32", "3.006"), ("bf16", "3"):
        assert main(["test", "-model", "net.prototxt", "-weights", "ones.caffemodel", "-stage",
                     "more", "-iterations", "1", "-precision", precision]) == 0
        assert f"extra = {value}" in messages(capsys)
    signalled(signal.SIGTERM)
    with pytest.raises(SystemExit):
        main(["train", "--solver", "solver.prototxt", "--precision", "fp32"])
    assert capsys.readouterr().err.splitlines()[-1].endswith(" --precision=fp32")


def test_stages(capsys):
    caffe.Net("net.prototxt", caffe.TEST).save("some.caffemodel")
    assert main(["test", "--model", "net.prototxt", "--iterations", "1", "--stage", "more"]) == 1
    assert "need --weights" in capsys.readouterr().err
    assert main(["test", "--model", "net.prototxt", "--iterations", "1", "--stage", "more",
                 "--weights", "some.caffemodel"]) == 0
    assert sum("extra = " in line for line in messages(capsys)) == 2 * 12


def test_time_shows_every_layer(capsys):
    assert main(["time", "--model", "net.prototxt", "--iterations", "2"]) == 0
    lines = messages(capsys)
    for name in ("x", "fc", "loss"):
        for kind in ("forward", "backward"):
            assert any(re.fullmatch(rf" +{name}\t{kind}: \S+ ms\.", line) for line in lines)
    begin = lines.index("Performing Forward")
    assert re.fullmatch(r"Initial loss: \d\.\d+", lines[begin + 1])
    assert lines[begin + 2:begin + 4] == ["Performing Backward", "*** Benchmark begins ***"]
    assert lines[-1] == "*** Benchmark ends ***"


def backward_times(capsys):
    """{layer: milliseconds} of its backward pass, as `caffe time` shows them."""
    found = re.findall(r"\] +(\S+)\tbackward: (\S+) ms", capsys.readouterr().err)
    return {name: float(ms) for name, ms in found}


DEPLOY = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 8 dim: 40 dim: 40 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
        convolution_param { num_output: 16 kernel_size: 5 } }
layer { name: "fixed" type: "Convolution" bottom: "conv" top: "fixed" param { lr_mult: 0 }
        param { lr_mult: 0 } convolution_param { num_output: 16 kernel_size: 5 } }
layer { name: "up" type: "Deconvolution" bottom: "fixed" top: "up"
        convolution_param { num_output: 16 kernel_size: 4 stride: 2 } }
layer { name: "python" type: "Python" bottom: "up" top: "y"
        python_param { module: "identity" layer: "Identity" } }
"""


def test_time_without_a_loss_times_the_gradients_of_the_parameters(folder, monkeypatch, capsys):
    """As the original does. A Python layer need define no backward."""
    (folder / "identity.py").write_text("""
import caffe

class Identity(caffe.Layer):
    def reshape(self, bottom, top):
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        top[0].data[...] = bottom[0].data
""")
    monkeypatch.syspath_prepend(folder)
    (folder / "deploy.prototxt").write_text(DEPLOY)
    assert main(["time", "--model", "deploy.prototxt", "--iterations", "3"]) == 0
    spent = backward_times(capsys)
    assert min(spent["conv"], spent["up"]) > 2 * spent["x"]
    assert spent["python"] == 0


@pytest.mark.parametrize("name", single_layers.LAYERS)
def test_time_of_a_layer_of_any_type(name, folder, capsys):
    single_layers.build(folder, single_layers.LAYERS[name])
    capsys.readouterr()
    assert main(["time", "--model", "net.prototxt", "--iterations", "1"]) == 0
    assert len(backward_times(capsys)) >= 2


def test_caffe_alone_lists_its_commands(capsys):
    with pytest.raises(SystemExit, match="0"):
        main([])
    assert "draw_net" in capsys.readouterr().out


def test_the_help_of_a_command_is_not_indented(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    assert "\n\nSIGINT and SIGHUP have" in capsys.readouterr().out


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu(capsys, tmp_path):
    assert main(["device_query"]) == 1
    assert main(["time", "--model", "net.prototxt", "--gpu", "0"]) == 1
    assert capsys.readouterr().err.count("PyTorch sees no GPU") == 2
    solver = tmp_path / "solver.prototxt"
    solver.write_text('net: "net.prototxt" base_lr: 1 lr_policy: "fixed" solver_mode: GPU')
    assert main(["train", "--solver", str(solver)]) == 1
    assert "sees no GPU. Use the CPU instead: " in (said := capsys.readouterr().err)
    assert "solver_mode: CPU in a solver's prototxt" in said


@pytest.mark.gpu
def test_device_query(capsys):
    assert main(["device_query"]) == 0
    assert torch.cuda.get_device_name(0) in capsys.readouterr().out


@pytest.mark.parametrize("sizes", [((6, 4), (3, 5)), ((1, 1), (3, 5))])
def test_an_output_whose_shape_changes_has_no_mean_and_ends_nothing(folder, capsys, sizes):
    """One of a single value would be added to all of the next."""
    for number, size in enumerate(sizes):
        Image.new("RGB", size).save(f"{number}.png")
    (folder / "list").write_text("0.png 1\n1.png 2\n")
    (folder / "varying.prototxt").write_text("""
        layer { name: "d" type: "ImageData" top: "x" top: "t"
                image_data_param { source: "list" batch_size: 1 } }
        layer { name: "c" type: "Convolution" bottom: "x" top: "y"
                convolution_param { num_output: 1 kernel_size: 1 bias_filler { value: 3 } } }
        layer { name: "m" type: "Reduction" bottom: "y" top: "l" loss_weight: 1
                reduction_param { operation: MEAN } }
        layer { name: "p" type: "Power" bottom: "y" top: "map" }""")
    caffe.Net("varying.prototxt", caffe.TEST).save("w.caffemodel")
    capsys.readouterr()
    assert main(["test", "--model", "varying.prototxt", "--weights", "w.caffemodel",
                 "--iterations", "4"]) == 0
    lines = messages(capsys)
    assert [line for line in lines if line.startswith("output map has the shape")] == [
        f"output map has the shape (1, 1, 5, 3), after {(1, 1, *sizes[0][::-1])} before: no mean "
        "of it is shown; images of one size, or a layer such as Accuracy or Reduction, give one"]
    assert not [line for line in lines if line.startswith("map = ")]
    assert "t = 1.5" in lines and "l = 3 (* 1 = 3 loss)" in lines
    (folder / "varying_solver.prototxt").write_text(
        'net: "varying.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "v" '
        'test_iter: 2 test_interval: 1')
    assert main(["train", "--solver", "varying_solver.prototxt"]) == 0
    assert (folder / "v_iter_2.caffemodel").exists()
    shown = [line.split(": ")[1] for line in messages(capsys) if "Test net output #" in line]
    assert "t = 1.5" in shown and not any(line.startswith("map") for line in shown)
