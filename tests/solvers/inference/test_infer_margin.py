"""Nets whose images have a margin: inference adds what the data layer adds in training."""

import json

import numpy as np
import onnxruntime
import pytest

import caffe
from fcn import nets
from fcn.export import main as export_command
from fcn.nets import unet
from fcn.nets.source import folder
from fcn.page import page
from fcn.solvers.console.errors import RunError
from fcn.solvers.inference.crf import Settings, Sharpener
from fcn.solvers.inference.errors import InferError
from fcn.solvers.inference.network import Network, choose
from fcn.solvers.inference.segmenter import Segmenter
from fcn.solvers.runs.run import Run
from infer_runs import scene
from page_runs import stub_runtime

pytestmark = pytest.mark.usefixtures("log_as_it_is")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A narrow front end with random weights, in a run's folder."""
    directory = tmp_path_factory.mktemp("dilated")
    options = dict(source=folder(directory, 4), width=1 / 32, filler="msra", fc6_kernel=2,
                   scale=1 / 58)
    for split in ("val", "deploy"):
        nets.write_prototxt(directory / f"{split}.prototxt",
                            nets.fcn("dilated-frontend", split, **options))
    (directory / "classes.txt").write_text("background\na\nb\nc\n")
    net = caffe.Net(str(directory / "deploy.prototxt"), caffe.TEST)
    rng = np.random.default_rng(3)
    for name in ("final", "upscore8"):
        net.params[name][0].data[...] = rng.normal(size=net.params[name][0].data.shape) / 9
    net.save(str(directory / "w.caffemodel"))
    return directory / "deploy.prototxt", directory / "w.caffemodel"


def test_scores_are_those_of_the_image_with_its_reflection(trained):
    image = scene(40, 57)
    found = Segmenter(*trained)(image).labels
    net = caffe.Net(*map(str, trained), caffe.TEST)
    given = image[..., ::-1].astype(np.float32) - np.array((104.00699, 116.66877, 122.67892))
    given = np.pad(given, [(106, 106), (106, 106), (0, 0)], mode="reflect").transpose(2, 0, 1)
    net.blobs["data"].reshape(1, *given.shape)
    net.blobs["data"].data[...] = given
    net.forward()
    np.testing.assert_array_equal(found, net.blobs["score"].data[0].argmax(0))
    assert len(np.unique(found)) > 1


def test_the_export_says_how_images_are_padded(trained, tmp_path, monkeypatch, capsys):
    prototxt, weights = map(str, trained)
    monkeypatch.setattr("sys.argv", ["fcn export", "--net", prototxt, "--weights", weights,
                                     "-o", str(tmp_path / "net.onnx")])
    assert export_command() == 0
    said = capsys.readouterr().out
    assert "pad its images on each side with 106 pixels of their reflection" in said


def test_the_export_of_a_u_net_says_what_its_margin_is_made_of(tmp_path, monkeypatch, capsys):
    val, deploy = (nets.fcn("unet", split, folder(tmp_path, 2), width=1 / 16, filler="msra",
                            depth=1) for split in ("val", "deploy"))
    nets.write_prototxt(tmp_path / "val.prototxt", val)
    prototxt, weights = saved(tmp_path, deploy)
    monkeypatch.setattr("sys.argv", ["fcn export", "--net", str(prototxt), "--weights",
                                     str(weights), "-o", str(tmp_path / "net.onnx")])
    assert export_command() == 0
    assert ("pad its images on each side with 10 pixels of their reflection (numpy.pad, mode "
            "'reflect'), as `fcn infer` does: 8 that its convolutions cut off, and 2 for its "
            "poolings, whose windows may begin at any of as many pixels; without them"
            in capsys.readouterr().out)


def test_the_export_of_segnet_says_of_what_sides_are_multiples(tmp_path, monkeypatch, capsys):
    val, deploy = (nets.fcn("segnet-basic", split, folder(tmp_path, 2), width=1 / 16, filler="msra")
                   for split in ("val", "deploy"))
    nets.write_prototxt(tmp_path / "val.prototxt", val)
    prototxt, weights = saved(tmp_path, deploy)
    monkeypatch.setattr("sys.argv", ["fcn export", "--net", str(prototxt), "--weights",
                                     str(weights), "-o", str(tmp_path / "net.onnx")])
    assert export_command() == 0
    assert "below and right, to multiples of 16 pixels" in capsys.readouterr().out


def test_tiles_of_a_net_with_a_margin(trained):
    image = scene(24, 400)
    segment = Segmenter(*trained)
    whole = segment(image)
    segment.tile = 280
    assert len(segment.plan((24, 400))) > 1
    parts = segment(image)
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-5)


def test_mirrored_and_in_several_sizes_the_margin_is_that_of_each(trained):
    image = scene(32, 40)
    labels = Segmenter(*trained, flip=True, scales=(0.5, 1, 1.5))(image).labels
    assert labels.shape == (32, 40)


def test_the_memory_is_that_of_the_image_with_its_margin(trained):
    segment = Segmenter(*trained)
    net = segment.network.net
    net.blobs["data"].reshape(1, 3, 100 + 212, 150 + 212)
    net.reshape()
    counted = 4 * sum(blob.count for blob in net.blobs.values())
    assert segment.network.memory(100, 150) == pytest.approx(counted, rel=0.01)


def test_a_crf_sees_the_image_without_its_margin(trained):
    class Validation:
        blobs = {"data": type("Blob", (), {"data": np.zeros((1, 3, 212 + 5, 212 + 6))})}
    photographs = Sharpener(Run(trained[0].parent), Settings()).photographs(Validation)
    assert photographs.shape == (1, 5, 6, 3) and (photographs == (123, 117, 104)).all()


@pytest.mark.parametrize("margin", ["-3", "'186'", "1.5"])
def test_a_margin_that_is_none(trained, tmp_path, margin):
    text = (trained[0].parent / "val.prototxt").read_text()
    (tmp_path / "val.prototxt").write_text(text.replace("margin\\': 106", f"margin\\': {margin}")
                                           if "'" not in margin else
                                           text.replace("margin\\': 106", "margin\\': \\'186\\'"))
    with pytest.raises(RunError, match="val.prototxt: damaged.*its margin is .*, expected 0 or"):
        Run(tmp_path).images()


def test_a_page_gives_the_net_the_margin(trained, tmp_path, monkeypatch):
    """page.json has the margin, which worker.js adds, and the net takes the image with it."""
    stub_runtime(tmp_path / "store", monkeypatch)
    page.write(choose(*trained), tmp_path / "page", 96)
    said = json.loads((tmp_path / "page" / "page.json").read_text())
    assert (said["margin"], said["multiple"]) == (106, 1)
    image = scene(40, 57)
    given = image[..., ::-1].astype(np.float32) - np.float32(said["mean"])
    given = np.pad(given, [(106, 106), (106, 106), (0, 0)], mode="reflect").transpose(2, 0, 1)
    session = onnxruntime.InferenceSession(str(tmp_path / "page" / "net.onnx"),
                                           providers=["CPUExecutionProvider"])
    scores, = session.run([said["output"]], {said["input"]: given[None]})
    expected = Segmenter(*trained)(image).labels
    assert (scores[0].argmax(0) != expected).sum() <= 3     # but for rounding
    assert len(np.unique(expected)) > 1


def test_a_net_whose_margin_nothing_says_is_refused_with_it(tmp_path):
    deploy, weights = saved(tmp_path, nets.fcn(
        "unet", "deploy", folder(tmp_path, 2), depth=1, width=1 / 16, filler="msra"))
    with pytest.raises(InferError, match=f"margin of {unet.margin(1)} pixels.*val.prototxt does "
                                         "not: put that"):
        Network(choose(deploy, weights))


def test_a_unet_alone_names_the_sizes_that_fit(tmp_path):
    """Scores of U-Net alone are smaller than any image."""
    deploy, weights = saved(tmp_path, unet.unet(40, 1, 1 / 16, channels=3))
    network = Network(choose(deploy, weights))
    with pytest.raises(InferError, match=r"has the shape .* for an image of \(30, 33\); It is a "
                                         r"U-Net alone.*for 33 pixels a side the nearest are 16 "
                                         r"\(of an image of 32\) or 18 \(of an image of 34\)"):
        network.scores([np.zeros((1, 3, 30, 33), np.float32)])


def saved(folder, net):
    deploy = nets.write_prototxt(folder / "deploy.prototxt", net)
    caffe.Net(str(deploy), caffe.TEST).save(str(folder / "w.caffemodel"))
    return deploy, folder / "w.caffemodel"
