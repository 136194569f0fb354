"""The commands of docs/tutorial.md, one after the other: shrunken, and slowly as they stand."""

import re
import shlex
import subprocess

import pytest

from caffe.io import load_image
from fcn.command import main
from fcn.nets.source import ROOT
from segdata.embedded import voc as embedded_voc

PAGE = (ROOT / "docs" / "tutorial.md").read_text()


def commands(text):
    return re.findall(r"^    \.venv/bin/((?:fcn|python) .*)$", text, re.M)


FIRST, LATER = map(commands, PAGE.split("## What to try next"))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    return tmp_path


def check(folder, scenes):
    """What the page promises lies there."""
    assert any((folder / "mydata" / "report").glob("*.png"))
    page = (folder / "build" / "mydata-fcn8s" / "report.html").read_text()
    assert "mean IU" in page
    overlays = sorted((folder / "build" / "infer").glob("*_overlay.png"))
    assert len(overlays) == scenes and load_image(str(overlays[0])).std() > 0.01


def test_at_most_six_commands_lead_to_an_overlay():
    assert len(FIRST) + len(re.findall(r"^    make install$", PAGE, re.M)) <= 6
    assert any(command.startswith("fcn infer") for command in FIRST)


def test_the_tutorial_runs_shrunken(folder, monkeypatch, log_as_it_is):
    """The same commands: three iterations of a narrow net on ten small scenes."""
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("sys.argv", ["restored afterwards"])
    monkeypatch.setattr(embedded_voc, "SCENE_SIDE", (48, 64))
    for command in FIRST + LATER:
        name, *arguments = shlex.split(re.sub(r"--iterations \d+", "--iterations 3", command))
        if name == "python":
            embedded_voc.generate(folder / "photographs", train=1, val=10)
            continue
        if arguments[0] == "solve":
            assert "--iterations" in arguments, f"{command} would train for long"
            arguments += ["--force"] + ["--width", "0.02"] * ("--from" not in arguments)
        assert main(arguments) == 0, command
    check(folder, scenes=10)
    assert {path.parent.name for path in (folder / "build").glob("*/report.html")} == {
        "mydata-fcn8s", "finer", "varied", "weighted"}
    assert "weighted" in (folder / "build" / "report.html").read_text()


@pytest.mark.slow
def test_the_tutorial_runs_as_it_stands(folder):
    for command in FIRST:
        ran = subprocess.run([ROOT / ".venv" / "bin" / shlex.split(command)[0],
                              *shlex.split(command)[1:]], text=True, capture_output=True)
        assert ran.returncode == 0, f"{command}\n{ran.stderr}"
        if command.startswith("fcn import"):
            shown = re.search(r"^    photographs/.*?--data mydata$", PAGE, re.M | re.S)[0]
            assert re.sub(r"\S*fcn solve", "fcn solve", ran.stdout).rstrip() == re.sub(
                r"\S*fcn solve", "fcn solve", re.sub(r"^    ", "", shown, flags=re.M))
        if command.startswith("fcn solve"):
            mean_iu = float(re.search(r"^mean IU +([\d.]+)", ran.stdout, re.M)[1])
            assert mean_iu > 15, "a net that says background everywhere has about 11"
    check(folder, scenes=150)
