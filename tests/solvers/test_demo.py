"""The paper's claim in miniature: finer strides segment better, over three seeds of the data."""

import numpy as np
import pytest
import torch
from PIL import Image

import caffe
from fcn.solvers import demo, miniature
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
    lines = demo.table(trained).splitlines()
    assert len(lines) == 1 + len(EXPERIMENTS) + 3       # three have a second label


def test_the_majority_s_scores():
    matrix = np.array([[3, 1, 0], [2, 5, 1], [0, 0, 0]])
    constant = demo.majority(Scores.of(matrix))
    assert constant.pixel_accuracy == 8 / 12 and constant.mean_iu == (0 + 8 / 12) / 2
    assert demo.majority(Scores.of(matrix, unscored=(1,))).pixel_accuracy == 1


def test_the_table_shows_every_stage(tmp_path):
    experiment = miniature.miniature("voc-fcn32s", tmp_path)
    lines = demo.table([(experiment, {"label": Scores.of(np.diag([3, 1]))})]).splitlines()
    assert [line.split()[0] for line in lines] == ["percent", "voc-fcn32s-demo"]
    assert lines[1].split()[1:] == ["100.0"] * 5 + ["37.5"]
