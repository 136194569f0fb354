"""caffe.dense_crf: numbers of pydensecrf2, and what it refuses."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

import caffe
from caffe.errors import CaffeError
from golden_runs import GOLDEN

CASES = [GOLDEN / "crf" / f"crf_{number}.npz" for number in ("00", "02", "10")]


def disc(size=(40, 50), seed=1):
    """Whether a pixel is in a disc; a noisy image of it; probabilities of 3 classes, of cells of 8
    pixels, by which it is known."""
    y, x = np.mgrid[:size[0], :size[1]]
    inside = (y - 18) ** 2 + (x - 24) ** 2 < 12 ** 2
    noise = np.random.default_rng(seed).normal(scale=8, size=(*size, 3))
    image = (np.where(inside[..., None], (200, 60, 40), (70, 110, 160)) + noise).clip(0, 255)
    cells = inside[4::8, 4::8].repeat(8, 0).repeat(8, 1)[:size[0], :size[1]]
    cells = np.pad(cells, [(0, n - m) for n, m in zip(size, cells.shape)], mode="edge")
    scores = np.stack([~cells, cells, np.zeros(size)]) * 2.0
    return inside, image.astype(np.uint8), softmax(scores, 0).astype(np.float32)


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_it_is_that_of_pydensecrf(path):
    case = dict(np.load(path))
    spatial_w, spatial_xy, w, xy, rgb, iterations = case["settings"]
    q = caffe.dense_crf(softmax(-case["unary"], 0), case["image"], iterations, w, xy, rgb,
                        spatial_w, spatial_xy)
    assert q.dtype == np.float32 and (q.argmax(0) == case["q"].argmax(0)).all()
    assert np.quantile(np.abs(q - case["q"]), 0.999) < 1e-4


def test_edges_of_the_image_become_those_of_the_classes():
    inside, image, probabilities = disc()
    before, after = (np.mean((q.argmax(0) == 1) == inside)
                     for q in (probabilities, caffe.dense_crf(probabilities, image)))
    assert before < 0.97 and after > 0.995


def test_it_is_the_same_every_time_and_with_more_threads():
    _, image, probabilities = disc()
    threads, found = torch.get_num_threads(), []
    try:
        for count in (1, 1, 2):
            torch.set_num_threads(count)
            found.append(caffe.dense_crf(probabilities, image, iterations=3).tobytes())
    finally:
        torch.set_num_threads(threads)
    assert len(set(found)) == 1


@pytest.mark.parametrize("settings", [dict(iterations=0), dict(w=0, spatial_w=0)])
def test_without_iterations_or_kernels_it_changes_nothing(settings):
    _, image, probabilities = disc()
    np.testing.assert_allclose(caffe.dense_crf(probabilities, image, **settings), probabilities,
                               rtol=1e-5)


def test_images_may_be_float_and_probabilities_0_and_of_any_layout():
    _, image, _ = disc()
    q = np.zeros((2, *image.shape[:2]))
    q[0, :20], q[1, 20:] = 1, 1
    found = caffe.dense_crf(q, image)
    assert np.isfinite(found).all() and (found.argmax(0) == q.argmax(0)).all()
    fortran = caffe.dense_crf(np.asfortranarray(q, np.float32), image[:, :, :].astype(float))
    np.testing.assert_array_equal(fortran, found)
    turned = caffe.dense_crf(q[:, ::-1], image[::-1])
    assert (turned.argmax(0) == q[:, ::-1].argmax(0)).all()


def changed(array, value, place=0):
    array = array.copy()
    array.flat[place] = value
    return array


Q, IMAGE = np.full((3, 4, 5), 1 / 3, np.float32), np.zeros((4, 5, 3), np.uint8)
REFUSED = {
    "one class": (Q[:1] * 3, IMAGE, {}, ["at least 2 classes", "(1, 4, 5)"]),
    "a batch": (Q[None], IMAGE, {}, ["(classes, height, width)", "(1, 3, 4, 5)"]),
    "no pixel": (Q[:, :0], IMAGE[:0], {}, ["(3, 0, 5)"]),
    "size": (Q, IMAGE.repeat(2, 0), {}, ["the image is 8 x 5", "4 x 5", "Resize"]),
    "turned": (Q, IMAGE.transpose(1, 0, 2), {}, ["the image is 5 x 4", "4 x 5"]),
    "grey": (Q, IMAGE[..., 0], {}, ["(height, width, 3)", "(4, 5)", "grey"]),
    "Caffe's order": (Q, IMAGE.transpose(2, 0, 1), {}, ["(3, 4, 5)", "transpose"]),
    "alpha": (Q, np.zeros((4, 5, 4)), {}, ["(4, 5, 4)"]),
    "NaN": (changed(Q, np.nan), IMAGE, {}, ["probabilities: 1 of 60 values are not finite"]),
    "infinite pixels": (Q, changed(IMAGE.astype(float), np.inf), {},
                        ["image: 1 of 60 values are not finite"]),
    "scores": (Q * 30 - 3, IMAGE, {}, ["add up to 1", "Softmax"]),
    "negative": (changed(Q, -1e-3), IMAGE, {}, ["from 0 on", "-0.001"]),
    "text": (Q, IMAGE.astype(str), {}, ["image: expected real numbers"]),
    "iterations": (Q, IMAGE, dict(iterations=-1), ["iterations is -1", "whole number"]),
    "half an iteration": (Q, IMAGE, dict(iterations=1.5), ["iterations is 1.5"]),
    "xy": (Q, IMAGE, dict(xy=0), ["xy is 0", "above 0"]),
    "rgb": (Q, IMAGE, dict(rgb=-1), ["rgb is -1", "above 0"]),
    "spatial_xy": (Q, IMAGE, dict(spatial_xy=np.nan), ["spatial_xy is nan", "above 0"]),
    "weight": (Q, IMAGE, dict(w=-5), ["w is -5", "from 0 on"]),
}


@pytest.mark.parametrize("q, image, settings, facts", REFUSED.values(), ids=REFUSED)
def test_refused(q, image, settings, facts):
    with pytest.raises(CaffeError) as caught:
        caffe.dense_crf(q, image, **settings)
    for fact in ("dense_crf", *facts):
        assert fact in str(caught.value)
