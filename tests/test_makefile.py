"""The Makefile's lists are those of the tables, and every target has a recipe."""

import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

from fcn.nets.source import ROOT
from fcn.solvers.experiments.table import EXPERIMENTS
from segdata.download import catalog

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="no make")


def make(*arguments):
    return subprocess.run(["make", *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("variable, names", [("EXPERIMENTS", EXPERIMENTS),
                                             ("RELEASED", catalog.RELEASED)])
def test_the_lists_are_those_of_the_tables(variable, names):
    """They stand at the top of the Makefile."""
    result = make(f"--eval=show: ; @echo $({variable})", "show")
    listed = result.stdout.split()
    assert set(listed) == set(names)
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_before_anything_is_installed_it_looks_for_all_that_the_chain_needs(name, tmp_path):
    """By the lines `...: NEEDS = ...`, as segdata/datasets.py has it."""
    done = make("-n", name, f"FCN_BUILD={tmp_path}")
    looked_for, = re.findall(r"segdata.download.catalog (.*) --device=\"--gpu 0\"", done.stdout)
    stages, needs = [name], set()
    for stage in stages:
        needs |= set(EXPERIMENTS[stage].needs)
        stages += [base for base in EXPERIMENTS[stage].bases.values() if base in EXPERIMENTS]
    assert set(looked_for.split()) == needs


def test_every_target_that_help_lists_can_be_made():
    targets = re.findall(r"^make (\S+)", make("help").stdout, re.M)
    assert set(EXPERIMENTS) < set(targets)
    for target in targets:
        assert make("-n", target).returncode == 0, target


@pytest.mark.parametrize("words", [
    ["demo"], ["demos"], ["voc-fcn8s-demo"], ["voc-fcn8s", "DEVICE=--cpu"],
    ["voc-fcn8s", "siftflow-fcn8s-demo", "OPTIONS=--batch 4"]])
def test_what_trains_is_told_what_was_typed(words, tmp_path):
    """It names that as the command that goes on after an interruption."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\nprintf "typed: %s\\n" "$FCN_TYPED"\n')
    program.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", ".venv/done"):
        (tmp_path / name).touch()
    given = [f"PYTHON={program}", *words]
    for arguments, folder, of_environment in ((["-C", tmp_path], ROOT, {}), ([], tmp_path, {}),
                                              ([], tmp_path, {"DEVICE": "--gpu 0,1"})):
        result = subprocess.run(["make", *arguments, *given], cwd=folder, capture_output=True,
                                text=True, env={**os.environ, "PWD": str(folder),
                                                **of_environment})
        told = {line.removeprefix("typed: ") for line in result.stdout.splitlines()
                if "typed" in line}
        assert result.returncode == 0 and len(told) == 1, result
        first, *typed = shlex.split(told.pop())
        others = [f"{name}={value}" for name, value in of_environment.items()
                  if not any(word.startswith(name) for word in words)]
        assert first == "make"
        assert sorted(typed) == sorted([*map(str, arguments), *given, *others])


def test_weights_that_nobody_released_are_no_target():
    assert make("-n", "voc-fcn8s-released").returncode == 0
    assert make("-n", "voc-fcn-googlenet-released").returncode == 2


@pytest.mark.parametrize("option", [[], ["-n"], ["-s"]])
def test_a_target_that_there_is_not_is_told_how_to_see_all(option):
    done = make(*option, "dmeo")
    assert done.returncode == 2
    assert done.stderr.startswith("error: there is no target 'dmeo'; make help lists them\n")


def test_without_data_and_gpu_both_are_said(tmp_path):
    said = make("voc-fcn8s", f"PYTHON={sys.executable}", f"FCN_DATA={tmp_path}").stderr
    assert said.startswith("note: it trains on a GPU (--gpu 0); where there is none, add DEVICE=")
    assert "Get it with `make vgg16`.\n" in said
    said = make("voc-fcn8s", f"PYTHON={sys.executable}", f"FCN_DATA={tmp_path}", "DEVICE=--cpu")
    assert said.stderr.startswith("error: ")


@pytest.mark.parametrize("target, words", [
    ("install", "Installed into .venv: after '. .venv/bin/activate' type fcn or caffe, without it "
                ".venv/bin/fcn\n"), ("voc-fcn8s", "")])
def test_the_end_of_an_installation_says_how_to_go_on(target, words, tmp_path):
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = tmp_path / ".venv" / "bin" / "python"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt", ".venv/done"):
        (tmp_path / name).touch()
    assert make("-C", tmp_path, "--no-print-directory", f"PYTHON={program}", target
                ).stdout == words
