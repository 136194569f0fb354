"""Older prototxts and models in the current form.

V1 nets (2014: `layers` with enum types) become lists of `layer`, V0 nets (2013) first V1; the
legacy input fields become an Input layer, and data layers of V1 nets get their transform_param.
Crops of forks that had their offset computed get it written down.
"""

import os
from typing import Any

from ..errors import PrototxtError
from ..log import logger
from ..proto import caffe_pb2
from .automatic_crops import align_crops
from .forks import of_a_fork
from .upgrade_v0 import upgrade_v0

_V1 = caffe_pb2.V1LayerParameter
# names whose spelling does not follow from the enum's
_V1_SPELLING = {
    "ABSVAL": "AbsVal", "ARGMAX": "ArgMax", "BNLL": "BNLL", "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output", "IM2COL": "Im2col", "LRN": "LRN", "MVN": "MVN", "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss", "TANH": "TanH", "NONE": "",
    "BN": "BN", "DENSE_CRF": "DenseCRF", "PRELU": "PReLU", "RELU6": "ReLU6",
    "ROI_POOLING": "ROIPooling", "SMOOTH_L1_LOSS": "SmoothL1Loss",
}
V1_TYPES = {
    value.number: _V1_SPELLING.get(
        value.name, "".join(word.capitalize() for word in value.name.split("_")))
    for value in _V1.DESCRIPTOR.enum_types_by_name["LayerType"].values
}
"""Layer type by the number of V1LayerParameter.LayerType."""


def upgrade_net(param: caffe_pb2.NetParameter) -> None:
    """Bring a NetParameter to the current form, in place. PrototxtError if it mixes forms."""
    is_v1 = bool(param.layers)
    if is_v1:
        if param.layer:
            raise PrototxtError("a net has either `layer` or `layers` (V1) entries, not both")
        if any(old.HasField("layer") for old in param.layers):
            upgrade_v0(param)
        for old in param.layers:
            _upgrade_v1(old, param.layer.add())
        del param.layers[:]
        for layer in param.layer:
            _upgrade_transform(layer)
    else:
        for layer in param.layer:
            _name_ignored(layer)
    if is_v1 or param.input or any(map(of_a_fork, param.layer)):
        align_crops(param, is_certain=is_v1)
    _upgrade_inputs(param)
    for layer in param.layer:
        _upgrade_batch_norm(layer)


def upgrade_solver(param: caffe_pb2.SolverParameter, path: str) -> None:
    """Bring the SolverParameter of the file `path` to the current form, in place.

    The legacy enum `solver_type` becomes `type`. Without a snapshot_prefix, or with a folder as
    one, snapshots get the name of the solver's file.
    """
    stem, _ = os.path.splitext(path)
    if not param.HasField("snapshot_prefix"):
        param.snapshot_prefix = stem
    elif os.path.isdir(param.snapshot_prefix):
        param.snapshot_prefix = os.path.join(param.snapshot_prefix, os.path.basename(stem))
    if param.HasField("solver_type"):
        if param.HasField("type"):
            raise PrototxtError(f"{path}: expected type or its older form solver_type, got both")
        name = caffe_pb2.SolverParameter.SolverType.Name(param.solver_type)
        spelling = {"SGD": "SGD", "NESTEROV": "Nesterov", "ADAGRAD": "AdaGrad",
                    "RMSPROP": "RMSProp", "ADADELTA": "AdaDelta", "ADAM": "Adam"}
        param.type = spelling[name]
        param.ClearField("solver_type")


def _upgrade_v1(old: caffe_pb2.V1LayerParameter, new: caffe_pb2.LayerParameter) -> None:
    if not old.type:
        raise PrototxtError(f"the V1 layer '{old.name}' has no known type")
    new.type = V1_TYPES[old.type]
    renamed = {"blobs_lr", "weight_decay", "param", "blob_share_mode", "type"}
    for field, value in old.ListFields():
        if field.name in renamed:
            continue
        target = getattr(new, field.name)
        if field.message_type and not _repeated(field):
            target.CopyFrom(value)
        elif _repeated(field):
            target.extend(value)
        else:
            setattr(new, field.name, value)
    _upgrade_v1_params(old, new)


def _repeated(field: Any) -> bool:
    # is_repeated came with protobuf 6, which deprecates label
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == 3


def _upgrade_v1_params(old: caffe_pb2.V1LayerParameter, new: caffe_pb2.LayerParameter) -> None:
    """Per-parameter names, share modes and multipliers stood in parallel lists."""
    for i in range(max(len(old.param), len(old.blob_share_mode), len(old.blobs_lr),
                       len(old.weight_decay))):
        spec = new.param.add()
        if i < len(old.param):
            spec.name = old.param[i]
        if i < len(old.blob_share_mode):
            spec.share_mode = old.blob_share_mode[i]
        if i < len(old.blobs_lr):
            spec.lr_mult = old.blobs_lr[i]
        if i < len(old.weight_decay):
            spec.decay_mult = old.weight_decay[i]


def _upgrade_inputs(param: caffe_pb2.NetParameter) -> None:
    """`input` with `input_shape`, or four `input_dim` each, becomes an Input layer."""
    if not param.input:
        return
    names, dims = list(param.input), list(param.input_dim)
    shapes = [list(shape.dim) for shape in param.input_shape]
    shapes = shapes or [dims[i:i + 4] for i in range(0, len(dims), 4)]
    if len(shapes) != len(names) or any(dims) and len(dims) % 4:
        raise PrototxtError(f"{len(names)} inputs {names} need as many input_shape, or four "
                            f"input_dim each; given: {len(param.input_shape)} input_shape, "
                            f"{len(dims)} input_dim")
    layer = caffe_pb2.LayerParameter(name="input", type="Input", top=names)
    for shape in shapes:
        layer.input_param.shape.add(dim=shape)
    rest = [caffe_pb2.LayerParameter.FromString(old.SerializeToString()) for old in param.layer]
    del param.layer[:]
    param.layer.extend([layer, *rest])
    for field in ("input", "input_dim", "input_shape"):
        param.ClearField(field)


def _upgrade_transform(layer: caffe_pb2.LayerParameter) -> None:
    """What is done to images stood in the parameters of each data layer, in V1 nets and before."""
    for place, field in _old_transform(layer):
        old = getattr(layer, place)
        setattr(layer.transform_param, field, getattr(old, field))
        old.ClearField(field)


def _name_ignored(layer: caffe_pb2.LayerParameter) -> None:
    """In today's form these fields are still there, but the original does not read them, except
    for WindowData's scale."""
    for place, field in _old_transform(layer):
        if (layer.type, field) != ("WindowData", "scale"):
            logger.warning("layer '%s' (%s): as in the original, %s has no effect in %s; write it "
                           "into transform_param", layer.name, layer.type, field, place)


def _old_transform(layer: caffe_pb2.LayerParameter) -> list[tuple[str, str]]:
    """The fields that transform_param has replaced, each behind the message that it stands in."""
    return [(place, field) for place in ("data_param", "image_data_param", "window_data_param")
            for field in ("scale", "mean_file", "crop_size", "mirror")
            if layer.HasField(place) and getattr(layer, place).HasField(field)]


def _upgrade_batch_norm(layer: caffe_pb2.LayerParameter) -> None:
    """Nets of 2015 and 2016 kept the solver off the three statistics by hand, or forgot to."""
    if layer.type == "BatchNorm" and len(layer.param) == 3:
        for spec in layer.param:
            spec.lr_mult = spec.decay_mult = 0
