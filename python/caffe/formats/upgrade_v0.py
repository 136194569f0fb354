"""Nets of 2013 (V0) in the V1 form.

All parameters stood in one message then, and padding in a layer of its own.
"""

from typing import Any

from google.protobuf.message import Message

from ..errors import PrototxtError
from ..proto import caffe_pb2

# V0 type: (V1 type, where its parameters go)
_TYPES = {
    "accuracy": ("ACCURACY", None),
    "bnll": ("BNLL", None),
    "concat": ("CONCAT", "concat_param"),
    "conv": ("CONVOLUTION", "convolution_param"),
    "data": ("DATA", "data_param"),
    "dropout": ("DROPOUT", "dropout_param"),
    "euclidean_loss": ("EUCLIDEAN_LOSS", None),
    "flatten": ("FLATTEN", None),
    "hdf5_data": ("HDF5_DATA", "hdf5_data_param"),
    "hdf5_output": ("HDF5_OUTPUT", "hdf5_output_param"),
    "im2col": ("IM2COL", None),
    "images": ("IMAGE_DATA", "image_data_param"),
    "infogain_loss": ("INFOGAIN_LOSS", "infogain_loss_param"),
    "innerproduct": ("INNER_PRODUCT", "inner_product_param"),
    "lrn": ("LRN", "lrn_param"),
    "multinomial_logistic_loss": ("MULTINOMIAL_LOGISTIC_LOSS", None),
    "pool": ("POOLING", "pooling_param"),
    "relu": ("RELU", None),
    "sigmoid": ("SIGMOID", None),
    "softmax": ("SOFTMAX", None),
    "softmax_loss": ("SOFTMAX_LOSS", None),
    "split": ("SPLIT", None),
    "tanh": ("TANH", None),
    "window_data": ("WINDOW_DATA", "window_data_param"),
}
_RENAMED = {
    "biasterm": "bias_term", "kernelsize": "kernel_size", "batchsize": "batch_size",
    "shuffle_images": "shuffle", "det_fg_threshold": "fg_threshold",
    "det_bg_threshold": "bg_threshold", "det_fg_fraction": "fg_fraction",
    "det_context_pad": "context_pad", "det_crop_mode": "crop_mode",
}
_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size",
              "mirror": "mirror"}


def upgrade_v0(param: caffe_pb2.NetParameter) -> None:
    """Bring the V0 layers of a NetParameter to V1, in place.

    A padding layer goes, and its pad becomes that of the convolution or pooling above it. Raises
    PrototxtError for a layer, or a parameter of it, that no V0 net could have.
    """
    pads = {old.top[0]: old for old in param.layers
            if old.HasField("layer") and old.layer.type == "padding"}
    kept = []
    for old in param.layers:
        if not old.HasField("layer") or old.layer.type == "padding":
            kept += [] if old.HasField("layer") else [old]
            continue
        new = _upgrade_layer(old)
        for i, blob in enumerate(new.bottom):
            if blob in pads:
                _merge_padding(new, i, pads[blob])
        kept.append(new)
    kept = [caffe_pb2.V1LayerParameter.FromString(layer.SerializeToString()) for layer in kept]
    del param.layers[:]
    param.layers.extend(kept)


def _upgrade_layer(old: caffe_pb2.V1LayerParameter) -> caffe_pb2.V1LayerParameter:
    v0 = old.layer
    if v0.type not in _TYPES:
        raise PrototxtError(f"the V0 layer '{v0.name}' has the unknown type '{v0.type}'")
    kind, place = _TYPES[v0.type]
    new = caffe_pb2.V1LayerParameter(name=v0.name, type=kind, bottom=old.bottom, top=old.top,
                                     blobs=v0.blobs, blobs_lr=v0.blobs_lr,
                                     weight_decay=v0.weight_decay)
    target: Any
    for field, value in v0.ListFields():
        if field.name in ("name", "type", "blobs", "blobs_lr", "weight_decay"):
            continue
        target, name = (new.transform_param, _TRANSFORM[field.name]) \
            if field.name in _TRANSFORM else (place and getattr(new, place),
                                              _RENAMED.get(field.name, field.name))
        if field.name == "hdf5_output_param" and place == field.name:
            target.CopyFrom(value)
        elif not target or name not in target.DESCRIPTOR.fields_by_name:
            raise PrototxtError(f"the V0 layer '{v0.name}' ({v0.type}) has no parameter "
                                f"'{field.name}'")
        else:
            _set(target, name, value)
    return new


def _set(message: Message, name: str, value: Any) -> None:
    """Set a field that may meanwhile be a list, or a message."""
    old = getattr(message, name)
    if hasattr(old, "CopyFrom"):
        old.CopyFrom(value)
    elif hasattr(old, "append"):
        old.append(value)
    else:
        setattr(message, name, value)


def _merge_padding(layer: caffe_pb2.V1LayerParameter, index: int,
                   padding: caffe_pb2.V1LayerParameter) -> None:
    place = {"CONVOLUTION": "convolution_param", "POOLING": "pooling_param"}.get(
        caffe_pb2.V1LayerParameter.LayerType.Name(layer.type))
    if place is None:
        raise PrototxtError(f"the V0 padding layer '{padding.layer.name}' serves the layer "
                            f"'{layer.name}', which neither convolves nor pools")
    target = getattr(layer, place)
    target.ClearField("pad")
    _set(target, "pad", padding.layer.pad)
    layer.bottom[index] = padding.bottom[0]
