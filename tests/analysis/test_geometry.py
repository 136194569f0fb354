"""The trunks against the paper's table 1, worked out from the messages."""

import pytest
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from fcn import nets
from fcn.analysis.geometry import Window, parameters, places, window


@pytest.mark.parametrize("trunk, millions, field", [("vgg16", 134, 404), ("caffenet", 57, 355),
                                                    ("googlenet", 6, 715)])
def test_parameters_receptive_field_and_stride(trunk, millions, field):
    net = nets.fcn("fcn32s", "deploy", trunk=trunk)
    assert round(parameters(net) / 1e6) == millions
    assert places(net)["score_fr"][1:] == (32, field)


def layer(text):
    return text_format.Parse(text, caffe_pb2.LayerParameter())


def test_windows_have_caffe_s_defaults():
    assert window(layer("type: 'Convolution' convolution_param { kernel_size: 3 dilation: 2 }")) \
        == Window(3, 1, 0, 2)
    assert window(layer("type: 'Pooling' pooling_param { kernel_size: 3 stride: 2 pad: 1 }")) \
        == Window(3, 2, 1, 1)


@pytest.mark.parametrize("text", [
    "type: 'Convolution' convolution_param { kernel_h: 3 kernel_w: 1 }",
    "type: 'Convolution' convolution_param { kernel_size: 3 kernel_size: 1 }",
    "type: 'Pooling' pooling_param { global_pooling: true }"])
def test_windows_that_are_not_square_are_refused(text):
    with pytest.raises(ValueError, match="layer 'odd': expected a square"):
        window(layer("name: 'odd' " + text))


@pytest.mark.parametrize("text, said", [
    ("type: 'Convolution' convolution_param { kernel_h: 3 kernel_w: 1 }",
     r"layer 'odd': expected a square receptive field, got 3×1 \(height × width\)"),
    ("type: 'Pooling' pooling_param { global_pooling: true }",
     r"layer 'odd' \(pooling\) looks at the whole image"),
    ("type: 'SPP'", r"layer 'odd' \(spp\) may look at the whole image")])
def test_blobs_without_a_square_field_are_refused(text, said):
    image = "name: 'x' type: 'Input' top: 'x' input_param { shape { dim: [1, 3, 9, 9] } }"
    net = text_format.Parse(f"layer {{ {image} }} layer {{ name: 'odd' bottom: 'x' top: 'y' {text}"
                            " }", caffe_pb2.NetParameter())
    with pytest.raises(ValueError, match=said):
        places(net)
