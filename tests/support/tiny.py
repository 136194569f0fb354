"""Miniatures of the experiments that train in a second: one step on two small scenes."""

from dataclasses import replace

from fcn.analysis import variants
from fcn.nets import unet
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.miniatures import classifiers, miniature
from segdata.embedded import voc as embedded_voc


def shrink(put=setattr):
    """Make them so; `put` is setattr, or that of a monkeypatch, which ends it."""
    put(classifiers, "WIDTH", 1 / 32)
    put(classifiers, "CROPS", 16)
    put(classifiers, "CLASSIFIERS",
        {name: (*row[:3], 1) for name, row in classifiers.CLASSIFIERS.items()})
    put(miniature, "SMALL", {name: replace(
        row, lr=1e-9, iterations=1, training=row.training and dict(
            batch=2, crop=36 if EXPERIMENTS[name].head == unet.HEAD else 33))
        for name, row in miniature.SMALL.items()})
    put(variants, "ONE_STAGE", 1)
    put(embedded_voc, "SCENE_SIDE", (40, 48))
    for module, _ in miniature.DATASETS.values():
        put(module.generate, "__defaults__", (0, 2, 2))
