"""What the analyses train: the experiments themselves, without training them."""

from types import SimpleNamespace

import pytest

from fcn.analysis import balancing, cues, interpolation, recipes, sampling, stages
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.miniatures import miniature
from segdata.embedded import voc as embedded_voc


@pytest.fixture
def planned(monkeypatch, tmp_path):
    """A function (analysis): {name: Experiment} of what it would train."""
    found = {}

    def record(experiment, seed):
        found[experiment.name] = experiment
        return {"label": SimpleNamespace(mean_iu=0.5)}

    def run(analysis):
        analysis.run(SimpleNamespace(seeds=[3], directory=tmp_path))
        assert {experiment.data for experiment in found.values()} == {"seed 3"}
        return {name.removesuffix("-demo").replace("-demo", ""): experiment
                for name, experiment in found.items()}

    monkeypatch.setattr(miniature, "run", record)
    monkeypatch.setattr(embedded_voc.generate, "__defaults__", (0, 2, 1))
    return run


def test_recipes_see_as_many_images_and_have_one_rate_but_for_the_sum(planned):
    found = planned(recipes)
    assert {name: (each.momentum, each.iter_size) for name, each in found.items()} == {
        "voc-fcn8s-one-stage": (0.99, 1), "voc-fcn8s-online": (0.9, 1),
        "voc-fcn8s-accumulation": (0.9, 20), "voc-fcn8s-accumulation-summed": (0.9, 20)}
    assert len({each.iterations * each.iter_size for each in found.values()}) == 1
    *others, summed = (each.lr for each in found.values())
    assert len(set(others)) == 1 and summed == 20 * others[0]


def test_stages_are_the_miniatures_themselves(planned):
    assert set(planned(stages)) == {"voc-fcn32s", "voc-fcn16s", "voc-fcn8s", "voc-fcn8s-atonce",
                                    "voc-fcn32s-fixed"} <= set(EXPERIMENTS)


def test_interpolation_differs_in_that_alone(planned):
    fixed, learned = planned(interpolation).values()
    assert learned.net == dict(fixed.net, learned=True) and learned.bases == fixed.bases
    assert (learned.lr, learned.iterations) == (fixed.lr, fixed.iterations)


def test_sampling_keeps_the_number_of_cells_in_a_batch(planned):
    plain, *sampled = planned(sampling).values()
    assert [each.iter_size for each in sampled] == [2, 4]
    for each in sampled:
        params = dict(each.source.layer_params)
        assert params["keep"] * each.iter_size == 1 and params["cell"] == 32
        assert each.source.splits == ("train",)
        assert (each.lr, each.iterations) == (plain.lr * each.iter_size, plain.iterations)


def test_balancing_only_filters_the_training_labels(planned):
    plain, balanced = planned(balancing).values()
    assert balanced.source.splits == ("train",) and balanced.lr > plain.lr
    keep = dict(balanced.source.layer_params)["keep"]
    assert len(keep) == 7 and min(keep) == keep[0] < max(keep) == 1    # most is background
    assert (balanced.bases, balanced.iterations) == (plain.bases, plain.iterations)


def test_cues_are_masked_in_training_and_in_testing(planned, monkeypatch):
    monkeypatch.setattr(cues, "tested", lambda cue: lambda directory, seed: 0)
    whole, *masked = planned(cues).values()
    assert [dict(each.source.layer_params)["cue"] for each in masked] == [
        "foreground", "background", "shape"]
    assert all(each.source.splits == ("train", "val") for each in masked)
    assert {each.iterations for each in masked} == {whole.iterations}
