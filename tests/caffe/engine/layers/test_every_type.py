"""Every type of layer is sorted where types are told apart. A type that is new fails here, and the
name of the test says what is to be decided about it."""

import re

import caffe
from caffe import coord_map
from caffe.engine import in_place
from caffe.engine.elision import region
from caffe.engine.layers import TensorLayer, registry
from caffe.export import onnx_file
from caffe.formats import forks
from fcn.nets.source import ROOT
from fcn.solvers.inference import fields

LOSSES = {"ContrastiveLoss", "EuclideanLoss", "HingeLoss", "InfogainLoss", "SoftmaxWithLoss",
          "MultinomialLogisticLoss", "SigmoidCrossEntropyLoss", "SmoothL1Loss"}
MEASURES = {"Accuracy", "EltwiseAccuracy", "SegAccuracy"}
FILES = {"Data", "DenseImageData", "HDF5Data", "HDF5Output", "ImageData", "ImageSegData",
         "MatWrite", "WindowData", "WindowSegData"}
SOURCES = {"DummyData", "Input", "MemoryData", "Parameter", "Python"}
ITEMS = {"BatchReindex", "Embed", "Filter", "LSTM", "LSTMUnit", "RNN"}
# whose top has another form than the bottom, or other places
MOVING = {"ArgMax", "Concat", "Convolution", "ConvolutionDepthwise", "Crop", "Deconvolution",
          "DepthwiseConvolution", "Flatten", "Im2col", "InnerProduct", "Interp", "Padding",
          "Permute", "Pooling", "PSROIPooling", "ROIPooling", "Reduction", "Reshape", "SPP",
          "Silence", "Slice", "Tile", "Unpooling", "Upsample"}
BOXES = {"DetectionOutput", "PriorBox"}
FAR = {"DenseCRF", "MultiStageMeanfield", "MVN", "Normalize", "Softmax"}  # each value sees others


def built_in():
    """The types that the package has: tests register others."""
    return {kind for kind in caffe.layer_type_list()
            if registry.known[kind].__module__.startswith("caffe.")}


def classes():
    """{type: class} of those that are TensorLayers."""
    return {kind: registry.known[kind] for kind in built_in()
            if isinstance(registry.known[kind], type)
            and issubclass(registry.known[kind], TensorLayer)}


def test_onnx_has_a_form_of_it_or_none():
    """In export/onnx_layers.py, or onnx_forks.py."""
    without = LOSSES | MEASURES | FILES | SOURCES | ITEMS | BOXES | {
        "DenseCRF", "Im2col", "MultiStageMeanfield", "PSROIPooling", "SPP", "Unpooling"}
    assert built_in() - set(onnx_file.writers) == without


def test_padding_may_be_left_out_below_it_or_not():
    """In POINTWISE of engine/elision/region.py, if a value of its top depends on the value at the
    same place alone, whatever its parameters say."""
    pointwise = {kind for kind, made in classes().items() if made in region.POINTWISE}
    assert built_in() - pointwise == (
        LOSSES | MEASURES | FILES | SOURCES | ITEMS | MOVING | BOXES | FAR
        | {"Axpy", "BN", "BatchNorm", "Bias", "Dropout", "LRN", "Scale", "Threshold"})


def passing():
    """What coord_map has from the start: nets/googlenet.py adds Concat."""
    return set(coord_map.PASS_THROUGH_LAYERS) - {"Concat"}


def test_coordinates_pass_through_it_or_not():
    """In PASS_THROUGH_LAYERS of coord_map.py, if its top is aligned with its bottom."""
    assert built_in() - passing() == (
        LOSSES | MEASURES | FILES | SOURCES | ITEMS | MOVING | BOXES
        | {"Axpy", "DenseCRF", "MultiStageMeanfield", "Normalize"})


def test_large_images_may_be_cut_for_it_or_not():
    """In POINTWISE of solvers/inference/fields.py, unless its top depends on the whole image."""
    aligned = {kind.lower() for kind in passing()}
    assert aligned - fields.POINTWISE == {"mvn"}
    assert fields.POINTWISE - aligned == {"argmax", "concat", "input", "silence", "slice"}


def test_its_gradient_in_place_is_right_or_caffe_s():
    """It keeps what it overwrites (needs_overwritten), and so costs memory, unless it is one of
    those that need no such values, or for which Caffe takes those that it has written."""
    forgetful = {kind for kind, made in classes().items() if not made.needs_overwritten
                 and kind not in in_place.REFUSED + in_place.OVERWRITING}
    assert forgetful == {
        "Bias", "BNLL", "Clip", "Concat", "Convolution", "ConvolutionDepthwise", "Deconvolution",
        "DepthwiseConvolution", "ELU", "Exp", "Log", "Power", "ReLU", "ReLU6", "Scale", "Sigmoid",
        "Slice", "Softmax", "TanH", "Threshold", "Tile"}


def test_a_layer_of_a_fork_is_told_as_one():
    """In TYPES of formats/forks.py, and in the table of docs/pycaffe.md."""
    of_forks = {kind for kind in built_in() if ".forks" in registry.known[kind].__module__}
    assert of_forks - forks.TYPES == {"SoftmaxWithLoss"}     # Caffe's, with weights of forks
    page = (ROOT / "docs" / "pycaffe.md").read_text(encoding="utf-8")
    assert [kind for kind in sorted(forks.TYPES) if not re.search(rf"\b{kind}\b", page)] == []
