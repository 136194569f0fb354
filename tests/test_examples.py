"""The examples do what they say, on small generated data."""

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import caffe
import notebooks
from caffe.log import silence
from fcn import nets
from fcn.nets.source import ROOT
from segdata.embedded import voc as embedded_voc

EXAMPLES = ROOT / "examples"


def run(name, *arguments):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run([sys.executable, EXAMPLES / name, *map(str, arguments)], text=True,
                            capture_output=True, env=environment)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.stem)
def test_examples_are_short_and_say_how_they_are_called(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 60 and f"python examples/{path.name}" in text


def test_segment_refuses_a_net_that_runs_code_without_trust(tmp_path):
    (tmp_path / "deploy.prototxt").write_text(
        'layer { name: "evil" type: "Python" top: "data" python_param { module: "evil" '
        'layer: "Evil" } }')
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    result = subprocess.run(
        [sys.executable, EXAMPLES / "segment.py", "deploy.prototxt", "w", "image", "out"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join([".", *sys.path])},
        capture_output=True, text=True)
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "layer 'evil' (python) runs the code of the module 'evil'" in result.stderr
    assert "--trust" in result.stderr and not (tmp_path / "ran").exists()


def test_segment_writes_the_class_of_the_highest_score(tmp_path):
    deploy = nets.write_prototxt(tmp_path / "deploy.prototxt", nets.fcn(
        "fcn32s", "deploy", width=1 / 64, filler="msra"))
    caffe.set_random_seed(3)
    net = caffe.Net(str(deploy), caffe.TEST)
    net.params["score_fr"][0].data[...] = np.random.default_rng(0).normal(
        size=net.params["score_fr"][0].data.shape)
    for channel in range(21):
        net.params["upscore"][0].data[channel, channel] = 1
    net.save(str(tmp_path / "w.caffemodel"))
    image = np.random.default_rng(1).integers(0, 256, (70, 90, 3), np.uint8)
    Image.fromarray(image).save(tmp_path / "image.png")
    printed = run("segment.py", deploy, tmp_path / "w.caffemodel", tmp_path / "image.png",
                  tmp_path / "classes.png")
    net.blobs["data"].reshape(1, 3, 70, 90)
    net.blobs["data"].data[0] = (image[..., ::-1] - np.array(
        [104.00699, 116.66877, 122.67892])).transpose(2, 0, 1)
    score = net.forward()["score"][0]
    with Image.open(tmp_path / "classes.png") as label:
        written = np.asarray(label)
    # two processes may round differently where two scores are all but equal
    chosen = np.take_along_axis(score, written[None].astype(int), 0)[0]
    np.testing.assert_allclose(chosen, score.max(0), rtol=0, atol=1e-5 * np.abs(score).max())
    assert (written == score.argmax(0)).mean() > 0.99
    assert len(printed.splitlines()) == len(np.unique(written)) > 1


def test_finetune_starts_from_the_trunk_of_the_trained_net(tmp_path):
    embedded_voc.generate(tmp_path / "data", seed=5, train=1, val=2)
    folder = tmp_path / "data" / "pascal" / "VOC2011"
    lists = folder / "ImageSets" / "Segmentation"
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_bytes((lists / "seg11valid.txt").read_bytes())
    deploy = nets.write_prototxt(tmp_path / "deploy.prototxt", nets.fcn(
        "fcn32s", "deploy", width=1 / 64, filler="msra"))
    trained = caffe.Net(str(deploy), caffe.TEST)
    trained.save(str(tmp_path / "w.caffemodel"))
    run("finetune.py", folder, len(embedded_voc.CLASSES), tmp_path / "w.caffemodel",
        tmp_path / "out", 1 / 64)
    tuned = caffe.Net(str(tmp_path / "out" / "deploy.prototxt"),
                      str(tmp_path / "out" / "train_iter_20.caffemodel"), caffe.TEST)
    assert tuned.params["score_fr"][0].data.shape[0] == len(embedded_voc.CLASSES)
    assert tuned.params["score_fr"][0].data.any()       # it learned
    np.testing.assert_allclose(tuned.params["conv1_1"][0].data, trained.params["conv1_1"][0].data,
                               rtol=0.01, atol=1e-4)


def test_own_layer_learns():
    losses = [float(line) for line in run("own_layer.py").splitlines()]
    assert len(losses) == 50 and losses[-1] < losses[0] / 4


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_notebooks_print_what_they_hold(path, tmp_path, monkeypatch):
    """If not: python tests/support/notebooks.py NOTEBOOK"""
    monkeypatch.chdir(tmp_path)
    with silence():
        assert notebooks.outputs(path) == notebooks.stored(path)
