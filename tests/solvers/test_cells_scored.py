"""Scores of cells, and a miniature of U-Net from its data to a segmented image."""

import re

import numpy as np
import pytest
from PIL import Image

from fcn import nets
from fcn.nets.source import folder
from fcn.solvers import cells, demo, score, training
from fcn.solvers.console.errors import RunError
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.inference.segmenter import Segmenter
from fcn.solvers.inference.tiles import TileError
from fcn.solvers.miniatures import miniature
from fcn.solvers.runs.run import Run
from segdata.embedded import cells as embedded_cells

CELLS = np.zeros((12, 24), int)
CELLS[2:10, 2:10], CELLS[2:10, 12:20] = 1, 7


def test_what_is_right_scores_all():
    scores = cells.score_cells(CELLS, CELLS > 0)
    assert (scores.iu, scores.cells, scores.found, scores.merged, scores.extra) == (1, 2, 2, 0, 0)
    assert (scores.wrong, scores.warped, scores.rand) == (0, 0, 0)
    assert cells.table({"a": scores + scores}).splitlines()[1].split() == [
        "a", "100.0", "4", "4", "0", "0", "0.0000", "0.0000", "0.000000"]


def test_a_bridge_merges_two_cells():
    said = CELLS > 0
    said[5, 10:12] = True
    scores = cells.score_cells(CELLS, said)
    # each is covered by an object of 130 pixels
    assert scores.iu == pytest.approx(64 / 130) and (scores.found, scores.merged) == (0, 2)
    assert scores.rand == pytest.approx(1 - 2 * 2 / (4 + 2))    # 2·n² pairs of 4·n² and 2·n²
    assert scores.wrong == 2 and scores.warped == 1             # one less, and it is no bridge


def test_a_cell_counts_when_more_than_half_of_it_is_covered():
    for columns, iu in ((4, 0), (5, 5 / 8)):
        said = np.zeros_like(CELLS, bool)
        said[2:10, 2:2 + columns] = True
        scores = cells.score_cells(CELLS, said)
        assert scores.iu == pytest.approx(iu / 2) and scores.extra == (iu == 0)
        assert scores.found == (iu > 0.5)


def test_a_split_a_hole_and_what_is_no_cell():
    said = CELLS > 0
    said[2:10, 6] = False           # columns 2 to 5 and 7 to 9: neither has more than half
    said[5, 15], said[0, 22:] = False, True
    scores = cells.score_cells(CELLS, said)
    assert (scores.cells, scores.found, scores.extra) == (2, 1, 3)
    assert scores.iu == pytest.approx((63 / 64) / 2)
    # a pixel of the split, of the hole and of the extra object stays: each alone changes topology
    assert scores.wrong == 8 + 1 + 2 and scores.warped == 1 + 1 + 2


def test_a_border_that_lies_elsewhere_is_warped_away():
    said = np.roll(CELLS > 0, (1, -1), (0, 1))
    scores = cells.score_cells(CELLS, said)
    assert scores.wrong > 50 and scores.warped == 0


def test_an_image_without_cells_or_predictions():
    nothing = np.zeros((4, 5), int)
    assert cells.score_cells(nothing, nothing > 0).iu == 0
    assert cells.score_cells(nothing, nothing == 0).extra == 1
    scores = cells.score_cells(CELLS, CELLS < 0)
    assert (scores.cells, scores.found, scores.rand) == (2, 0, pytest.approx(1 - 2 * 128 / (
        128 + 2 * 64 ** 2)))
    full = cells.score_cells(np.ones((4, 4), int), np.ones((4, 4), bool))
    assert (full.cells, full.iu, full.rand) == (1, 1, 0)
    with pytest.raises(RunError, match=r"instances are \(4, 5\), the prediction is \(12, 24\)"):
        cells.score_cells(nothing, CELLS > 0)


def test_images_without_cells_do_not_count_in_the_mean_rand_error():
    nothing = np.zeros((12, 24), int)
    empty, missed = cells.score_cells(nothing, nothing == 0), cells.score_cells(CELLS, CELLS < 0)
    assert (empty + missed).summary()["Rand error"] == missed.summary()["Rand error"] == "0.9692"
    assert empty.summary()["Rand error"] == "-"


def test_a_run_on_other_data_has_no_cells(tmp_path):
    nets.write_prototxt(tmp_path / "val.prototxt", nets.fcn("fcn32s", "val", folder(tmp_path, 2)))
    assert cells.next_step(Run(tmp_path)) == ""
    with pytest.raises(RunError, match=r"val\.prototxt has no data layer of segdata\.cells"):
        cells.of_run(Run(tmp_path), tmp_path / "w.caffemodel")


@pytest.mark.parametrize("given, said", [
    ("{'split': 'val'}", "'cells_dir'"), ("{'cells_dir': 'x'}", "'split'"),
    ("[1]", "cannot convert"),
    ("{'cells_dir': ", "no Python literal"), ("{'cells_dir': 3, 'split': 'val'}", "expected str")])
def test_a_damaged_data_layer_is_named(tmp_path, given, said):
    (tmp_path / "val.prototxt").write_text(
        'layer { name: "data" type: "Python" top: "data" top: "label" python_param { module: '
        f'"segdata.cells" layer: "CellSegDataLayer" param_str: "{given}" }} }}')
    with pytest.raises(RunError, match=rf"val\.prototxt: damaged: .*s param_str: .*{said}"):
        cells.of_run(Run(tmp_path), tmp_path / "w.caffemodel")


def test_looks_come_from_a_seed_and_cells_touch():
    for look in embedded_cells.LOOKS:
        (image, found), (again, _), (other, _) = (
            embedded_cells.scene(np.random.default_rng(seed), look) for seed in (1, 1, 2))
        np.testing.assert_array_equal(image, again)
        assert (image != other).any() and image.dtype == np.uint8
        assert set(np.unique(found)) == set(range(found.max() + 1)) and found.max() > 15
        beside = (found[1:] != found[:-1]) & (found[1:] > 0) & (found[:-1] > 0)
        assert beside.any() == (look != "isbi")


@pytest.fixture
def tiny_cells(tiny, monkeypatch):
    monkeypatch.setattr(embedded_cells, "SIDE", 48)


def test_the_miniature_trains_scores_and_segments(tmp_path, tiny_cells, capsys, monkeypatch):
    """What other experiments do, with nothing else to be said: a grey image, a margin, weights."""
    monkeypatch.setenv("FCN_BUILD", str(tmp_path))
    experiment, scores = miniature.train("phc-unet", tmp_path, 0)
    assert list(scores["label"].iu.shape) == [2]
    run, weights = experiment.run, training.final_weights(experiment)
    assert run.images()[:3] == (("grey",), (127.5,) * 3, nets.unet.margin(2))
    assert cells.of_run(run, weights).cells > 4
    monkeypatch.setattr("sys.argv", ["cells.py", str(run.directory), "--cpu"])
    cells.main()
    assert "IU of cells, %" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    for main, words in (demo.main, ["phc-unet", "-o", "."]), (score.main, ["phc-unet-demo"]):
        monkeypatch.setattr("sys.argv", ["fcn", *words, "--cpu"])
        main()
        assert re.search(r"How many cells are found, merged and extra:\n    \S*fcn cells "
                         r"phc-unet-demo\n$", capsys.readouterr().out)
    image = Image.open(tmp_path / "data-phc/cells/phc/images/val_00000.tif")
    segment = Segmenter(run.prototxt("deploy"), weights)
    assert segment(image.convert("RGB")).labels.shape == (48, 48)
    larger = image.convert("RGB").resize((70, 81))
    whole = segment(larger)
    segment.tile = 60
    assert len(segment.plan((81, 70))) == 6
    np.testing.assert_allclose(segment(larger).probabilities, whole.probabilities, atol=1e-5)
    segment.tile = 44
    with pytest.raises(TileError, match="44 pixels is too small.*23 pixels before and 23 behind"):
        segment(larger)
    assert "input" in (run.directory / "report.html").read_text()


def test_experiments_are_those_of_the_paper():
    for name in ("isbi-unet", "phc-unet", "dic-unet"):
        experiment = EXPERIMENTS[name]
        assert (experiment.momentum, experiment.images, experiment.bases) == (0.99, 1, {})
        assert experiment.needs == (name.removesuffix("-unet"),) and experiment.published
