"""What a resumed training needs beyond Caffe's solverstate, and the file that holds it.

Beside NAME.solverstate lies NAME.solverstate.resume, JSON: {"version", "sha256" of the content,
"content"}. The original does not look at it, and without it training continues as the original
does. The content:

    files   {"solverstate" or "caffemodel": its SHA-256}
    random  the states of torch's generators, and of the global ones of numpy and random
    losses  what the smoothed loss is the mean of
    passes  of solvers that train together, the passes of all and the seed of their random numbers
    nets    for the train net and each test net {layer: {"is": digest, "state": ...}}
"""

from __future__ import annotations

import hashlib
import json
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import zip_longest
from typing import Any

import numpy as np
import torch

from ... import context
from ...errors import WeightsError
from ...formats.atomic import replacing
from ...formats.text import file_name
from ...layer import Layer
from ...log import logger
from ...proto import caffe_pb2
from .. import values
from ..layers import TensorLayer
from ..net import Net
from ..program import Step
from .attributes import Attributes

VERSION = 1


class Bookmark:
    """Takes down where the layers of a solver's nets and the random generators stand.

    A layer says so itself where it has the methods `resume_state()`, whose value is made of
    numbers, texts, lists, dicts and arrays, and `resume_from(state)`, which raises an exception
    where that does not fit. Of other Python layers the attributes are recorded.
    """

    def __init__(self, nets: Sequence[Net]) -> None:
        self._nets = nets
        self._told: set[Layer] = set()
        self._attributes = {layer: Attributes(layer) for net in nets for layer in net.layers
                            if not (isinstance(layer, TensorLayer) or _has_methods(layer))}

    def take(self) -> dict[str, Any]:
        """{"random", "nets"} as they are now, for json.dumps."""
        return {"random": _random_states(),
                "nets": [{step.name: {"is": _identity(step.spec, step.layer),
                                      "state": self._state(step.layer)}
                          for step in net.program.steps if self._has_state(step.layer)}
                         for net in self._nets]}

    def take_data(self, with_python: bool) -> dict[str, Any]:
        """Where the train net's layers stand that say so themselves, those of the engine, and
        `with_python` Python layers, too."""
        return {step.name: {"is": _identity(step.spec, step.layer),
                            "state": self._state(step.layer)}
                for step in self._nets[0].program.steps if _has_methods(step.layer)
                and (with_python or isinstance(step.layer, TensorLayer))}

    def put_data(self, taken: dict[str, Any]) -> None:
        """Have the layers that another process's `take_data` tells of go on from there."""
        program = self._nets[0].program
        for step in program.steps:
            if step.name in taken:
                self._put(program.source, step, taken[step.name])

    def plan(self, content: dict[str, Any]) -> Callable[[], None]:
        """A function that goes back to what `take` took down. Raises ValueError, or another
        exception, where it cannot be understood; nothing has changed then.

        A layer that has changed since, or whose files have, or of whose name there is none in the
        snapshot, goes on as it is, as the log says.
        """
        set_random_states = _plan_random_states(content["random"])
        changes, notes = [], []
        for number, (net, taken) in enumerate(zip_longest(self._nets, content["nets"])):
            place = f"test net #{number - 1}" if number else "train net"
            left = dict(taken or {})
            for step in net.program.steps if net else []:
                entry = left.pop(step.name, None)
                if entry is not None:
                    changes.append((net.program.source, step, entry))
                elif self._has_state(step.layer):
                    notes.append(f"{net.program.source}: layer '{step.name}' ({step.spec.type}) of "
                                 f"the {place} goes on where it stands: the snapshot holds nothing "
                                 "of a layer of this name")
            notes += [f"the snapshot holds where layer '{name}' of the {place} stood, and there is "
                      "no such layer now: under another name it begins anew"
                      for name, entry in left.items() if entry["state"] != []]

        def put() -> None:
            for note in notes:
                logger.warning("%s", note)
            for source, step, entry in changes:
                self._put(source, step, entry)
            set_random_states()
        return put

    def _has_state(self, layer: Layer) -> bool:
        return layer in self._attributes or _has_methods(layer)

    def _state(self, layer: Any) -> Any:
        own = self._attributes.get(layer)
        if own:
            return own.changed()
        try:
            return values.encode(layer.resume_state())
        except Exception as error:      # of a layer's own method; the weights are not to be lost
            if layer not in self._told:
                logger.warning("layer '%s' (%s): snapshots do not hold where it stands: "
                               "resume_state(): %s: %s", layer.name, type(layer).__name__,
                               type(error).__name__, error)
            self._told.add(layer)
            return None

    def _put(self, source: str, step: Step, entry: dict[str, Any]) -> None:
        layer: Any = step.layer
        try:
            if entry["is"] != _identity(step.spec, layer):
                raise ValueError("the layer's entry in the prototxt has changed")
            own = self._attributes.get(layer)
            if own:
                own.plan(entry["state"])()
            else:
                layer.resume_from(values.decode(entry["state"]))
        except Exception as error:      # of a layer's own methods, or of its files
            logger.warning("%s: layer '%s' (%s) does not continue where the snapshot was taken, "
                           "but where it stands: %s", source, step.name, step.spec.type, error)


def _has_methods(layer: Layer) -> bool:
    return hasattr(layer, "resume_state") and hasattr(layer, "resume_from")


def _identity(spec: caffe_pb2.LayerParameter, layer: Layer) -> str:
    """The digest of a layer's entry in the prototxt, but for what has no part in its state. A
    Python layer that records itself knows best what of its param_str matters."""
    own = caffe_pb2.LayerParameter()
    own.CopyFrom(spec)
    for field in ("blobs", "param", "loss_weight", "include", "exclude", "propagate_down"):
        own.ClearField(field)
    if not isinstance(layer, TensorLayer) and _has_methods(layer):
        own.python_param.ClearField("param_str")
    return hashlib.sha256(own.SerializeToString(deterministic=True)).hexdigest()


# random generators

def _random_states() -> dict[str, Any]:
    version, numbers, gauss = random.getstate()
    states: dict[str, Any] = {
        "torch": torch.get_rng_state(), "numpy": np.random.get_state(legacy=False),
        "python": [version, list(numbers), gauss]}
    device = context.device()
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return values.encode(states)


def _plan_random_states(stored: Any) -> Callable[[], None]:
    states = values.decode(stored)
    version, numbers, gauss = states["python"]
    python = version, tuple(numbers), gauss
    device = context.device()
    # each is tried on a generator that nobody uses
    torch.Generator().set_state(states["torch"])
    values.generator({key: value for key, value in states["numpy"].items() if "gauss" not in key})
    np.random.RandomState().set_state(states["numpy"])
    random.Random().setstate(python)
    uses_gpu = device.type == "cuda" and "cuda" in states
    if uses_gpu:
        torch.Generator(device).set_state(states["cuda"])

    def put() -> None:
        torch.set_rng_state(states["torch"])
        np.random.set_state(states["numpy"])
        random.setstate(python)
        if uses_gpu:
            torch.cuda.set_rng_state(states["cuda"], device)
        elif device.type == "cuda" or "cuda" in states:
            logger.warning("the snapshot was taken on another kind of device: random numbers "
                           "of the GPU differ from those of a run that was not interrupted")
    return put


# the file

def beside(state: str) -> str:
    """The path of the file beside a solverstate."""
    return f"{state}.resume"


def write(state: str, content: dict[str, Any]) -> None:
    """Write the file beside the solverstate `state`."""
    text = json.dumps(content, sort_keys=True)
    with replacing(beside(state)) as file:
        file.write(f'{{"version": {VERSION}, "sha256": "{_sha256(text)}",\n"content": {text}}}\n'
                   .encode())


def read(state: str) -> dict[str, Any] | None:
    """The content of the file beside the solverstate `state`, None if there is none.

    Raises WeightsError for a damaged one, or one of another version.
    """
    path = beside(state)
    try:
        with open(file_name(path), "rb") as file:
            whole = json.loads(file.read())
        version, content = whole["version"], whole["content"]
        found = _sha256(json.dumps(content, sort_keys=True))
        if not isinstance(content, dict):
            raise ValueError(f"expected a dict as its content, got a {type(content).__name__}")
        if missing := {"files", "random", "losses", "nets"} - set(content):
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        if not isinstance(content["files"], dict):
            raise ValueError(f"expected files to be a dict, got {content['files']!r}")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise WeightsError(f"{path}: damaged: {error}; {REMEDY}") from None
    if version != VERSION:
        raise WeightsError(f"{path}: expected version {VERSION}, got {version!r}; {REMEDY}")
    if found != whole.get("sha256"):
        raise WeightsError(f"{path}: damaged: expected a content with the SHA-256 "
                           f"{whole.get('sha256')}, got {found}; {REMEDY}")
    return content


REMEDY = ("continue from the snapshot before; or remove the resume file (.resume), to continue "
          "as the original Caffe does, with data and random numbers from their beginning")


@contextmanager
def reporting_damage(state: str) -> Iterator[None]:
    """Name the file beside a solverstate in what is wrong with its content."""
    try:
        yield
    except Exception as error:      # what others wrote may be anything
        raise WeightsError(f"{beside(state)}: damaged: {type(error).__name__}: {error}; {REMEDY}"
                           ) from error


def check_file(content: dict[str, Any], kind: str, path: str) -> None:
    """Raise WeightsError unless the file `path`, "caffemodel" or "solverstate", is the one that
    was written."""
    found = digest_of_file(path)
    expected = content["files"].get(kind)
    if found != expected:
        raise WeightsError(f"{path}: damaged, or another file than was written: expected the "
                           f"SHA-256 {expected}, got {found}; {REMEDY}")


def is_whole(state: str) -> bool:
    """Whether a solverstate and the caffemodel beside it are as they were written."""
    try:
        content = read(state)
        if content is None:
            return False
        for kind in ("solverstate", "caffemodel"):
            check_file(content, kind, state.replace(".solverstate", f".{kind}"))
        return True
    except WeightsError:
        return False


def digest_of_file(path: str) -> str:
    """The SHA-256 of a file. Raises WeightsError where it cannot be read."""
    try:
        with open(file_name(path), "rb") as file:
            return digest_of(file.fileno())
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file; keep the three files of a snapshot together, "
                           f"caffemodel, solverstate and resume file, or {REMEDY}") from None
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read: {error.strerror}") from None


def digest_of(handle: int) -> str:
    """The SHA-256 of an open file, by its descriptor, from its beginning."""
    found = hashlib.sha256()
    os.lseek(handle, 0, os.SEEK_SET)
    while piece := os.read(handle, 1 << 20):
        found.update(piece)
    return found.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
