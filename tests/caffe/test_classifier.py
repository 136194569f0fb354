"""Classifier and Detector on a net whose scores are the means of the input's channels."""

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
layer { name: "scores" type: "Scale" bottom: "mean" top: "scores" scale_param { axis: 1 } }
"""


@pytest.fixture
def files(tmp_path):
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    return str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")


@pytest.mark.parametrize("oversample", [True, False])
def test_a_classifier_scores_any_number_of_images(files, oversample):
    classifier = caffe.Classifier(*files, image_dims=(10, 12), mean=np.array([1, 2, 3]),
                                  raw_scale=255, channel_swap=(2, 1, 0))
    colors = np.random.default_rng(2).random((5, 3)).astype(np.float32)
    images = [np.tile(color, (10, 12, 1)) for color in colors]
    scores = classifier.predict(images, oversample)
    np.testing.assert_allclose(scores.reshape(5, 3), 255 * colors[:, ::-1] - [1, 2, 3], rtol=1e-4)


def test_the_centre_is_what_is_scored_without_oversampling(files):
    image = np.zeros((12, 12, 3), np.float32)
    image[2:10, 2:10] = 1
    classifier = caffe.Classifier(*files, image_dims=(12, 12))
    np.testing.assert_allclose(classifier.predict([image], oversample=False).ravel(), 1, rtol=1e-6)
    assert (classifier.predict([image]) < 1).all()


@pytest.fixture
def image(tmp_path):
    """Red on the left, blue on the right."""
    pixels = np.zeros((16, 32, 3), np.uint8)
    pixels[:, :16, 0] = pixels[:, 16:, 2] = 255
    Image.fromarray(pixels).save(tmp_path / "image.png")
    return str(tmp_path / "image.png")


def test_a_detector_scores_windows(files, image):
    windows = np.array([[0, 0, 8, 8], [4, 20, 16, 32], [2, 0, 10, 10], [0, 24, 16, 32]])
    found = caffe.Detector(*files).detect_windows([(image, windows)])
    assert [each["filename"] for each in found] == [image] * 4
    np.testing.assert_array_equal([each["window"] for each in found], windows)
    for each, red in zip(found, (1, 0, 1, 0)):
        assert each["prediction"][1] == 0 and each["prediction"].shape == (3,)
        assert each["prediction"][0] >= 0.7 * red and each["prediction"][2] <= 1 - red


def test_surroundings_beyond_the_image_are_the_mean(files, image):
    detector = caffe.Detector(*files, mean=np.array([51, 102, 153]), raw_scale=255,
                              channel_swap=(2, 1, 0), context_pad=2)
    crop = detector.crop(caffe.io.load_image(image), np.array([0, 0, 7, 7]))
    assert crop.shape == (8, 8, 3)
    np.testing.assert_allclose(crop[0, 0], np.array([153, 102, 51]) / 255, rtol=1e-6)   # R G B
    np.testing.assert_allclose(crop[5, 5], [1, 0, 0], atol=1e-6)


def test_selective_search_is_not_there(files):
    with pytest.raises(CaffeError, match="detect_windows"):
        caffe.Detector(*files).detect_selective_search([])
