"""Building: from a NetParameter to layers that run, with their blobs and parameters."""

from collections import OrderedDict
from contextlib import contextmanager

from ..errors import CaffeError, LayerError
from ..proto import caffe_pb2
from . import graph, in_place
from .blob import Blob
from .runners.cuda_graphs import Graphs
from .elision import Elision
from .layers import TensorLayer, create
from .layers.shape import Split

AUTOMATIC = "(automatic)"       # the original's name for the top of a loss that names none


class Built:
    """The layers of a net in the order of the prototxt, joined by their blobs and parameters."""

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
        self._unsplit = {top: spec.bottom[0] for spec in self._param.layer
                         if spec.type == "Split" and spec.bottom for top in spec.top}
        self.blobs, self.blob_loss_weights = OrderedDict(), OrderedDict()
        self.layers, self._bottoms, self._tops, self._loss_weights = [], [], [], []
        self._origins, self._looked_at = {}, {}     # of splits; of layers that look at values
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
        self.elide_padding, self._elision = True, Elision(self)
        self.cuda_graphs, self._graphs = True, Graphs(self)

    def _add_layer(self, spec):
        number = len(self.layers)
        bottom = [self.blobs[name] for name in spec.bottom]
        with self._located(spec, bottom):
            layer = create(spec)
            if _is_loss(layer) and not spec.top:
                spec.top.append(AUTOMATIC)
            top = [self._top_blob(name, spec) for name in spec.top]
            if isinstance(layer, TensorLayer):
                _check_count(layer, "bottom", len(bottom), layer.bottoms)
                _check_count(layer, "top", len(top), layer.tops)
            layer.setup(bottom, top)
            in_place.check(spec, layer)
            layer.reshape(bottom, top)
            self.layers.append(layer)
            self._bottoms.append(bottom)
            self._tops.append(top)
            self._join_origins(layer, bottom, top)
            self._own_params(spec, layer)
            self._loss_weights.append(graph.loss_weights(spec, _is_loss(layer)))
        for name, weight in zip(spec.top, self._loss_weights[number]):
            self.blob_loss_weights[name] = weight
        self._seed_loss(number)

    def _top_blob(self, name, spec):
        if name not in spec.bottom:
            self.blobs[name] = Blob()
        return self.blobs[name]

    def _join_origins(self, layer, bottom, top):
        """Have a layer look at the blob behind a split, whose values may still be on the host."""
        origins = [self._origins.get(blob, blob) for blob in bottom]
        if isinstance(layer, Split):
            self._origins.update(dict.fromkeys(top, origins[0]))
        elif isinstance(layer, TensorLayer) and layer.looks_at is not None:
            self._looked_at[len(self.layers) - 1] = origins

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
            graph.check_names(self._param, self.layers)
            plan = graph.plan_backward(self._param, self.layers, self._loss_weights,
                                       self._param.force_backward)
        except LayerError as error:
            raise LayerError(f"{self._source}: {error}") from None
        self._backward_plan = [(runs, down) for runs, down, _ in plan]
        for layer, (runs, down, params) in zip(self.layers, plan):
            if isinstance(layer, TensorLayer) and runs:
                layer.propagate_down = [wants and i not in layer.no_gradient
                                        for i, wants in enumerate(down)]
                layer.param_propagate_down = params

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

    def reshape(self):
        """Give all blobs the shapes that follow from those of the inputs."""
        self._reshape(range(len(self.layers)))

    def _reshape(self, numbers):
        for number in numbers:
            with self._located(self._param.layer[number], self._bottoms[number]):
                self.layers[number].reshape(self._bottoms[number], self._tops[number])

    def clear_param_diffs(self):
        """Set the gradients of all parameters to zero."""
        for blob, _ in self._learnable:
            blob.clear_diff()

    def _index(self, layer):
        if layer not in self.layer_dict:
            raise LayerError(f"{self._source}: no layer '{layer}' in the net")
        return self._layer_names.index(layer)

    def _blob(self, name):
        if name not in self.blobs:
            raise LayerError(f"{self._source}: no blob '{name}' in the net")
        return self.blobs[name]


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


def _is_loss(layer):
    return isinstance(layer, TensorLayer) and layer.loss
