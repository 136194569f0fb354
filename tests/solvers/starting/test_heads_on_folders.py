"""U-Net and DeepLab on images of one's own: trained, continued, exported, started from."""

import json
import re
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import caffe
from fcn import nets, surgery
from fcn.command import main
from fcn.nets import deeplab, unet
from fcn.nets.source import cells
from fcn.solvers import solve as solve_command
from fcn.solvers import starting, training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.families import family_of
from fcn.solvers.experiments.own_folder import on_folder
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.runs.run import Run
from fcn.solvers.starting.recognise import settings_of
from fcn.solvers.starting.source import Start
from fcn.solvers.starting.weights import FATES
from infer_runs import run as infer
from infer_runs import scene
from own_folder import NAMES, write_data
from segdata.lists import literal

WIDTH = 1 / 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("own") / "mine")


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        path = tmp_path_factory.mktemp("build")
        patch.setenv("FCN_BUILD", str(path))
        yield path


@pytest.fixture
def solve(build, folder, monkeypatch, capsys, log_as_it_is):
    """solve(head, ...): what `fcn solve` prints, or its error."""
    monkeypatch.setattr("sys.argv", [""])
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def run(head, *arguments, data=folder):
        capsys.readouterr()
        try:
            main(["solve", "--data", str(data), "--cpu", *(["--head", head] if head else []),
                  *map(str, arguments)])
        except SystemExit as ended:
            return str(ended.code)
        return capsys.readouterr().out
    return run


def data_of(run):
    layer, = (layer for layer in run.net_param("train").layer if layer.type == "Python"
              and layer.python_param.module == "folder_layers")
    return literal(layer.python_param.param_str)


# trained as any other

@pytest.mark.parametrize("head, crop", [("unet", (36, 52)), ("deeplab-largefov", (25, 41))])
def test_a_head_trains_goes_on_segments_and_is_exported(head, crop, solve, build, folder, tmp_path):
    command = head, "--width", WIDTH, "--interval", 1, "--iterations"
    assert f"training mine-{head}" in solve(*command, 2)
    run = Run(build / f"mine-{head}")
    assert data_of(run)["crop"] == crop         # all of the image, which has 24 x 40
    if head == unet.HEAD:
        goes_on_as_without_interruption(run, lambda: solve(*command, 2))
    assert (run.directory / "report.html").stat().st_size > 10_000

    image = tmp_path / "photo.png"
    Image.fromarray(scene(21, 37)).save(image)
    more = ["--crf"] if head in deeplab.VARIANTS else []
    found = infer(image, "--experiment", run.directory, "-o", tmp_path / "out", "--cpu", *more)
    assert found.returncode == 0, found.stderr
    assert (tmp_path / "out" / "photo_overlay.png").exists()
    assert Image.open(tmp_path / "out" / "photo.png").size == (37, 21)
    exported_says_the_same(run, tmp_path)


def goes_on_as_without_interruption(run, train):
    whole = surgery.Weights(run.weights(2)).params
    for path in [*run.folder.glob("*_iter_2.*"), run.directory / "score.json"]:
        path.unlink()
    assert "continuing" in train()
    for name, blobs in surgery.Weights(run.weights(2)).params.items():
        for blob, own in zip(blobs, whole[name]):
            np.testing.assert_array_equal(blob.data, own.data, name)


def exported_says_the_same(run, folder):
    onnxruntime = pytest.importorskip("onnxruntime")
    assert main(["export", str(run.directory), "-o", str(folder / "net.onnx")]) == 0
    net = caffe.Net(str(run.prototxt("deploy")), str(run.weights(2)), caffe.TEST)
    margin = 2 * run.images().margin
    net.blobs["data"].reshape(1, 3, 21 + margin, 37 + margin)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(
        0, 50, net.blobs["data"].data.shape)
    net.forward()
    assert net.blobs["score"].data.shape == (1, 3, 21, 37)
    session = onnxruntime.InferenceSession(str(folder / "net.onnx"))
    said, = session.run(["score"], {"data": net.blobs["data"].data})
    np.testing.assert_allclose(said, net.blobs["score"].data, atol=1e-4)
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == [*NAMES]


@pytest.mark.parametrize("head", [*deeplab.VARIANTS, unet.HEAD])
@pytest.mark.parametrize("width", [0.125, 1])
def test_the_prototxts_have_the_width_and_the_classes(head, width, folder, build):
    made = on_folder(folder, "wide", head, width)
    training.write_files(made, 0)
    wide = 64 * width
    first, scores = (("conv_d0a-b", "conv_u0d-score") if head == unet.HEAD else
                     ("conv1_1", "fc8_voc12"))
    for split in ("train", "val", "deploy"):
        layers = made.run.net_param(split).layer
        by_name = {layer.name: layer.convolution_param.num_output for layer in layers}
        assert by_name[first] == wide
        assert {n for name, n in by_name.items() if name.startswith(scores) and n} == {3}
        assert any("loss" in layer.top for layer in layers) == (
            split == "train" or (head, split) == (unet.HEAD, "val"))


@pytest.mark.parametrize("sizes, unet_crop, deeplab_crop", [
    (((24, 40),), (36, 52), (25, 41)), (((4, 17), (90, 3)), (100, 20), (97, 17)),
    (((1000, 388), (36, 322)), (388, 388), (321, 321)), ((), (388, 388), (321, 321)),
    (((1, 1),), (4, 4), (1, 1))])
def test_crops_hold_the_images_up_to_the_published_sizes(
        sizes, unet_crop, deeplab_crop, folder, monkeypatch):
    monkeypatch.setattr("fcn.solvers.experiments.splits.read_split", lambda *_: SimpleNamespace(
        good=[SimpleNamespace(size=[*size]) for size in sizes]))
    assert family_of(unet.HEAD).crops == ((16, 4), 388)
    assert on_folder(folder, "any", unet.HEAD).source.train.params["crop"] == unet_crop
    assert on_folder(folder, "any", "deeplab").source.train.params["crop"] == deeplab_crop


@pytest.mark.parametrize("head, crop, message", [
    ("unet", 101, "crops of 101 pixels.*nearest are 100 .of an image of 284. or 116"),
    ("unet", "36x40", "crops of 40 pixels.*nearest are 36 .* or 52 "),
    ("deeplab-largefov", 100, r"crops of 100 pixels: .*8·k \+ 1.*nearest are 97 and 105"),
    ("deeplab-aspp", "97x8", "crops of 8 pixels.*nearest are 1 and 9")])
def test_crops_that_do_not_fit_are_refused_before_anything_is_written(
        head, crop, message, solve, build, folder):
    before = {path.name for path in build.iterdir()}
    assert re.search(message, solve(head, "--crop", crop, "--name", "unfit"))
    assert "unfit" not in {path.name for path in build.iterdir()} - before


def test_a_unet_takes_weights_of_pixels(build, folder, tmp_path, monkeypatch):
    for number in range(5):
        np.save(tmp_path / f"{number}.npy", np.full((24, 40), 1 + number, np.float32))
    monkeypatch.setattr("sys.argv", ["solve", "--data", str(folder), "--head", "unet", "--width",
                                     "0.02", "--pixel-weights", str(tmp_path), "--cpu"])
    _, experiment = solve_command.prepared(solve_command.parse(), 1)
    training.write_files(experiment, 0)
    net = caffe.Net(str(experiment.run.prototxt("train")), caffe.TRAIN)
    net.forward()
    loss = {layer.name: layer for layer in experiment.run.net_param("train").layer}["loss"]
    assert loss.python_param.layer == "PixelWeightedLoss" and loss.bottom[2] == "weight"
    weights = net.blobs["weight"].data[0, 0]
    assert weights.shape == (36, 52) and (weights[:24, :40] >= 1).all() and not weights[24:].any()


# started from another net

def filled(net, path, seed=0):
    """The net with random weights, which are saved there."""
    rng = np.random.default_rng(seed)
    for name in net.params:
        for blob in surgery.layer_parameters(net, name):
            blob.data[...] = rng.normal(0, 0.1, blob.data.shape)
    net.save(str(path))
    return net


def classifier(path, **options):
    return filled(caffe.Net(str(nets.write_prototxt(path.with_suffix(".prototxt"), nets.classifier(
        width=WIDTH, **options))), caffe.TEST), path)


@pytest.fixture
def source(build, folder):
    """source(head, name): a run with random weights, as training leaves it; returns its net."""
    def make(head, name):
        own = on_folder(folder, name, head, WIDTH)
        training.write_files(own, 0)
        own.run.record_settings(**own.settings())
        return filled(caffe.Net(str(own.run.prototxt("deploy")), caffe.TEST), own.run.weights(3))
    return make


@pytest.fixture
def tuned(build, folder, capsys):
    """tuned(start, head): (experiment, net, {layer: its line in the table})"""
    def make(start, head=None, data=folder):
        experiment = starting.on_folder(data, str(start), name="tuned", head=head)
        training.write_files(experiment, 0)
        net = caffe.Net(str(experiment.run.prototxt("train")), caffe.TRAIN)
        starting.fill(experiment, net)
        table = (experiment.directory / "start.txt").read_text()
        return experiment, net, {match[2]: match[0] for match in re.finditer(
            rf"^    ({'|'.join(FATES)}) +(\S+).*$", table, re.M)}
    return make


def kinds(lines):
    return {name: next(kind for kind in FATES if line.strip().startswith(kind))
            for name, line in lines.items()}


@pytest.mark.parametrize("head", ["deeplab-largefov", "deeplab-aspp", "deeplab-7x7"])
def test_a_deeplab_starts_from_a_classifier_by_decimation(head, tuned, tmp_path):
    made = classifier(tmp_path / "c.caffemodel")
    experiment, net, lines = tuned(tmp_path / "c.caffemodel", head)
    branches = deeplab.VARIANTS[head].branches
    expected = "reshaped" if head == "deeplab-7x7" else "decimated"
    found = kinds(lines)
    assert {found[f"fc6{branch}"] for branch in branches} == {expected}
    assert found["conv5_3"] == "copied" and found["fc8"] == "left over"
    assert found["fc8_voc12" + branches[0]] == "started anew"
    solver, param = experiment.run.solver_param(), experiment.run.net_param("train")
    assert (solver.base_lr, solver.iter_size, solver.momentum) == (
        pytest.approx(1e-3), 20, pytest.approx(0.9))        # the paper's
    rates = {layer.name: [spec.lr_mult for spec in layer.param] for layer in param.layer}
    assert rates["fc8_voc12" + branches[0]] == [10, 20]
    want = caffe.Net(str(experiment.run.prototxt("train")), caffe.TRAIN)
    surgery.decimate_classifier(want, made, branches, 7)
    for name in (*made.params, *(f"fc{i}{branch}" for i in (6, 7) for branch in branches)):
        if name in want.params:
            np.testing.assert_array_equal(net.params[name][0].data, want.params[name][0].data)


def test_of_many_filters_largefov_keeps_a_quarter(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(starting.experiment, "FEW", 63)
    classifier(tmp_path / "c.caffemodel")
    path, head = str(tmp_path / "c.caffemodel"), "deeplab-largefov"
    assert "all_filters" not in starting.on_folder(folder, path, head=head).net
    monkeypatch.setattr(starting.experiment, "FEW", 64)
    assert starting.on_folder(folder, path, head=head).net["all_filters"]


def test_a_multiscale_net_learns_its_branches_on_a_trained_one(source, tuned, solve, tmp_path):
    needs = "train --head deeplab-largefov first, and give that run with --from"
    assert needs in solve("deeplab-msc-largefov", "--width", WIDTH)
    classifier(tmp_path / "c.caffemodel")
    with pytest.raises(RunError, match="nothing for fc8_voc12, which would stay at random.*"
                                       f"{needs}"):
        tuned(tmp_path / "c.caffemodel", "deeplab-msc-largefov")
    base = source("deeplab-largefov", "base")
    experiment, net, lines = tuned("base", "deeplab-msc-largefov")
    for name, blobs in base.params.items():
        assert kinds(lines)[name] == "copied"
        np.testing.assert_array_equal(net.params[name][0].data, blobs[0].data)
    assert kinds(lines)["fc8_pool4"] == "started anew" and experiment.lr == 0.0015


def test_a_fcn_and_a_deeplab_start_from_each_other(source, tuned):
    source("fcn32s", "fcn")
    experiment, _, lines = tuned("fcn", "deeplab-largefov")
    assert (kinds(lines)["fc6"], kinds(lines)["conv5_3"]) == ("decimated", "copied")
    assert experiment.net["all_filters"]        # of few filters all are needed
    source("deeplab-largefov", "deeplab")
    experiment, _, lines = tuned("deeplab")
    assert {*kinds(lines).values()} == {"copied"} and experiment.head == "deeplab-largefov"
    experiment, _, lines = tuned("deeplab", "fcn8s")
    assert experiment.net["fc6_kernel"] == 7
    assert {name: kinds(lines)[name] for name in ("conv5_3", "fc6", "fc8_voc12")} == dict(
        conv5_3="copied", fc6="started anew", fc8_voc12="left over")


@pytest.mark.parametrize("head, scores", [("unet", "conv_u0d-score"),
                                          ("deeplab-largefov", "fc8_voc12")])
def test_scores_go_by_the_names_of_their_classes(head, scores, source, tuned, folder, tmp_path):
    more = shutil.copytree(folder, tmp_path / "more")
    (more / "classes.txt").write_text("\n".join(("leaf", *NAMES[:1], "root", "stem")))
    made = source(head, f"before-{head}")
    _, net, lines = tuned(f"before-{head}", data=more)
    assert kinds(lines)[scores] == "expanded" and lines[scores].endswith("new: stem")
    np.testing.assert_array_equal(net.params[scores][0].data[:3],
                                  made.params[scores][0].data[[1, 0, 2]])


def test_a_unet_of_grey_images_becomes_one_of_colours(tuned, tmp_path):
    made = filled(caffe.Net(str(nets.write_prototxt(tmp_path / "grey.prototxt", nets.fcn(
        "unet", "deploy", cells("isbi"), depth=2, width=WIDTH, scale=1 / 64))), caffe.TEST),
        tmp_path / "grey.caffemodel")
    experiment, net, lines = tuned(tmp_path / "grey.caffemodel")
    assert lines["conv_d0a-b"].endswith("each colour sees a third of the grey")
    assert {key: experiment.settings()[key] for key in ("head", "depth", "width", "scale")} == dict(
        head="unet", depth=2, width=WIDTH, scale=1 / 64)
    np.testing.assert_allclose(net.params["conv_d0a-b"][0].data.sum(1),
                               made.params["conv_d0a-b"][0].data[:, 0], atol=1e-6)


def test_a_unet_and_other_nets_have_nothing_in_common(source, tuned, tmp_path):
    classifier(tmp_path / "c.caffemodel")
    with pytest.raises(RunError, match="that is no U-Net, and the head is unet"):
        tuned(tmp_path / "c.caffemodel", "unet")
    source("unet", "u")
    with pytest.raises(RunError, match="that is a U-Net, and the head is fcn8s"):
        tuned("u", "fcn8s")
    assert {*kinds(tuned("u")[2]).values()} == {"copied"}


def test_a_head_with_the_trunk_of_vgg16_refuses_another(folder, build, tmp_path):
    classifier(tmp_path / "c.caffemodel", trunk="googlenet", size=99)
    with pytest.raises(RunError, match="its trunk is googlenet, that of the head deeplab is vgg16"):
        starting.on_folder(folder, str(tmp_path / "c.caffemodel"), head="deeplab")


@pytest.mark.parametrize("head, options", [
    *((head, {}) for head in deeplab.VARIANTS), ("deeplab-aspp", dict(all_filters=True)),
    ("deeplab-largefov", dict(fc6_kernel=2)), ("unet", {}), ("unet", dict(depth=1)),
    ("unet", dict(depth=3, released=True))])
def test_a_file_alone_says_what_net_it_is(head, options, folder, tmp_path):
    source = on_folder(folder, "any", head).source
    net = caffe.Net(str(nets.write_prototxt(tmp_path / "n.prototxt", nets.fcn(
        head, "deploy", source, width=1 / 16, filler="msra", scale=0.25, **options))), caffe.TEST)
    net.save(str(tmp_path / "n.caffemodel"))
    found = settings_of(Start("n", tmp_path / "n.caffemodel"))
    expected = dict(head=head, width=1 / 16, filler="msra", scale=0.25, **options)
    defaults = dict(fc6_kernel=7) if head in deeplab.VARIANTS else dict(depth=4)
    assert found == {**defaults, **expected}


def test_an_experiment_of_the_table_is_decimated_too(build, tmp_path):
    made = classifier(tmp_path / "c.caffemodel")
    row = replace(EXPERIMENTS["voc-deeplab-largefov"], build=build)
    experiment = starting.named(row, str(tmp_path / "c.caffemodel"))
    net = caffe.Net(str(nets.write_prototxt(tmp_path / "d.prototxt", nets.fcn(
        row.head, "deploy", row.source, **experiment.net))), caffe.TEST)
    experiment.directory.mkdir(parents=True)
    starting.fill(experiment, net)
    assert experiment.net["width"] == pytest.approx(WIDTH, rel=0.1)
    assert experiment.lr == row.lr and net.params["fc6"][0].data.shape == (16, 8, 3, 3)
    np.testing.assert_array_equal(net.params["fc7"][1].data, made.params["fc7"][1].data[::4])
