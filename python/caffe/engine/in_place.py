"""Which layers may have a bottom as their top.

A layer works in place where its top is its bottom of the same index. The original refuses that for
a few types; for others it overwrites values that it still needs, so that its results are an
accident. Both are errors here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..errors import LayerError
from ..layer import Layer
from ..proto import caffe_pb2
from ..proto.caffe_pb2 import EltwiseParameter
from .blob import Blob

# types that the original refuses in place
REFUSED = "AbsVal", "Flatten", "Reshape", "Split"
# types that overwrite a bottom before they have read it, in forward or in backward
OVERWRITING = ("Accuracy", "Axpy", "BatchReindex", "Crop", "DenseCRF", "DetectionOutput",
               "EltwiseAccuracy", "Filter", "Im2col", "InnerProduct", "Interp", "LRN", "LSTM",
               "LSTMUnit", "MultiStageMeanfield", "Normalize", "Padding", "Permute", "Pooling",
               "PriorBox", "PSROIPooling", "RNN", "ROIPooling", "SPP", "SegAccuracy", "Unpooling",
               "Upsample")


def check(spec: caffe_pb2.LayerParameter, layer: Layer) -> None:
    """Raise LayerError if a layer is in place that cannot be.

    spec, layer : its LayerParameter, and the layer after its set-up
    """
    for top, bottom in zip(spec.top, spec.bottom):
        if top != bottom:
            continue
        if spec.type in REFUSED:
            raise LayerError(f"does not work in place, on '{top}'; give the top another name")
        if _overwrites(spec, layer):
            raise LayerError(f"would overwrite '{top}' in place before it has read it; give the "
                             "top another name")


def check_shape(bottom: Sequence[Blob], top: Sequence[Blob], shapes: Sequence[tuple]) -> None:
    """Raise LayerError if a layer in place would give its bottom another shape.

    bottom, top : its blobs
    shapes : those that its tops are to have
    """
    for blob, shape in zip(top, shapes):
        if any(blob is other for other in bottom) and blob.shape != tuple(shape):
            raise LayerError(f"in place, its top of shape {tuple(shape)} does not fit its bottom "
                             f"of shape {blob.shape}; give the top another name")


def _overwrites(spec: caffe_pb2.LayerParameter, layer: Layer) -> bool:
    """Whether the layer overwrites values that it still needs."""
    if spec.type == "Eltwise":
        return spec.eltwise_param.operation != EltwiseParameter.PROD
    if spec.type in ("Convolution", "Deconvolution", "ConvolutionDepthwise",
                     "DepthwiseConvolution"):      # windows are copied, single values not
        window: Any = layer
        return not any(window.pad) and set(window.kernel + window.stride) <= {1}
    return spec.type in OVERWRITING or spec.type.endswith("Loss")
