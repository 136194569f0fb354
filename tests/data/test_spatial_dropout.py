"""The dropout of channels that ENet's prototxts name."""

import numpy as np
import pytest

import caffe

NET = """force_backward: true
input: "x" input_shape {{ dim: 3 dim: 400 dim: 2 dim: 3 }}
layer {{ name: "drop" type: "Python" bottom: "x" top: "y" python_param {{ module: "spatial_dropout"
  layer: "SpatialDropoutLayer" param_str: "{param}" }} }}"""


@pytest.fixture
def build(tmp_path):
    def build(param):
        (tmp_path / "net.prototxt").write_text(NET.format(param=param))
        net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
        net.blobs["x"].data[...] = np.random.default_rng(0).normal(size=net.blobs["x"].shape)
        net.forward()
        return net
    return build


def test_whole_channels_are_dropped_in_each_image_on_its_own(build):
    net = build(r"{\'phase\': \'TRAIN\', \'p\': \'0.25\'}")       # as published
    factor = net.blobs["y"].data / net.blobs["x"].data
    np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :, :1, :1], factor.shape),
                               rtol=1e-5)
    assert {*np.unique(factor.round(4)).tolist()} == {0, *np.float32([1.3333]).tolist()}
    assert 0.68 < (factor > 0).mean() < 0.82
    assert (factor[0] != factor[1]).any()
    net.blobs["y"].diff[...] = 2
    net.backward()
    np.testing.assert_allclose(net.blobs["x"].diff, 2 * factor, rtol=1e-5)


def test_in_testing_nothing_is_dropped(build):
    net = build(r"{\'phase\': \'TEST\', \'p\': \'0.25\'}")
    np.testing.assert_allclose(net.blobs["y"].data, net.blobs["x"].data / 0.75, rtol=1e-6)


@pytest.mark.parametrize("param", ["", "{'p': '0.1'}", "{'phase': 'TRAIN', 'p': '1'}", "7"])
def test_a_param_str_that_does_not_say_it(build, param):
    with pytest.raises(Exception, match=r"layer 'drop'.*such as \{'phase': 'TRAIN', 'p': '0.1'\}"):
        build(param)
