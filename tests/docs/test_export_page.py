"""The programs of docs/export.md run as they stand."""

import re
import sys
import textwrap

import numpy as np
import pytest
from PIL import Image

import caffe
from fcn import nets
from fcn.command import main
from fcn.nets.source import ROOT, folder
from page_runs import CLASSES, skip_run

PAGE = (ROOT / "docs" / "export.md").read_text()


def program(title):
    """The only block of code below a heading."""
    section = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", PAGE, re.M | re.S)[1]
    block, = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.M)
    return textwrap.dedent(block)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The folder of a run, and beside it a photograph that its camera has turned."""
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["restored afterwards"])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    coarse = np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(coarse).resize((144, 96)).save("photograph.jpg", exif=turned)
    return skip_run(tmp_path / "run")


@pytest.mark.parametrize("head, options", [("dilated-frontend", dict(fc6_kernel=2)),
                                           ("segnet-basic", {})])
def test_the_program_adds_the_margin_and_the_multiple_that_the_file_names(run, head, options,
                                                                          log_as_it_is):
    """The photograph has 96 x 144 pixels once it is upright; cut, it has no sides that fit."""
    padded = run.parent / head
    Image.open("photograph.jpg").crop((0, 0, 141, 90)).save("photograph.jpg", quality=95)
    for split in ("val", "deploy"):
        nets.write_prototxt(padded / f"{split}.prototxt", nets.fcn(
            head, split, folder(padded, 4), width=1 / 16, filler="msra", scale=1 / 58, **options))
    (padded / "classes.txt").write_text("background\na\nb\nc\n")
    caffe.set_random_seed(3)
    net = caffe.Net(str(padded / "deploy.prototxt"), caffe.TEST)
    rng = np.random.default_rng(3)
    for blobs in net.params.values():
        blobs[0].data[...] += rng.normal(size=blobs[0].data.shape) / 50
    net.save("w.caffemodel")
    chosen = "--net", str(padded / "deploy.prototxt"), "--weights", "w.caffemodel"
    assert main(["export", *chosen, "-o", "net.onnx"]) == 0
    assert main(["infer", "photograph.jpg", *chosen, "-o", "out", "--mask"]) == 0
    names = {}
    exec(program("From a photograph to its classes"), names)
    expected = np.asarray(Image.open("out/photograph.png"))
    assert len(np.unique(expected)) > 1 and (names["margin"], names["multiple"]) != (0, 1)
    assert (names["labels"] == expected).mean() > 0.99


def test_the_program_from_a_photograph_to_its_classes(run, capsys, log_as_it_is):
    """Its labels are those of `fcn infer` for the same photograph, which the camera has turned."""
    assert main(["export", str(run), "-o", "net.onnx"]) == 0
    assert main(["infer", "photograph.jpg", "--experiment", str(run), "-o", "out", "--mask"]) == 0
    capsys.readouterr()
    names = {}
    exec(program("From a photograph to its classes"), names)
    expected = np.asarray(Image.open("out/photograph.png"))
    assert expected.shape == (144, 96) and len(np.unique(expected)) > 2
    assert (names["labels"] == expected).mean() > 0.999     # rounding where two scores are equal
    said = dict(re.findall(r"^(\w+): ([\d.]+)% of the pixels$", capsys.readouterr().out, re.M))
    assert {name: float(share) for name, share in said.items()} == {
        name: pytest.approx(100 * (expected == number).mean(), abs=0.2)
        for number, name in enumerate(CLASSES) if (expected == number).any()}
