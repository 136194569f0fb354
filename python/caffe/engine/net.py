"""Net: runs its layers, forward and backward, in whole or in part."""

import numbers
import os

import numpy as np

from ..formats import prototxt
from ..context import TEST, TRAIN
from ..errors import CaffeError, LayerError
from . import graph
from .runners import debug
from .builder import Built
from .by_number import ByNumber
from .layers import TensorLayer
from .parameters import Weights


class Net(Built, Weights, ByNumber):
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
    elide_padding : whether rows that a wide padding makes all alike are computed once (True)
    cuda_graphs : whether passes over all layers are recorded on a GPU, and replayed (True)

    Raises PrototxtError, LayerError or WeightsError, naming file, layer and blobs.
    """

    def __init__(self, network_file, *args, **kwargs):
        phase, level, stages, weights = _net_arguments(network_file, args, kwargs)
        param = prototxt.read_net(network_file)
        param.state.phase, param.state.level = phase, level
        param.state.stage.extend(stages or ())
        self._build(param, str(network_file))
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def _from_param(cls, param, source):
        """A net from a NetParameter whose state is set; `source` names it in errors."""
        net = cls.__new__(cls)
        net._build(param, source)
        return net

    # running

    def forward(self, blobs=None, start=None, end=None, **kwargs):
        """Run the layers from `start` to `end` (names, inclusive; default: all).

        Parameters
        ----------
        blobs : list of further blobs to return
        kwargs : arrays for input blobs; all inputs must be given, or none

        Returns {blob name: array} of the net's outputs, or of the tops of `end`, and `blobs`.
        """
        first = self._index(start) if start is not None else 0
        last = self._index(end) if end is not None else len(self.layers) - 1
        names = self.top_names[end] if end is not None else self.outputs
        self._place(kwargs, self.inputs, "input", "data")
        self.run_forward(first, last)
        return {name: self._blob(name).data for name in [*names, *(blobs or [])]}

    def backward(self, diffs=None, start=None, end=None, **kwargs):
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

    def forward_all(self, blobs=None, **kwargs):
        """Run forward over inputs of any number, in batches of the net's size.

        Parameters are those of `forward`; returns {blob name: array}, an item for each input.
        """
        outputs, _ = self._in_batches(kwargs, lambda batch: (self.forward(blobs, **batch), {}))
        return outputs

    def forward_backward_all(self, blobs=None, diffs=None, **kwargs):
        """Run forward and backward over inputs, and gradients of outputs, of any number.

        Returns ({blob name: array}, {blob name: gradient}), an item for each input.
        """
        def run(batch):
            given = {name: batch.pop(name) for name in list(batch) if name in self.outputs}
            outputs = {name: array.copy() for name, array in self.forward(blobs, **batch).items()}
            return outputs, self.backward(diffs, **given)
        return self._in_batches(kwargs, run)

    def _in_batches(self, arrays, run):
        """What `run` returns for each batch of `arrays`, two dicts, put together."""
        counts = {name: len(array) for name, array in arrays.items()}
        if not self.inputs or len(set(counts.values())) != 1:
            raise LayerError(f"{self._source}: expected as many items for each of the inputs "
                             f"{self.inputs}, got {counts}")
        count, = set(counts.values())
        size = self.blobs[next(iter(self.inputs))].shape[0]
        whole = {}, {}
        for begin in range(0, count, size):
            batch = {name: np.asarray(array)[begin:begin + size] for name, array in arrays.items()}
            rest = min(size, count - begin)
            batch = {name: np.concatenate([part, np.zeros((size - rest, *part.shape[1:]))])
                     if rest < size else part for name, part in batch.items()}
            for results, found in zip(whole, run(batch)):
                for name, array in found.items():
                    if not array.ndim:
                        raise LayerError(f"{self._source}: the blob '{name}' is one number for a "
                                         "whole batch, not one for each item: call forward() for "
                                         "each batch, or leave it out of the net")
                    results.setdefault(name, []).extend(array[:rest].copy())
        return tuple({name: np.asarray(items) for name, items in results.items()}
                     for results in whole)

    def run_forward(self, first=0, last=None):
        """Run layers first..last (default: all); returns the loss, a tensor on the current device."""
        last = len(self.layers) - 1 if last is None else last
        whole = (first, last) == (0, len(self.layers) - 1) and not self._is_watched
        if whole and self._graphs.wanted:
            return self._graphs.forward()
        return self._run(range(first, last + 1), release=whole)

    def _run(self, numbers, release=False, check=True):
        """Run the layers with these numbers, in order, and return their loss; with `release` the
        last pass goes before, but callbacks, and data layers, which may fail, still see it.
        Without `check`, values that layers look at are known to be right."""
        self._graphs.leave()
        loss = 0.0
        elide = self.elide_padding and not self._is_watched and self._elision.covers(numbers)
        for number in numbers:
            spec, layer = self._param.layer[number], self.layers[number]
            bottom, top = self._bottoms[number], self._tops[number]
            if release and bottom:
                self._release()
                release = False
            self._call("before_forward", number)
            with self._located(spec, bottom):
                layer.reshape(bottom, top)
                if check and number in self._looked_at:
                    layer.check(self._looked_at[number])
                if not self._elision.forward(number, elide):
                    layer.forward(bottom, top)
            for blob, weight in zip(top, self._loss_weights[number]):
                if weight:
                    if blob.diff_tensor.numel() > 1:
                        self._seed_loss(number)
                    loss = loss + weight * blob.data_tensor.sum()
            if self._debug:
                debug.forward(self, number)
            self._call("after_forward", number)
        return loss

    def _release(self):
        """Let go of the last pass, so that memory is handed out in the same order every time and
        does not fall to pieces."""
        for layer, bottom, top in zip(self.layers, self._bottoms, self._tops):
            if isinstance(layer, TensorLayer) and bottom:
                layer.release(bottom, top)
        self._elision.release()

    def run_backward(self, last=None, first=0):
        """Run the backward passes of layers last..first (default: all)."""
        last = len(self.layers) - 1 if last is None else last
        if (first, last) == (0, len(self.layers) - 1) and not self._is_watched:
            self._graphs.backward()
        else:
            self._run_back(last, first)

    def _run_back(self, last, first):
        self._elision.check(first, last, self._is_watched)
        for number in range(last, first - 1, -1):
            self._call("before_backward", number)
            runs, down = self._backward_plan[number]
            if runs:
                bottom, top = self._bottoms[number], self._tops[number]
                with self._located(self._param.layer[number], bottom):
                    graph.check_gradients(self._param.layer[number], self.layers[number], down)
                    if not self._elision.backward(number, down):
                        self.layers[number].backward(top, down, bottom)
                if self._debug:
                    debug.backward(self, number)
            self._call("after_backward", number)
        if self._debug and first == 0:
            debug.backward_total(self)

    @property
    def _is_watched(self):
        """Whether somebody looks at, or changes, what each layer does."""
        return self._debug or any(self._callbacks.values())

    # callbacks: functions of the number of the layer

    def before_forward(self, function):
        """Call function(layer number) before each layer's forward."""
        self._callbacks["before_forward"].append(function)

    def after_forward(self, function):
        """Call function(layer number) after each layer's forward."""
        self._callbacks["after_forward"].append(function)

    def before_backward(self, function):
        """Call function(layer number) before each layer's backward, whether or not it runs."""
        self._callbacks["before_backward"].append(function)

    def after_backward(self, function):
        """Call function(layer number) after each layer's backward, whether or not it runs."""
        self._callbacks["after_backward"].append(function)

    def _call(self, kind, number):
        for function in self._callbacks[kind]:
            function(number)

    def set_input_arrays(self, data, labels):
        """Have the MemoryData layer that begins the net go through these arrays.

        data : float32 (N, channels, height, width); labels : float32 (N,) or (N, 1, 1, 1)
        """
        if self.layers[0].type != "MemoryData":
            raise LayerError(f"{self._source}: set_input_arrays needs a net that begins with a "
                             f"MemoryData layer, not with '{self._layer_names[0]}' "
                             f"({self.layers[0].type})")
        with self._located(self._param.layer[0], []):
            self.layers[0].reset(data, labels)

    def _place(self, arrays, names, kind, field):
        """Fill `field` of the blobs `names`, all or none, from {name: array}."""
        if arrays and set(arrays) != set(names):
            raise CaffeError(f"{self._source}: the {kind}s of the net are {names}, "
                             f"given were {list(arrays)}")
        for name, value in arrays.items():
            value, blob = np.asarray(value), self._blob(name)
            try:
                if blob.shape[:1] != value.shape[:1]:
                    raise ValueError
                getattr(blob, field)[...] = value
            except ValueError:
                raise LayerError(f"{self._source}: {kind} '{name}' has the shape {blob.shape}, "
                                 f"given was {value.shape}; reshape the blob first") from None


def _net_arguments(file, args, kwargs):
    """(phase, level, stages, weights) from what the two ways to make a Net are given."""
    old = bool(args) and isinstance(args[0], (str, os.PathLike))
    order = ("weights", "phase") if old else ("phase", "level", "stages", "weights")
    given = {"phase": None, "level": 0, "stages": None, "weights": None}
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
    return (int(given["phase"]), int(given["level"]), *map(given.get, ("stages", "weights")))
