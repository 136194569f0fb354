"""A command line that says which of its words it does not know, and what was probably meant.

The engine has the same in caffe/cli/arguments.py, which the tools cannot use, for they also run on
the original Caffe.
"""

import argparse
import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from segdata.errors import did_you_mean

MOST_COLUMNS = 1000     # of a line of usage that is to stay one
OF_FILES = (".html", ".htm", ".prototxt", ".png", ".jpg", ".jpeg", ".tif", ".tiff", ".csv", ".json",
            ".md", ".txt", ".zip", ".onnx", ".pdf", ".mp4")     # endings by which a file is known


class ArgumentParser(argparse.ArgumentParser):
    """An argparse.ArgumentParser whose messages name an unknown option, before anything else is
    found wrong, what is nearest to an option or choice that there is not, and what kind of number
    is expected."""

    def __init__(self, *args: Any, **options: Any) -> None:
        form = options.get("formatter_class", argparse.HelpFormatter)
        options["formatter_class"] = type(form.__name__, (_WholeNames, form), {})
        options.setdefault("prog", program())
        super().__init__(*args, **options)
        self.register("type", int, number(int, "a whole number"))
        self.register("type", float, number(float, "a number"))

    def parse_known_args(self, args: Sequence[str] | None = None,       # type: ignore[override]
                         namespace: argparse.Namespace | None = None
                         ) -> tuple[argparse.Namespace, list[str]]:
        words = list(sys.argv[1:] if args is None else args)
        known = [option for action in self._actions for option in action.option_strings]
        if unknown := [option for option in options(words) if not self._takes(option, known)]:
            self.error("there is no option " + ", ".join(
                option + did_you_mean(option, known) for option in unknown))
        return super().parse_known_args(words, namespace)

    def print_usage(self, file: Any = None) -> None:
        """Print one line, which stands before a message: what has to be given."""
        needed = [action for action in self._actions if action.required or not
                  action.option_strings]
        line = argparse.HelpFormatter(self.prog, width=MOST_COLUMNS)
        line.add_usage(None, needed, [])
        print(f"{line.format_help().strip()} [OPTIONS]; see {self.prog} --help", file=file)

    def _takes(self, option: str, known: Sequence[str]) -> bool:
        """Whether an option is one of `known`, the beginning of one, or a short one with its value;
        -output is a mistyped --output, not -o with the value utput."""
        if option in known or option.startswith("--"):
            return any(one == option or self.allow_abbrev and one.startswith(option)
                       for one in known)
        return option[:2] in known and not any(one.startswith("-" + option) for one in known)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            listed = textwrap.fill(f"choose from {', '.join(choices)}", 100, break_on_hyphens=False)
            raise argparse.ArgumentError(action, f"invalid choice: '{value}'"
                                         f"{did_you_mean(str(value), choices)}\n{listed}")


class _WholeNames:
    """Help that is not broken at the hyphens of a name."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(" ".join(text.split()), width, break_on_hyphens=False)


def program() -> str | None:
    """What was typed to begin a module or the folder of one; None for the name in sys.argv."""
    main = sys.modules["__main__"]
    file = getattr(main, "__file__", None)      # a whole path, whatever was typed
    if os.path.abspath(sys.argv[0]) != file:    # `fcn NAME`, as that names itself
        return None
    if main.__spec__ is not None:
        return f"python -m {main.__spec__.name.removesuffix('.__main__')}"
    return f"python {sys.argv[0]}" if sys.argv[0].endswith("__main__.py") else None


def folder_name(text: str) -> Path:
    """An argparse type: the path of a folder for results, which the name of a file is not."""
    path = Path(text)
    if path.suffix.lower() in OF_FILES and not path.is_dir():
        raise argparse.ArgumentTypeError(f"expected the name of a folder, into which several files "
                                         f"are written, got that of a file, '{text}'")
    return path


def number(kind: type, what: str) -> Callable[[str], float]:
    """An argparse type: `kind` itself, with a message that says `what` is expected."""
    def converted(text: str) -> float:
        try:
            return kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {what}, got '{text}'") from None
    return converted


def width(text: str) -> float:
    """An argparse type: a fraction of a published net's channels, above 0 and at most 1."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError("expected a fraction of the published net's channels, "
                                         f"above 0 and at most 1, got '{text}'")
    return value


def options(words: Sequence[str]) -> list[str]:
    """The words of a command line that argparse takes for options, without the values behind `=`.
    """
    before = words[:words.index("--")] if "--" in words else words
    return [option for option in (word.partition("=")[0] for word in before)
            if re.fullmatch(r"-[^\s\d.]\S*", option)]
