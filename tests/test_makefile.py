"""The Makefile's lists are those of the tables, and every target has a recipe."""

import os
import re
import shutil
import subprocess

import pytest

from fcn.nets.source import ROOT
from fcn.solvers.experiments import EXPERIMENTS
from segdata.download import catalog

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make")


def make(*arguments):
    """Run make, also below `make test`: without its flags, and without the folder's name."""
    environment = {name: value for name, value in os.environ.items()
                   if name not in ("MAKEFLAGS", "MFLAGS")}
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=ROOT,
                          env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("variable, names", [("EXPERIMENTS", EXPERIMENTS),
                                             ("RELEASED", catalog.RELEASED)])
def test_the_lists_are_those_of_the_tables(variable, names):
    result = make(f"--eval=show: ; @echo $({variable})", "show")
    assert sorted(result.stdout.split()) == sorted(names)


def test_every_target_that_help_lists_can_be_made():
    targets = re.findall(r"^make (\S+)", make("help").stdout, re.M)
    assert set(EXPERIMENTS) < set(targets)
    for target in targets:
        assert make("-n", target).returncode == 0, target


def test_weights_that_nobody_released_are_no_target():
    assert make("-n", "voc-fcn8s-released").returncode == 0
    assert "No rule" in make("-n", "voc-fcn-googlenet-released").stderr
