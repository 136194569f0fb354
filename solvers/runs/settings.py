"""How the settings that a run began with differ from those that are asked for now, in words."""

from __future__ import annotations

import reprlib
import shlex
from collections.abc import Mapping
from typing import Any

OF_SEED = "seed "       # before the number, in place of the data's folder, of a miniature

OPTIONS = {key: f"--{key}" for key in ("from", "head", "width", "seed")}    # beside "--..." keys
OF_START = (*OPTIONS, "data", "classes", "unscored")    # beside the net's, which follow from "from"
CHANGEABLE = "--lr", "--iterations"     # a run may go on with other values, but not without any


def difference(before: Mapping[str, Any], now: Mapping[str, Any],
               defaults: Mapping[str, Any] | None = None) -> str:
    """What differs, and how to go on with what there was, behind "a run "; '' where nothing does.

    before, now : as Experiment.settings has them, as they come from JSON
    defaults : {key: value} of what the run was given where an option --KEY was not
    """
    keys = [key for key in {**before, **now} if before.get(key) != now.get(key)
            and (key not in CHANGEABLE or now.get(key) is None)]
    if "from" in keys:      # from which the settings of the net follow
        keys = [key for key in keys if key in OF_START and key != "width" or key[:2] == "--"]
    if not keys:
        return ""
    changed = "; ".join(f"{_begun(key, before.get(key), defaults or {})}, now asked for is "
                        f"{_value(now.get(key))}" for key in keys)
    repeated = " ".join(filter(None, (_typed(key, before[key]) for key in keys
                                      if before.get(key) is not None)))
    dropped = " and ".join(_option(key, now.get(key)) for key in keys
                           if before.get(key) is None and (key in OPTIONS or key[:2] == "--"))
    changeable = " and ".join(key for key in keys if key in CHANGEABLE)
    repeated += f" ({changeable} may have another value)" if changeable else ""
    ways = [*[f"repeat {repeated}"] * bool(repeated), *[f"leave out {dropped}"] * bool(dropped)]
    data = f"{OF_SEED}{before['seed']}" if keys == ["seed"] else str(before.get("data") or "")
    if data.startswith(OF_SEED) and keys != ["seed"]:
        ways = []       # what trains miniatures has no other such options
    goes_on = f" To go on with it, {' and '.join(ways)}." if ways else ""
    anew = "" if data.startswith(OF_SEED) else "start anew (--fresh), or "
    anew = f"{'or ' * bool(ways)}{anew}take another folder ({elsewhere(data)})"
    return f"{changed}.{goes_on} {anew[0].upper()}{anew[1:]}"


def elsewhere(data: str) -> str:
    """What to type for a run in another folder. data : see Experiment"""
    if data.startswith(OF_SEED):
        return "-o FOLDER behind `fcn demo` or `fcn analysis NAME`"
    return "--name NAME" if data else "FCN_BUILD=FOLDER before the command"


def as_command_line(settings: Mapping[str, Any]) -> str:
    """The options of the command line that say the same as the settings that a run began with."""
    return " ".join(filter(None, (_typed(key, value) for key, value in settings.items()
                                  if value is not None)))


def _begun(key: str, value: Any, defaults: Mapping[str, Any]) -> str:
    """With what, or without which option, a run began."""
    option = OPTIONS.get(key, key)
    if value is not None or not option.startswith("--"):
        return f"with {option} {_value(value)}"
    default = defaults.get(option[2:])
    shown = ("x".join(map(str, default)) if isinstance(default, (list, tuple)) else
             _value(default) if isinstance(default, bool) else default)
    return f"without {option}" + f" (the default was {shown})" * (default is not None)


def _option(key: str, value: object) -> str:
    """What was typed for a setting of that value, without the value."""
    option = OPTIONS.get(key, key)
    return option.replace("--", "--no-", 1) if value is False else option


def _value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    return repr(value) if isinstance(value, str) else reprlib.repr(value)


def _typed(key: str, value: Any) -> str:
    """A setting as the command line has it; '' where that has no option for it."""
    option = OPTIONS.get(key, key)
    if not option.startswith("--"):
        return ""
    if isinstance(value, bool):
        return option if value else f"--no-{option[2:]}"
    if key == "--class-weights":
        value = value["as"] if value.get("as") != "numbers" else next(iter(value["of"].values()))
    if isinstance(value, list):
        value = ("x" if key == "--crop" else ",").join(f"{each:.9g}" for each in value)
    return f"{option} {shlex.quote(str(value))}"
