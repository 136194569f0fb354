"""What is known about Caffe's forks: which layers, fields and binaries are whose.

The forks' layers that the engine has are in engine/layers/forks. Here is what it has not, so that
a refusal can say whose it is, and how to tell a binary that a fork wrote.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from ..proto import caffe_pb2
from .braces import blocks

PRIVATE = 20000     # the least number of a field or value of forks.proto

_DEEPLAB = "DeepLab's or PSPNet's fork"
_DECONVNET = "DeconvNet's fork"
_SSD = "SSD's fork (weiliu89/caffe)"
_RFCN = "R-FCN's fork (daijifeng001/caffe-rfcn)"
_FASTER = "Faster R-CNN's MATLAB release (ShaoqingRen/caffe)"
_NVIDIA = "NVIDIA's fork (NVIDIA/caffe)"
_RECURRENT = "a fork with its own recurrent layers"
_FLOW = "FlowNet's fork"
_MNC = "MNC's fork (daijifeng001/caffe-mnc)"
_PARSENET = "ParseNet's fork (debidatta/caffe-parsenet)"

TYPES = frozenset((
    "Axpy", "BN", "ConvolutionDepthwise", "DenseCRF", "DenseImageData", "DepthwiseConvolution",
    "DetectionOutput", "EltwiseAccuracy", "ImageSegData", "Interp", "MatWrite",
    "MultiStageMeanfield", "Normalize", "Padding", "Permute", "PriorBox", "PSROIPooling", "ReLU6",
    "ROIPooling", "SegAccuracy", "SmoothL1Loss", "Unpooling", "Upsample", "WindowSegData"))
"""Layer types of forks that the engine has."""

UNSUPPORTED = {
    **dict.fromkeys(("DetectionEvaluate", "MultiBoxLoss", "AnnotatedData", "VideoData"), _SSD),
    **dict.fromkeys(("BoxAnnotatorOHEM", "SmoothL1LossOHEM", "SoftmaxWithLossOHEM"), _RFCN),
    **dict.fromkeys(("Proposal", "RPNProposal"), _FASTER),
    **dict.fromkeys(("MatRead", "DomainTransform", "DomainTransformForwardOnly",
                     "UniqueLabel", "BiasChannel", "AdaptiveBiasChannel", "SpatialProduct",
                     "CensorLabel", "ChannelAggregator", "DominantChannel", "GainChannel",
                     "IgnoreOverlay", "Histogram", "OneHot", "Onehot",
                     "RelativeError"), _DEEPLAB),
    **dict.fromkeys(("WindowClsData", "WindowInstSegData", "WindowSegBinary",
                     "SelectSegBinary", "RedSoftmaxLoss", "RedAccuracy",
                     "BinAccuracy", "DropoutChannel"), _DECONVNET),
    **dict.fromkeys(("DetectNetTransformation",), _NVIDIA),
    **dict.fromkeys(("ShuffleChannel",), "ShuffleNet's fork"),
    "ImageLabelmapData": "HED's fork (s9xie/hed), or RCF's",
    "AutoCrop": "RCF's fork (yun-liu/rcf)",
    **dict.fromkeys(("ImageLabelData", "BinLabelData"),
                    "the fork for dilated convolutions (fyu/caffe-dilation)"),
    **dict.fromkeys(("CPMData", "Euclidean2Loss"), "OpenPose's fork for training"),
    **dict.fromkeys(("CompactBilinear", "SignedSqrt", "L2Normalize"),
                    "the fork for compact bilinear pooling"),
    **dict.fromkeys(("ROIWarping", "MaskPooling", "MaskResize"), _MNC),
    **dict.fromkeys(("UnPooling", "LabelDropout"), _PARSENET),
    "SigmoidCrossEntropyBalanceLoss": "OSVOS's fork (kmaninis/OSVOS-caffe)",
    **dict.fromkeys(("SeLu", "SeLuDropout"), "a fork with SELU"),
    **dict.fromkeys(("Correlation", "FlowWarp", "L1Loss", "DataAugmentation", "CustomData",
                     "Resample"), _FLOW),
    **dict.fromkeys(("CuDNNBatchNorm", "MemoryOptimize", "SegmentData"), "a fork"),
    **dict.fromkeys(("Lstm", "Reverse", "CTCLoss", "WarpCTC", "Transpose"), _RECURRENT),
    **dict.fromkeys(("NormalizedSoftmax", "CenterLoss", "LabelSpecificAdd"),
                    "a fork for face recognition"),
    **dict.fromkeys(("Focal", "FocalLoss"), "a fork with the focal loss"),
}
"""Layer types of forks that the engine does not have, with whose they are."""

_UNSUPPORTED_FIELDS = {
    **dict.fromkeys(("detection_evaluate_param", "multibox_loss_param", "annotated_data_param",
                     "video_data_param", "resize_param", "noise_param", "distort_param",
                     "expand_param", "emit_constraint", "eval_type", "ap_version",
                     "show_per_class_result"), _SSD),
    "box_annotator_ohem_param": _RFCN,
    **dict.fromkeys(("mat_read_param", "domain_transform_param",
                     "unique_label_param", "bias_channel_param", "adaptive_bias_channel_param",
                     "update_global_stats", "gain_channel_param",
                     "histogram_param", "onehot_param", "censor_label_param",
                     "ignore_overlay_param", "dominant_channel_param",
                     "channel_aggregator_param", "euclidean_loss_param"), _DEEPLAB),
    **dict.fromkeys(("red_softmax_loss_param", "red_accuracy_param", "binary_accuracy_param",
                     "window_cls_data_param",
                     "select_seg_binary_param", "other_object_label"), _DECONVNET),
    **dict.fromkeys(("roi_warping_param", "mask_resize_param"), _MNC),
    **dict.fromkeys(("filter_stride", "filter_stride_h", "filter_stride_w"), _PARSENET),
    **dict.fromkeys(("new_dim", "bicubic"), "the fork for channel pruning"),
    "densecrf_param": "CCNN's fork (pathak22/caffe-ccnn)",
    "quantization_param": "Intel's fork (intel/caffe)",
    "shuffle_channel_param": "ShuffleNet's fork",
}


def whose(name: str) -> str:
    """"; it belongs to SSD's fork, ..." for a layer type, in the spelling of any age, or a field
    that a fork has and the engine has not; '' for others."""
    folded = {kind.lower(): fork for kind, fork in UNSUPPORTED.items()}
    fork = _UNSUPPORTED_FIELDS.get(name) or folded.get(name.replace("_", "").lower())
    return f"; it belongs to {fork}, and this engine does not have it" if fork else ""


def layer_at(text: str, line: int) -> tuple[str, str] | None:
    """The name and the type of the layer of a prototxt in which a line, from 1 on, lies; None if it
    lies in none."""
    place = sum(len(each) + 1 for each in text.split("\n")[:line]) - 1
    for start, end in blocks(text):
        if start <= place <= end + 1 or text.count("\n", 0, end) + 1 == line:
            own = "".join(_outer(text[start:end]))
            return _text(own, "name"), _text(own, "type")
    return None


def _text(message: str, field: str) -> str:
    """What a field of a message says, with quotes or without; '' if it is not there."""
    found = re.search(rf"\b{field}\s*:\s*(?:\"([^\"\n]*)|'([^'\n]*)|([^\s}}]*))", message)
    return next(filter(None, found.groups()), "") if found else ""


def _outer(text: str) -> Iterator[str]:
    """The text of a message without those inside of it, and without comments."""
    done, inner = 0, list(blocks(text))
    for start, end in [*inner, (len(text), len(text))]:
        yield re.sub(r"#[^\n]*", "", text[done:start])
        done = end


def of_a_fork(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether only forks have the layer, or a field of it."""
    return layer.type in TYPES or uses_forks(layer)


def uses_forks(message: Message) -> bool:
    """Whether a message, or one in it, has a field of forks.proto."""
    for field, value in message.ListFields():
        if field.number >= PRIVATE:
            return True
        if field.message_type and any(map(uses_forks, value if hasattr(value, "add")
                                          else [value])):
            return True
    return False


def sign_of_a_fork(param: Any) -> str:
    """What shows that a fork wrote a binary that was read as a NetParameter; '' if nothing does.

    Forks gave the same numbers to different fields: what such a binary says about its layers,
    beyond names and blobs, is not to be trusted.
    """
    for layer in [*param.layer, *param.layers]:
        old = isinstance(layer, caffe_pb2.V1LayerParameter)
        kind = layer.type if not old else caffe_pb2.V1LayerParameter.LayerType.Name(layer.type)
        where = f"layer '{layer.name}' ({kind})"
        unknown = _unknown(layer)
        if unknown:
            return f"{where} has fields that Caffe's schema does not know: {unknown}"
        wrong = _misplaced(layer, kind, old)
        if wrong:
            return f"{where} has the field {wrong}, which means nothing there"
    return ""


def _unknown(message: Message) -> str:
    """The numbers of unknown fields of a message and of those in it, with the message's name."""
    numbers = sorted({field.field_number for field in UnknownFieldSet(message)})
    if numbers:
        return f"{', '.join(map(str, numbers))} of {message.DESCRIPTOR.name}"
    for field, value in message.ListFields():
        if field.message_type and field.name != "blobs":
            for each in value if hasattr(value, "add") else [value]:
                found = _unknown(each)
                if found:
                    return found
    return ""


def _misplaced(layer: Any, kind: str, old: bool) -> str:
    """A field whose number forks use for others, in a layer that has no use for it."""
    if old:
        late = layer.convolution_param.ListFields()
        found = [field.name for field, _ in late if 16 <= field.number < PRIVATE]
        if kind == "DECONVOLUTION" and not layer.HasField("convolution_param"):
            found += ["type"]
        return ", ".join(found)
    owners = {"embed_param": ("Embed",), "tile_param": ("Tile",), "input_param": ("Input",),
              "crop_param": ("Crop",), "parameter_param": ("Parameter",),
              "recurrent_param": ("RNN", "LSTM"), "swish_param": ("Swish",),
              "clip_param": ("Clip",)}
    return ", ".join(field for field, types in owners.items()
                     if layer.HasField(field) and kind not in types)
