"""The paper's claim in miniature: finer strides segment better, over three seeds of the data."""

import itertools
import re

import numpy as np
import pytest
import tiny as tiny_miniatures
import torch
from PIL import Image

import caffe
from fcn import surgery
from fcn.solvers import demo, demo_page, log, miniature, score, training
from fcn.solvers.experiments import EXPERIMENTS
from fcn.solvers.metrics import Scores
from fcn.solvers.runs import RunError
from segdata.embedded import nyud as embedded_nyud
from segdata.embedded import siftflow as embedded_siftflow
from segdata.embedded import voc as embedded_voc


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_stage_gains_a_point_and_8s_reaches_70(seed, tmp_path):
    iu = [100 * miniature.train(name, tmp_path, seed)[1]["label"].mean_iu for name in demo.STAGES]
    assert iu[0] + 1 <= iu[1] and iu[1] + 1 <= iu[2], iu
    assert iu[2] >= 70, iu


@pytest.mark.slow
@pytest.mark.parametrize("precision", [
    "bf16", pytest.param("tf32", marks=pytest.mark.skipif(
        not torch.cuda.is_available(), reason="PyTorch sees no GPU, and only they have TF32"))])
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
    blob = miniature.preprocess(image)
    assert blob.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(blob[0, :, 0, 0], [-104.00699, -116.66877, 200 - 122.67892],
                               rtol=1e-6)


def test_the_picture_shows_scenes_truth_and_every_stage(tmp_path, tiny):
    trained = [miniature.train(name, tmp_path, 3) for name in demo.STAGES[:2]]
    path = demo.draw(trained, tmp_path / "scenes.png", scenes=2)
    side = min(embedded_voc.SCENE_SIDE)
    with Image.open(path) as picture:
        assert picture.width > 4 * 2 * side and picture.height > 2 * 2 * side
    with pytest.raises(RunError, match="seed 3, now asked for is 4"):
        miniature.train(demo.STAGES[0], tmp_path, 4)


def test_every_experiment_has_a_miniature_that_starts_from_its_bases(tmp_path, tiny):
    trained = [miniature.train(name, tmp_path, 0) for name in EXPERIMENTS]
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
    assert len(demo.rows(trained)) == 1 + len(EXPERIMENTS) + 3       # three have a second label


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
    assert "vgg16, voc-fcn32s, voc-fcn16s, voc-fcn8s." in stages and str(tmp_path) in stages
    minutes = int(re.search(r"about (\d+) minutes", stages)[1])
    assert 2 <= minutes <= 8        # the promise of make demo
    late = demo.plan(["nyud-fcn32s-color-hha"], tmp_path)
    assert "vgg16, nyud-fcn32s-color, nyud-fcn32s-hha, nyud-fcn32s-color-hha." in late


def test_silenced_layers_put_out_zeros_and_are_as_before(tmp_path, tiny):
    experiment, _ = miniature.train("voc-fcn16s", tmp_path, 0)
    net = training.trained_net(experiment)
    net.params["score_fr"][1].data[...] = 5
    net.forward()
    before = net.blobs["score"].data.copy()
    with demo.silenced(net, ["score_fr", "score_pool4"]):
        net.forward()
        assert not net.blobs["score"].data.any()
    net.forward()
    np.testing.assert_array_equal(net.blobs["score"].data, before)
    assert before.any()


class Killed(BaseException):
    """Ends it as SIGKILL would, but for this test."""


def run_demo(directory, monkeypatch):
    monkeypatch.setattr("sys.argv", ["demo.py", "-o", str(directory)])
    demo.main()


def results(directory):
    """{file: bytes} of all that does not name the folder itself."""
    kinds = {".caffemodel", ".png", ".json", ".csv"}
    return {path.relative_to(directory): path.read_bytes() for path in directory.rglob("*")
            if path.suffix in kinds and "data-" not in str(path) and path.name != "settings.json"}


MOMENTS = {     # {where it is killed: (the function that is called then, which of its calls)}
    "data": ((embedded_voc, "save_voc"), 1), "crops": ((embedded_voc, "crops"), 0),
    "classifier": ((caffe.SGDSolver, "step"), 0), "surgery": ((surgery, "interp"), 0),
    "weights of FCN-16s": ((surgery, "transplant"), 1), "FCN-32s": ((caffe.SGDSolver, "step"), 1),
    "FCN-16s": ((caffe.SGDSolver, "step"), 2), "FCN-8s": ((caffe.SGDSolver, "step"), 3),
    "scores": ((score, "score_net"), 1), "curve": ((log, "draw"), 2),
    "scenes": ((demo, "_grid"), 0), "strides": ((demo, "_grid"), 1),
    "page": ((demo_page, "picture"), 1)}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The results of a demo that was not interrupted."""
    with pytest.MonkeyPatch.context() as patch:
        tiny_miniatures.shrink(patch.setattr)
        directory = tmp_path_factory.mktemp("whole")
        run_demo(directory, patch)
    return results(directory)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_demo_that_is_killed_goes_on_to_the_same_bytes(moment, whole, tmp_path, tiny,
                                                         monkeypatch):
    (owner, name), number = MOMENTS[moment]
    calls = itertools.count()

    def kill(*args, function=getattr(owner, name), **options):
        if next(calls) == number:
            raise Killed
        return function(*args, **options)
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, kill)
        with pytest.raises(Killed):
            run_demo(tmp_path, patch)
    run_demo(tmp_path, monkeypatch)
    assert results(tmp_path) == whole and len(whole) > 15


def test_the_page_needs_nothing_beside_itself_and_explains(tmp_path, tiny, monkeypatch, capsys):
    run_demo(tmp_path, monkeypatch)
    page = (tmp_path / "index.html").read_text()
    assert page.count('src="data:image/png;base64,') == 2
    assert not re.search(r'(src|href)="(?!data:)', page)
    printed = capsys.readouterr().out
    for words in ("Ctrl-C", "minutes on 2 quiet cores", "Percent, on scenes", "scenes.png",
                  "strides.png", "index.html", "infer IMAGE.jpg --experiment", "solve --images"):
        assert words in printed
    for words in ("What each stride sees", "triangle", "voc-fcn8s-demo", "infer IMAGE.jpg"):
        assert words in page
