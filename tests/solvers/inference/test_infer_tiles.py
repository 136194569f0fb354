"""Images in tiles: equal to the whole, of the size that memory allows."""

from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from PIL import Image

import caffe
from fcn import nets
from fcn.solvers.inference import network, tiles
from fcn.solvers.inference.fields import NotLocal, Reach, fields_of, reaches
from fcn.solvers.inference.segmenter import Segmenter
from infer_runs import run, scene, small_run

pytestmark = pytest.mark.usefixtures("log_as_it_is")

DATA = """
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 3 dim: 9 dim: 9 } } }
"""


def layer(name, kind, bottom, fields="", top=None):
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top or name}" {fields} }}\n'


def conv(name, bottom, fields, kind="Convolution", outputs=4):
    return layer(name, kind, bottom, f"convolution_param {{ num_output: {outputs} {fields} "
                 'weight_filler { type: "gaussian" std: 0.1 } }')


SHRINKS = conv("a", "data", "kernel_size: 3 dilation: 2 pad: 2") + layer(
    "p", "Pooling", "a", "pooling_param { kernel_size: 3 stride: 2 }") + conv(
    "b", "p", "kernel_size: 3 pad: 3")
UP = conv("u", "b", "kernel_size: 4 stride: 2", "Deconvolution")
CROP = layer("score", "Crop", "u data", "crop_param { axis: 2 offset: 6 }")
NETS = {
    # {what it has: (layers, the Reach along height and width)}; worked out by hand
    "pooling and deconvolution": (SHRINKS + UP + CROP, Reach(5, 8, 2), Reach(5, 8, 2)),
    "sides of their own": (
        conv("score", "data", "kernel_h: 5 kernel_w: 3 pad_h: 2 pad_w: 1"),
        Reach(2, 2, 1), Reach(1, 1, 1)),
    "a skip": (
        SHRINKS + UP + CROP.replace('"score"', '"crop"')
        + conv("s", "data", "kernel_size: 9 pad: 4") + layer("score", "Eltwise", "crop s"),
        Reach(5, 8, 2), Reach(5, 8, 2)),
    "interpolation": (
        conv("a", "data", "kernel_size: 3 stride: 2 pad: 2")
        + layer("i", "Interp", "a", "interp_param { zoom_factor: 2 }")
        + layer("score", "Crop", "i data", "crop_param { axis: 2 offset: 1 }"),
        Reach(2, 2, 2), Reach(2, 2, 2)),
    "norms in a window": (
        conv("a", "data", "kernel_size: 1")
        + layer("score", "LRN", "a", "lrn_param { local_size: 5 norm_region: WITHIN_CHANNEL }"),
        Reach(2, 2, 1), Reach(2, 2, 1)),
}


def saved(folder, text):
    """A net with random weights, and their path."""
    folder.mkdir(exist_ok=True)
    (folder / "deploy.prototxt").write_text(text)
    (folder / "classes.txt").write_text("background\na\nb\nc\n")
    net = caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST)
    net.save(str(folder / "w.caffemodel"))
    return folder / "deploy.prototxt", folder / "w.caffemodel"


def held_equal(net, weights, image, tile):
    segment = Segmenter(net, weights)
    whole = segment(image)
    segment.tile = tile
    parts = segment(image)
    assert len(segment.plan(image.shape[:2])) > 1
    assert len(np.unique(whole.labels)) > 1
    np.testing.assert_allclose(parts.probabilities, whole.probabilities, atol=1e-4)
    assert (parts.labels != whole.labels).mean() < 1e-3     # where two classes tie


@pytest.mark.parametrize("name", NETS)
@pytest.mark.parametrize("size", [(57, 45), (44, 71)])
def test_tiles_give_what_the_whole_image_gives(tmp_path, name, size):
    text, *expected = NETS[name]
    net, weights = saved(tmp_path / "net", DATA + text)
    assert reaches(net, "score") == tuple(expected)
    held_equal(net, weights, scene(*size), 24)


def test_tiles_of_an_fcn(tmp_path):
    (tmp_path / "net").mkdir()
    net = tmp_path / "net" / "deploy.prototxt"
    nets.write_prototxt(net, nets.fcn("fcn8s", "deploy", width=1 / 64, filler="msra"))
    made = caffe.Net(str(net), caffe.TEST)
    rng = np.random.default_rng(0)
    for name in made.params:
        if name.startswith(("score", "upscore")):
            made.params[name][0].data[...] = rng.normal(size=made.params[name][0].data.shape) / 99
    made.save(str(tmp_path / "w.caffemodel"))
    held_equal(net, tmp_path / "w.caffemodel", scene(800, 24), 576)


def test_the_sides_of_what_the_layers_of_the_paper_see():
    """fc7 sees 404 pixels (the paper's figure); a deconvolution by 2s from stride s adds s."""
    layers = nets.fcn("fcn8s", "deploy").layer
    for axis in (0, 1):
        sides = {layer.name: field.side for layer, field in zip(layers, fields_of(layers, axis))}
        assert {name: sides[name] for name in ("conv1_1", "pool5", "fc7", "upscore2", "fuse_pool4",
                                               "score_pool3", "upscore8", "score")} == {
            "conv1_1": 3, "pool5": 212, "fc7": 404, "upscore2": 404 + 32, "fuse_pool4": 436,
            "score_pool3": 44, "upscore8": 460, "score": 460}


def test_a_crop_whose_offset_forks_compute(tmp_path):
    """Whether or not it is taken for one of theirs, no score looks further than is said."""
    text = DATA + SHRINKS + UP + layer("score", "Crop", "u data")
    (tmp_path / "net.prototxt").write_text(text)
    assert reaches(tmp_path / "net.prototxt", "score")[0] == Reach(11, 7, 2)     # 0 and 4.5


@pytest.mark.parametrize("kind, fields, words", [
    ("Pooling", "pooling_param { global_pooling: true }", "layer 'g' .pooling. looks at the whole"),
    ("MVN", "", "layer 'g' .mvn. may look at the whole image"),
    ("Interp", "interp_param { height: 9 width: 9 }", "layer 'g' .interp. puts its samples where"),
    ("Softmax", "softmax_param { axis: 2 }", "layer 'g' .softmax. works along axis 2"),
    ("BatchNorm", "batch_norm_param { use_global_stats: false }", "its statistics from the whole"),
    ("Convolution", "convolution_param { num_output: 4 kernel_size: 2 stride: 2 }",
     "has a sample for every 2 pixels")])
def test_nets_of_which_tiles_would_give_something_else(tmp_path, kind, fields, words):
    path = tmp_path / "net.prototxt"
    path.write_text(DATA + layer("g", kind, "data", fields) + layer("score", "ReLU", "g"))
    with pytest.raises(NotLocal, match=f"net.prototxt: .*{words}.*tiles would not give"):
        reaches(path, "score")


def test_what_does_not_lead_to_the_scores_does_not_matter(tmp_path):
    path = tmp_path / "net.prototxt"
    path.write_text(DATA + layer("g", "MVN", "data") + layer("score", "ReLU", "data"))
    assert reaches(path, "score")[0] == Reach(0, 0, 1)


def test_tiles_too_small_for_what_a_score_looks_at(tmp_path):
    net = small_run(tmp_path / "run")
    Image.fromarray(scene()).save(tmp_path / "a.png")
    result = run(tmp_path / "a.png", "--experiment", net.parent, "--tile", "4", "-o",
                 tmp_path / "out")
    assert result.returncode == 1
    assert "a tile of 4 pixels is too small for this net: a score looks at 2 pixels before and 2 " \
           "behind it, so that --tile takes 5 or more" in result.stderr


def test_spans_cover_an_axis_once():
    for length in (1, 40, 41, 97, 300):
        for reach in (Reach(0, 0, 1), Reach(7, 3, 4), Reach(10, 10, 8)):
            found = list(tiles.spans(length, 40, reach))
            assert [span.first for span in found] == [0, *(span.last for span in found[:-1])]
            assert found[-1].last == found[-1].end == length
            for span in found:
                assert span.start % reach.unit == 0 and span.end - span.start <= 40
                assert span.start == 0 or span.first - span.start >= reach.before
                assert span.end == length or span.end - span.last >= reach.behind


def test_the_memory_of_the_blobs_is_known_before_they_are_made(tmp_path):
    net, weights = saved(tmp_path / "net", DATA + NETS["pooling and deconvolution"][0])
    segment = Segmenter(net, weights)
    for height, width in ((600, 800), (75, 1100)):
        said = segment.plan((height, width)).whole
        segment(scene(height, width))
        made = sum(4 * blob.count for blob in segment.network.net.blobs.values())
        assert said == pytest.approx(made, rel=0.02)
    assert segment.plan((600, 800), 3).whole == pytest.approx(
        3 * segment.plan((600, 800)).whole, rel=1e-6)


def test_what_memory_does_not_hold_is_computed_in_tiles_and_said(tmp_path, monkeypatch):
    """The large image in tiles, the small one whole; both as if there were memory enough."""
    net, weights = saved(tmp_path / "net", DATA + NETS["pooling and deconvolution"][0])
    for name, size in (("large", (300, 400)), ("small", (60, 50))):
        Image.fromarray(scene(*size)).save(tmp_path / f"{name}.png")
    command = (tmp_path / "large.png", tmp_path / "small.png", "--net", net, "--weights", weights,
               "--mask", "--probabilities", "-o")
    assert "tiles" not in run(*command, tmp_path / "whole").stdout
    monkeypatch.setattr(network, "free_memory", lambda gpu: 2_000_000)
    result = run(*command, tmp_path / "tiles", "--batch", "2")
    assert result.returncode == 0, result.stderr
    told = [line for line in result.stdout.splitlines() if "tiles of up to" in line]
    line, = told
    assert "large.png: 400x300: " in line and "the whole would take" in line
    for name in ("large", "small"):
        one, two = (np.load(tmp_path / each / f"{name}_probabilities.npy")
                    for each in ("whole", "tiles"))
        np.testing.assert_allclose(one, two, atol=1e-5)
    monkeypatch.setattr(network, "free_memory", lambda gpu: 1_000)
    result = run(*command, tmp_path / "none")
    assert result.returncode == 1 and "in the smallest tiles still" in result.stderr
    assert not list((tmp_path / "none").iterdir())


def test_what_pytorch_keeps_on_a_gpu_for_the_next_image_is_free(monkeypatch):
    kept, cuda = [3 << 30], MagicMock()
    cuda.empty_cache.side_effect = kept.clear
    cuda.mem_get_info.side_effect = lambda gpu: ((8 << 30) - sum(kept), 8 << 30)
    monkeypatch.setattr(torch, "cuda", cuda)
    assert tiles.free_memory(0) == 8 << 30
