"""NetBuilder: from a NetParameter to the Program of a net."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from ..errors import LayerError
from ..formats.caffemodel import blob_values, same_shape
from ..layer import Layer
from ..proto import caffe_pb2
from . import creation_log, graph, in_place, out_of_memory, process
from .blob import Blob
from .layers import TensorLayer, create
from .layers.forks.batch_norm import decide_kinds
from .layers.forks.interp import Interp
from .layers.shape import Split
from .program import LocatingErrors, Program, Step


class NetBuilder:
    """Makes the layers of a NetParameter whose state is set, and joins them.

    `source` names the file in errors; `parameter_counts` are the numbers of parameters that the
    weights to come have for each layer, where they are known. Raises LayerError naming file, layer
    and blobs.
    """

    def __init__(self, param: caffe_pb2.NetParameter, source: str,
                 parameter_counts: Mapping[str, int] | None = None) -> None:
        process.prepare()
        self._source = source
        self._phase = param.state.phase
        try:
            filtered = graph.filter_layers(param)
            creation_log.write_message("Initializing net from parameters: ", filtered)
            decide_kinds(filtered, parameter_counts or {})
            self._param = graph.insert_splits(filtered)
        except LayerError as error:
            raise LayerError(f"{source}: {error}") from None
        self._unsplit_names = {top: spec.bottom[0] for spec in self._param.layer
                               if spec.type == "Split" and spec.bottom for top in spec.top}
        self._blobs: OrderedDict[str, Blob] = OrderedDict()
        self._blob_loss_weights: OrderedDict[str, float] = OrderedDict()
        # (layer, bottom, top, loss weights, validated bottoms)
        self._parts: list[tuple] = []
        # the blob before the split, for each blob behind one
        self._before_split: dict[Blob, Blob] = {}
        # of shared parameters, by name: (blob, ParamSpec, layer name, number in that layer)
        self._owners: dict[str, tuple[Blob, caffe_pb2.ParamSpec, str, int]] = {}
        self._learnable: list[tuple[Blob, caffe_pb2.ParamSpec]] = []
        self._borrowed: set[Blob] = set()
        self._memory = 0        # bytes of all tops so far

    def program(self) -> Program:
        """The Program. A builder makes one."""
        labels = graph.carriers_of_labels(self._param)
        for number, spec in enumerate(self._param.layer):
            if not spec.HasField("phase"):
                spec.phase = self._phase
            self._add_layer(spec, number in labels)
        plan = self._plan_backward()
        creation_log.write_outputs(graph.outputs(self._param))
        steps = []
        for number, (spec, part, (runs, down, params)) in enumerate(
                zip(self._param.layer, self._parts, plan)):
            layer, bottom, top, weights, validated = part
            if isinstance(layer, TensorLayer) and runs:
                asked = [wanted or layer.always_passes_down for wanted in down]
                layer.propagate_down = graph.possible_gradients(layer, asked)
                layer.param_propagate_down = params
            steps.append(Step(number, spec, layer, bottom, top, weights, runs, tuple(down),
                              validated))
        program = Program(self._source, self._param, tuple(steps), self._blobs,
                          self._blob_loss_weights, self._unsplit_names, tuple(self._learnable),
                          frozenset(self._borrowed))
        out_of_memory.check_total(program)
        return program

    def _add_layer(self, spec: caffe_pb2.LayerParameter, carries_labels: bool) -> None:
        bottom = tuple(self._blobs[name] for name in spec.bottom)
        with LocatingErrors(self._source, spec, bottom, self._unsplit_names):
            layer = create(spec)
            if isinstance(layer, Interp):
                layer.carries_labels = carries_labels
            built_in = layer if isinstance(layer, TensorLayer) else None
            is_loss = built_in is not None and built_in.loss
            if is_loss and not spec.top:
                spec.top.append(graph.AUTOMATIC)
            creation_log.write_connections(spec)
            top = tuple(self._top_blob(name, spec) for name in spec.top)
            if built_in:
                _check_count("bottom", len(bottom), built_in.bottoms)
                _check_count("top", len(top), built_in.tops)
            layer.setup(bottom, top)
            in_place.check(spec, layer)
            _take_weights_of_prototxt(layer, spec)
            layer.reshape(bottom, top)
            weights = graph.loss_weights(spec, is_loss)
            self._memory += 4 * sum(blob.count for blob in top)
            creation_log.write_shapes(spec, top, weights, self._memory)
            self._own_params(spec, layer)
        self._parts.append((layer, bottom, top, weights, self._validated(layer, bottom, top)))
        for name, blob, weight in zip(spec.top, top, weights):
            self._blob_loss_weights[name] = weight
            if weight:      # the gradient of the loss by that top; read again in every pass
                blob.diff_tensor.fill_(weight)

    def _top_blob(self, name: str, spec: caffe_pb2.LayerParameter) -> Blob:
        if name not in spec.bottom:
            self._blobs[name] = Blob()
            self._blobs[name].name = name
        return self._blobs[name]

    def _validated(self, layer: Layer, bottom: Sequence[Blob], top: Sequence[Blob]
                  ) -> tuple[Blob, ...]:
        """The bottoms that a layer validates, as they were before a split."""
        before = [self._before_split.get(blob, blob) for blob in bottom]
        if isinstance(layer, Split):
            self._before_split.update(dict.fromkeys(top, before[0]))
        validates = isinstance(layer, TensorLayer) and layer.validated_bottom is not None
        return tuple(before) if validates else ()

    def _own_params(self, spec: caffe_pb2.LayerParameter, layer: Layer) -> None:
        """Join parameters of equal name, and list those that a solver updates."""
        if len(spec.param) > len(layer.blobs):
            raise LayerError(f"Too many params specified for layer '{spec.name}': it has "
                             f"{len(layer.blobs)} parameters but {len(spec.param)} param entries; "
                             "remove those too many")
        for i, blob in enumerate(layer.blobs):
            blob.name = f"{spec.name}[{i}]"
            param = spec.param[i] if i < len(spec.param) else caffe_pb2.ParamSpec()
            owner = self._owners.get(param.name) if param.name else None
            if owner is None:
                # layers that share it may each give its multipliers, which a copy collects;
                # whether a layer computes its gradient follows from the layer's own lr_mult
                joint = caffe_pb2.ParamSpec()
                joint.CopyFrom(param)
                self._owners[param.name] = (blob, joint, spec.name, i)
                self._learnable.append((blob, joint))
                continue
            shared, owner_param, owner_name, owner_index = owner
            creation_log.write_sharing(param.name, owner_name, owner_index)
            permissive = param.share_mode == caffe_pb2.ParamSpec.PERMISSIVE
            fits = blob.count == shared.count if permissive else blob.shape == shared.shape
            if not fits:
                raise LayerError(f"Cannot share param '{param.name}' owned by layer "
                                 f"'{owner_name}'; shape mismatch: its shape is {shared.shape}, "
                                 f"here {blob.shape}; share_mode: PERMISSIVE takes other shapes of "
                                 "as many values")
            _merge_multipliers(param, owner_param, owner_name)
            blob.share_data(shared)
            blob.share_diff(shared)
            self._borrowed.add(blob)

    def _plan_backward(self) -> list[list]:
        try:
            graph.check_names(self._param, [part[0] for part in self._parts])
            return graph.plan_backward(self._param, [part[0] for part in self._parts],
                                       [part[3] for part in self._parts],
                                       self._param.force_backward)
        except LayerError as error:
            raise LayerError(f"{self._source}: {error}") from None


def _take_weights_of_prototxt(layer: Layer, spec: caffe_pb2.LayerParameter) -> None:
    """Give a layer the parameters that stand in its prototxt entry as `blobs { ... }`.

    They replace the fillers' values, and have to be as many, of the same shapes. A layer that
    makes no parameters of its own gets them as they are, as in the original.
    """
    given = [blob_values(blob) for blob in spec.blobs]
    diffs = [list(blob.diff) for blob in spec.blobs]
    del spec.blobs[:]
    if not given:
        return
    if not layer.blobs:
        for array in given:
            layer.blobs.add_blob(*array.shape)
    if len(given) != len(layer.blobs):
        raise LayerError(f"has {len(layer.blobs)} parameters, but {len(given)} blobs in the "
                         "prototxt")
    for i, (blob, array) in enumerate(zip(layer.blobs, given)):
        if not same_shape(array.shape, blob.shape):
            raise LayerError(f"parameter {i} has the shape {blob.shape}, but {array.shape} in the "
                             "prototxt's blobs")
        blob.data[...] = array.reshape(blob.shape)
        if diffs[i]:
            blob.diff[...] = np.reshape(diffs[i], blob.shape)


def _merge_multipliers(param: caffe_pb2.ParamSpec, owner: caffe_pb2.ParamSpec, owner_name: str
                      ) -> None:
    """Whoever of those that share a parameter gives lr_mult and decay_mult, gives it for all."""
    for field in ("lr_mult", "decay_mult"):
        given = getattr(param, field)
        if not param.HasField(field):
            continue
        if owner.HasField(field) and getattr(owner, field) != given:
            raise LayerError(f"gives the parameter '{param.name}' {field} {given:g}, its layer "
                             f"'{owner_name}' gives {getattr(owner, field):g}")
        setattr(owner, field, given)


def _check_count(kind: str, count: int, allowed: tuple[int, int | None]) -> None:
    low, high = allowed
    if count < low or (high is not None and count > high):
        wants = str(low) if low == high else f"{low} or more" if high is None else f"{low}–{high}"
        verb = "takes" if kind == "bottom" else "produces"
        raise LayerError(f"{verb} {wants} {kind} blob(s), the prototxt gives {count}; add "
                         f"or remove {kind}: lines")
