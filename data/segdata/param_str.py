"""param_str of the Python data layers: a dictionary literal, read and checked."""

import math
from collections.abc import Collection, Mapping
from typing import Any

from segdata.augment import MOST_SCALE
from segdata.errors import DataError
from segdata.lists import literal

MOST_PASSED = 10 ** 8       # samples, which takes two seconds
# Keys of what is made of samples. A key that is added belongs here: where it has its default, a run
# that began before there was such a key goes on.
OPTIONS = ("scale", "crop", "margin", "multiple", "batch", "weights")


def parsed(text: str, directory_keys: Collection[str], required: Collection[str],
           defaults: Mapping[str, Any]) -> dict[str, Any]:
    """What a layer's param_str says, and the defaults of keys that it does not have.

    directory_keys : keys of folders, which have to be there as `required` ones have to
    Raises DataError, with the keys that are allowed, for other text, and for a value that cannot
    be.
    """
    needed = {*directory_keys, *required}
    allowed = f"allowed are {', '.join(sorted(needed))}, {', '.join(defaults)}"
    try:
        given = dict(literal(text))
    except (ValueError, TypeError):
        raise DataError("param_str is not a dictionary literal: "
                        f"{text[:500]!r}; {allowed}") from None
    if unknown := given.keys() - needed - defaults.keys():
        raise DataError(f"param_str has unknown {_key_list(unknown)}; {allowed}")
    if missing := needed - given.keys():
        raise DataError(f"param_str lacks {_key_list(missing)}; {allowed}")
    params = {**defaults, **given}
    _check_kinds(params, directory_keys)
    _check_options(params)
    if "mean" in required:
        _check_mean(params["mean"])
    return params


def refusal(key: str, value: Any, expected: str) -> DataError:
    """The DataError on a value that cannot be."""
    return DataError(f"param_str key '{key}' is {value!r}, expected {expected}")


def _check_kinds(params: Mapping[str, Any], directory_keys: Collection[str]) -> None:
    for key in ("split", *directory_keys):
        if not isinstance(params[key], str):
            raise refusal(key, params[key], "a string")
    if not isinstance(params["seed"], (int, type(None))):
        raise refusal("seed", params["seed"], "a whole number or None")
    for key, unit in (("start", "samples"), ("jitter", "pixels"), ("margin", "pixels")):
        if not isinstance(params[key], int) or params[key] < 0:
            raise refusal(key, params[key], f"0 or more {unit}")
    if params["start"] > MOST_PASSED:
        raise DataError(f"param_str key 'start' is {params['start']:,}, expected at most "
                        f"{MOST_PASSED:,} samples; no training passes over so many")


def _check_options(params: Mapping[str, Any]) -> None:
    """Refuse a batch, prefetch, multiple, crop or scale that is none; crop and scale may be
    None."""
    crop, scale = params["crop"], params["scale"]
    for key, unit in (("batch", "samples"), ("prefetch", "samples"), ("multiple", "pixels")):
        if not is_count(params[key]):
            raise refusal(key, params[key], f"1 or more {unit}")
    if not (crop is None or is_count(crop) or is_pair(crop) and all(map(is_count, crop))):
        raise refusal("crop", crop, "a side or (height, width) of 1 or more pixels, or None")
    if not (scale is None or is_pair(scale) and all(map(is_number, scale))
            and 0 < scale[0] <= scale[1] <= MOST_SCALE):
        raise refusal("scale", scale, f"(low, high) with 0 < low <= high <= {MOST_SCALE}, or None")
    if not isinstance(params["weights"], (str, type(None))):
        raise refusal("weights", params["weights"], "the path of a folder, or None")


def _check_mean(mean: Any) -> None:
    if (not isinstance(mean, (tuple, list)) or len(mean) != 3
            or not all(isinstance(value, (int, float)) for value in mean)):
        raise refusal("mean", mean, "three numbers B, G, R")


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1 on."""
    return type(value) is int and value > 0


def is_pair(value: Any) -> bool:
    """Whether it is a tuple or list of two."""
    return isinstance(value, (tuple, list)) and len(value) == 2


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _key_list(keys: Collection[str]) -> str:
    return f"key{'s' * (len(keys) > 1)} {', '.join(map(repr, sorted(keys)))}"
