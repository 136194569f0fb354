"""What tests of several folders share."""

import pytest

from analysis import variants
from segdata.embedded import voc as embedded_voc
from solvers import miniature
from solvers.experiments import EXPERIMENTS


@pytest.fixture
def log_as_it_is(monkeypatch):
    """For tests that run a command in their own process: it silences a log that others read."""
    monkeypatch.setenv("GLOG_minloglevel", "0")


@pytest.fixture
def tiny(monkeypatch):
    """Miniatures of a step on two small scenes."""
    monkeypatch.setattr(miniature, "WIDTH", 1 / 32)
    monkeypatch.setattr(miniature, "CROPS", 16)
    monkeypatch.setattr(miniature, "CLASSIFIERS",
                        {name: (*row[:2], 1) for name, row in miniature.CLASSIFIERS.items()})
    monkeypatch.setattr(miniature, "SCHEDULE", dict.fromkeys(EXPERIMENTS, (1e-9, 1)))
    monkeypatch.setattr(variants, "ONE_STAGE", 1)
    monkeypatch.setattr(embedded_voc, "SCENE_SIDE", (40, 48))
    for module, _ in miniature.DATASETS.values():
        monkeypatch.setattr(module.generate, "__defaults__", (0, 2, 2))
