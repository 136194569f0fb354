"""The paper's claim in miniature: finer strides segment better, over three seeds of the data."""

import io
import itertools
import re
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import caffe
from fcn import surgery
from fcn.solvers import demo, training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.miniatures import classifiers, demo_page, miniature, pictures
from fcn.solvers.runs import log
from fcn.solvers.scoring import counting
from fcn.solvers.scoring.metrics import Scores
from segdata.embedded import nyud as embedded_nyud
from segdata.embedded import siftflow as embedded_siftflow
from segdata.embedded import voc as embedded_voc
from tiny import shrink


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_32s_reaches_30_each_stage_gains_3_points_and_8s_reaches_70(seed, tmp_path):
    scores = [miniature.train(name, tmp_path, seed)[1]["label"] for name in demo.STAGES]
    iu = [100 * one.mean_iu for one in scores]
    assert iu[0] >= 30, iu      # the majority has 10.5
    assert iu[0] + 3 <= iu[1] and iu[1] + 3 <= iu[2], iu
    assert iu[2] >= 70, iu


@pytest.mark.slow
@pytest.mark.parametrize("precision", [
    "bf16", pytest.param("tf32", marks=pytest.mark.gpu)])       # which no CPU has
def test_lower_precision_learns_it_too(precision, tmp_path):
    caffe.set_precision(precision)
    if torch.cuda.is_available():
        caffe.set_mode_gpu()
    try:
        iu = [100 * miniature.train(name, tmp_path, 0)[1]["label"].mean_iu for name in demo.STAGES]
    finally:
        caffe.set_mode_cpu()
        caffe.set_precision("tf32")
    assert iu[0] + 1 <= iu[1] and iu[1] + 1 <= iu[2], iu
    assert iu[2] >= 60, iu


def test_preprocessing_is_bgr_minus_the_mean():
    image = np.zeros((1, 2, 3, 3), np.uint8)
    image[..., 0] = 200     # red
    blob = classifiers.preprocess(image)
    assert blob.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(blob[0, :, 0, 0], [-104.00699, -116.66877, 200 - 122.67892],
                               rtol=1e-6)


def test_the_picture_shows_scenes_truth_and_every_stage(tmp_path, tiny):
    trained = [miniature.train(name, tmp_path, 3) for name in demo.STAGES[:2]]
    path = pictures.draw(trained, tmp_path / "scenes.png", scenes=2)
    side = min(embedded_voc.SCENE_SIDE)
    with Image.open(path) as picture:
        assert picture.width > 4 * 2 * side and picture.height > 2 * 2 * side
    with pytest.raises(RunError, match="seed 3, now asked for is 4"):
        miniature.train(demo.STAGES[0], tmp_path, 4)


@pytest.mark.parametrize("columns", [4, 6])
def test_the_captions_of_a_picture_can_be_read_where_a_page_shows_it_smaller(columns):
    """In the 960 pixels that the page of the demo has, capital letters are 8 high and more; none
    runs into the next column."""
    scene = np.full((160, 160, 3), 255, np.uint8)
    titles = ["input", "truth", "fcn32s\nblocks of 32 pixels", "fcn16s\nmean IU 100.0%",
              "fcn8s\nblocks of 16 pixels", "fcn8s\ninterpolated"][:columns]
    picture = pictures.grid({title: [scene] for title in titles}, embedded_voc.CLASSES)
    ink = np.asarray(picture.convert("L")) < 128
    whole, column = picture.width, 328
    for number in range(columns):
        assert not ink[:100, number * column:number * column + 8].any()
    first = ink[:100, :column].any(axis=1)     # "input" alone
    assert np.count_nonzero(first) * min(1, 960 / whole) >= 8
    legend = ink[-60:].any(axis=0)
    assert not legend[-8:].any()


# of the paper's experiments all but those that differ from another in one number
DISTINCT = ("voc-fcn8s", "voc-fcn8s-atonce", "voc-fcn-googlenet", "voc-deeplab-largefov",
            "voc-crfrnn", "voc-dilated-context", "nyud-fcn32s-color-hha", "siftflow-fcn8s",
            "pascalcontext-fcn32s")


@pytest.mark.parametrize("names", [DISTINCT, pytest.param(EXPERIMENTS, marks=pytest.mark.slow)])
def test_every_experiment_has_a_miniature_that_starts_from_its_bases(names, tmp_path, tiny):
    trained = [miniature.train(name, tmp_path, 0) for name in names]
    for experiment, scores in trained:
        assert list(scores) == list(experiment.class_names)
        for label, one in scores.items():
            assert len(one.iu) == len(experiment.class_names[label])
    scores = dict((experiment.name, scores) for experiment, scores in trained)
    geometric = scores["siftflow-fcn8s-demo"]["geo"]
    assert len(geometric.iu) == len(embedded_siftflow.GEOMETRIC)
    context = scores["pascalcontext-fcn32s-demo"]["label"]
    assert not context.matrix[0].any()      # the background is not scored
    assert len(scores["nyud-fcn32s-color-hha-demo"]["label"].iu) == len(embedded_nyud.CLASSES)
    tasks = sum(len(experiment.class_names) for experiment, _ in trained)
    assert len(demo.rows(trained)) == 1 + tasks     # SIFT Flow has two labels


def test_the_majority_s_scores():
    matrix = np.array([[3, 1, 0], [2, 5, 1], [0, 0, 0]])
    constant = demo.majority(Scores.of(matrix))
    assert constant.pixel_accuracy == 8 / 12 and constant.mean_iu == (0 + 8 / 12) / 2
    assert demo.majority(Scores.of(matrix, unscored=(1,))).pixel_accuracy == 1


def test_the_table_shows_every_stage(tmp_path):
    experiment = miniature.miniature("voc-fcn32s", tmp_path)
    heading, row = demo.rows([(experiment, {"label": Scores.of(np.diag([3, 1]))})])
    assert heading[0] == "percent" and row[0] == "voc-fcn32s-demo"
    assert row[1:] == ("100.0",) * 5 + ("37.5",)


def test_the_plan_names_all_that_is_trained_and_the_time(tmp_path):
    stages = demo.plan(demo.STAGES, tmp_path)
    assert ("vgg16-demo, voc-fcn32s-demo, voc-fcn16s-demo, voc-fcn8s-demo." in stages and
            str(tmp_path) in stages)
    minutes = int(re.search(r"about (\d+) minutes", stages)[1])
    assert 2 <= minutes <= 8        # the promise of make demo
    late = demo.plan(["nyud-fcn32s-color-hha"], tmp_path)
    assert ("vgg16-demo, nyud-fcn32s-color-demo, nyud-fcn32s-hha-demo, nyud-fcn32s-color-hha-demo."
            in late)


def test_what_is_trained_already_is_said_once_and_takes_no_time(tmp_path, tiny, capsys,
                                                               monkeypatch):
    run_demo(tmp_path / "demo", monkeypatch)
    first = capsys.readouterr().out
    assert "is trained: " not in first and "Trained already" not in first
    (tmp_path / "demo/voc-fcn8s-demo").rename(tmp_path / "away")
    plan = demo.plan(demo.STAGES, tmp_path / "demo")
    assert "Trained already: vgg16-demo, voc-fcn32s-demo, voc-fcn16s-demo.\n" in plan
    assert "Trained one after the other: voc-fcn8s-demo.\n" in plan
    (tmp_path / "away").rename(tmp_path / "demo/voc-fcn8s-demo")
    run_demo(tmp_path / "demo", monkeypatch)
    again = capsys.readouterr().out
    assert "minutes" not in again and "All of it is trained already, in " in again
    assert again.count("is trained: ") == 3


@pytest.mark.parametrize("name, stride", [("voc-fcn32s", 32), ("voc-fcn16s", 16), ("voc-fcn8s", 8)])
def test_blocks_lie_where_their_scores_look(tmp_path, tiny, name, stride):
    """Scores of an image with one bright spot: the block around it is in the middle of them."""
    miniature.generate(name, tmp_path, 0)
    experiment = miniature.miniature(name, tmp_path)
    training.write_files(experiment, 0)
    blob, fields = pictures.coarse_scores(experiment)
    assert [field.stride for field in fields] == [stride, stride]
    numbers = np.arange(40 * 40).reshape(40, 40)
    shown = pictures.blocks(numbers, fields, (100, 90))
    assert shown.shape == (100, 90)
    rows = np.diff(np.flatnonzero(np.diff(shown[:, 0])))
    assert len(rows) and set(rows) == {stride}
    sample = 1 - int(fields[0].centre // stride)        # the first lie outside, in the padding
    middle = [round(float(field.centre)) + stride * sample for field in fields]
    assert shown[tuple(middle)] == numbers[sample, sample]


class Killed(BaseException):
    """Ends it as SIGKILL would, but for this test."""


def run_demo(directory, monkeypatch):
    monkeypatch.setattr("sys.argv", ["demo.py", "-o", str(directory)])
    demo.main()


def results(directory):
    """{file: bytes} of weights, pictures and scores, without what tells the time or when a run was
    started anew."""
    kinds = {".caffemodel", ".png", ".json"}
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*")
            if (path.suffix in kinds or path.name == "index.html") and "data-" not in str(path)
            and path.name not in ("circumstances.json", "progress.json")}


# where it is killed, one after the other: the function, and which of its calls
MOMENTS = [
    (embedded_voc, "save_voc", 1), (embedded_voc, "crops", 0), (caffe.SGDSolver, "step", 0),
    (surgery, "interp", 0), (caffe.SGDSolver, "step", 0), (counting, "count", 0),
    (log, "draw", 0), (surgery, "transplant", 0), (caffe.SGDSolver, "step", 0),
    (caffe.SGDSolver, "step", 1),       # of FCN-8s, after that of FCN-16s
    (pictures, "grid", 0), (pictures, "grid", 1), (demo_page, "picture", 1)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A demo that nothing has ended: its folder, moved from demo to whole, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(io.StringIO()) as printed:
        shrink(patch.setattr)
        run_demo(folder / "demo", patch)
    (folder / "demo").rename(folder / "whole")
    return folder / "whole", printed.getvalue()


def test_a_demo_that_is_killed_everywhere_goes_on_to_the_same_bytes(whole, tiny, real_curves,
                                                                    monkeypatch):
    expected = results(whole[0])
    directory = whole[0].with_name("demo")      # which caffemodels name
    for owner, name, number in MOMENTS:
        with monkeypatch.context() as patch:
            kill_at(patch, owner, name, number)
            with pytest.raises(Killed):
                run_demo(directory, patch)
    run_demo(directory, monkeypatch)
    assert results(directory) == expected
    assert {Path("scenes.png"), Path("strides.png")} < set(expected) and len(expected) > 15


def kill_at(patch, owner, name, number):
    calls, function = itertools.count(), getattr(owner, name)

    def kill(*args, **options):
        if next(calls) == number:
            raise Killed
        return function(*args, **options)
    patch.setattr(owner, name, kill)


def test_the_page_needs_nothing_beside_itself_and_explains(whole):
    page = (whole[0] / "index.html").read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    for words in ("Ctrl-C", " on 2 quiet cores", "Percent, on scenes", "scenes.png",
                  "strides.png", "index.html", "infer IMAGE.jpg --experiment", "solve --images"):
        assert words in whole[1]
    for words in ("What each stride sees", "triangle", "voc-fcn8s-demo", "infer IMAGE.jpg"):
        assert words in page
