"""Variants of the miniatures side by side, over seeds of the data."""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

from fcn.solvers.console.text import columns
from fcn.solvers.miniatures import miniature

ONE_STAGE = 1_000       # iterations


class Variant(NamedTuple):
    """train(directory, seed) : its mean IU in percent; paper : the paper's figure, '' if the
    project knows none."""
    train: Callable
    paper: str = ""


class Claim(NamedTuple):
    """What the paper found, and whether it holds for {variant: mean IU}."""
    text: str
    holds: Callable


def ordered(*names):
    """The Claim that the variants come in that order, the best first."""
    return Claim(" > ".join(names), lambda found: all(
        found[better] > found[worse] for better, worse in pairwise(names)))


def close(first, second, points):
    """The Claim that two variants are so many points of mean IU apart at most."""
    return Claim(f"{first} and {second} within {points:g} points",
                 lambda found: abs(found[first] - found[second]) <= points)


def compare(variants, claims, options):
    """Train {name: Variant} for every seed and print a table, one line a seed, and the claims.

    Returns {seed: {variant: mean IU}}.
    """
    found = {seed: {name: variant.train(options.directory / f"seed-{seed}", seed)
                    for name, variant in variants.items()} for seed in options.seeds}
    print("\n" + table(variants, claims, found))
    return found


def table(variants, claims, found):
    """Of {seed: {variant: mean IU}}: a line each, the mean, the paper's if known, the claims."""
    means = {name: sum(row[name] for row in found.values()) / len(found) for name in variants}
    rows = {**{f"seed {seed}": row for seed, row in found.items()}, "mean": means}
    cells = [("mean IU, %", *variants)]
    cells += [(title, *(f"{row[name]:.1f}" for name in variants)) for title, row in rows.items()]
    if any(variant.paper for variant in variants.values()):
        cells.append(("paper", *(variant.paper for variant in variants.values())))
    answers = [f"{text}: " + ", ".join(f"{title} {'yes' if holds(row) else 'no'}"
                                       for title, row in rows.items()) for text, holds in claims]
    return "\n\n".join([columns(cells), *answers])


def trained(name, variant="", change=lambda experiment: {}):
    """A function of (directory, seed) that trains a `variant_of` a miniature; it returns the mean
    IU in percent."""
    def train(directory, seed):
        experiment = variant_of(name, directory, seed, variant, change)
        return 100 * next(iter(miniature.run(experiment, seed).values())).mean_iu
    return train


def variant_of(name, directory, seed, variant, change):
    """The miniature of an experiment; with a `variant`, which goes to its name, it has the values
    that change(experiment), called when its data are there, gives it."""
    miniature.generate(name, directory, seed)
    experiment = miniature.miniature(name, directory, seed)
    if not variant:
        return experiment
    return replace(experiment, name=f"{experiment.name}-{variant}", **change(experiment))


def one_stage(experiment):
    """The change to an FCN-8s that lets it start from the classifier, its skips as they are."""
    return dict(bases={"": "vgg16"}, iterations=ONE_STAGE, interval=ONE_STAGE)
