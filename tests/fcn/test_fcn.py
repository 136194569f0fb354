"""The command `fcn`: what a user types, and what comes."""

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe
import label_forms
from fcn.command import COMMANDS, DONE_BY, main
from fcn.nets.source import ROOT
from fcn.solvers.runs.run import Run
from label_forms import FORMS, truth
from own_folder import write_data

pytestmark = pytest.mark.usefixtures("log_as_it_is")


@pytest.fixture
def fcn(tmp_path, monkeypatch, capsys):
    """fcn(*arguments, status=0): run the command in an empty folder; returns what it prints."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    monkeypatch.setattr(sys, "argv", ["restored afterwards"])
    monkeypatch.setattr(signal, "signal", lambda *_: None)

    def run(*arguments, status=0):
        capsys.readouterr()
        try:
            found = main([*map(str, arguments)])
        except SystemExit as ended:
            found = ended.code
        if isinstance(found, str):      # a message, which Python prints
            print(found, file=sys.stderr)
        printed = capsys.readouterr()
        assert (1 if isinstance(found, str) else found) == status, printed
        return printed.err if status else printed.out
    return run


def test_the_commands_are_listed(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(f"fcn {name} " in printed for name in COMMANDS)


@pytest.mark.parametrize("rank, said", [(0, ["note: fcn score works in one process: rank 0 ",
                                             "error: no run 'absent'"]), (1, [])])
def test_what_one_process_does_is_done_by_rank_0_alone(fcn, monkeypatch, rank, said):
    for name, value in dict(RANK=rank, WORLD_SIZE=2, TORCHELASTIC_RUN_ID="none").items():
        monkeypatch.setenv(name, str(value))
    lines = fcn("score", "absent", status=int(not rank)).splitlines()
    assert len(lines) == len(said) and all(map(str.startswith, lines, said))


def test_a_rank_that_is_no_number_needs_no_traceback(fcn, monkeypatch):
    for name, value in dict(RANK="a", WORLD_SIZE="2", TORCHELASTIC_RUN_ID="none").items():
        monkeypatch.setenv(name, value)
    assert fcn("score", "absent", status=1) == (
        "error: the environment says RANK=a, expected a whole number\n")


@pytest.mark.parametrize("name, said", [
    ("slove", " (did you mean 'solve'?)"), ("infr", " (did you mean 'infer'?)"),
    ("cell", " (did you mean 'cells'?)"), ("frobnicate", "\n\nusage"),
    ("crf", "; use\n    fcn infer IMAGE --crf  "), ("CRF", "; use\n    fcn infer IMAGE --crf  "),
    ("train", "; use\n    fcn solve --data FOLDER  "), ("eval", "; use\n    fcn score RUN  "),
    ("tarin", "; use\n    fcn solve --data FOLDER  "), ("time", "; use\n    caffe time --model M")])
def test_an_unknown_command(name, said, capsys):
    assert main([name]) == 2
    assert f"fcn has no command '{name}'{said}" in capsys.readouterr().err


def test_what_is_said_to_do_the_job_exists():
    wrong = []
    for command in {one for done in DONE_BY.values() for one in done}:
        program, name, *_ = command.split()
        if not (program == "fcn" and name in COMMANDS or program in ("caffe", "make", "python")):
            wrong.append(command)
    assert not wrong and not {one for each in DONE_BY for one in each.split()} & set(COMMANDS)


@pytest.mark.parametrize("name, said", [
    ("voc-fcn8", "'voc-fcn8' (did you mean 'voc-fcn8s'?)\nKnown are "),
    ("mine", "'mine', which is a folder: train on it by `fcn solve --data mine`"),
    ("frobnicate", "'frobnicate'\nKnown are voc-fcn32s, ")])
def test_an_unknown_experiment(name, said, fcn, tmp_path):
    (tmp_path / "mine").mkdir()
    for command in "solve", "demo":
        assert f"unknown experiment {said}" in fcn(command, name, status=1)


@pytest.mark.parametrize("name", ["cats-unet", "cats-unet/", "build/cats-unet"])
def test_a_run_on_a_folder_is_no_experiment(name, fcn, tmp_path):
    """What goes on with it is told."""
    run = tmp_path / "build" / "cats-unet"
    run.mkdir(parents=True)
    (run / "settings.json").write_text(
        '{"data": "/photos/of cats", "head": "unet", "width": 0.25, "from": null, "--batch": 2}')
    said = fcn("solve", name, status=1)
    assert (f"unknown experiment '{name}': it is a run on your own data; continue it with\n    "
            "fcn solve --data '/photos/of cats' --name cats-unet --head unet --width 0.25 "
            "--batch 2\n") in said and "Known are" not in said


def test_a_run_on_a_folder_goes_on_by_the_command_that_is_told(fcn, tmp_path, monkeypatch):
    """With all options that it began with, those that settings.json does not have among them, and
    from another folder, too."""
    write_data(tmp_path / "my data")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    options = ("--width", "0.02", "--lr", "1e-5", "--iterations", "2", "--interval", "1", "--keep",
               "all", "--force")
    fcn("solve", "--data", "my data", "--name", "cats", *options)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for folder, begins in ((tmp_path, ""), (elsewhere, f"cd {tmp_path} && ")):
        monkeypatch.chdir(folder)
        said = fcn("solve", "cats", status=1)
        command = said.partition("continue it with\n    ")[2].rstrip("\n")
        assert command.startswith(begins) and "\n" not in command
        threads, program, *words = shlex.split(command.removeprefix(begins))
        assert threads == "OMP_NUM_THREADS=1" and Path(program).name == "fcn"
        assert words == ["solve", "--data", "my data", "--name", "cats", *options]


def test_a_folder_of_data_with_the_name_of_a_run_is_a_folder(fcn, tmp_path):
    for folder in ("photos/cats", "build/cats"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "build/cats/settings.json").write_text('{"data": "/other", "head": "unet"}')
    assert "train on it by `fcn solve --data photos/cats`" in fcn("solve", "photos/cats", status=1)


@pytest.mark.parametrize("content", ['{"data": 3}', '{"data": "seed 0", "head": "unet"}', "{}"])
def test_other_folders_under_build_are_no_runs_on_data(content, fcn, tmp_path):
    (tmp_path / "build" / "cats").mkdir(parents=True)
    (tmp_path / "build" / "cats" / "settings.json").write_text(content)
    assert "unknown experiment 'cats'\nKnown are" in fcn("solve", "cats", status=1)


def test_the_version_is_that_of_the_package(fcn):
    assert fcn("--version") == f"fcn {caffe.__version__}; `caffe info` lists what it runs with\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_names_itself(name, fcn):
    said = fcn(name, "--help")
    assert said.startswith(f"usage: fcn {name} ")
    assert not re.search(rf"\w\.py |python -m {name}\b|python ", said)


@pytest.mark.parametrize("module", ["fcn.page", "fcn.solvers.report", "segdata.importing",
                                    "fcn.nets", "fcn.solvers.infer", "segdata.weight_map"])
def test_a_module_is_called_what_was_typed(module):
    done = subprocess.run([sys.executable, "-m", module, "--help"], capture_output=True, text=True)
    assert done.stdout.startswith(f"usage: python -m {module} [-h]"), done


def test_the_folder_of_nets_is_started_by_its_path(tmp_path):
    """It has an fcn.py of its own."""
    script = str(ROOT / "nets" / "__main__.py")
    done = subprocess.run([sys.executable, script, "voc-fcn8s", "-o", tmp_path / "nets"],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "nets" / "train.prototxt").exists()
    for typed in script, os.path.relpath(script):
        done = subprocess.run([sys.executable, typed, "--help"], capture_output=True, text=True)
        assert done.stdout.startswith(f"usage: python {typed} [-h]"), done


@pytest.mark.parametrize("words", [
    ("page", "-o", "pg.html"), ("nets", "voc-fcn8s", "-o", "net.prototxt"),
    ("infer", "a.jpg", "-o", "a.png"), ("demo", "-o", "demo.html")])
def test_the_name_of_a_file_is_no_folder_for_results(words, fcn, tmp_path):
    said = fcn(*words, status=2)
    assert ("-o/--output: expected the name of a folder, into which several files are written, "
            f"got that of a file, '{words[-1]}'") in said
    assert not (tmp_path / words[-1]).exists()


def test_the_installed_command(tmp_path):
    label_forms.index(tmp_path / "mine")
    for command in ([Path(sys.executable).with_name("fcn")], [sys.executable, "-m", "fcn"]):
        result = subprocess.run([*command, "import", "mine", f"voc{len(command)}"], cwd=tmp_path,
                                capture_output=True, text=True)
        assert result.returncode == 0 and "3 for train" in result.stdout, result.stderr


@pytest.mark.parametrize("form", FORMS)
def test_import(form, fcn, tmp_path):
    FORMS[form](tmp_path / "mine")
    printed = fcn("import", "mine", "voc")
    assert "3 for train and 2 for val" in printed and "solve --data voc" in printed
    assert printed == (tmp_path / "voc" / "report" / "report.txt").read_text()
    label = next((tmp_path / "voc" / "SegmentationClass").glob("a*.png"))
    np.testing.assert_array_equal(np.asarray(Image.open(label)), truth("a"))


@pytest.mark.parametrize("arguments, message", [
    (("mine", "voc", "--val", "1.5"),
     "expected a share of the samples, between 0 and 1 as 0.2, got '1.5'"),
    (("mine", "voc", "--val", "half"),
     "expected a share of the samples, between 0 and 1 as 0.2, got 'half'"),
    (("mine", "voc", "--folds", "five"), "argument --folds: expected a whole number, got 'five'"),
    (("mine", "voc", "--masks", "x"), "--masks takes --images DIR"),
    (("mine", "voc", "--foreground", "red"),
     "argument --foreground: expected a value of masks, as 255 or 255,0,0, got 'red'"),
    (("mine", "voc", "--val", "0.1", "--folds", "3"), "not allowed with"),
    (("mine", "voc", "--format", "voc3"), "invalid choice: 'voc3'"),
    (("mine", "voc", "--seed", "-1"), "expected a whole number from 0 on")])
def test_wrong_options(arguments, message, fcn):
    assert message in fcn("import", *arguments, status=2)


@pytest.mark.parametrize("words, message", [
    ("nets voc-fcn8s --width wide", "argument --width: expected a fraction of the published "
     "net's channels, above 0 and at most 1, got 'wide'"),
    ("solve --data d --name=", "argument --name: expected the name of a run, got ''"),
    ("page --port 65536", "argument --port: expected a number from 0 to 65535, got '65536'"),
    ("page --port http", "argument --port: expected a number from 0 to 65535, got 'http'")])
def test_what_other_commands_refuse(words, message, fcn):
    assert message in fcn(*words.split(), status=2)


def test_prototxts_are_not_written_into_a_file(fcn, tmp_path):
    (tmp_path / "a_file").touch()
    assert "a_file: cannot be made: File exists" in fcn("nets", "voc-fcn8s", "-o", "a_file",
                                                       status=1)


def test_a_file_is_no_run(fcn, tmp_path):
    (tmp_path / "train_iter_1.caffemodel").touch()
    said = "train_iter_1.caffemodel is a file, expected a run: its name or its folder"
    for words in ("score", "report", "infer x.png --experiment"):
        assert said in fcn(*words.split(), "train_iter_1.caffemodel", status=1)


def test_a_folder_of_results_that_cannot_be_made(fcn, tmp_path, monkeypatch):
    write_data(tmp_path / "data")
    (tmp_path / "a_file").touch()
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "a_file"))
    assert "a_file/preflight: cannot be made: Not a directory" in (
        said := fcn("solve", "--data", "data", status=1)) and "take another" in said


def test_errors_have_no_traceback(fcn):
    assert fcn("import", "mine", "voc", status=1) == \
        "error: mine: no such folder\n"


@pytest.mark.parametrize("words, said", [
    (("import", "fotos", "x"), "error: fotos: no such folder (did you mean 'photos'?)\n"),
    (("solve", "--data", "steret"), "error: steret: no such folder (did you mean 'street'?)\n"),
    (("solve", "--images", "photos", "--masks", "photos/makss"),
     "error: photos/makss: no such folder (did you mean 'photos/masks'?)\n"),
    (("solve", "--data", "street", "--from", "ne.caffemodel"),
     "error: --from ne.caffemodel: no such file (did you mean 'net.caffemodel'?)\n")])
def test_what_is_not_there_but_has_nearly_that_name(words, said, fcn, tmp_path):
    (tmp_path / "photos" / "masks").mkdir(parents=True)
    write_data(tmp_path / "street")
    (tmp_path / "net.caffemodel").touch()
    assert fcn(*words, status=1).endswith(said)


@pytest.mark.parametrize("name", ["score", "cells"])
def test_a_command_about_a_run_lists_those_that_there_are(name, fcn, tmp_path):
    weights = tmp_path / "build" / "mine" / "snapshot" / "train_iter_1.caffemodel"
    weights.parent.mkdir(parents=True)
    weights.touch()
    (tmp_path / "build" / "mine" / "deploy.prototxt").touch()
    assert fcn(name, status=1) == (
        "error: no run is given: type its name, or its folder. Trained are: mine\n")


def printed_command(message):
    """The words of the only command `fcn import` in a message."""
    commands = set(re.findall(r"^ *(\S*fcn import .*)$", message, re.M))
    assert len(commands) == 1, message
    return shlex.split(commands.pop())


@pytest.mark.parametrize("form", ["index", "coco", "labelme", "cvat", "cvat_masks", "voc",
                                  "roboflow_masks", "cityscapes"])
def test_solve_prints_the_command_that_converts(form, fcn, tmp_path):
    FORMS[form](tmp_path / "my data")
    message = fcn("solve", "--data", "my data", status=1)
    words = printed_command(message)
    assert Path(words[0]).name == "fcn"
    assert "Traceback" not in message and len(message.splitlines()) <= 12
    fcn(*words[1:])
    assert message.splitlines()[-1].endswith(shlex.quote(words[3]))
    assert (Path(words[3]) / "classes.txt").exists()


def test_solve_tells_how_to_convert_masks_of_0_and_255(fcn, tmp_path):
    label_forms.voc(tmp_path / "mine")
    for path in (tmp_path / "mine").rglob("SegmentationClass/*.png"):
        Image.fromarray(np.where(np.asarray(Image.open(path)) == 1, 255, 0).astype(np.uint8)).save(
            path)
    (tmp_path / "mine" / "VOC" / "class_names.txt").unlink()
    for new, old in (("train", "training"), ("val", "validation")):
        lists = tmp_path / "mine" / "VOC" / "ImageSets" / "Segmentation"
        (lists / f"{old}.txt").rename(lists / f"{new}.txt")
    message = fcn("solve", "--data", "mine/VOC", status=1)
    fcn(*printed_command(message)[1:])
    assert (tmp_path / "mine" / "VOC-voc" / "classes.txt").read_text() == \
        "background\nforeground\n"


def test_solve_imports_images_and_masks_once(fcn, tmp_path):
    label_forms.index(tmp_path / "mine")
    command = ("solve", "--images", "mine/pictures", "--masks", "mine/drawn", "--head", "fcn32s",
               "--width", "0.02", "--iterations")
    printed = fcn(*command, 1)
    assert "3 for train and 2 for val" in printed and "mean IU" in printed
    again = fcn(*command, 2)
    assert "samples" not in again and "train_iter_2.caffemodel" in again
    assert (tmp_path / "build" / "imported" / "mine" / "report").is_dir()
    (tmp_path / "mine" / "drawn" / "train" / "a.png").touch()
    assert "they have changed since. Import and train anew (--fresh)" in fcn(
        *command, 2, status=1)
    report = tmp_path / "build" / "imported" / "mine" / "report" / "report.txt"
    before = report.stat()
    other_head = [*command[:6], "fcn16s", *command[7:]]
    with Run(tmp_path / "build" / "mine-fcn32s").locked():      # as while it is trained
        for words in (command, other_head):
            assert "another process is training in" in fcn(*words, 1, "--fresh", status=1)
    assert report.stat() == before
    assert not (tmp_path / "build" / "mine-fcn16s").exists()
    assert "3 for train and 2 for val" in fcn(*command, 1, "--fresh")


@pytest.mark.parametrize("arguments, message", [
    (("--images", "x"), "--images takes --masks DIR"),
    (("voc-fcn8s", "--masks", "x"), "--masks goes with --images"),
    (("--data", "x", "--foreground", "255"), "--foreground goes with --images")])
def test_options_of_solve_that_go_together(arguments, message, fcn):
    assert message in fcn("solve", *arguments, status=2)
