"""The tables that name heads and experiments have all of them."""

import pytest

from fcn import nets
from fcn.nets.fcn import OWN_TRUNKS
from fcn.nets.heads import HEADS
from fcn.solvers.experiments.families import FAMILIES, ON_FOLDER, family_of
from fcn.solvers.experiments.table import EXPERIMENTS
from fcn.solvers.miniatures.miniature import SMALL


def test_each_head_is_of_one_family():
    heads = [head for family in FAMILIES for head in family.heads]
    assert sorted(heads) == sorted([*HEADS, "crfrnn", *OWN_TRUNKS])
    for head in ON_FOLDER:
        assert head in family_of(head).heads


def test_each_experiment_has_a_net_and_a_miniature():
    assert EXPERIMENTS.keys() == SMALL.keys() == nets.TABLE.keys()


def test_the_recipe_of_each_head_on_a_folder_is_that_of_an_experiment_with_it():
    for head in ON_FOLDER:
        assert EXPERIMENTS[family_of(head).recipes["vgg16"].format(head=head)].head == head


def test_a_head_that_needs_a_base_has_an_experiment_that_starts_from_one_with_it():
    needed = {head: base for family in FAMILIES for head, base in family.needs_base.items()}
    assert set(needed) == {"deeplab-msc", "deeplab-msc-largefov"}
    for head, base in needed.items():
        assert EXPERIMENTS[EXPERIMENTS[f"voc-{head}"].bases[""]].head == base


def test_an_unknown_head_is_named_with_those_that_are_known():
    with pytest.raises(ValueError, match="unknown head 'fcn4s'; known are fcn32s, .*, unet"):
        family_of("fcn4s")
