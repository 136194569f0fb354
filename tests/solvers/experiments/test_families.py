"""The tables that name heads, experiments and data sets have all of them, and what contradicts
itself is no row of them."""

from dataclasses import replace

import pytest

from fcn import nets
from fcn.nets.fcn import OWN_TRUNKS
from fcn.nets.heads import HEADS
from fcn.solvers.experiments.families import FAMILIES, ON_FOLDER, family_of
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.miniatures.miniature import DATASETS, SMALL, miniature


def test_each_head_is_of_one_family():
    heads = [head for family in FAMILIES for head in family.heads]
    assert set(heads) == {*HEADS, "crfrnn", *OWN_TRUNKS}
    assert len(heads) == len(set(heads))
    for head in ON_FOLDER:
        assert head in family_of(head).heads


def test_each_experiment_has_a_net_and_a_miniature():
    assert EXPERIMENTS.keys() == SMALL.keys() == nets.TABLE.keys()


def test_the_data_of_each_experiment_have_a_miniature(tmp_path):
    """In DATASETS of miniatures/miniature.py, by what the names of the experiments begin with."""
    assert {name.partition("-")[0] for name in EXPERIMENTS} == DATASETS.keys()
    for name in EXPERIMENTS:
        made = miniature(name, tmp_path)
        assert {label: len(names) for label, names in made.class_names.items()} \
            == made.source.labels


@pytest.mark.parametrize("recipe, words", [
    (dict(policy=dict(lr_policy="poly"), drop=0.75), "drop=0.75 stands in place.*'poly'"),
    (dict(policy=dict(lr_policy="exp", gamma=0.9)), "'exp', expected one of fixed, step, poly")])
def test_a_rate_that_would_fall_otherwise_than_it_says_is_refused(recipe, words):
    """Where the miniature of an experiment says how its rate falls, its own row may not."""
    with pytest.raises(ValueError, match=f"isbi-unet: .*{words}"):
        replace(EXPERIMENTS["isbi-unet"], **recipe)


def test_the_recipe_of_each_head_on_a_folder_is_that_of_an_experiment_with_it():
    for head in ON_FOLDER:
        assert EXPERIMENTS[family_of(head).recipes["vgg16"].format(head=head)].head == head


def test_a_head_that_needs_a_base_has_an_experiment_that_starts_from_one_with_it():
    needed = {head: base for family in FAMILIES for head, base in family.needs_base.items()}
    assert set(needed) == {"deeplab-msc", "deeplab-msc-largefov"}
    for head, base in needed.items():
        assert EXPERIMENTS[EXPERIMENTS[f"voc-{head}"].bases[""]].head == base


def test_an_unknown_head_is_named_with_those_that_are_known():
    with pytest.raises(ValueError, match="unknown head 'fcn9s'; known are fcn32s, .*, unet"):
        family_of("fcn9s")
