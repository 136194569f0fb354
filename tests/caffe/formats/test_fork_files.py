"""Prototxts and binaries of Caffe's forks."""

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe.cli import main
from caffe.errors import LayerError, PrototxtError, WeightsError
from caffe.formats.prototxt import read_net
from caffe.proto import caffe_pb2
from golden_runs import GOLDEN

DATA = ('layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 '
        'dim: 20 dim: 24 } } }\n')


def build(tmp_path, text, phase=caffe.TEST):
    (tmp_path / "net.prototxt").write_text(text)
    return caffe.Net(str(tmp_path / "net.prototxt"), phase)


REFUSED = {
    "SSD's field": (DATA + 'layer {\n  name: "mbox"\n  type: "MultiBoxLoss"\n  bottom: "data"\n  '
                    'multibox_loss_param { num_classes: 3 } }',
                    PrototxtError, r"net.prototxt:6:\d+: layer 'mbox' \(MultiBoxLoss\): "
                                   "LayerParameter has no field 'multibox_loss_param'.*SSD"),
    "SSD's type": (DATA + 'layer { name: "out" type: "DetectionEvaluate" bottom: "data" top: "y" }',
                   LayerError, r"net.prototxt: layer 'out' \(DetectionEvaluate\).*SSD"),
    "R-FCN's": (DATA + 'layer { box_annotator_ohem_param { roi_per_img: 7 } name: "p" # type: "Not"'
                '\n type: "BoxAnnotatorOHEM" bottom: "data" top: "y" }',
                PrototxtError, r"layer 'p' \(BoxAnnotatorOHEM\).*box_annotator_ohem_param.*R-FCN"),
    "a field inside": (DATA + 'layer { name: "d" type: "Data" top: "x" transform_param { mirror: '
                       'true\nresize_param { prob: 1 } } }',
                       PrototxtError, r"net.prototxt:3:\d+: layer 'd' \(Data\).*resize_param.*SSD"),
    "HED's": (DATA + 'layer { name: "d" type: "ImageLabelmapData" top: "y" }', LayerError,
              r"layer 'd' \(ImageLabelmapData\).*s9xie/hed"),
    "RCF's": (DATA + 'layer { name: "c" type: "AutoCrop" bottom: "data" top: "y" }', LayerError,
              r"layer 'c' \(AutoCrop\).*RCF's fork \(yun-liu/rcf\)"),
    "CCNN's": (DATA + 'layer { name: "my crf" type: "DenseCRF" densecrf_param { x_gauss: 19 } }',
               PrototxtError, r"layer 'my crf' \(DenseCRF\).*densecrf_param.*CCNN"),
    "MNC's field": (DATA + 'layer { name: "r" type: "ROIPooling" roi_warping_param { } }',
                    PrototxtError, r"layer 'r' \(ROIPooling\).*roi_warping_param.*MNC"),
    "a placeholder": (DATA + "layer { name: 'fc8_${EXP}' type: \"Convolution\" "
                      "convolution_param { num_output: ${NUM_LABELS} } }", PrototxtError,
                      r"layer 'fc8_\${EXP}' \(Convolution\):.*\${NUM_LABELS}.*placeholder"),
    "its layer's": (DATA + 'layer { name: "s" type: "SeLuDropout" selu_dropout_param { } }',
                    PrototxtError, r"'s' \(SeLuDropout\).*selu_dropout_param.*SELU"),
    "channel pruning's": (DATA + 'layer { name: "d" type: "ImageData" image_data_param { '
                          'new_dim: 8 } }', PrototxtError, r"'d' \(ImageData\).*new_dim.*pruning"),
    "V1": ('layers { name: "w" type: MAT_READ bottom: "x" }', PrototxtError,
           r"layer 'w' \(MAT_READ\).*DeepLab"),
    "a slip": (DATA + 'layer { name: "c" type: "Convolution" convolution_param { kernelsize: 3 } }',
               PrototxtError,
               r"layer 'c' \(Convolution\).*'kernelsize' .did you mean 'kernel_size'"),
}


@pytest.mark.parametrize("text, error, message", REFUSED.values(), ids=REFUSED)
def test_what_is_not_there_is_refused_with_whose_it_is(tmp_path, text, error, message):
    with pytest.raises(error, match=message) as caught:
        build(tmp_path, text)
    assert message.endswith("'kernel_size'") or "did you mean" not in str(caught.value)


def test_a_field_of_a_fork_s_solver_is_told_as_one(tmp_path):
    (tmp_path / "solver.prototxt").write_text('net: "net.prototxt"\neval_type: "detection"')
    with pytest.raises(PrototxtError, match="SolverParameter has no field 'eval_type'.*SSD's"):
        caffe.get_solver(str(tmp_path / "solver.prototxt"))


def test_the_schema_of_caffe_stays_as_it_is():
    of_caffe = caffe_pb2.DESCRIPTOR.message_types_by_name
    merged = caffe_pb2.NetParameter.DESCRIPTOR.file.message_types_by_name
    for name, message in of_caffe.items():
        own = {field.name: field.number for field in message.fields}
        added = {field.name: field.number for field in merged[name].fields
                 if field.name not in own}
        assert all(number >= 20000 for number in added.values())
        assert own.items() <= {f.name: f.number for f in merged[name].fields}.items()
    assert "BNParameter" in merged and "BNParameter" not in of_caffe


def test_text_is_upgraded_with_its_fork_fields(tmp_path):
    (tmp_path / "old.prototxt").write_text("""
        layers { name: "data" type: IMAGE_SEG_DATA top: "data" top: "label" top: "dim"
            image_data_param { source: "list" label_type: PIXEL mirror: true }
            transform_param { crop_height: 9 crop_width: 17 scale_factors: 0.5 } }
        layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" strict_dim: false
            convolution_param { num_output: 2 kernel_size: 3 hole: 12 } }
        layers { name: "bn" type: BN bottom: "conv" top: "bn" bn_param { bn_mode: INFERENCE } }
        layers { name: "up" type: INTERP bottom: "bn" top: "up" interp_param { zoom_factor: 8 } }
        layers { name: "crf" type: DENSE_CRF bottom: "up" bottom: "dim" bottom: "data" top: "crf"
            dense_crf_param { pos_w: 3 pos_xy_std: 3 } }
        layers { name: "loss" type: SOFTMAX_LOSS bottom: "up" bottom: "label"
            softmaxloss_param { ignore_label: 255 ignore_label: 0 } }""")
    out = tmp_path / "new.prototxt"
    assert not main(["upgrade_net_proto_text", str(tmp_path / "old.prototxt"), str(out)])
    found = text_format.Parse(out.read_text(), caffe_pb2.NetParameter())
    assert [layer.type for layer in found.layer] == [
        "ImageSegData", "Convolution", "BN", "Interp", "DenseCRF", "SoftmaxWithLoss"]
    data, conv, bn, up, crf, loss = found.layer
    assert data.transform_param.crop_width == 17 and data.transform_param.mirror
    assert conv.convolution_param.hole == [12] and conv.strict_dim is False
    assert bn.bn_param.bn_mode == caffe_pb2.BNParameter.INFERENCE
    assert up.interp_param.zoom_factor == 8 and crf.dense_crf_param.pos_w == [3]
    assert loss.softmaxloss_param.ignore_label == [255, 0]
    assert str(read_net(str(out))) == str(found)


CROPPED = ('layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" '
           'convolution_param { num_output: 2 kernel_size: 3 pad: 10 } }\n'
           'layer { name: "crop" type: "Crop" bottom: "conv" bottom: "data" top: "y" }\n')


def offset(tmp_path, text):
    (tmp_path / "net.prototxt").write_text(text)
    crop, = (layer for layer in read_net(str(tmp_path / "net.prototxt")).layer
             if layer.type == "Crop")
    return list(crop.crop_param.offset)


def test_crops_without_parameters_are_aligned_in_nets_of_forks(tmp_path):
    assert offset(tmp_path, DATA + CROPPED) == []       # Caffe's own: 0
    more = 'layer { name: "r" type: "ReLU6" bottom: "y" top: "r" }'
    assert offset(tmp_path, DATA + CROPPED + more) == [9]
    assert offset(tmp_path, 'input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
                  + CROPPED) == [9]
    given = CROPPED.replace('top: "y"', 'top: "y" crop_param { offset: 2 }')
    assert offset(tmp_path, DATA + given + more) == [2]


def test_crops_of_v1_nets_are_aligned_or_refused(tmp_path):
    text = ('input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
            'layers {{ name: "conv" type: CONVOLUTION bottom: "data" top: "conv" '
            'convolution_param {{ num_output: 2 kernel_size: 3 pad: {} }} }}\n'
            'layers {{ name: "crop" type: CROP bottom: "conv" bottom: "data" top: "y" }}')
    assert offset(tmp_path, text.format(5)) == [4]
    with pytest.raises(PrototxtError, match=r"net.prototxt: layer 'crop' \(Crop\).*'conv'.*'data'"):
        offset(tmp_path, text.format(0))


@pytest.mark.parametrize("case", ["segnet_caffemodel_segnet", "torr_caffemodel_crfasrnn",
                                  "pspnet_caffemodel_pspnet", "deeplab1_caffemodel_deeplab",
                                  "deconvnet_caffemodel_deconvnet"])
def test_a_binary_of_a_fork_is_no_net(tmp_path, case, capsys):
    path = tmp_path / "fork.caffemodel"
    path.write_bytes(np.load(GOLDEN / "forks" / f"{case}.npz")["caffemodel"].tobytes())
    assert main(["upgrade_net_proto_binary", str(path), str(tmp_path / "out")])
    assert "a fork" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_a_binary_of_ones_own_with_forks_layers_is_a_net(tmp_path):
    net = build(tmp_path, DATA + 'layer { name: "bn" type: "BN" bottom: "data" top: "y" bn_param { '
                                 'frozen: true } }')
    net.save(str(tmp_path / "own.caffemodel"))
    out = tmp_path / "out.caffemodel"
    assert not main(["upgrade_net_proto_binary", str(tmp_path / "own.caffemodel"), str(out)])
    found = caffe_pb2.NetParameter.FromString(out.read_bytes())
    assert found.layer[1].bn_param.frozen and len(found.layer[1].blobs) == 4


def test_weights_of_the_other_bn(tmp_path):
    net = build(tmp_path, DATA + 'layer { name: "bn" type: "BN" bottom: "data" top: "y" bn_param { '
                                 'bn_mode: LEARN } }')
    net.save(str(tmp_path / "two.caffemodel"))
    other = build(tmp_path, DATA + 'layer { name: "bn" type: "BN" bottom: "data" top: "y" bn_param '
                                   '{ frozen: true } }')
    with pytest.raises(WeightsError, match="two.caffemodel: .*layer 'bn': it has 2 parameters.*has "
                                           "4; PSPNet.*SegNet"):
        other.copy_from(str(tmp_path / "two.caffemodel"))


def test_weights_of_a_product_for_a_convolution(tmp_path):
    product = build(tmp_path, DATA + 'layer { name: "fc6" type: "InnerProduct" bottom: "data" top: '
                    '"y" inner_product_param { num_output: 2 weight_filler { type: "xavier" } } }')
    product.save(str(tmp_path / "vgg.caffemodel"))
    text = DATA + ('layer { name: "fc6" type: "Convolution" bottom: "data" top: "y" MORE '
                   'convolution_param { num_output: 2 kernel_h: 20 kernel_w: 24 } }')
    net = build(tmp_path, text.replace("MORE", "strict_dim: false"))
    net.copy_from(str(tmp_path / "vgg.caffemodel"))
    np.testing.assert_array_equal(net.params["fc6"][0].data.ravel(),
                                  product.params["fc6"][0].data.ravel())
    with pytest.raises(WeightsError, match="param 0 .*layer 'fc6'; shape mismatch"):
        build(tmp_path, text.replace("MORE", "")).copy_from(str(tmp_path / "vgg.caffemodel"))
