"""NetSpec, held against what pycaffe writes."""

import pytest

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.errors import PrototxtError
from caffe.formats.prototxt import parse
from caffe.net_spec import assign_proto, param_name_dict, to_proto
from caffe.proto import caffe_pb2


def spec():
    """A small net in the making, with everything that a net script uses."""
    n = caffe.NetSpec()
    n.data, n.label = L.Python(module="m", layer="Data", ntop=2, param_str="{'a': 1}")
    n.conv = L.Convolution(n.data, num_output=4, kernel_size=3, pad=[1, 1],
                           weight_filler=dict(type="xavier"),
                           param=[dict(lr_mult=1), dict(lr_mult=2, decay_mult=0)])
    n.relu = L.ReLU(n.conv, in_place=True)
    n.pool = L.Pooling(n.relu, pool=P.Pooling.AVE, kernel_size=2)
    n.loss = L.SoftmaxWithLoss(n.pool, n.label, loss_weight=0.5,
                               loss_param=dict(normalize=False, ignore_label=255),
                               include=dict(phase=caffe.TRAIN))
    n.silence = L.Silence(n.label, ntop=0)
    return n


WRITTEN = """
layer { name: "data" type: "Python" top: "data" top: "label"
        python_param { module: "m" layer: "Data" param_str: "{'a': 1}" } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
        param { lr_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
        convolution_param { num_output: 4 kernel_size: 3 pad: 1 pad: 1
                            weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
        pooling_param { pool: AVE kernel_size: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "pool" bottom: "label" top: "loss"
        loss_weight: 0.5 include { phase: TRAIN }
        loss_param { ignore_label: 255 normalize: false } }
layer { name: "silence" type: "Silence" bottom: "label" }
"""


def test_what_is_written():
    assert spec().to_proto() == parse(WRITTEN, caffe_pb2.NetParameter())


def test_text_is_read_back():
    param = spec().to_proto()
    assert parse(str(param), caffe_pb2.NetParameter()) == param


def test_tops_by_name():
    n = spec()
    assert n.conv is n["conv"] and n.relu.fn.inputs == (n.conv,)
    n["more"] = L.ReLU(n.pool)
    del n.more
    assert [layer.name for layer in n.to_proto().layer][-1] == "silence"
    for error in AttributeError, KeyError:
        with pytest.raises(error, match="^the net has no top 'pol' .did you mean 'pool'"):
            n.pol
        with pytest.raises(error, match="no top 'pol'"):
            n["pol"]
    assert not hasattr(n, "pol")


def test_the_tops_of_a_net():
    n = spec()
    assert n.keys() == ["data", "label", "conv", "relu", "pool", "loss", "silence"]
    assert n.vals()[2] is n.conv and len(n.vals()) == 7
    with pytest.raises(KeyError, match="no top 'keys'"):
        n["keys"]
    n.update("conv", dict(num_output=9, stride=2))
    conv = n.to_proto().layer[1].convolution_param
    assert (conv.num_output, conv.stride, conv.kernel_size) == (9, [2], [3])


def test_automatic_names_count_each_type():
    data, label = L.Python(module="m", layer="Data", ntop=2)
    first = L.Convolution(data, num_output=1, kernel_size=1)
    second = L.ReLU(L.Convolution(first, num_output=1, kernel_size=1), in_place=True)
    layers = to_proto(second, L.Silence(label, ntop=1)).layer
    assert [layer.name for layer in layers] == ["Python1", "Convolution1", "Convolution2", "ReLU1",
                                                "Silence1"]
    assert layers[0].top == ["Python1", "Python2"]
    assert layers[3].top == layers[2].top == ["Convolution2"]


def test_a_layer_with_a_name_of_its_own():
    n = caffe.NetSpec()
    n.x = L.Input(shape=dict(dim=[1]), name="source")
    assert (n.to_proto().layer[0].name, n.to_proto().layer[0].top) == ("source", ["x"])


def test_a_name_of_its_own_still_counts():
    """pycaffe numbers a layer before it looks at its name."""
    x = L.Input()
    for _ in range(2):
        x = L.ReLU(x, in_place=True, name="named")
    names = [layer.name for layer in to_proto(L.ReLU(x)).layer]
    assert names == ["Input1", "named", "named", "ReLU3"]


def test_layers_not_named_come_before_their_readers():
    n = caffe.NetSpec()
    n.y = L.ReLU(L.Power(L.Input()))
    assert [layer.type for layer in n.to_proto().layer] == ["Input", "Power", "ReLU"]
    assert n.to_proto().layer[2].bottom == ["Power1"]


def test_parameters_are_found_by_type():
    names = param_name_dict()
    assert names["Convolution"] == "convolution" and names["InnerProduct"] == "inner_product"
    deconvolution = L.Deconvolution(L.Input(), num_output=3).to_proto().layer[-1]
    assert deconvolution.convolution_param.num_output == 3


def test_enums():
    assert (P.Pooling.MAX, P.Pooling.AVE, P.Eltwise.SUM) == (0, 1, 1)
    by_name = L.Pooling(L.Input(), pool="AVE").to_proto().layer[-1]
    assert by_name.pooling_param.pool == P.Pooling.AVE
    with pytest.raises(AttributeError, match="no NoneSuchParameter"):
        P.NoneSuch


@pytest.mark.parametrize("layer, error, complaint", [
    (lambda x: L.Convolution(x, num_outputs=3), PrototxtError,
     "^Convolution: ConvolutionParameter has no field 'num_outputs'.*'num_output'"),
    (lambda x: L.Convolution(x, weight_filler=dict(tipe="xavier")), PrototxtError,
     "^Convolution: FillerParameter has no field 'tipe'.*'type'"),
    (lambda x: L.Convolutoin(x, num_output=3), PrototxtError,
     "^Convolutoin: it has no field 'num_output'. There is no layer type 'Convolutoin' "
     ".did you mean 'Convolution'?"),
    (lambda x: L.convolution(x, pad=1), AttributeError,
     "'convolution' .did you mean 'Convolution'?"),
    (lambda x: L.MultiBoxLoss(x, multibox_loss_param=dict(num_classes=2)), PrototxtError,
     "^MultiBoxLoss: it has no field 'multibox_loss_param'; it belongs to SSD's fork .*There is no "
     "layer type 'MultiBoxLoss'; it belongs to SSD's fork"),
    (lambda x: L.CPMData(stride=8), PrototxtError, "'CPMData'; it belongs to OpenPose's fork"),
    (lambda x: L.__wrapped__, AttributeError, "'__wrapped__'"),
    (lambda x: L.AbsVal(x, slope=3), PrototxtError, "^AbsVal: it has no field 'slope'"),
    (lambda x: L.Pooling(x, pool_param=dict(kernel=3)), PrototxtError, "'pool_param'"),
    (lambda x: L.Convolution(x, num_output="many"), TypeError, "^Convolution: "),
    (lambda x: L.Pooling(x, pool="MAXIMUM"), ValueError, "^Pooling: "),
    (lambda x: L.Convolution(x, weight_filler="xavier"), TypeError, "given as a dict"),
    (lambda x: L.Convolution(x, num_outputs=3), AttributeError, "'num_outputs'"),
    (lambda x: L.AbsVal(x, slope=3), AttributeError, "'slope'"),
    (lambda x: L.ReLU(x, "x"), TypeError,
     r"^ReLU input 1 is not a Top \(type is <class 'str'>\)$"),
    (lambda x: L.Silence((x, x), ntop=0), TypeError,
     r"^Silence input 0 is not a Top \(type is <class 'tuple'>\)$")])
def test_what_cannot_be_written_fails_at_once(layer, error, complaint):
    x = L.Input()
    with pytest.raises(error, match=complaint):
        layer(x)


def test_what_is_updated_later_is_said_with_the_layer_s_name():
    n = spec()
    n.update("conv", dict(num_outputs=9))
    with pytest.raises(PrototxtError, match="^layer 'conv' .Convolution.: .*'num_outputs'"):
        n.to_proto()


def test_a_type_that_the_engine_lacks_is_written_and_refused_where_the_net_is_made(tmp_path):
    """As the original writes it: the net may be for a fork."""
    n = caffe.NetSpec()
    n.data = L.Input(input_param=dict(shape=dict(dim=[1, 1, 2, 2])))
    n.a, n.b = L.MultiBoxLoss(n.data, ntop=2, loss_weight=[2, 0], include=dict(phase=caffe.TEST),
                              convolution_param=dict(num_output=3))
    n.c = L.Euclidean2Loss(n.a)
    assert n.to_proto() == parse("""
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 1 dim: 1 dim: 2 dim: 2 } } }
layer { name: "a" type: "MultiBoxLoss" bottom: "data" top: "a" top: "b"
        loss_weight: 2 loss_weight: 0 include { phase: TEST } convolution_param { num_output: 3 } }
layer { name: "c" type: "Euclidean2Loss" bottom: "a" top: "c" }
""", caffe_pb2.NetParameter())
    (tmp_path / "net.prototxt").write_text(str(n.to_proto()))
    with pytest.raises(caffe.CaffeError, match="'MultiBoxLoss'; it belongs to SSD's fork"):
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)


def test_types_that_a_script_registers(monkeypatch):
    from caffe.engine import layers as engine
    monkeypatch.setattr(engine.registry, "known", dict(engine.registry.known))
    assert "OwnType" not in dir(L)
    engine.register("OwnType")(engine.TensorLayer)
    assert "OwnType" in dir(L)
    with pytest.raises(PrototxtError, match="^OwnType: it has no field 'pad' .did you mean"):
        L.OwnType(pad=1)


def test_names_at_the_prompt():
    assert set(caffe.layer_type_list()) <= set(dir(L)) and {"Pooling", "Loss"} <= set(dir(P))


def test_a_layer_in_place_keeps_all_its_bottoms():
    a, b = L.DummyData(ntop=2)
    layer = to_proto(*L.Python(a, b, in_place=True, ntop=2)).layer[-1]
    assert layer.top == layer.bottom == ["DummyData1", "DummyData2"]


def test_messages_as_they_are():
    one, two = caffe_pb2.ParamSpec(lr_mult=1), caffe_pb2.ParamSpec(lr_mult=2)
    layer = L.Scale(L.Input(), param=[one, two], include=caffe_pb2.NetStateRule(phase=caffe.TEST))
    written = layer.to_proto().layer[-1]
    assert [spec.lr_mult for spec in written.param] == [1, 2]
    assert written.include[0].phase == caffe.TEST


def test_an_empty_dict_writes_nothing():
    written = L.ReLU(L.Input(), relu_param=dict()).to_proto().layer[-1]
    assert not written.HasField("relu_param")


def test_assign_proto_extends_repeated_fields_from_one_value_or_many():
    layer = caffe_pb2.LayerParameter()
    assign_proto(layer, "bottom", "x")
    assign_proto(layer, "top", ["y", "z"])
    assign_proto(layer, "param", dict(lr_mult=3))
    assert (layer.bottom, layer.top, layer.param[0].lr_mult) == (["x"], ["y", "z"], 3)
