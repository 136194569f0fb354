"""U-Net: its sizes, its crops, and tiles of a mirrored image."""

import ast

import numpy as np
import pytest

import caffe
from caffe.formats import prototxt
from fcn import nets
from fcn.nets import unet
from fcn.nets.source import cells
from fcn.solvers.inference.fields import reaches
from fcn.solvers.inference.tiles import spans
from segdata.augment import reflected

NAME = "dic-unet"


def built(tmp_path, net):
    caffe.set_mode_cpu()
    return caffe.Net(str(nets.write_prototxt(tmp_path / "net.prototxt", net)), caffe.TEST)


def test_the_published_tile_gives_388_and_crops_follow(tmp_path):
    net = built(tmp_path, unet.unet(width=1 / 64))
    shapes = {name: blob.data.shape[1:] for name, blob in net.blobs.items()}
    assert shapes["data"] == (1, 572, 572) and shapes["score"] == (2, 388, 388)
    assert shapes["conv_d4b-c"] == (16, 28, 28) and shapes["concat_d3cc_u3a-b"] == (16, 56, 56)
    offsets = {layer.name: list(layer.crop_param.offset) for layer in unet.unet().layer
               if layer.type == "Crop"}
    assert offsets == {"crop_d3c-d3cc": [4], "crop_d2c-d2cc": [16], "crop_d1c-d1cc": [40],
                       "crop_d0c-d0cc": [88]}


def test_the_channels_are_the_papers_and_the_releases():
    def channels(net):
        return {layer.name: layer.convolution_param.num_output for layer in net.layer
                if layer.type in ("Convolution", "Deconvolution")}
    paper, released = channels(unet.unet()), channels(unet.unet(released=True))
    assert [paper[f"conv_d{level}a-b"] for level in range(5)] == [64, 128, 256, 512, 1024]
    assert paper["upconv_d4c_u3a"] == 512 and paper["upconv_u1d_u0a"] == 64
    assert released == {**paper, "upconv_u1d_u0a": 128} and len(paper) == 23


@pytest.mark.parametrize("side, named", [
    (570, "372 (of an image of 556) or 388 (of an image of 572)"),
    (573, "388 (of an image of 572) or 404 (of an image of 588)"), (100, "4 (of an image of 188)")])
def test_a_side_that_does_not_fit_is_refused_with_the_nearest_that_do(side, named):
    with pytest.raises(unet.FitError, match="U-Net gives scores of") as caught:
        unet.unet(side)
    assert str(caught.value).endswith(named) and str(side) in str(caught.value)


@pytest.mark.parametrize("given, message", [
    (dict(classes=0), "classes is 0, expected a whole number from 1"),
    (dict(classes=2.0), "classes is 2.0, expected"), (dict(channels=0), "channels is 0, expected"),
    (dict(channels=-1), "channels is -1, expected"), (dict(channels=None), "channels is None"),
    (dict(depth=2.5), "depth is 2.5, expected a whole number of poolings from 1 to 6"),
    (dict(depth=0), "depth is 0"), (dict(depth=7), "depth is 7"), (dict(depth="4"), "depth is '4'"),
    (dict(side="572"), "side is '572', expected a whole number of pixels"),
    (dict(side=572.0), "side is 572.0"), (dict(side=(572, 572)), r"side is \(572, 572\)")])
def test_what_is_no_size_of_a_net_is_told(given, message):
    with pytest.raises(unet.FitError, match=f"U-Net.*: {message}"):
        unet.unet(**given)


def test_a_training_from_the_net_alone_learns_in_its_first_step(tmp_path):
    """All layers have random weights: with zeros in the last, none but that would learn."""
    emitted = unet.unet(np.int64(4 + unet.lost(1)), 1, width=1 / 16)
    emitted.force_backward = True
    net = built(tmp_path, emitted)
    net.blobs["data"].data[...] = np.random.default_rng(0).normal(size=net.blobs["data"].data.shape)
    net.forward()
    net.blobs["score"].diff[...] = net.blobs["score"].data + 1
    net.backward()
    for name, (weights, *_) in net.params.items():
        assert weights.data.any() and weights.diff.any(), name


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_sizes_that_fit_do_at_any_depth(tmp_path, depth):
    side = 4 + 2 ** depth + unet.lost(depth)
    net = built(tmp_path, unet.unet(side, depth, width=1 / 64, classes=3, channels=2))
    assert net.blobs["score"].data.shape == (1, 3, 4 + 2 ** depth, 4 + 2 ** depth)


def test_the_train_net_is_as_published(tmp_path):
    net = prototxt.read_net(nets.write(NAME, tmp_path)["train"])
    data, *layers = net.layer
    params = ast.literal_eval(data.python_param.param_str)
    assert list(data.top) == ["data", "label", "weight"]
    assert (params["crop"], params["margin"], params["elastic"]) == (388, 92, 10)
    kinds = {layer.name: layer for layer in layers}
    assert kinds["loss"].python_param.layer == "PixelWeightedLoss"
    assert list(kinds["loss"].bottom) == ["score", "label", "weight"]
    assert [name for name in kinds if name.startswith("dropout")] == ["dropout_d3c", "dropout_d4c"]
    assert {layer.convolution_param.weight_filler.type for layer in layers
            if layer.type in ("Convolution", "Deconvolution")} == {"msra", "constant"}


@pytest.mark.parametrize("crop", [300, (388, 300)])
def test_crops_that_do_not_fit_are_refused(crop):
    source = cells("isbi").with_training(crop=crop)
    with pytest.raises(unet.FitError, match=r"training crops of 300 pixels.*292 .*308 "):
        nets.fcn("unet", "train", source)


def test_whole_images_of_any_size_can_be_trained_on():
    source = unet.with_margins(cells("isbi").with_training(crop=None))
    assert source.train.params["margin"] == source.margin == unet.margin() == 108


def filled_net(tmp_path, depth):
    """A small net for one grey image of any size, with random weights."""
    net = built(tmp_path, nets.fcn("unet", "deploy", cells("dic"), depth=depth, width=1 / 16))
    rng = np.random.default_rng(0)
    for name, params in net.params.items():
        if name != "inside":
            for blob in params:
                blob.data[...] = rng.normal(0, 0.3, blob.data.shape)
        else:
            params[0].data[...] = 1
    return net


def scores(net, padded):
    net.blobs["data"].reshape(1, *padded.shape)
    net.blobs["data"].data[0] = padded
    return net.forward()["score"][0].copy()


def test_overlapping_tiles_are_one_pass_over_the_mirrored_image(tmp_path):
    depth, size = 2, (75, 90)
    net, margin = filled_net(tmp_path, depth), unet.margin(depth)
    image = np.random.default_rng(1).normal(0, 1, (1, *size)).astype(np.float32)
    whole = scores(net, reflected(image, margin))
    assert whole.shape == (2, *size)
    tiled = np.full_like(whole, np.nan)
    reach = reaches(tmp_path / "net.prototxt", "score", margin)
    parts = [list(spans(side, 70, along)) for side, along in zip(size, reach)]
    assert [len(each) for each in parts] == [2, 2]
    for down in parts[0]:
        for right in parts[1]:
            part = image[:, down.start:down.end, right.start:right.end]
            found = scores(net, reflected(part, margin))
            tiled[:, down.first:down.last, right.first:right.last] = found[
                :, down.first - down.start:down.last - down.start,
                right.first - right.start:right.last - right.start]
    assert np.abs(tiled - whole).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.parametrize("more", [1, 2, 3, 4, 8])
def test_no_score_sees_where_the_image_ends_wherever_poolings_begin(tmp_path, more):
    depth = 2
    net, margin = filled_net(tmp_path, depth), unet.margin(depth)
    image = np.random.default_rng(2).normal(0, 1, (1, 31, 34)).astype(np.float32)
    padded = reflected(image, margin + 8)
    own = scores(net, padded[:, 8:-8, 8:-8])
    ends_later = scores(net, padded[:, 8:-8, 8:8 + own.shape[2] + 2 * margin + more])
    begins_before = scores(net, padded[:, 4:-8, 8:-8])       # by a whole window of all poolings
    for other in (ends_later[..., :-more], begins_before[:, 4:]):
        assert np.abs(other - own).max() <= 1e-5 * np.abs(own).max()


def test_a_unet_is_known_by_its_layers_and_says_which_images_it_takes():
    names = [layer.name for layer in unet.unet(depth=2, side=44 + 4).layer]
    assert unet.depth_of(names) == 2 and not unet.depth_of(["conv1_1"])
    told = unet.sizes_told(names, (100, 61))
    assert "40 pixels smaller than its image and have 4·k + 4 a side" in told
    assert "for 100 pixels a side the nearest are 60 (of an image of 100) or 64" in told
    assert "for 61 pixels a side the nearest are 20 (of an image of 60) or 24 (of an image of 64)" \
        in told
    assert not unet.sizes_told(["conv1_1"], (100, 61))
