"""What transform_param does to an image."""

import numpy as np
import pytest

import caffe
from caffe.engine.layers.input.transform import Transform
from caffe.errors import LayerError
from caffe.formats import prototxt
from caffe.proto import caffe_pb2

IMAGE = np.random.default_rng(3).integers(0, 256, (3, 6, 8)).astype(np.uint8)


def transform(text, phase=caffe.TEST):
    param = prototxt.parse(text, caffe_pb2.TransformationParameter())
    return Transform(param, phase, np.random.default_rng(5))


@pytest.fixture
def mean(tmp_path):
    """The path of a mean image, and the image."""
    array = np.random.default_rng(4).random(IMAGE.shape).astype(np.float32)
    path = tmp_path / "mean.binaryproto"
    path.write_bytes(caffe_pb2.BlobProto(num=1, channels=3, height=6, width=8,
                                         data=array.ravel()).SerializeToString())
    return path, array


def test_nothing():
    made = transform("")(IMAGE)
    assert made.dtype == np.float32
    np.testing.assert_array_equal(made, IMAGE)


def test_the_mean_goes_before_the_scale():
    made = transform("mean_value: [1, 2, 3] scale: 0.5")(IMAGE)
    np.testing.assert_allclose(made, (IMAGE - np.array([1, 2, 3]).reshape(3, 1, 1)) * 0.5)
    np.testing.assert_allclose(transform("mean_value: 7")(IMAGE), IMAGE - 7.0)


def test_a_crop_of_the_centre_takes_the_mean_s_centre(mean):
    path, array = mean
    made = transform(f'mean_file: "{path}" crop_size: 3 scale: 2')(IMAGE)
    np.testing.assert_allclose(made, 2 * (IMAGE - array)[:, 1:4, 2:5], rtol=1e-6)


def test_random_crops_lie_everywhere_and_mirrors_are_half():
    made = transform("crop_size: 5 mirror: true", caffe.TRAIN)
    seen, mirrored = set(), 0
    for _ in range(300):
        crop = made(IMAGE)
        places = [(y, x, flip) for y in range(2) for x in range(4) for flip in (1, -1)
                  if np.array_equal(crop, IMAGE[:, y:y + 5, x:x + 5][:, :, ::flip])]
        assert len(places) == 1
        seen.add(places[0])
        mirrored += places[0][2] == -1
    assert len(seen) == 16 and 100 < mirrored < 200


def test_mirrors_come_in_testing_too():
    made = transform("mirror: true")
    assert {np.array_equal(made(IMAGE), IMAGE) for _ in range(20)} == {True, False}


@pytest.mark.parametrize("text, complaint", [
    ("crop_size: 7", r"crop_size of 7 does not fit into an image of \(3, 6, 8\)"),
    ("mean_value: [1, 2]", "each of 3 channels, got 2"),
    ('mean_value: 1 mean_file: "m"', "mean_file or mean_value, got both"),
    ("force_color: true force_gray: true", "force_color or force_gray, got both")])
def test_refused(text, complaint):
    with pytest.raises(LayerError, match=complaint):
        transform(text)(IMAGE)


def test_several_means(tmp_path):
    path = tmp_path / "means.binaryproto"
    path.write_bytes(caffe_pb2.BlobProto(num=2, channels=3, height=6, width=8,
                                         data=[0] * 288).SerializeToString())
    with pytest.raises(LayerError, match=r"means.binaryproto: expected one mean image, got .*2, 3"):
        transform(f'mean_file: "{path}"')


def test_a_mean_of_another_shape(mean):
    with pytest.raises(LayerError, match=r"mean.binaryproto has the shape \(3, 6, 8\), an image "
                                         r"\(3, 5, 8\)"):
        transform(f'mean_file: "{mean[0]}"')(IMAGE[:, 1:])
