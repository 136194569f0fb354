"""Command lines name what they do not know, and what was probably meant."""

import argparse
import sys

import pytest

from caffe.cli import main as caffe_main
from caffe.cli.arguments import ArgumentParser as CaffesParser
from fcn.command import main as fcn_main
from segdata.arguments import ArgumentParser as ToolsParser


def said(main, *words, capsys, monkeypatch):
    """The last lines of what a command line that is refused prints, without the usage."""
    monkeypatch.setattr(sys, "argv", ["restored afterwards"])
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert ended.value.code == 2
    return capsys.readouterr().err.partition(" error: ")[2]


@pytest.mark.parametrize("main, words, message", [
    (fcn_main, "solve --heda X", "--heda (did you mean '--head'?)\n"),
    (fcn_main, "solve voc-fcn8s --heda=fcn8s", "--heda (did you mean '--head'?)\n"),
    (fcn_main, "solve --data x --xyzzy 1", "--xyzzy\n"),
    (fcn_main, "solve --data x --learning-rate 1", "--learning-rate (did you mean '--lr'?)\n"),
    (fcn_main, "solve --iterationz 5 --kep 3",
     "--iterationz (did you mean '--iterations'?), --kep (did you mean '--keep'?)\n"),
    (fcn_main, "infer --experimnt run", "--experimnt (did you mean '--experiment'?)\n"),
    (fcn_main, "infer x.jpg -output here", "-output (did you mean '--output'?)\n"),
    (fcn_main, "infer x.jpg -best", "-best (did you mean '--best'?)\n"),
    (fcn_main, "score --cfr", "--cfr (did you mean '--crf'?)\n"),
    (fcn_main, "analysis --rnu x", "--rnu (did you mean '--run'?)\n"),
    (fcn_main, "import --fromat coco", "--fromat (did you mean '--format'?)\n"),
    (fcn_main, "demo --sed 3", "--sed (did you mean '--seed'?)\n"),
    (fcn_main, "export --netz x", "--netz (did you mean '--net'?)\n"),
    (fcn_main, "page --srve", "--srve (did you mean '--serve'?)\n"),
    (fcn_main, "cells --gup 1", "--gup (did you mean '--gpu'?)\n"),
    (fcn_main, "report --outptu x", "--outptu\n"),
    (fcn_main, "nets --widht 2", "--widht (did you mean '--width'?)\n"),
    (caffe_main, "time --modle x", "--modle (did you mean '--model'?)\n"),
    (caffe_main, "train -slover x", "-slover (did you mean '--solver'?)\n"),
    (caffe_main, "train --iteration 5", "--iteration\n"),
    (caffe_main, "--verison time", "--verison (did you mean '--version'?)\n")])
def test_an_unknown_option_is_named(main, words, message, capsys, monkeypatch):
    """Also where something else is missing, or a value in the wrong place."""
    assert said(main, *words.split(), capsys=capsys, monkeypatch=monkeypatch) \
        == f"there is no option {message}"


@pytest.mark.parametrize("main, words, message", [
    (fcn_main, "solve --data x --head fcn8",
     "argument --head: invalid choice: 'fcn8' (did you mean 'fcn8s'?)\nchoose from fcn32s, "),
    (fcn_main, "analysis deplab",
     "argument NAME: invalid choice: 'deplab' (did you mean 'deeplab'?)\nchoose from upper-"),
    (fcn_main, "nets voc-fcn8",
     "argument NAME: invalid choice: 'voc-fcn8' (did you mean 'voc-fcn8s'?)\nchoose from vgg16, "),
    (fcn_main, "import a b --format cocco",
     "argument --format: invalid choice: 'cocco' (did you mean 'coco'?)\nchoose from voc, "),
    (fcn_main, "score run --precision fp8",
     "argument --precision: invalid choice: 'fp8'\nchoose from fp32, tf32, bf16, auto\n"),
    (caffe_main, "tiem",
     "argument COMMAND: invalid choice: 'tiem' (did you mean 'time'?)\nchoose from train, "),
    (caffe_main, "train --sigint_effect snap", "argument --sigint_effect/-sigint_effect: invalid "
     "choice: 'snap' (did you mean 'snapshot'?)\nchoose from snapshot, stop, none\n")])
def test_a_choice_that_there_is_not(main, words, message, capsys, monkeypatch):
    found = said(main, *words.split(), capsys=capsys, monkeypatch=monkeypatch)
    assert found.startswith(message)
    assert max(map(len, found.splitlines())) <= 100


@pytest.mark.parametrize("main, words, usage", [
    (fcn_main, "solve --heda X", "usage: fcn solve [experiment] [OPTIONS]; see fcn solve --help"),
    (fcn_main, "infer", "usage: fcn infer IMAGE_OR_FOLDER [IMAGE_OR_FOLDER ...] [OPTIONS]; see fcn "
     "infer --help"),
    (caffe_main, "train", "usage: caffe train --solver PROTOTXT [OPTIONS]; see caffe train --help"),
    (caffe_main, "tiem", "usage: caffe COMMAND ... [OPTIONS]; see caffe --help")])
def test_one_line_of_usage_stands_before_the_message(main, words, usage, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["restored afterwards"])
    with pytest.raises(SystemExit):
        main(words.split())
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == usage and " error: " in lines[1]


@pytest.mark.parametrize("parser", [CaffesParser, ToolsParser])
@pytest.mark.parametrize("form", [argparse.HelpFormatter, argparse.RawDescriptionHelpFormatter])
def test_help_is_not_broken_at_the_hyphens_of_a_name(parser, form, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    made = parser(prog="made", formatter_class=form)
    for length in range(40):
        made.add_argument(f"--{'o' * (length + 1)}", help=f"{'x' * length} takes upgrade-net-proto")
    assert made.format_help().count("upgrade-net-proto") == 40


def test_what_only_training_does_is_in_the_help_of_train_alone(capsys):
    for command, several in (("train", True), ("time", False), ("test", False)):
        with pytest.raises(SystemExit):
            caffe_main([command, "--help"])
        assert ("or on several" in capsys.readouterr().out) == several


@pytest.mark.parametrize("parser", [CaffesParser, ToolsParser])
@pytest.mark.parametrize("allow_abbrev", [True, False])
def test_what_argparse_takes_is_taken(parser, allow_abbrev):
    """Values that begin with a dash or hold blanks, short options, abbreviations, all behind --."""
    results = []
    for kind in argparse.ArgumentParser, parser:
        made = kind(prog="made", allow_abbrev=allow_abbrev)
        made.add_argument("words", nargs="*")
        made.add_argument("-o", "--output")
        made.add_argument("--rate", type=float)
        made.add_argument("--quiet", action=argparse.BooleanOptionalAction)
        lines = ["a --rate -1 -ohere", "-o=x -o - --rate=-.5", "--no-quiet a -- --heda -x"]
        lines += ["--out x --rat 1"] * allow_abbrev
        lines += ["--rate 1e5"]
        results.append([vars(made.parse_args(line.split())) for line in lines]
                       + [vars(made.parse_args(["- a", "--output=--a b"]))])
    assert results[0] == results[1]


@pytest.mark.parametrize("parser", [CaffesParser, ToolsParser])
def test_abbreviations_are_no_options_where_they_are_not_allowed(parser, capsys):
    made = parser(prog="made", allow_abbrev=False)
    made.add_argument("--output")
    with pytest.raises(SystemExit):
        made.parse_args(["--out", "x"])
    assert "there is no option --out (did you mean '--output'?)" in capsys.readouterr().err


def test_help_breaks_no_name_at_its_hyphens(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["restored afterwards"])
    monkeypatch.setenv("COLUMNS", "60")
    with pytest.raises(SystemExit):
        fcn_main(["nets", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert any("voc-fcn8s-atonce" in line for line in lines)
    assert not any(line.endswith("-") for line in lines)
