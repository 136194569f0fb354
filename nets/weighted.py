"""Losses that weigh classes or pixels, in the place of SoftmaxWithLoss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import caffe
from caffe.proto import caffe_pb2
from segdata.files import replacing
from segdata.lists import literal


def write_class_weights(path: Path, weights: Sequence[float]) -> Path:
    """Write weights of classes as InfogainLoss reads them, a binaryproto of the diagonal matrix."""
    matrix = np.diag(np.asarray(weights, np.float32))[None, None]
    with replacing(path) as temporary:
        temporary.write_bytes(caffe.io.array_to_blobproto(matrix).SerializeToString())
    return path


def read_class_weights(path: str | Path) -> np.ndarray:
    """The weights that `write_class_weights` wrote."""
    matrix = caffe_pb2.BlobProto.FromString(Path(path).read_bytes())
    return np.asarray(caffe.io.blobproto_to_array(matrix))[0, 0].diagonal()


def weigh_classes(net: caffe_pb2.NetParameter, files: Mapping[str, Path]) -> None:
    """Turn the SoftmaxWithLoss layers of a net into InfogainLoss, which the original Caffe has,
    too: w of the label times the loss of each pixel, divided by what the loss was divided by.

    files : {label: what `write_class_weights` wrote}; if it is one, of all losses
    """
    for layer in _losses(net):
        label = layer.bottom[1] if len(files) > 1 else next(iter(files))
        layer.infogain_loss_param.source = str(files[label])
        layer.type, loss = "InfogainLoss", layer.loss_param
        if loss.HasField("normalize"):      # which InfogainLoss refuses
            loss.normalization = loss.VALID if loss.normalize else loss.BATCH_SIZE
            loss.ClearField("normalize")


def weigh_pixels(net: caffe_pb2.NetParameter, weights: str, by_class: Sequence[float] = ()) -> None:
    """Turn the SoftmaxWithLoss layer of a net into segdata.losses.PixelWeightedLoss with the blob
    `weights`, unless it is one; and give it weights of the classes, where there are some."""
    for layer in _losses(net):
        loss = layer.loss_param
        is_mean = loss.normalize if loss.HasField("normalize") else (
            loss.normalization in (loss.VALID, loss.FULL))
        params: dict[str, Any] = dict(ignore_label=loss.ignore_label, normalize=is_mean)
        layer.type = "Python"
        layer.bottom.append(weights)
        layer.loss_weight.append(1)
        layer.ClearField("loss_param")
        layer.python_param.MergeFrom(caffe_pb2.PythonParameter(
            module="segdata.losses", layer="PixelWeightedLoss", param_str=str(params)))
    for layer in net.layer if by_class else ():
        if layer.python_param.layer == "PixelWeightedLoss":
            params = dict(literal(layer.python_param.param_str), class_weights=list(by_class))
            layer.python_param.param_str = str(params)


def is_weighted(net: caffe_pb2.NetParameter) -> bool:
    """Whether a loss of the net weighs classes or pixels."""
    return any(layer.type == "InfogainLoss" or layer.python_param.layer == "PixelWeightedLoss"
               for layer in net.layer)


def _losses(net: caffe_pb2.NetParameter) -> list[caffe_pb2.LayerParameter]:
    return [layer for layer in net.layer if layer.type == "SoftmaxWithLoss"]
