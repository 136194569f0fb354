"""Net: runs its layers, forward and backward, in whole or in part (pycaffe's `caffe.Net`)."""

from __future__ import annotations

import inspect
import numbers
import os
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast, overload

import numpy as np
import torch

from ..context import TEST, TRAIN
from ..errors import CaffeError, LayerError
from ..formats import caffemodel, hdf5, prototxt
from ..formats.text import printable
from . import contention, out_of_memory, parameters
from .builder import NetBuilder
from .one_thread import Turn, by_one_thread
from .private_names import PrivateNames
from .runners.debug_info import DebugInfo
from .runners.eliding import ElidingRunner
from .runners.observer import Callbacks, Observer, Observers
from .runners.recorded import RecordedRunner
from .runners.runner import Runner

if TYPE_CHECKING:
    from ..layer import Layer
    from ..proto import caffe_pb2
    from .blob import Blob


Arrays = dict[str, np.ndarray]      # by the names of blobs


def _with_signature_of(other: Callable) -> Callable[[Callable], Callable]:
    """Decorator: the function shows the signature of `other` to whoever asks for it."""
    def decorate(function: Callable) -> Callable:
        function.__signature__ = inspect.signature(other)   # type: ignore[attr-defined]
        return function
    return decorate


class Net(PrivateNames):
    """A net read from a prototxt: pycaffe's `caffe.Net`.

    Net(file, phase, level=0, stages=None, weights=None) or Net(file, weights, phase).

    Parameters
    ----------
    network_file : path of a prototxt
    weights : path of a caffemodel to start from
    phase : caffe.TRAIN or caffe.TEST
    level, stages : the state that include and exclude rules are held against

    Attributes
    ----------
    blobs : OrderedDict of every blob by name
    params : OrderedDict of each layer's parameters by layer name
    layers, layer_dict : the layers, in order and by name
    inputs, outputs : names of the blobs of Input layers, and of those that nothing reads
    top_names, bottom_names : OrderedDict of blob names by layer name
    blob_loss_weights : OrderedDict of the loss weight of each blob
    program : the Program, what the net runs
    debug_info : DebugInfo, which writes the means of all blobs to the log if it is `enabled`

    Raises PrototxtError, LayerError or WeightsError, naming file, layer and blobs.

    Example
    -------
        net = caffe.Net("deploy.prototxt", caffe.TEST, weights="net.caffemodel")
        net.blobs["data"].reshape(1, 3, 500, 500)
        net.blobs["data"].data[...] = image         # float32, (channels, height, width)
        score = net.forward()["score"]              # an array of the net's output
        print(net)                                  # its layers, with the shapes of their blobs
    """

    @overload
    def __init__(self, network_file: str, phase: int, level: int = 0,
                 stages: Sequence[str] | None = None, weights: str | None = None) -> None: ...

    @overload
    def __init__(self, network_file: str, weights: str, phase: int) -> None: ...

    @_with_signature_of(lambda self, network_file, phase, level=0, stages=None, weights=None: None)
    def __init__(self, network_file: str, *args: Any, **kwargs: Any) -> None:
        phase, level, stages, weights = _net_arguments(network_file, args, kwargs)
        param = prototxt.read_net(network_file)
        param.state.phase, param.state.level = phase, level
        param.state.stage.extend(stages or ())
        self._build(param, str(network_file), weights)
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def from_param(cls, param: caffe_pb2.NetParameter, source: str) -> Net:
        """A net from a NetParameter whose state is set; `source` names it in errors."""
        net = cls.__new__(cls)
        net._build(param, source)
        return net

    def _build(self, param: caffe_pb2.NetParameter, source: str,
               weights: str | os.PathLike | None = None) -> None:
        self.turn = Turn(source)
        # which of two layers a BN is, the number of its parameters may have to tell
        counts = (parameters.counts(weights) if weights is not None
                  and any(layer.type == "BN" for layer in param.layer) else None)
        self.program = program = NetBuilder(param, source, counts).program()
        steps = program.steps
        self.name = param.name
        self.layers: list[Layer] = [step.layer for step in steps]
        self.layer_dict: Mapping[str, Layer] = OrderedDict(zip(self._layer_names, self.layers))
        self.blobs, self.blob_loss_weights = program.blobs, program.loss_weights
        self.params: Mapping[str, list[Blob]] = OrderedDict(parameters.by_layer(program))
        self.top_names = OrderedDict((step.name, list(step.spec.top)) for step in steps)
        self.bottom_names = OrderedDict((step.name, list(step.spec.bottom)) for step in steps)
        self.inputs = [top for step in steps if step.spec.type == "Input" for top in step.spec.top]
        self.outputs = program.outputs
        self.debug_info, self._callbacks = DebugInfo(program, param.debug_info), Callbacks()
        self._observer = Observers([self.debug_info, self._callbacks])
        self._eliding = ElidingRunner(program)
        self._recorded = RecordedRunner(program, self._eliding)
        self._runner: Runner = self._recorded

    # running

    @by_one_thread
    def forward(self, blobs: Sequence[str] | None = None, start: str | None = None,
                end: str | None = None, **kwargs: np.ndarray) -> Arrays:
        """Run the layers from `start` to `end` (names, inclusive; default: all).

        Parameters
        ----------
        blobs : list of further blobs to return
        kwargs : arrays for input blobs; all inputs must be given, or none

        Returns {blob name: array} of the net's outputs, or of the tops of `end`, and `blobs`; the
        arrays are views, which show what the next pass leaves, too.
        Raises LayerError, naming file, layer and bottoms, for what a layer cannot compute, and
        CaffeError for names and arrays that do not fit.
        """
        first = self._index(start) if start is not None else 0
        last = self._index(end) if end is not None else len(self.layers) - 1
        names = self.top_names[end] if end is not None else self.outputs
        self._place(kwargs, self.inputs, "input", "data")
        self.run_forward(first, last)
        return {name: self._blob(name).data for name in [*names, *(blobs or [])]}

    @by_one_thread
    def backward(self, diffs: Sequence[str] | None = None, start: str | None = None,
                 end: str | None = None, **kwargs: np.ndarray) -> Arrays:
        """Run backward from layer `start` down to layer `end` (names, inclusive; default: all).

        Parameters
        ----------
        diffs : list of further blobs whose gradient to return
        kwargs : gradients to place on output blobs first; all outputs must be given, or none

        Returns {blob name: gradient} of the net's inputs, or of the bottoms of `end`, and `diffs`.
        Gradients of parameters are added to what `params` hold.
        """
        last = self._index(start) if start is not None else len(self.layers) - 1
        first = self._index(end) if end is not None else 0
        names = self.bottom_names[end] if end is not None else self.inputs
        self._place(kwargs, self.outputs, "output", "diff")
        self.run_backward(last, first)
        return {name: self._blob(name).diff for name in [*names, *(diffs or [])]}

    @by_one_thread
    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Any) -> Arrays:
        """Run forward over inputs of any number, in batches of the net's size.

        Parameters are those of `forward`; returns {blob name: array}, an item for each input.
        """
        outputs, _ = self._in_batches(kwargs, lambda batch: (self.forward(blobs, **batch), {}))
        return outputs

    @by_one_thread
    def forward_backward_all(self, blobs: Sequence[str] | None = None,
                             diffs: Sequence[str] | None = None, **kwargs: Any
                             ) -> tuple[Arrays, Arrays]:
        """Run forward and backward over inputs, and gradients of outputs, of any number.

        Returns ({blob name: array}, {blob name: gradient}), an item for each input.
        """
        def run(batch: dict[str, Any]) -> tuple[Arrays, Arrays]:
            given = {name: batch.pop(name) for name in list(batch) if name in self.outputs}
            outputs = {name: array.copy() for name, array in self.forward(blobs, **batch).items()}
            return outputs, self.backward(diffs, **given)
        return self._in_batches(kwargs, run)

    def _in_batches(self, arrays: Mapping[str, Any],
                    run: Callable[[dict[str, Any]], tuple[Arrays, Arrays]]
                   ) -> tuple[Arrays, Arrays]:
        """What `run` returns for each batch of `arrays`, two dicts, put together."""
        counts = {name: len(array) for name, array in arrays.items()}
        if not self.inputs or len(set(counts.values())) != 1:
            raise LayerError(f"{self.program.source}: expected as many items for each of the "
                             f"inputs {self.inputs}, got {counts}")
        count, = set(counts.values())
        size = self.blobs[next(iter(self.inputs))].shape[0]
        whole: tuple[dict[str, list], dict[str, list]] = {}, {}
        for begin in range(0, count, size):
            batch = {name: np.asarray(array)[begin:begin + size] for name, array in arrays.items()}
            rest = min(size, count - begin)
            batch = {name: np.concatenate([part, np.zeros((size - rest, *part.shape[1:]))])
                     if rest < size else part for name, part in batch.items()}
            for results, found in zip(whole, run(batch)):
                for name, array in found.items():
                    if not array.ndim:
                        raise LayerError(f"{self.program.source}: the blob '{name}' is one number "
                                         "for a whole batch, not one for each item: call "
                                         "forward() for each batch, or leave it out of the net")
                    results.setdefault(name, []).extend(array[:rest].copy())
        outputs, gradients = ({name: np.asarray(items) for name, items in results.items()}
                              for results in whole)
        return outputs, gradients

    @by_one_thread
    def run_forward(self, first: int = 0, last: int | None = None) -> torch.Tensor | float:
        """Run the layers with the numbers first..last (default: all); returns the loss, a tensor
        on the current device, or 0.0 where none of them counts towards it."""
        contention.watch.look()
        numbers = range(first, (len(self.layers) - 1 if last is None else last) + 1)
        # observers may look at what the last pass has left
        release = len(numbers) == len(self.layers) and not self._observer.watches
        return self._runner.forward(numbers, self._observer, release)

    @by_one_thread
    def run_backward(self, last: int | None = None, first: int = 0, release: bool = False) -> None:
        """Run the backward passes of the layers with the numbers last..first (default: all).

        With `release`, a pass through all layers leaves less memory in use. If the next pass is a
        backward one again, it takes longer: layers then compute what they need anew.
        """
        last = len(self.layers) - 1 if last is None else last
        release = (release and last - first + 1 == len(self.layers)
                   and not self._observer.watches)
        self._runner.backward(range(last, first - 1, -1), self._observer, release)

    @by_one_thread
    def weights_updated(self) -> None:
        """Know that a solver has subtracted from each parameter what its `diff` holds."""
        self._runner.weights_updated()

    @by_one_thread
    def reshape(self) -> None:
        """Give all blobs the shapes that follow from those of the inputs.

        Raises OutOfMemoryError where their values together take more memory than there is.
        """
        self.program.reshape(range(len(self.layers)))
        out_of_memory.check_total(self.program)

    @property
    def elide_padding(self) -> bool:
        """Whether rows that a wide padding makes all alike are computed once (True)."""
        return self._eliding.enabled

    @elide_padding.setter
    def elide_padding(self, wanted: bool) -> None:
        self._eliding.enabled = bool(wanted)

    @property
    def elided_layers(self) -> dict:
        """{layer: [(rows, columns), ...]} of the maps that the layers which left rows out in the
        last pass computed instead of their tops: a smaller one, or a core and a frame."""
        return self._eliding.computed()

    @property
    def cuda_graphs(self) -> bool:
        """Whether passes over all layers are recorded on a GPU, and replayed (True)."""
        return self._recorded.enabled

    @cuda_graphs.setter
    def cuda_graphs(self, wanted: bool) -> None:
        self._recorded.enabled = bool(wanted)

    @property
    def recorded(self) -> RecordedRunner:
        """What records passes for CUDA graphs: its `sizes` says of how many sizes of the data,
        its `is_full` whether memory sufficed for no more."""
        return self._recorded

    # callbacks: functions of the number of the layer

    def before_forward(self, function: Callable[[int], None]) -> None:
        """Call function(layer number) before each layer's forward."""
        self._callbacks.functions["before_forward"].append(function)

    def after_forward(self, function: Callable[[int], None]) -> None:
        """Call function(layer number) after each layer's forward."""
        self._callbacks.functions["after_forward"].append(function)

    def before_backward(self, function: Callable[[int], None]) -> None:
        """Call function(layer number) before each layer's backward, whether or not it runs."""
        self._callbacks.functions["before_backward"].append(function)

    def after_backward(self, function: Callable[[int], None] | Observer) -> None:
        """Call function(layer number) after each layer's backward, whether or not it runs.

        Given a caffe.NCCL, gradients are sent while the pass goes on; passes stay as fast as they
        are, for it looks at nothing but finished gradients of parameters."""
        if isinstance(function, Observer):
            self._observer.add(function)
        else:
            self._callbacks.functions["after_backward"].append(function)

    # parameters

    @by_one_thread
    def copy_from(self, weights: str) -> None:
        """Take the parameters of layers of equal names from a caffemodel, binary or HDF5.

        Layers that only one side has are left alone. Raises WeightsError if the file cannot be
        read or a parameter does not fit; the net is then unchanged.
        """
        parameters.from_file(self.program, weights)()

    load_hdf5 = copy_from       # the original's name for HDF5

    def load_weights(self, paths: Iterable[str]) -> None:
        """Take the parameters of several caffemodels, one after the other."""
        for path in paths:
            self.copy_from(path)

    @by_one_thread
    def share_with(self, other: Net) -> None:
        """Use the parameters of `other` for layers of equal names, now and after updates."""
        parameters.share_with(self.program, other.program)

    @by_one_thread
    def save(self, path: str) -> None:
        """Write the net with its parameters to `path`, a binary caffemodel."""
        parameters.write_file(self.program, caffemodel, path)

    @by_one_thread
    def save_hdf5(self, path: str) -> None:
        """Write the parameters to `path`, a caffemodel in HDF5."""
        parameters.write_file(self.program, hdf5, path)

    @by_one_thread
    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        for blob, _ in self.program.learnable:
            blob.clear_diff()

    @by_one_thread
    def set_input_arrays(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Have the MemoryData layer that begins the net go through these arrays.

        data : float32 (N, channels, height, width); labels : float32 (N,) or (N, 1, 1, 1)
        """
        if self.layers[0].type != "MemoryData":
            raise LayerError(f"{self.program.source}: set_input_arrays needs a net that begins "
                             "with a MemoryData layer, not with "
                             f"'{self.program.steps[0].name}' ({self.layers[0].type})")
        with self.program.locating_errors(self.program.steps[0]):
            cast(Any, self.layers[0]).reset(data, labels)

    def __repr__(self) -> str:
        rows = []
        for step in self.program.steps:
            bottom = ", ".join(step.spec.bottom)
            top = ", ".join(f"{name} {blob.shape}" for name, blob in zip(step.spec.top, step.top))
            params = ", ".join(str(blob.shape) for blob in step.layer.blobs)
            rows.append((step.name, step.spec.type, bottom, f"-> {top}" if top else "",
                         f"parameters {params}" if params else ""))
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        phase = "TRAIN" if self.program.param.state.phase == TRAIN else "TEST"
        name = f" '{self.name}'" if self.name else ""
        return printable("\n  ".join([f"Net{name} of {self.program.source}, {phase}, "
                                      f"{len(rows)} layers", *lines]))

    def _index(self, layer: str) -> int:
        if layer not in self.layer_dict:
            raise LayerError(f"{self.program.source}: no layer '{layer}' in the net")
        return next(step.number for step in self.program.steps if step.name == layer)

    def _blob(self, name: str) -> Blob:
        if name not in self.blobs:
            raise LayerError(f"{self.program.source}: no blob '{name}' in the net")
        return self.blobs[name]

    def _place(self, arrays: Mapping[str, Any], names: Collection[str], kind: str, field: str
              ) -> None:
        """Fill `field` of the blobs `names`, all or none, from {name: array}."""
        if arrays and set(arrays) != set(names):
            raise CaffeError(f"{self.program.source}: the {kind}s of the net are {names}, "
                             f"given were {list(arrays)}")
        for name, value in arrays.items():
            value, blob = np.asarray(value), self._blob(name)
            try:
                if blob.shape[:1] != value.shape[:1]:
                    raise ValueError
                getattr(blob, field)[...] = value
            except ValueError:
                raise LayerError(f"{self.program.source}: {kind} '{name}' has the shape "
                                 f"{blob.shape}, given was {value.shape}; reshape the blob first"
                                 ) from None


def _net_arguments(file: str, args: tuple, kwargs: dict[str, Any]
                   ) -> tuple[int, int, Sequence[str] | None, str | None]:
    """(phase, level, stages, weights) from what the two ways to make a Net are given."""
    old = bool(args) and isinstance(args[0], (str, os.PathLike))
    order = ("weights", "phase") if old else ("phase", "level", "stages", "weights")
    given: dict[str, Any] = {"phase": None, "level": 0, "stages": None, "weights": None}
    placed = dict(zip(order, args))
    if len(args) > len(order) or set(kwargs) - set(given) or set(kwargs) & set(placed):
        raise CaffeError(f"{file}: expected Net(file, phase, level, stages, weights) or "
                         f"Net(file, weights, phase), got {args} and {kwargs}")
    given.update(placed, **kwargs)
    if given["phase"] not in (TRAIN, TEST):
        raise CaffeError(f"{file}: a net needs a phase, caffe.TRAIN or caffe.TEST, "
                         f"got {given['phase']!r}")
    if not isinstance(given["level"], numbers.Integral):
        raise CaffeError(f"{file}: a level is a whole number, got {given['level']!r}; weights are "
                         "given by name, weights='...'")
    if isinstance(given["stages"], str):
        raise CaffeError(f"{file}: stages is a list, stages=['{given['stages']}'], not a text")
    return int(given["phase"]), int(given["level"]), given["stages"], given["weights"]
