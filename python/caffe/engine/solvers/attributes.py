"""Attributes: what Python layers keep from one pass to the next, recorded without their help."""

from __future__ import annotations

import random
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...layer import Layer
from ...log import logger
from .. import values

Path = tuple[str | int, ...]
OWN = {"layer_param", "name", "phase", "param_str", "param_str_", "_Layer__type",
       "_Layer__blobs"}
CONSTANT = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType,
            types.MethodType)
GENERATORS = random.Random, np.random.RandomState, np.random.Generator
# what their objects hold is not for others to change
FOREIGN = {*sys.stdlib_module_names, "caffe", "torch", "google", "numpy"} - {"__main__"}


class Attributes:
    """The attributes of a layer that have changed since its set-up.

    Numbers, texts, containers of these, arrays and random generators are recorded, also those of
    the layer's own objects, and of objects in those. Of what cannot be recorded the log tells
    once. What has not changed (paths, sizes) is not recorded, so that it never takes the place of
    what a new prototxt says.
    """

    def __init__(self, layer: Layer) -> None:
        self._layer = layer
        self._has_told = False
        # by the place of each value: the object itself, and the digest of what it held
        self._at_first = {path: (value, values.digest(stored))
                          for path, value, stored in self._recorded([])}

    def changed(self) -> list:
        """[[path, whether it is still the object of the set-up, the value]], for json.dumps."""
        unknown: list[str] = []
        found = []
        for path, value, stored in self._recorded(unknown):
            first, before = self._at_first.get(path, (None, None))
            if values.digest(stored) != before:
                found.append([list(path), value is first, stored])
        if unknown and not self._has_told:
            self._has_told = True
            logger.warning(
                "layer '%s' (%s): snapshots do not hold its attributes %s; a run that is continued "
                "finds them as its set-up makes them. If they matter, give the layer the methods "
                "resume_state() and resume_from(state)", self._layer.name,
                type(self._layer).__name__, ", ".join(unknown))
        return found

    def plan(self, stored: list) -> Callable[[], None]:
        """A function that gives the layer the attributes that `changed` found. Raises ValueError
        where this layer cannot have them; nothing has changed then."""
        changes = [self._change(tuple(path), is_same, values.decode(value))
                   for path, is_same, value in stored]

        def put() -> None:
            for change in changes:
                change()
        return put

    def _change(self, path: Path, is_same: bool, value: Any) -> Callable[[], None]:
        if len(path) == 1 and path[0] in OWN:
            raise ValueError(f"'{path[0]}' is the prototxt's")
        holder: Any = self._layer
        for step in path[:-1]:
            holder = _entries(holder)[step]
        entries, step = _entries(holder), path[-1]
        present = entries[step] if _has(entries, step) else None

        def put() -> None:
            if not (is_same and values.put_into(present, value)) \
                    and not isinstance(entries, tuple):
                entries[step] = value
        return put

    def _recorded(self, unknown: list[str]) -> Iterator[tuple[Path, Any, Any]]:
        """(path, value, the value for json.dumps) of all that is recorded; the others' names and
        types go to `unknown`."""
        entries = {name: value for name, value in vars(self._layer).items() if name not in OWN}
        return _walk((), entries, unknown, {id(self._layer)})


def _walk(path: Path, entries: Any, unknown: list[str], seen: set[int]
          ) -> Iterator[tuple[Path, Any, Any]]:
    items = enumerate(entries) if isinstance(entries, (list, tuple)) else list(entries.items())
    for step, value in items:
        place = (*path, step)
        if isinstance(value, CONSTANT) and _entries(value) is None:
            continue
        try:
            if _shares_generators(value):
                raise values.NotRecorded("random generators")   # each of them for itself
            stored = values.encode(value)
        except Exception as error:      # layers may keep anything
            inner = _entries(value) if isinstance(error, values.NotRecorded) else None
            if inner is None:
                unknown.append(f"'{'.'.join(map(str, place))}' ({error})")
            elif id(value) not in seen:
                seen.add(id(value))
                yield from _walk(place, inner, unknown, seen)
        else:
            yield place, value, stored


def _shares_generators(value: Any) -> bool:
    """Whether a container holds random generators: others may draw from the same, so that new
    ones must not take their places."""
    inner = value if type(value) in (list, tuple) else value.values() if type(value) is dict else ()
    return any(isinstance(entry, GENERATORS) for entry in inner)


def _entries(value: Any) -> Any:
    """The dict or list in which an object keeps what it holds; None of one that is not plain."""
    if type(value) in (list, tuple):
        return value
    if type(value) is dict:
        return value if all(isinstance(key, (str, int)) for key in value) else None
    if isinstance(getattr(value, "__self__", None), GENERATORS):
        return {"__self__": value.__self__}     # a method of a random generator
    is_foreign = any(kind.__module__.partition(".")[0] in FOREIGN for kind in type(value).__mro__
                     if kind not in (object, Layer))
    return None if is_foreign else getattr(value, "__dict__", None)


def _has(entries: Any, step: Any) -> bool:
    return step in entries if isinstance(entries, dict) else 0 <= step < len(entries)
