"""CRF-RNN against its published prototxt, and against FCN-8s, behind which it stands."""

import numpy as np

import caffe
from fcn import nets, surgery
from fcn.nets.crfrnn import ITERATIONS


def layers(split, **options):
    return {layer.name: layer for layer in nets.fcn("crfrnn", split, **options).layer}


def test_the_layer_is_the_published_one():
    for split, iterations in (("train", 5), ("val", 10), ("deploy", 10)):
        layer = layers(split)["inference1"]
        assert layer.type == "MultiStageMeanfield"
        assert (list(layer.bottom), list(layer.top)) == (["coarse", "coarse", "data"], ["score"])
        assert [spec.lr_mult for spec in layer.param] == [10_000, 10_000, 1_000]
        p = layer.multi_stage_meanfield_param
        assert (p.theta_alpha, p.theta_beta, p.theta_gamma) == (160, 3, 3)
        assert (p.spatial_filter_weight, p.bilateral_filter_weight) == (3, 5)
        assert p.num_iterations == iterations == ITERATIONS[split]


def test_all_below_is_fcn8s_with_the_same_names():
    mine, base = layers("train"), {layer.name: layer for layer in nets.fcn("fcn8s", "train").layer}
    assert set(base) - set(mine) == {"score"} and set(mine) - set(base) == {"coarse", "inference1"}
    for name in base.keys() - {"score", "loss"}:
        assert mine[name] == base[name]
    assert mine["loss"] == base["loss"]


def test_without_filters_scores_are_those_of_fcn8s(tmp_path):
    options = dict(width=1 / 64, filler="msra")
    net, base = (caffe.Net(str(nets.write_prototxt(tmp_path / f"{head}.prototxt", nets.fcn(
        head, "deploy", **options))), caffe.TEST) for head in ("crfrnn", "fcn8s"))
    rng = np.random.default_rng(0)
    for name in base.params:
        if name.startswith("score"):
            base.params[name][0].data[...] = rng.normal(size=base.params[name][0].data.shape)
    surgery.interp(base, [name for name in base.params if name.startswith("upscore")])
    surgery.transplant(net, base)
    image = np.full((1, 3, 40, 48), -50, np.float32)
    image[..., 21:] = 60
    image += rng.normal(0, 1, image.shape)
    for each in (net, base):
        each.blobs["data"].reshape(*image.shape)
        each.blobs["data"].data[...] = image
        each.forward()
    np.testing.assert_array_equal(net.blobs["coarse"].data, base.blobs["score"].data)
    assert np.abs(net.blobs["score"].data - base.blobs["score"].data).max() > 1
    for blob in list(net.params["inference1"])[:2]:
        blob.data[...] = 0
    net.forward()
    np.testing.assert_allclose(net.blobs["score"].data, base.blobs["score"].data, atol=1e-5)
