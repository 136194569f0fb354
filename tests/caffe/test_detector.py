"""Detector on a net whose scores are the means of the input's channels."""

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.errors import CaffeError

NET = """
layer { name: "data" type: "Input" top: "data"
        input_param { shape { dim: 3 dim: 3 dim: 8 dim: 8 } } }
layer { name: "mean" type: "Pooling" bottom: "data" top: "mean"
        pooling_param { pool: AVE global_pooling: true } }
layer { name: "scores" type: "Flatten" bottom: "mean" top: "scores" }
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    return str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")


@pytest.fixture
def image(tmp_path):
    """Red on the left, blue on the right."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16, 0] = pixels[:, 16:, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return str(tmp_path / "image.png")


def test_windows_are_scored(files, image):
    windows = np.array([[0, 0, 8, 8], [4, 20, 16, 32], [2, 0, 10, 10], [0, 24, 16, 32]])
    found = caffe.Detector(*files).detect_windows([(image, windows)])
    assert [each["filename"] for each in found] == [image] * 4
    np.testing.assert_array_equal([each["window"] for each in found], windows)
    for each, red in zip(found, (1, 0, 1, 0)):
        assert each["prediction"].shape == (3,)
        np.testing.assert_allclose(each["prediction"], [red, 0, 1 - red], atol=1e-6)


def test_a_window_that_reaches_beyond_the_image_is_cut(files, image):
    detector = caffe.Detector(*files)
    crop = detector.crop(caffe.io.load_image(image), [-3, 20, 4, 40])
    assert crop.shape == (4, 12, 3)


@pytest.mark.parametrize("context_pad", [None, 2])
@pytest.mark.parametrize("window", [[3, 40, 9, 50], [-9, 0, -5, 6]])
def test_a_window_outside_is_refused(files, image, window, context_pad):
    detector = caffe.Detector(*files, context_pad=context_pad)
    with pytest.raises(CaffeError, match=r"image.png: the window .* no pixel .* 16 x 32"):
        detector.detect_windows([(image, np.array([window]))])


def test_no_windows(files, image):
    assert caffe.Detector(*files).detect_windows([(image, [])]) == []


def test_surroundings_beyond_the_image_are_the_mean(files, image):
    detector = caffe.Detector(*files, mean=np.array([51, 102, 153]), raw_scale=255,
                              channel_swap=(2, 1, 0), context_pad=2)
    assert list(detector.crop_dims) == [8, 8, 3]
    crop = detector.crop(caffe.io.load_image(image), np.array([0, 0, 7, 7]))
    assert crop.shape == (8, 8, 3) and crop.dtype == np.float32
    np.testing.assert_allclose(crop[0, 0], np.array([153, 102, 51]) / 255, rtol=1e-6)   # R G B
    np.testing.assert_allclose(crop[5, 5], [1, 0, 0], atol=1e-6)


def test_the_window_fills_the_input_but_for_the_padding(files, image):
    """Of a window of 4 pixels and its border of 2, each pixel is one of the input's 8."""
    detector = caffe.Detector(*files, context_pad=2)
    pixels = caffe.io.load_image(image)
    crop = detector.crop(pixels, np.array([6, 14, 9, 17]))
    assert crop[4, 0, 0] > 0.5 and crop[4, 0, 2] == 0       # red on the left
    assert crop[4, 5, 0] == 0 and crop[4, 5, 2] > 0.5       # blue on the right


def test_without_a_mean_what_lies_beyond_the_image_is_black(files, image):
    detector = caffe.Detector(*files, context_pad=2)
    assert (detector.crop(caffe.io.load_image(image), np.array([0, 0, 7, 7]))[0, 0] == 0).all()
    detector.configure_crop(None)
    assert detector.crop(caffe.io.load_image(image), [0, 0, 7, 7]).shape == (7, 7, 3)


def test_selective_search_is_not_there(files):
    with pytest.raises(CaffeError, match="detect_windows"):
        caffe.Detector(*files).detect_selective_search([])
