"""Sources whose samples pass through a layer."""

from fcn import nets
from fcn.analysis.filtered import filtered
from fcn.nets.source import voc


def test_a_filtered_source_changes_the_data_of_its_splits_alone():
    source = filtered(voc(), "Cue", ("train",), cue="shape")
    train, plain = (nets.fcn("fcn32s", "train", each, start=7) for each in (source, voc()))
    layers = [layer.python_param.layer for layer in train.layer if layer.type == "Python"]
    assert layers == ["SBDDSegDataLayer", "Cue"]
    assert train.layer[1].python_param.param_str == "{'cue': 'shape', 'start': 7}"
    assert list(train.layer[1].top) == ["data", "label"]
    assert list(train.layer[1].bottom) == list(train.layer[0].top)
    assert "'start': 7" in train.layer[0].python_param.param_str
    assert list(train.layer)[2:] == list(plain.layer)[1:]
    for split in ("val", "deploy"):
        assert nets.fcn("fcn32s", split, source) == nets.fcn("fcn32s", split)
