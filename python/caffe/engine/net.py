"""Net: layers in the order of the prototxt, with their blobs and parameters."""

import os
from collections import OrderedDict
from contextlib import contextmanager

import numpy as np

from .. import prototxt
from ..context import TEST, TRAIN
from ..errors import CaffeError, LayerError, WeightsError
from ..log import logger
from ..proto import caffe_pb2
from . import debug, graph, hdf5, weights as binary
from .blob import Blob
from .layers import TensorLayer, create

AUTOMATIC = "(automatic)"       # the original's name for the top of a loss that names none


class Net:
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

    # building

    def _build(self, param, source):
        self._source = source
        self._debug = param.debug_info
        self._callbacks = {kind: [] for kind in
                           ("before_forward", "after_forward", "before_backward", "after_backward")}
        try:
            self._param = graph.insert_splits(graph.filter_layers(param))
        except LayerError as error:
            raise LayerError(f"{source}: {error}") from None
        self.name = param.name
        # the blob that the prototxt names, for each branch of a split
        self._unsplit = {top: spec.bottom[0] for spec in self._param.layer if spec.type == "Split"
                         for top in spec.top}
        self.blobs, self.blob_loss_weights = OrderedDict(), OrderedDict()
        self.layers, self._bottoms, self._tops, self._loss_weights = [], [], [], []
        self._owners = {}
        self._learnable, self._borrowed = [], set()     # parameters, and those that others own
        unread = set()
        for spec in self._param.layer:
            if not spec.HasField("phase"):
                spec.phase = param.state.phase
            self._add_layer(spec)
            unread.difference_update(spec.bottom)
            unread.update(set(spec.top) - {AUTOMATIC})
        self.outputs = sorted(unread)       # as the original's set has them
        self.inputs = [top for spec in self._param.layer if spec.type == "Input"
                       for top in spec.top]
        names = [spec.name for spec in self._param.layer]
        self._layer_names = names
        self.layer_dict = OrderedDict(zip(names, self.layers))
        self.params = OrderedDict((name, layer.blobs) for name, layer in zip(names, self.layers)
                                  if layer.blobs)
        self.top_names = OrderedDict((s.name, list(s.top)) for s in self._param.layer)
        self.bottom_names = OrderedDict((s.name, list(s.bottom)) for s in self._param.layer)
        self._plan_backward()

    def _add_layer(self, spec):
        number = len(self.layers)
        bottom = [self.blobs[name] for name in spec.bottom]
        with self._located(spec, bottom):
            layer = create(spec)
            if isinstance(layer, TensorLayer) and layer.loss and not spec.top:
                spec.top.append(AUTOMATIC)
            top = [self._top_blob(name, spec) for name in spec.top]
            if isinstance(layer, TensorLayer):
                _check_count(layer, "bottom", len(bottom), layer.bottoms)
                _check_count(layer, "top", len(top), layer.tops)
            layer.setup(bottom, top)
            layer.reshape(bottom, top)
            self.layers.append(layer)
            self._bottoms.append(bottom)
            self._tops.append(top)
            self._own_params(spec, layer)
            self._loss_weights.append(_loss_weights(spec, layer))
        for name, weight in zip(spec.top, self._loss_weights[number]):
            self.blob_loss_weights[name] = weight
        self._seed_loss(number)

    def _top_blob(self, name, spec):
        if name not in spec.bottom:
            self.blobs[name] = Blob()
        return self.blobs[name]

    def _own_params(self, spec, layer):
        """Join parameters of equal name, and list those that a solver updates."""
        if len(spec.param) > len(layer.blobs):
            raise LayerError(f"has {len(layer.blobs)} parameters but {len(spec.param)} param "
                             "entries")
        for i, blob in enumerate(layer.blobs):
            param = spec.param[i] if i < len(spec.param) else caffe_pb2.ParamSpec()
            owner = self._owners.get(param.name) if param.name else None
            if owner is None:
                self._owners[param.name] = (blob, param, spec.name)
                self._learnable.append((blob, param))
                continue
            shared, owner_param, owner_name = owner
            permissive = param.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
            fits = blob.count == shared.count if permissive else blob.shape == shared.shape
            if not fits:
                raise LayerError(f"cannot share the parameter '{param.name}' of layer "
                                 f"'{owner_name}': its shape is {shared.shape}, here {blob.shape}")
            _merge_multipliers(param, owner_param, owner_name)
            blob.share_data(shared)
            blob.share_diff(shared)
            self._borrowed.add(blob)

    def _plan_backward(self):
        try:
            plan = graph.plan_backward(self._param, self.layers, self._loss_weights,
                                       self._param.force_backward)
        except LayerError as error:
            raise LayerError(f"{self._source}: {error}") from None
        self._backward_plan = [(runs, down) for runs, down, _ in plan]
        for layer, (runs, down, params) in zip(self.layers, plan):
            if isinstance(layer, TensorLayer) and runs:
                layer.propagate_down, layer.param_propagate_down = down, params

    def _seed_loss(self, number):
        """The gradient of the loss by a top with a loss weight is that weight."""
        for blob, weight in zip(self._tops[number], self._loss_weights[number]):
            if weight:
                blob.diff_tensor.fill_(weight)

    @contextmanager
    def _located(self, spec, bottom):
        """Add file, layer and bottoms to what a layer complains about.

        A Python layer's own exceptions pass as they are.
        """
        kinds = CaffeError if spec.type == "Python" else (RuntimeError, ValueError, IndexError)
        try:
            yield
        except kinds as error:
            names = [self._unsplit.get(name, name) for name in spec.bottom]
            blobs = ", ".join(f"'{name}' {blob.shape}" for name, blob in zip(names, bottom))
            place = f"layer '{spec.name}' ({spec.type})" + (f", bottoms {blobs}" if blobs else "")
            raise LayerError(f"{self._source}: {place}: {error}") from error

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
        self._forward(first, last)
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
        self._backward(last, first)
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
                    results.setdefault(name, []).extend(array[:rest].copy())
        return tuple({name: np.asarray(items) for name, items in results.items()}
                     for results in whole)

    def _forward(self, first, last):
        """Run layers first..last; returns the loss, a tensor on the current device."""
        loss = 0.0
        for number in range(first, last + 1):
            spec, layer = self._param.layer[number], self.layers[number]
            bottom, top = self._bottoms[number], self._tops[number]
            self._call("before_forward", number)
            with self._located(spec, bottom):
                layer.reshape(bottom, top)
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

    def _backward(self, last, first):
        for number in range(last, first - 1, -1):
            self._call("before_backward", number)
            runs, down = self._backward_plan[number]
            if runs:
                with self._located(self._param.layer[number], self._bottoms[number]):
                    self.layers[number].backward(self._tops[number], down, self._bottoms[number])
                if self._debug:
                    debug.backward(self, number)
            self._call("after_backward", number)
        if self._debug and first == 0:
            debug.backward_total(self)

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

    def reshape(self):
        """Give all blobs the shapes that follow from those of the inputs."""
        for spec, layer, bottom, top in zip(self._param.layer, self.layers, self._bottoms,
                                            self._tops):
            with self._located(spec, bottom):
                layer.reshape(bottom, top)

    def clear_param_diffs(self):
        """Set the gradients of all parameters to zero."""
        for blob, _ in self._learnable:
            blob.clear_diff()

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

    def _index(self, layer):
        if layer not in self.layer_dict:
            raise LayerError(f"{self._source}: no layer '{layer}' in the net")
        return self._layer_names.index(layer)

    def _blob(self, name):
        if name not in self.blobs:
            raise LayerError(f"{self._source}: no blob '{name}' in the net")
        return self.blobs[name]

    # pycaffe's names for what old scripts look up by number

    @property
    def _blobs(self):
        return list(self.blobs.values())

    @property
    def _blob_loss_weights(self):
        return list(self.blob_loss_weights.values())

    @property
    def _blob_names(self):
        return list(self.blobs)

    @property
    def _inputs(self):
        return [self._blob_names.index(name) for name in self.inputs]

    @property
    def _outputs(self):
        return [self._blob_names.index(name) for name in self.outputs]

    def _top_ids(self, number):
        return [self._blob_names.index(name) for name in self._param.layer[number].top]

    def _bottom_ids(self, number):
        return [self._blob_names.index(name) for name in self._param.layer[number].bottom]

    # weights

    def copy_from(self, weights):
        """Take the parameters of layers of equal names from a caffemodel, binary or HDF5.

        Layers that only one side has are left alone. Raises WeightsError if the file cannot be
        read or a parameter does not fit; the net is then unchanged.
        """
        files = hdf5 if hdf5.is_hdf5(weights) else binary
        copies = []
        for name, arrays in files.read_caffemodel(weights):
            if name not in self.layer_dict:
                logger.info("Ignoring source layer %s", name)
            if name not in self.params:
                continue
            blobs = self.params[name]
            if len(arrays) != len(blobs):
                raise WeightsError(f"{weights}: layer '{name}' has {len(arrays)} parameters, in "
                                   f"{self._source} it has {len(blobs)}")
            for i, (blob, array) in enumerate(zip(blobs, arrays)):
                if array is None and blob in self._borrowed:
                    continue        # its owner has it
                shape = "no values" if array is None else f"the shape {array.shape}"
                if array is None or not binary.same_shape(array.shape, blob.shape):
                    raise WeightsError(f"{weights}: parameter {i} of layer '{name}' has {shape}, "
                                       f"in {self._source} it has {blob.shape}")
                copies.append((blob, array))
        for blob, array in copies:
            blob.data[...] = array.reshape(blob.shape)

    def share_with(self, other):
        """Use the parameters of `other` for layers of equal names, now and after updates."""
        for name, blobs in other.params.items():
            for i, (mine, theirs) in enumerate(zip(self.params.get(name, ()), blobs)):
                if mine.shape != theirs.shape:
                    raise WeightsError(f"cannot share parameter {i} of layer '{name}': its shape "
                                       f"is {mine.shape} in {self._source} and {theirs.shape} in "
                                       f"{other._source}")
                mine.share_data(theirs)

    def load_weights(self, paths):
        """Take the parameters of several caffemodels, one after the other."""
        for path in paths:
            self.copy_from(path)

    def save(self, path):
        """Write the net with its parameters to `path`, a binary caffemodel."""
        self._save(binary, path)

    def save_hdf5(self, path):
        """Write the parameters to `path`, a caffemodel in HDF5."""
        self._save(hdf5, path)

    def load_hdf5(self, path):
        """Take the parameters of layers of equal names from a caffemodel in HDF5."""
        self.copy_from(path)

    def _save(self, files, path, diffs=False):
        if files is binary:
            param = caffe_pb2.NetParameter()
            param.CopyFrom(self._param)
            for spec in param.layer:
                if AUTOMATIC in spec.top:
                    del spec.top[:]
            binary.write_caffemodel(path, param, self.layers, diffs)
        else:
            hdf5.write_caffemodel(path, self._layer_names, self.layers, self._borrowed, diffs)


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
    return (int(given["phase"]), int(given["level"]), *map(given.get, ("stages", "weights")))


def _merge_multipliers(param, owner, owner_name):
    """Whoever of those that share a parameter gives lr_mult and decay_mult, gives it for all."""
    for field in ("lr_mult", "decay_mult"):
        given = getattr(param, field)
        if not param.HasField(field):
            continue
        if owner.HasField(field) and getattr(owner, field) != given:
            raise LayerError(f"gives the parameter '{param.name}' {field} {given:g}, its layer "
                             f"'{owner_name}' gives {getattr(owner, field):g}")
        setattr(owner, field, given)


def _check_count(layer, kind, count, allowed):
    low, high = allowed
    if count < low or (high is not None and count > high):
        wants = str(low) if low == high else f"{low} or more" if high is None else f"{low}–{high}"
        raise LayerError(f"takes {wants} {kind} blob(s), the prototxt gives {count}")


def _loss_weights(spec, layer):
    if spec.loss_weight:
        if len(spec.loss_weight) != len(spec.top):
            raise LayerError(f"has {len(spec.top)} tops but {len(spec.loss_weight)} loss_weight")
        return list(spec.loss_weight)
    default = 1.0 if getattr(layer, "loss", False) else 0.0
    return [default if i == 0 else 0.0 for i in range(len(spec.top))]
