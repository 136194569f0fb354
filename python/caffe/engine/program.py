"""Program: what a net runs. It is made once, by the builder, and nobody changes it afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..errors import CaffeError, LayerError
from ..layer import Layer
from ..log import logger
from ..proto import caffe_pb2
from . import graph, out_of_memory
from .blob import Blob
from .layers import TensorLayer


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of a program, with all that it takes to run it.

    Attributes
    ----------
    number : its place in the program, from 0
    spec : LayerParameter of the prototxt, after splits were inserted
    layer : the Layer itself
    bottom, top : its blobs
    loss_weights : the loss weight of each top, 0 where it does not count towards the loss
    runs_backward : whether a backward pass runs it
    propagate_down : for each bottom, whether it receives a gradient
    validated_bottoms : the blobs whose values the layer validates before each forward pass; where
        a bottom is the branch of a split, that is the blob before the split, whose values may
        still be on the host; empty for a layer that validates nothing
    """

    number: int
    spec: caffe_pb2.LayerParameter
    layer: Layer
    bottom: tuple[Blob, ...]
    top: tuple[Blob, ...]
    loss_weights: tuple[float, ...]
    runs_backward: bool
    propagate_down: tuple[bool, ...]
    validated_bottoms: tuple[Blob, ...]

    @property
    def name(self) -> str:
        return self.spec.name

    def passes_down(self, blob: Blob) -> bool:
        """Whether its backward pass, in a pass over the whole net, sets the gradient of `blob`, a
        bottom."""
        return self.runs_backward and any(
            given for bottom, given in zip(self.bottom, self.passed_down) if bottom is blob)

    @property
    def passed_down(self) -> tuple[bool, ...]:
        """For each bottom, whether the layer's backward pass sets its gradient: where it is to
        receive one, and everywhere if the layer does not ask, but not where it takes the shape
        alone."""
        if not isinstance(self.layer, TensorLayer):
            return self.propagate_down
        always, without = self.layer.always_passes_down, self.layer.shape_bottoms
        return tuple((always or wanted) and i not in without
                     for i, wanted in enumerate(self.propagate_down))


@dataclass(frozen=True, eq=False)
class Program:
    """The layers of a net in the order in which they run, joined by their blobs and parameters.

    Attributes
    ----------
    source : the file that the net was read from, which errors name
    param : NetParameter with the layers of this phase, and splits; its layers are those of steps
    steps : the layers
    blobs : every blob by name
    loss_weights : the loss weight of every blob by name
    unsplit_names : the name in the prototxt of each branch of a split
    learnable : (parameter, ParamSpec with its multipliers) of each that a solver updates
    borrowed : parameters whose values belong to another layer's parameter of the same name
    """

    source: str
    param: caffe_pb2.NetParameter
    steps: tuple[Step, ...]
    blobs: Mapping[str, Blob]
    loss_weights: Mapping[str, float]
    unsplit_names: Mapping[str, str]
    learnable: tuple[tuple[Blob, caffe_pb2.ParamSpec], ...]
    borrowed: frozenset[Blob]

    def reshape(self, numbers: range | list[int]) -> None:
        """Have the layers with these numbers give their tops the shapes that follow from their
        bottoms. Raises LayerError."""
        for number in numbers:
            step = self.steps[number]
            with self.locating_errors(step):
                step.layer.reshape(step.bottom, step.top)

    @property
    def outputs(self) -> list[str]:
        """The names of the blobs that no layer reads, sorted as in the original."""
        return graph.outputs(self.param)

    def locating_errors(self, step: Step) -> LocatingErrors:
        """Add file, layer and bottoms to what a layer complains about."""
        return LocatingErrors(self.source, step.spec, step.bottom, self.unsplit_names, self)

    def memory_users(self) -> dict[str, dict[str, tuple]]:
        """{"blobs": {name: shape}, "parameters": {LAYER[i]: shape}}."""
        return {"blobs": {name: blob.shape for name, blob in self.blobs.items()
                          if name not in self.unsplit_names},
                "parameters": {f"{step.name}[{i}]": blob.shape for step in self.steps
                               for i, blob in enumerate(step.layer.blobs)}}


@dataclass(eq=False)
class LocatingErrors:
    """A context manager that adds file, layer and bottoms to what a layer complains about.

    A Python layer's own exceptions pass as they are, with a note (PEP 678) that names the layer
    and its module. With a `program`, an error of memory that does not suffice names its largest
    blobs and parameters.
    """

    source: str
    spec: caffe_pb2.LayerParameter
    bottom: Sequence[Blob]
    unsplit_names: Mapping[str, str]
    program: Program | None = None

    def __enter__(self) -> None:
        """Nothing is to be prepared."""

    def __exit__(self, kind: type | None, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, Exception):
            return
        spec, is_python = self.spec, self.spec.type == "Python"
        names = [self.unsplit_names.get(name, name) for name in spec.bottom]
        blobs = ", ".join(f"'{name}' {blob.shape}" for name, blob in zip(names, self.bottom))
        place = (f"{self.source}: layer '{spec.name}' ({spec.type})"
                 + (f", bottoms {blobs}" if blobs else ""))
        if not is_python and out_of_memory.is_out_of_memory(error):
            users = self.program.memory_users() if self.program else {}
            raise out_of_memory.explained(error, place, users) from error
        if isinstance(error, CaffeError if is_python else (RuntimeError, ValueError, IndexError)):
            raise LayerError(f"{place}: {error}") from error
        if is_python:
            _note(error, f"{place} raised this: class {spec.python_param.layer} of the "
                         f"module {spec.python_param.module}, a Python layer")


def _note(error: Exception, text: str) -> None:
    """Have a traceback say more; where Python (3.10) has no notes, the log does."""
    if hasattr(error, "add_note"):
        if text not in getattr(error, "__notes__", ()):     # what a thread raised comes again
            error.add_note(text)
    else:
        logger.error("%s", text)
