"""Fine-tuning: what `--from` takes over, what starts anew, and what is said of it."""

import re
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import caffe
from caffe.proto import caffe_pb2
from fcn import nets, surgery
from fcn.command import main
from fcn.nets import segnet
from fcn.nets.source import voc
from fcn.solvers import starting, training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.families import SCALED_RATE, family_of
from fcn.solvers.experiments.own_folder import on_folder
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.runs.run import Run
from fcn.solvers.starting.shapes import convolutions, width_of
from fcn.solvers.starting.source import Start
from fcn.solvers.starting.weights import FATES
from segdata.download import catalog
from segdata.embedded.voc import CLASSES

WIDTH = 1 / 64


@pytest.fixture(autouse=True)
def build(tmp_path, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    return tmp_path / "build"


@pytest.fixture
def folder(data, tmp_path):
    """folder(classes, name="mine"): the embedded scenes, under these names of classes."""
    def make(classes=CLASSES, name="mine"):
        root, source = tmp_path / name, data / "pascal" / "VOC2011"
        lists = root / "ImageSets" / "Segmentation"
        if root.exists():
            return root
        lists.mkdir(parents=True)
        for part in ("JPEGImages", "SegmentationClass"):
            (root / part).symlink_to(source / part)
        names = (source / "ImageSets" / "Segmentation" / "seg11valid.txt").read_text().split()
        for split, name in zip(("train", "val"), names):
            (lists / f"{split}.txt").write_text(name)
        if classes:
            (root / "classes.txt").write_text("\n".join(classes))
        return root
    return make


def fill(net, seed=0):
    rng = np.random.default_rng(seed)
    for name in net.params:
        for blob in surgery.layer_parameters(net, name):
            blob.data[...] = rng.normal(0, 0.1, blob.data.shape)
    surgery.interp(net, [name for name in net.params if name.startswith("upscore")])


@pytest.fixture
def source(build, folder):
    """source(classes, head): a run with random weights, as training leaves it; returns its net."""
    def make(classes=CLASSES, head="fcn8s", hdf5=False, **net):
        own = replace(on_folder(folder(name="theirs"), "source", head, WIDTH),
                      class_names={"label": classes})
        own = replace(own, source=replace(own.source, labels={"label": len(classes)}),
                      net={**own.net, **net})
        training.write_files(own, 0)
        if head in segnet.VARIANTS:
            own.run.record_settings(**own.settings())
        made = caffe.Net(str(own.run.prototxt("deploy")), caffe.TEST)
        fill(made)
        path = own.run.weights(3)
        made.save_hdf5(f"{path}.h5") if hdf5 else made.save(str(path))
        return made
    return make


def tuned(path, text, **options):
    """(experiment, net, table) that start from `text`."""
    experiment = starting.on_folder(path, str(text), name="tuned", **options)
    return (experiment, *filled(experiment))


def filled(experiment):
    training.write_files(experiment, 0)
    net = caffe.Net(str(experiment.run.prototxt("train")), caffe.TRAIN)
    starting.fill(experiment, net)
    return net, (experiment.directory / "start.txt").read_text()


def kinds(table):
    """{layer: kind} of a table."""
    return {match[2]: match[1] for match in re.finditer(
        rf"^    ({'|'.join(FATES)}) +(\S+)", table, re.M)}


def same(net, other, name):
    for new, old in zip(net.params[name], other.params[name]):
        np.testing.assert_array_equal(new.data.ravel(), old.data.ravel())


@pytest.mark.parametrize("hdf5", [False, True])
def test_all_that_fits_is_copied_bit_by_bit(source, folder, hdf5, capsys):
    made = source(hdf5=hdf5)
    experiment, net, table = tuned(folder(), "source")
    assert table in capsys.readouterr().out
    assert {*kinds(table).values()} == {"copied"} and [*kinds(table)] == [*net.params]
    for name in net.params:
        same(net, made, name)
    assert re.search(r"copied  fc6 +\(64, 8, 7, 7\)$", table, re.M)
    assert (experiment.head, experiment.net["width"]) == ("fcn8s", WIDTH)
    assert experiment.net["scale"] == pytest.approx(1 / 58)
    assert experiment.lr == SCALED_RATE and "SHA-256" in table


def test_new_classes_are_added_by_name(source, folder):
    made = source(("bar", "background", "disc"))
    _, net, table = tuned(folder(), "source")
    assert kinds(table)["score_fr"] == kinds(table)["score_pool3"] == "expanded"
    assert kinds(table)["upscore8"] == "started anew" and kinds(table)["fc7"] == "copied"
    assert re.search(r"expanded +score_fr +\(3, 64, 1, 1\) -> \(7, 64, 1, 1\)  new: square, tri",
                     table)
    for old, name in enumerate(("bar", "background", "disc")):
        for i in range(2):
            np.testing.assert_array_equal(net.params["score_fr"][i].data[CLASSES.index(name)],
                                          made.params["score_fr"][i].data[old])
    assert not net.params["score_fr"][0].data[CLASSES.index("ring")].any()
    np.testing.assert_allclose(net.params["upscore8"][0].data[6, 6], surgery.bilinear(16),
                               rtol=1e-6)


def test_classes_in_another_order_go_where_their_names_are(source, folder):
    made = source(CLASSES[::-1])
    _, net, table = tuned(folder(), "source")
    assert kinds(table)["score_pool4"] == "permuted" and kinds(table)["upscore8"] == "copied"
    np.testing.assert_array_equal(net.params["score_pool4"][0].data,
                                  made.params["score_pool4"][0].data[::-1])


@pytest.mark.parametrize("classes, words", [
    (("sky", *CLASSES[1:]), "of its classes the data have no sky"),
    (("background", "cat"), "of its classes the data have no cat"),
    (tuple(f"class{i}" for i in range(4)), "4 classes without names, 7 here")])
def test_scores_of_other_classes_start_anew(source, folder, classes, words):
    made = source(classes)
    _, net, table = tuned(folder(), "source")
    line = next(line for line in table.splitlines() if " score_fr " in line)
    assert "started anew" in line and line.endswith(words)
    assert f"({len(classes)}, 64, 1, 1)" in line and "(7, 64, 1, 1)" in line
    assert not net.params["score_fr"][0].data.any()
    same(net, made, "fc7")


def test_generated_names_of_classes_say_nothing(source, folder):
    source(tuple(f"class{i}" for i in range(7)))
    _, _, table = tuned(folder(()), "source")
    assert re.search("copied +score_fr .* by number: class names are not known", table)


def test_layers_that_the_head_lacks_or_has_besides(source, folder):
    source(head="fcn16s")
    _, _, table = tuned(folder(), "source", head="fcn8s")
    assert kinds(table)["score_pool3"] == "started anew" and "it has no such layer" in table
    assert kinds(table)["upscore16"] == "left over" and kinds(table)["score_pool4"] == "copied"


def test_the_head_is_that_of_the_source(source, folder):
    for head in ("fcn32s", "fcn16s", "fcn8s-atonce"):
        source(head=head)
        assert starting.on_folder(folder(), "source").head == head


# files

def classifier(path, width=WIDTH, old=False, trunk="vgg16", **options):
    """Write a classifier's weights; `old`: in the format of 2014, of four axes throughout."""
    net = caffe.Net(str(nets.write_prototxt(path.with_suffix(".prototxt"), nets.classifier(
        trunk, width=width, **options))), caffe.TEST)
    fill(net)
    if not old:
        net.save(str(path))
        return net
    param = caffe_pb2.NetParameter(layers=[dict(name=name, blobs=[dict(
        zip(("num", "channels", "height", "width"), (1,) * (4 - blob.data.ndim) + blob.data.shape),
        data=blob.data.ravel()) for blob in blobs]) for name, blobs in net.params.items()])
    path.write_bytes(param.SerializeToString())
    return net


@pytest.mark.parametrize("old", [False, True])
def test_products_of_a_file_become_convolutions(folder, tmp_path, old):
    made = classifier(tmp_path / "c.caffemodel", old=old, size=64)
    experiment, net, table = tuned(folder(), tmp_path / "c.caffemodel")
    assert (experiment.head, experiment.lr) == ("fcn8s-atonce", 1e-10)      # raw images
    assert experiment.net == dict(width=WIDTH, filler="msra", fc6_kernel=2)
    assert re.search(r"reshaped +fc6 +\(64, 32\) -> \(64, 8, 2, 2\)$", table, re.M)
    assert kinds(table)["fc8"] == "left over" and kinds(table)["score_fr"] == "started anew"
    assert kinds(table)["conv1_1"] == "copied"
    for name in ("conv1_1", "conv5_3", "fc6", "fc7"):
        same(net, made, name)


def test_a_file_of_a_run_is_known_by_it(source, folder, build):
    made = source(("bar", "background", "disc"))
    path = build / "source" / "snapshot" / "train_iter_3.caffemodel"
    experiment, net, table = tuned(folder(), path)
    assert kinds(table)["score_fr"] == "expanded" and experiment.net["scale"]
    same(net, made, "conv3_2")
    shutil.copy(path, build / "alone.caffemodel")   # the scale is in the file, names are not
    again = starting.on_folder(folder(name="other"), str(build / "alone.caffemodel"))
    assert again.net == experiment.net and again.head == "fcn8s"


@pytest.mark.parametrize("trunk", ["caffenet", "googlenet"])
def test_another_trunk_is_recognised(folder, tmp_path, trunk, monkeypatch):
    classifier(tmp_path / "c.caffemodel", 1 / 32, trunk=trunk, size=99)
    monkeypatch.setattr(catalog, "missing", lambda name: None)
    monkeypatch.setattr(catalog, "path", lambda name: tmp_path / "c.caffemodel")
    experiment = starting.on_folder(folder(), trunk)
    own = EXPERIMENTS[family_of("fcn32s").recipes[trunk]]
    assert (experiment.net["trunk"], experiment.head, experiment.start) == (trunk, "fcn32s", trunk)
    assert experiment.net["width"] == pytest.approx(1 / 32, rel=0.1)
    assert (experiment.lr, experiment.iter_size) == (own.lr, 20) and experiment.net["normalize"]
    _, table = filled(experiment)
    assert {name for name, kind in kinds(table).items() if kind == "started anew"} \
        == {"score_fr", "upscore"}


@pytest.mark.parametrize("width", [0.3, 0.05, 1 / 30])
def test_the_width_is_that_of_all_layers(folder, tmp_path, width):
    made = nets.fcn("fcn32s", "deploy", width=width)
    shapes = convolutions(made)
    start = Start("x", tmp_path / "x")
    vars(start)["weights"] = type("Weights", (), {"params": {
        name: [surgery.Parameter(np.zeros((outputs, 1)))] for name, outputs in shapes.items()}})
    full = convolutions(nets.fcn("fcn32s", "deploy"))
    found = width_of(start, "vgg16", full, shapes, None)
    assert convolutions(nets.fcn("fcn32s", "deploy", width=found)) == shapes
    assert width_of(start, "vgg16", full, shapes, width) == width


# refusals

def test_a_width_that_contradicts_is_refused_with_both(source, folder):
    source()
    with pytest.raises(RunError, match="--width 0.5, but the trunk of .*source has width 0.01562"):
        starting.on_folder(folder(), "source", width=0.5)


def test_where_nothing_fits_names_and_shapes_are_said(folder, tmp_path):
    path = tmp_path / "other.caffemodel"
    path.write_bytes(caffe_pb2.NetParameter(layer=[dict(name="stem", blobs=[dict(
        shape=dict(dim=[2, 3]), data=range(6))])]).SerializeToString())
    with pytest.raises(RunError, match=r"(?s)nothing in .*other.caffemodel fits the net of tuned."
                                       r"*stem \(2, 3\).*conv1_1 \(8, 3, 3, 3\)"):
        tuned(folder(), path, width=1 / 8)


@pytest.mark.parametrize("text, words", [
    ("nothing.caffemodel", "--from nothing.caffemodel: no such file"),
    ("nothing", "none of vgg16, caffenet, googlenet, and no run 'nothing'"),
    ("vgg16", "--from vgg16: .*553 MB.*make vgg16")])
def test_what_is_not_there_is_refused(folder, text, words, monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_DATA", str(tmp_path))
    with pytest.raises(RunError, match=words):
        starting.on_folder(folder(), text)


def test_a_run_does_not_start_from_itself(source, folder):
    source()
    with pytest.raises(RunError, match="is the run that would be trained anew.*--name"):
        starting.on_folder(folder(), "source", name="source")


# the command

@pytest.fixture
def solve(monkeypatch, capsys, log_as_it_is, tmp_path):
    monkeypatch.setattr("sys.argv", [""])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        try:
            main(["solve", *map(str, arguments)])
        except SystemExit as ended:
            return str(ended.code)
        return capsys.readouterr().out
    return run


def test_an_experiment_that_began_with_from_says_so_before_what_it_else_lacks(solve, build,
                                                                             monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "voc-fcn8s", replace(EXPERIMENTS["voc-fcn8s"], build=build))
    Run(build / "voc-fcn8s").record_settings(**{"from": "vgg16"})
    assert "voc-fcn8s holds a run with --from 'vgg16', now asked for is none. To go on with it, " \
        "repeat --from vgg16. Or start anew" in solve("voc-fcn8s")
    assert "cannot start" in solve("voc-fcn8s", "--fresh")


def test_a_run_goes_on_without_what_it_started_from(source, folder, solve, build):
    source(("bar", "background"))
    command = ("--data", folder(), "--force", "--iterations")
    printed = solve(*command, 1, "--from", "source")
    assert "expanded      score_fr" in printed and "warning" not in printed
    settings = Run(build / "mine-fcn8s").settings()
    assert settings["from"] == str(build / "source")
    assert (f"holds a run with --from '{build / 'source'}', now asked for is none. To go on with "
            f"it, repeat --from {build / 'source'}. Or start anew") in solve(*command, 2)
    said = solve(*command, 2, "--from", shutil.copytree(build / "source", build / "copy"))
    assert f"now asked for is '{build / 'copy'}'. To go on with it, repeat --from" in said
    shutil.rmtree(build / "source")
    assert "--width 0.5, but the trunk" in solve(*command, 2, "--from", "source", "--width", 0.5)
    printed = solve(*command, 2, "--from", "source")
    assert "continuing mine-fcn8s" in printed and "train_iter_2.caffemodel" in printed
    assert "--from source: no file" in solve(*command, 2, "--from", "source", "--fresh")


def test_the_number_of_classes_of_a_folder_without_names(folder, solve, build):
    command = ("--data", folder(()), "--head", "fcn32s", "--width", 0.02, "--iterations", 1,
               "--num-classes")
    assert "7 (class7), 8 (class8)" in solve(*command, 9)
    assert "1 for val, 9 classes" in solve(*command, 9, "--force")
    assert (build / "mine-fcn32s" / "classes.txt").read_text().split()[-1] == "class8"
    assert "--num-classes 3, but" in solve(
        "--data", folder(name="named"), "--num-classes", 3, "--force")


@pytest.mark.parametrize("head, is_alone", [
    ("segnet", False), ("segnet-basic-bayesian", False), ("segnet-bayesian", True),
    ("segnet-basic", True)])
def test_a_segnet_starts_from_the_run_or_the_file_of_one(
        source, folder, solve, build, tmp_path, head, is_alone):
    made = source(("bar", "background", "disc"), head=head)
    start = build / "source"
    if is_alone:
        start = shutil.move(Run(build / "source").weights(3), tmp_path / "w.caffemodel")
    printed = solve("--data", folder(), "--force", "--iterations", 1, "--lr", 1e-12,
                    "--from", start)
    run, found = Run(build / f"mine-{head}"), kinds(printed)
    settings = run.settings()
    assert (settings["head"], settings["width"]) == (head, WIDTH)
    assert settings["scale"] == pytest.approx(1 / 58) and settings["from"] == str(start)
    assert found.pop("score") == ("started anew" if is_alone else "expanded")
    assert {*found.values()} == {"copied"} and {*found, "score"} == {*made.params}
    assert (run.folder / "test_iter_1.caffemodel").exists()
    weights = surgery.Weights(run.weights(1)).params
    for name in found:
        for new, old in zip(weights[name], made.params[name]):
            np.testing.assert_allclose(new.data.ravel(), old.data.ravel(), rtol=1e-5)


def test_the_encoder_of_a_segnet_starts_from_a_file_with_the_names_of_vgg16(
        folder, solve, build, tmp_path):
    made = classifier(tmp_path / "c.caffemodel", size=64)
    printed = solve("--data", folder(), "--force", "--iterations", 1, "--lr", 1e-12,
                    "--head", "segnet", "--from", tmp_path / "c.caffemodel")
    run = Run(build / "mine-segnet")
    weights, found = surgery.Weights(run.weights(1)).params, kinds(printed)
    encoder = [name for name in made.params if name.startswith("conv")]
    assert len(encoder) == 13 and {found[name] for name in encoder} == {"copied"}
    assert {found[name] for name in ("fc6", "fc7", "fc8")} == {"left over"}
    assert found["conv5_3_D"] == found["conv1_1_bn"] == "started anew"
    for name in encoder:
        np.testing.assert_allclose(weights[name][0].data, made.params[name][0].data, rtol=1e-5)
    assert weights["conv5_3_D"][0].data.std() > 0


# experiments of the table

def test_an_experiment_of_the_table_starts_from_a_run(source, data, build):
    made = source(("disc", *EXPERIMENTS["voc-fcn16s"].class_names["label"][:1]), head="fcn32s")
    row = replace(EXPERIMENTS["voc-fcn16s"], source=voc(data), build=build)
    experiment = starting.named(row, "source")
    assert (experiment.bases, experiment.needs) == ({}, ("sbd", "voc2011"))
    net, table = filled(experiment)
    same(net, made, "fc6")
    assert kinds(table)["score_fr"] == "started anew"       # VOC has no disc


def test_an_image_of_more_channels_sees_the_mean(tmp_path, build):
    made = classifier(tmp_path / "c.caffemodel")
    row = replace(EXPERIMENTS["nyud-fcn32s-color-d"], build=build)
    experiment = starting.named(row, str(tmp_path / "c.caffemodel"))
    net = caffe.Net(str(nets.write_prototxt(tmp_path / "d.prototxt", nets.fcn(
        row.head, "deploy", row.source, **experiment.net))), caffe.TEST)
    experiment.directory.mkdir(parents=True)
    starting.fill(experiment, net)
    table = (experiment.directory / "start.txt").read_text()
    assert kinds(table)["conv1_1_bgrd"] == "expanded" and "conv1_1" not in kinds(table)
    np.testing.assert_array_equal(net.params["conv1_1_bgrd"][0].data[:, :3],
                                  made.params["conv1_1"][0].data)


@pytest.mark.parametrize("name, count", [("voc-fcn8s", 3), ("siftflow-fcn16s", 2)])
def test_nets_of_any_number_of_classes(name, count, tmp_path, monkeypatch):
    from fcn.nets.__main__ import main as write
    monkeypatch.setattr("sys.argv", ["nets", name, "--num-classes", "5", "-o", str(tmp_path)])
    write()
    for split in ("train", "val", "deploy"):
        text = (tmp_path / f"{split}.prototxt").read_text()
        assert text.startswith("# Generated by nets.write('") and "num_classes=5" in text
        scores = re.findall(r'name: "score_[a-z0-9_]+"\n(?:.*\n){1,14}?.*num_output: (\d+)', text)
        assert scores.count("5") == count
    for wrong in (1, 256):
        with pytest.raises(ValueError, match=f"{name} with {wrong} classes: .* 2 or more"):
            nets.write(name, tmp_path, num_classes=wrong)
    partial(nets.write, "vgg16", tmp_path, num_classes=1000)()


def test_a_run_of_another_name_does_not_choose_the_head(source, folder, solve, build):
    source()
    command = ("--data", folder(), "--force", "--iterations", 1, "--from", "source")
    assert "training another" in solve(*command, "--head", "fcn32s", "--name", "another")
    assert "training mine-fcn8s" in solve(*command)
