"""The paper's claim in miniature: finer strides segment better, over three seeds of the data."""

from functools import partial

import embedded
import numpy as np
import pytest
from PIL import Image

from solvers import demo
from solvers.runs import RunError


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_each_stage_gains_a_point_and_8s_reaches_70(seed, tmp_path):
    _, scores = demo.run(tmp_path, seed)
    iu = [100 * scores[head].mean_iu for head in ("fcn32s", "fcn16s", "fcn8s")]
    assert iu[0] + 1 <= iu[1] and iu[1] + 1 <= iu[2], iu
    assert iu[2] >= 70, iu


def test_preprocessing_is_bgr_minus_the_mean():
    image = np.zeros((1, 2, 3, 3), np.uint8)
    image[..., 0] = 200     # red
    blob = demo.preprocess(image)
    assert blob.shape == (1, 3, 2, 3)
    np.testing.assert_allclose(blob[0, :, 0, 0], [-104.00699, -116.66877, 200 - 122.67892],
                               rtol=1e-6)


def test_the_table_shows_every_stage():
    from solvers.metrics import Scores
    scores = Scores.of(np.diag([3, 1]))
    lines = demo.table({"fcn32s": scores, "fcn8s": scores}).splitlines()
    assert [line.split()[0] for line in lines] == ["percent", "FCN-32s", "FCN-8s"]
    assert lines[1].split()[1:] == ["100.0"] * 4


def test_the_picture_shows_scenes_truth_and_every_stage(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "WIDTH", 1 / 64)
    monkeypatch.setattr(demo, "CLASSIFIER_STEPS", 1)
    monkeypatch.setattr(demo, "CROPS", 16)
    monkeypatch.setattr(demo, "STAGES", (("fcn32s", 1e-9, 2), ("fcn16s", 1e-9, 2)))
    monkeypatch.setattr(demo.embedded, "generate", partial(embedded.generate, train=2, val=2))
    experiments, scores = demo.run(tmp_path, 3)
    path = demo.draw(experiments, scores, tmp_path / "scenes.png", scenes=2)
    side = min(embedded.SCENE_SIDE)
    with Image.open(path) as picture:
        assert picture.width > 4 * 2 * side and picture.height > 2 * 2 * side
    with pytest.raises(RunError, match="seed 3, now asked for is 4"):
        demo.run(tmp_path, 4)
