"""--crf: what it takes, where its settings come from, and what score.py prints with it."""

import argparse
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from fcn.solvers import infer, score
from fcn.solvers.console.errors import RunError
from fcn.solvers.inference import crf
from fcn.solvers.inference.crf import Settings, Sharpener, chosen
from fcn.solvers.runs.run import Run
from fcn.solvers.scoring import tables
from fcn.solvers.scoring.counting import score_net
from segdata.readers import read_label_image
from small_run import small_run


def option(*arguments):
    parser = argparse.ArgumentParser()
    parser.add_argument("run")
    crf.add_crf(parser)
    return parser.parse_args(["run", *arguments]).crf


def test_the_option():
    assert option() is None and option("--crf") == "" and option("--crf", "") == ""
    assert option("--crf", "3,95,3") == option("--crf=3,95.0,3") == Settings(3, 95, 3)


@pytest.mark.parametrize("text", ["5", "5,50", "5,50,10,1", "5,fifty,10", "5,0,10", "-5,50,10",
                                  "5,nan,10", "photo.jpg", ",,"])
def test_what_is_no_value_of_the_option(text, capsys):
    with pytest.raises(SystemExit):
        option(f"--crf={text}")
    assert f"such as 5,50,10, got '{text}'" in capsys.readouterr().err


def test_settings_come_from_the_command_the_run_or_deeplab(tmp_path, capsys):
    assert chosen(None, tmp_path) is None and not capsys.readouterr().out
    assert chosen("", tmp_path) == (5, 50, 10)
    assert "w 5, xy 50, rgb 10 (DeepLab's)" in capsys.readouterr().out
    path = crf.write(Settings(10, 40, 3.5), tmp_path)
    assert chosen("", tmp_path) == (10, 40, 3.5)
    assert f"w 10, xy 40, rgb 3.5 (the best in {path})" in capsys.readouterr().out
    assert chosen(Settings(1, 2, 3), tmp_path) == (1, 2, 3)


@pytest.mark.parametrize("content", ["", "[]", '{"w": 5, "xy": 50}', '{"w": 5, "xy": 0, "rgb": 1}',
                                     '{"w": "much", "xy": 5, "rgb": 1}'])
def test_a_damaged_file_of_settings(tmp_path, content):
    (tmp_path / crf.FILE).write_text(content)
    with pytest.raises(RunError, match="crf.json: damaged"):
        chosen("", tmp_path)


def test_the_original_caffe_is_refused(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "caffe", SimpleNamespace(__file__="the original"))
    assert chosen(None, tmp_path) is None
    with pytest.raises(RunError, match="the original has no dense_crf.*leave --crf out"):
        chosen("", tmp_path)


LAYER = """layer {{ type: "Python" top: "color" top: "hha" top: "label" python_param {{
    module: "nyud_layers" layer: "NYUDSegDataLayer" param_str: "{}" }} }}"""


class Net:
    """Two halves of different colour, whose scores know only cells of 4 pixels."""

    def __init__(self, mean, shape=(1, 2, 16, 22)):
        right = np.arange(22) >= 9
        self.image = np.where(right[None, :, None], (200, 90, 20), (30, 40, 170)).repeat(16, 0)
        data = self.image[None, :, :, ::-1].transpose(0, 3, 1, 2) - np.reshape(mean, (3, 1, 1))
        scores = np.where((np.arange(22) // 4 >= 3)[None, :], 1.0, -1.0).repeat(16, 0)
        scores = np.stack([-scores, scores])[None].astype(np.float32)
        label = right[None, None].repeat(16, 0).reshape(1, 1, 16, 22)
        arrays = {"color": data.astype(np.float32), "label": label,
                  "score": np.broadcast_to(scores, (1, 2, 16, 22))[:shape[0], :shape[1], :shape[2]]}
        self.blobs = {name: SimpleNamespace(data=array) for name, array in arrays.items()}

    def forward(self):
        pass


def sharpener(tmp_path, tops="{'tops': ['color', 'hha', 'label'], 'mean': (10, 20, 30)}"):
    (tmp_path / "val.prototxt").write_text(LAYER.format(tops))
    return Sharpener(Run(tmp_path), Settings())


def test_scores_without_and_with(tmp_path):
    sharpen, net = sharpener(tmp_path), Net((10, 20, 30))
    np.testing.assert_array_equal(sharpen.photographs(net)[0], net.image)
    scores = score_net(net, 2, sharpeners={" with CRF": sharpen})
    assert list(scores) == ["label", "label with CRF"]
    assert scores["label"].pixel_accuracy == pytest.approx(19 / 22)
    assert scores["label with CRF"].pixel_accuracy == 1
    assert scores["label with CRF"].matrix.sum() == 2 * 16 * 22
    assert tables.gains(scores) == "label: mean IU 76.0 without, 100.0 with CRF"


def test_scores_that_a_crf_cannot_take(tmp_path):
    sharpen = sharpener(tmp_path)
    for shape in ((1, 1, 16, 22), (1, 2, 8, 22)):
        net = Net((10, 20, 30), shape)
        with pytest.raises(RunError, match=r"sample 1.*val.prototxt.*2 classes.*\(1, 16, 22\)"):
            sharpen(net, net.blobs["score"].data, "sample 1")


def test_nets_without_photographs(tmp_path):
    with pytest.raises(RunError, match="takes depth and hha from NYUDSegDataLayer; a CRF needs c"):
        sharpener(tmp_path, "{'tops': ['depth', 'hha', 'label']}")
    (tmp_path / "val.prototxt").write_text('layer { type: "ImageSegData" top: "data" }')
    with pytest.raises(RunError, match="no data layer of the project"):
        Sharpener(Run(tmp_path), Settings())


def test_score_prints_both(tmp_path, log_as_it_is, monkeypatch, capsys):
    run = small_run(tmp_path)
    said = []
    for options in ([], ["--crf", "5,50,10"]):
        monkeypatch.setattr(sys, "argv", ["score", str(run.directory), *options])
        score.main()
        said.append(capsys.readouterr().out)
    without, both = said
    assert "CRF" not in without and "CRF: w 5, xy 50, rgb 10 (as given)" in both
    table = without.split("\n\n", 1)[1].strip()
    assert f"label\n{table}\n\nlabel with CRF\n" in both
    assert both.count("pixel accuracy") == 2
    found = re.fullmatch(r"label: mean IU (\d+\.\d) without, (\d+\.\d) with CRF",
                         both.splitlines()[-1])
    assert float(found[1]) + 10 < float(found[2])


def test_infer_sharpens(tmp_path, log_as_it_is, monkeypatch, capsys):
    run, found = small_run(tmp_path), {}
    for name, options in (("without", []), ("with", ["--crf", "2,10,80"])):
        monkeypatch.setattr(sys, "argv", ["infer", str(tmp_path / "data"), "--experiment",
                                          str(run.directory), "-o", str(tmp_path / name), *options])
        assert infer.main() == 0
        said = capsys.readouterr().out
        assert ("CRF: w 2, xy 10, rgb 80 (as given)" in said) == bool(options)
        found[name] = [np.mean(read_label_image(tmp_path / name / f"{i}.png") == read_label_image(
            tmp_path / "data" / "SegmentationClass" / f"{i}.png")) for i in range(2)]
    assert max(found["without"]) < 0.9 and min(found["with"]) > 0.95


def test_what_cannot_be_sharpened_says_that_it_is_the_option():
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    even = np.full((2, 20, 30), 0.5, np.float32)
    with pytest.raises(RunError, match="--crf: the net has one class.*leave --crf out"):
        crf.refine(even[:1] * 2, image, Settings())
    with pytest.raises(RunError, match=r"--crf \(w 5, xy 50, rgb 1e-09\): .*too small"):
        crf.refine(even, image, Settings(5, 50, 1e-9))
