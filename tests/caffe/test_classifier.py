"""Classifier on a net whose scores are the means of the input's channels."""

import numpy as np
import pytest

import caffe

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


def test_arrays_are_dimensions_too(files):
    classifier = caffe.Classifier(*files, image_dims=np.array([9, 8]))
    assert classifier.predict([np.ones((4, 5, 3))]).shape == (1, 3)


def test_without_oversampling_scores_keep_the_shape_of_the_output(files):
    assert caffe.Classifier(*files).predict([np.ones((8, 8, 3))], False).shape == (1, 3, 1, 1)


def test_the_published_steps(files):
    """classify.py and the notebooks: a subclass of Net, with its crops and Transformer."""
    classifier = caffe.classifier.Classifier(
        *files, mean=np.ones((3, 20, 20)), input_scale=2, raw_scale=10, channel_swap=[2, 1, 0])
    assert isinstance(classifier, caffe.Net)
    assert list(classifier.crop_dims) == list(classifier.image_dims) == [8, 8]
    image = np.random.default_rng(5).random((8, 8, 3))
    made = classifier.transformer.preprocess(classifier.inputs[0], image)
    np.testing.assert_allclose(made, (image[:, :, ::-1].transpose(2, 0, 1) * 10 - 1) * 2, rtol=1e-4,
                               atol=1e-5)
