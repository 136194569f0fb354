"""Every command on the pages exists, with its options; pages link to what is there.

A command is a line of a block of code, or a piece of `code` in a sentence, that begins with one of
`CHECKS`. Its own parser reads it and stops before anything is done. tests/fcn/test_own_data.py and
test_tutorial.py beside this file run the commands of their pages.
"""

import argparse
import importlib.util
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import pytest

from caffe.cli import main as caffe_main
from fcn.command import main as fcn_main
from fcn.nets.source import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROJECT = (ROOT / "pyproject.toml").read_text()
# optional, and no dependency of the project: the reason
OF_OTHERS = {"opencv-python-headless": "videos", "pydensecrf2": "the peer in a benchmark",
             "tensorboard": "shows what --tensorboard writes", "tensorboardX": "writes it, too"}
STANDARD = {"pytest", "venv", "http.server", "pip"}     # modules with command lines of their own


class Wrong(Exception):
    """A command that does not exist, or not so."""


class Parsed(Exception):
    """The parser has taken the command line; nothing has been done yet."""


def commands(page):
    """[(number of the line, command, whether it stands in a sentence)] of a page's text."""
    found, prose, block, fenced = [], [], "", False
    for number, line in enumerate(page.splitlines(), 1):
        code = fenced or line.startswith("    ")
        if line.startswith("```"):
            fenced = not fenced
        elif code:
            block += line.strip().removeprefix("$ ")
            if block.endswith("\\"):
                block = block[:-1]
            else:
                found.append((number, block, False))
                block = ""
        prose.append("" if code or line.startswith("```") else line)
    text = "\n".join(prose)
    for piece in re.finditer(r"`([^`]+)`", text):
        found.append((text.count("\n", 0, piece.start()) + 1, " ".join(piece[1].split()), True))
    return [(number, command, mention) for number, command, mention in found
            if is_command(command)]


def is_command(text):
    words = text.split()
    while words and re.fullmatch(r"[A-Z_]+=\S+", words[0]):
        words.pop(0)
    return len(words) > 1 and words[0].removeprefix(".venv/bin/") in CHECKS


def check(command, mention=False):
    """Raise Wrong unless the command is one that works. A mention in a sentence need not be
    complete."""
    words = shlex.split(command, comments=True)
    while words:
        end = words.index("&&") if "&&" in words else len(words)
        part, words = words[:end], words[end + 1:]
        while re.fullmatch(r"[A-Z_]+=\S+", part[0]):
            part.pop(0)
        name = part.pop(0).removeprefix(".venv/bin/")
        if name != "pip":       # [optional] and repeated... words; a pip extra looks like one
            part = [word for word in (word.strip("[]").replace("...", "") for word in part) if word]
        CHECKS[name](part, mention)


def check_make(words, mention):
    variables = dict(word.split("=", 1) for word in words if "=" in word)
    unknown = [name for name in variables if f"$({name}" not in (ROOT / "Makefile").read_text()]
    targets = [word.replace("NAME", "voc-fcn8s") for word in words if "=" not in word]
    environment = {name: value for name, value in os.environ.items() if "MAKEF" not in name}
    result = subprocess.run(["make", "-n", "-k", *targets], cwd=ROOT, env=environment, text=True,
                            capture_output=True)
    if unknown or result.returncode:
        raise Wrong(f"make has no variable {unknown}" if unknown else result.stderr)


def check_fcn(words, mention):
    parse(["fcn", *words], fcn_main, mention)


def check_caffe(words, mention):
    parse(["caffe", *words], caffe_main, mention)


def check_python(words, mention):
    if words[0] == "-m":
        name, *words = words[1:]
        if name in STANDARD:
            return
        found = importlib.util.find_spec(name)
        if found and found.submodule_search_locations:
            found = importlib.util.find_spec(f"{name}.__main__")
        path = found and Path(found.origin)
        start = partial(runpy.run_module, name, run_name="__main__")
    else:
        name, *words = words
        path = (ROOT / name) if (ROOT / name).is_file() else None
        start = partial(runpy.run_path, str(path), run_name="__main__")
    if path is None:
        raise Wrong(f"there is no {name}")
    if re.search("ArgumentParser|import main", path.read_text()):
        parse([name, *words], start, mention)


def check_pip(words, mention):
    known = {*re.findall(r'"([\w-]+)[>=]', PROJECT), *OF_OTHERS}
    if words[0] != "install":
        raise Wrong(f"pip {words[0]}: only installations are checked")
    words = [word for word in words[1:] if word not in ("-e", "-c", "constraints.txt", "--upgrade")]
    for word in words:
        name, extras = re.fullmatch(r"([^\[]*)(?:\[(.*)\])?", word).groups()
        ours = name == "." or name.endswith(".whl")
        if not ours and name not in known:
            raise Wrong(f"'{name}' is no dependency, and not in OF_OTHERS with a reason")
        for extra in (extras or "").split(",") if extras and ours else ():
            if not re.search(rf"^{extra} = \[", PROJECT, re.M):
                raise Wrong(f"pyproject.toml has no extra '{extra}'")


def check_docker(words, mention):
    """`build`: its arguments are in the Dockerfile. `run`: what comes behind the image works."""
    dockerfile = (ROOT / "Dockerfile").read_text()
    parser = argparse.ArgumentParser(prog="docker", exit_on_error=False)
    verbs = parser.add_subparsers(dest="verb", required=True)
    build, run = verbs.add_parser("build"), verbs.add_parser("run")
    build.add_argument("-t", required=True)
    build.add_argument("--build-arg", action="append", default=[])
    build.add_argument("folder", choices=["."])
    run.add_argument("--rm", action="store_true")
    for option in ("-v", "--gpus", "--entrypoint"):
        run.add_argument(option)
    run.add_argument("image")
    run.add_argument("arguments", nargs=argparse.REMAINDER)
    try:
        args = parser.parse_args(words)
    except SystemExit as error:
        raise Wrong(f"docker {shlex.join(words)}") from error
    if args.verb == "run":
        CHECKS[args.entrypoint or "fcn"](args.arguments, mention)
    elif any(f"ARG {one.split('=')[0]}" not in dockerfile for one in args.build_arg):
        raise Wrong(f"the Dockerfile has not all of {args.build_arg}")


CHECKS = {"make": check_make, "fcn": check_fcn, "caffe": check_caffe, "python": check_python,
          "python3": check_python, "pip": check_pip, "docker": check_docker}


def parse(arguments, main, mention):
    """Have main's parser read the arguments and stop there, in a folder with the files that they
    name."""
    def refuse(parser, message):
        options = [word.split("=")[0] for word in arguments if re.match("--?[a-z]", word)]
        unknown = [word for word in options if word not in parser.format_help()]
        incomplete = re.search("(is|are) required|expected .* argument", message)
        placeholder = re.search("invalid .*: '[A-Z,|]+'", message)
        if unknown or not (placeholder or mention and incomplete):
            raise Wrong(f"{parser.prog}: {message}")
        raise Parsed

    def stop(parser, given=None, namespace=None):
        parser.allow_abbrev = False
        _, rest = parser.parse_known_args(given, namespace)
        if rest:
            raise Wrong(f"{parser.prog}: unrecognized arguments: {' '.join(rest)}")
        raise Parsed
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.chdir(folder)
        for word in sorted(arguments[1:], key=len, reverse=True):     # folders have files first
            put(Path(word))
        patch.setattr(sys, "argv", arguments)
        patch.setattr(argparse.ArgumentParser, "parse_args", stop)
        patch.setattr(argparse.ArgumentParser, "error", refuse)
        try:
            status = main()
        except Parsed:
            return
        except SystemExit as end:
            status = end.code
    if status:
        raise Wrong(f"{shlex.join(arguments)}: status {status}")


def put(path):
    """An empty file of that name in the current folder, or a folder."""
    if path.is_absolute() or path.name.startswith("-") or ".." in path.parts or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.name in ("FOLDER", "SRC", "DIR"):
        path.mkdir()
    else:
        path.touch()


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_exists(page):
    wrong = []
    for number, command, mention in commands(page.read_text()):
        try:
            check(command, mention)
        except Wrong as error:
            wrong.append(f"{page.name}:{number}: {command}\n    {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("command", [
    "make no-such-target", "make voc-fcn8s DEVCE=--cpu", "fcn slove --data data",
    "fcn solve --dta data", "fcn solve --iteration 5", "fcn solve --precision fp8",
    "fcn infer", "caffe trian --solver s", "caffe time --modle m", "python -m segdata.nothing",
    "python -m segdata.embedded.voc DIR --trian 5", "python solvers/solv.py voc-fcn8s",
    "python solvers/score.py voc-fcn8s --cfr", "pip install nothing-we-need", "pip install .[no]",
    "docker run --rm -v .:/work fcn solve --dta data", "docker build -t fcn --build-arg TRCH=cpu .",
    ".venv/bin/fcn infer photos && fcn slove", "OMP_NUM_THREADS=1 fcn slove --data data",
    "fcn import SRC FOLDER --fromat coco", "make nothing-demo", "python -m analysis NAME --sed 0"])
def test_a_wrong_command_is_found(command):
    assert is_command(command)
    for mention in (False, True):
        if command != "fcn infer" or not mention:
            with pytest.raises(Wrong):
                check(command, mention)


def test_commands_are_found_in_blocks_and_sentences():
    page = ("Type `fcn infer photos`.\n\n    $ fcn solve \\\n        --data data   # long\n"
            "    x = 1\n\n```\nmake demo\nnothing\n```\n")
    assert commands(page) == [(4, "fcn solve --data data   # long", False),
                              (8, "make demo", False), (1, "fcn infer photos", True)]
    assert sum(len(commands(path.read_text())) for path in PAGES) > 100


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_call_the_tools_in_one_form(page):
    """`fcn solve`, not `python solvers/solve.py`, which does the same."""
    other = r"python (solvers/|infer\.py|-m (analysis|nets)\b)"
    others = [f"{page.name}:{number}: {command}"
              for number, command, mention in commands(page.read_text())
              if not mention and re.search(other, command)]
    assert not others, "\n".join(others)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, heading = target.partition("#")
        if re.match(r"\w+:", target):
            continue
        path = page.parent / name if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if heading:
            titles = re.findall(r"^#+ (.*)$", Path(path).read_text(), re.M)
            assert heading in [re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
                               for title in titles], f"{page.name} links to {target}"
