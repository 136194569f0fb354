"""Values as JSON: numbers, texts, containers, small arrays, random generators; nothing that runs.

What JSON has itself stands as it is, everything else is an object of one entry, {kind: content}.
Reading one makes plain values only, so that a file from anybody can be read.
"""

from __future__ import annotations

import base64
import collections
import hashlib
import json
import math
import pathlib
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

MOST_BYTES = 1 << 24        # of one array
BIT_GENERATORS = {name: getattr(np.random, name)
                  for name in ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")}
PLACES = {"pos": 624, "buffer_pos": 4}      # of a state's numbers, which NumPy does not check


class NotRecorded(ValueError):
    """A value of a type that is not recorded; the message names the type."""


def encode(value: Any) -> Any:
    """What json.dumps takes, and `decode` makes an equal value of. Raises NotRecorded."""
    kind = type(value)
    if value is None or kind in (bool, int, str) or kind is float and math.isfinite(value):
        return value
    if kind is list:
        return [encode(entry) for entry in value]
    if isinstance(value, pathlib.PurePath):
        return {"path": str(value)}
    if isinstance(value, np.generic):
        return {"number": _array(np.asarray(value))}
    for name, (known, write, _) in KINDS.items():
        if kind is known:
            return {name: write(value)}
    raise NotRecorded(kind.__name__)


def decode(stored: Any) -> Any:
    """The value that `encode` was given. Raises ValueError, or what NumPy raises."""
    if isinstance(stored, list):
        return [decode(entry) for entry in stored]
    if not isinstance(stored, dict):
        return stored
    (name, content), = stored.items()
    if name == "path":
        return pathlib.Path(content)
    if name == "number":
        return _array_of(content)[()]
    if name not in KINDS:
        raise ValueError(f"unknown kind of value '{name}'")
    return KINDS[name][2](content)


def digest(stored: Any) -> str:
    """The SHA-256 of what `encode` made."""
    return hashlib.sha256(json.dumps(stored, sort_keys=True).encode()).hexdigest()


def put_into(target: Any, value: Any) -> bool:
    """Have the object `target` hold what `value` holds; returns whether such objects can."""
    if type(target) is not type(value):
        return False
    if isinstance(target, np.ndarray):
        if (target.shape, target.dtype) != (value.shape, value.dtype):
            return False
        target[...] = value
    elif isinstance(target, (list, collections.deque)):
        target.clear()
        target.extend(value)
    elif isinstance(target, (dict, set)):
        target.clear()
        target.update(value)
    elif isinstance(target, random.Random):
        target.setstate(value.getstate())
    elif isinstance(target, np.random.RandomState):
        target.set_state(value.get_state(legacy=False))
    elif isinstance(target, np.random.Generator):
        if type(target.bit_generator) is not type(value.bit_generator):
            return False
        target.bit_generator.state = value.bit_generator.state
    else:
        return False
    return True


def generator(state: dict[str, Any]) -> np.random.Generator:
    """The NumPy generator whose bit_generator has this state. Raises ValueError."""
    name = state["bit_generator"]
    if name not in BIT_GENERATORS:
        raise ValueError(f"unknown bit generator '{name}'")
    for place in (state, state["state"]):
        for key, last in PLACES.items():
            if key in place and not 0 <= place[key] <= last:
                raise ValueError(f"{name}: expected {key} between 0 and {last}, got {place[key]}")
    made = BIT_GENERATORS[name](0)
    made.state = state
    return np.random.Generator(made)


def _array(array: np.ndarray) -> list:
    if array.dtype.kind not in "biufcSUmM":
        raise NotRecorded(f"array of {array.dtype}")
    if array.nbytes > MOST_BYTES:
        raise NotRecorded(f"array of more than {MOST_BYTES >> 20} MiB")
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]


def _array_of(stored: list) -> np.ndarray:
    kind, shape, content = stored
    if np.dtype(kind).kind not in "biufcSUmM":
        raise ValueError(f"an array of {kind}")
    return np.frombuffer(base64.b64decode(content), kind).reshape(shape).copy()


def _python_random(stored: list) -> random.Random:
    made = random.Random(0)
    version, numbers, gauss = stored
    made.setstate((version, tuple(numbers), gauss))
    return made


def _random_state(stored: list) -> np.random.RandomState:
    state = dict(_pairs(stored))
    gauss = {key: state.pop(key) for key in ("has_gauss", "gauss")}
    made = np.random.RandomState(generator(state).bit_generator)
    made.set_state({**state, **gauss})
    return made


def _write_pairs(entries: dict) -> list:
    return [[encode(key), encode(value)] for key, value in entries.items()]


def _pairs(stored: list) -> list:
    return [(decode(key), decode(value)) for key, value in stored]


def _write_entries(entries: Any) -> list:
    return [encode(entry) for entry in entries]


# {name: (type, what it becomes, what is made of that)}
KINDS: dict[str, tuple[type, Callable[[Any], Any], Callable[[Any], Any]]] = {
    "float": (float, repr, float),      # nan and infinities
    "complex": (complex, repr, complex),
    "bytes": (bytes, lambda value: base64.b64encode(value).decode(), base64.b64decode),
    "tuple": (tuple, _write_entries, lambda stored: tuple(decode(stored))),
    "set": (set, lambda value: _write_entries(sorted(value, key=repr)),
            lambda stored: set(decode(stored))),
    "frozenset": (frozenset, lambda value: _write_entries(sorted(value, key=repr)),
                  lambda stored: frozenset(decode(stored))),
    "deque": (collections.deque, lambda value: [value.maxlen, _write_entries(value)],
              lambda stored: collections.deque(decode(stored[1]), stored[0])),
    "dict": (dict, _write_pairs, lambda stored: dict(_pairs(stored))),
    "OrderedDict": (collections.OrderedDict, _write_pairs,
                    lambda stored: collections.OrderedDict(_pairs(stored))),
    "array": (np.ndarray, _array, _array_of),
    "tensor": (torch.Tensor, lambda value: _array(value.detach().cpu().numpy()),
               lambda stored: torch.from_numpy(_array_of(stored))),
    "Random": (random.Random, lambda value: [value.getstate()[0], list(value.getstate()[1]),
                                             value.getstate()[2]], _python_random),
    "RandomState": (np.random.RandomState,
                    lambda value: _write_pairs(value.get_state(legacy=False)), _random_state),
    "Generator": (np.random.Generator, lambda value: _write_pairs(value.bit_generator.state),
                  lambda stored: generator(dict(_pairs(stored)))),
}
