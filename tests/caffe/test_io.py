"""caffe.io: preprocessing and its inverse, resizing, crops, messages."""

import io
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from PIL import Image

import caffe
import caffe.io
from caffe.errors import CaffeError
from caffe.images.datum import decode
from caffe.proto import caffe_pb2

RNG = np.random.default_rng(6)
SHAPE = (2, 3, 4, 6)


@pytest.fixture
def transformer():
    made = caffe.io.Transformer({"data": SHAPE})
    made.set_transpose("data", (2, 0, 1))
    made.set_channel_swap("data", (2, 1, 0))
    made.set_raw_scale("data", 255)
    made.set_mean("data", np.array([10, 20, 30]))
    made.set_input_scale("data", 0.5)
    return made


def test_torch_is_not_loaded():
    subprocess.run([sys.executable, "-c", "import sys, caffe, caffe.io; caffe.io.Transformer\n"
                    "sys.exit('torch' in sys.modules)"], check=True,
                   env={"PYTHONPATH": ":".join(sys.path)})


def test_preprocess_swaps_scales_and_centres(transformer):
    image = RNG.random((4, 6, 3)).astype(np.float32)
    made = transformer.preprocess("data", image)
    expected = (255 * image[:, :, ::-1].transpose(2, 0, 1)
                - np.array([10, 20, 30])[:, None, None]) * 0.5
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-4)
    assert made.dtype == np.float32


def test_preprocess_leaves_the_image_as_it_is():
    made = caffe.io.Transformer({"data": (1, 4, 4, 4)})
    made.set_raw_scale("data", 2)
    image = np.ones((4, 4, 4), np.float32)
    assert (made.preprocess("data", image) == 2).all() and (image == 1).all()


def test_the_published_steps(net):
    """The preprocessing of the ImageNet notebooks, from a net's own blob."""
    built = net("""layer { name: "data" type: "Input" top: "data"
                           input_param { shape { dim: 1 dim: 3 dim: 4 dim: 6 } } }""")
    transformer = caffe.io.Transformer({"data": built.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", np.float64([104, 117, 123]))
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    image = RNG.random((4, 6, 3)).astype(np.float32)
    built.blobs["data"].data[...] = transformer.preprocess("data", image)
    built.forward()
    expected = 255 * image[:, :, ::-1] - [104, 117, 123]
    np.testing.assert_allclose(built.blobs["data"].data[0], expected.transpose(2, 0, 1), rtol=1e-4,
                               atol=1e-4)
    restored = transformer.deprocess("data", built.blobs["data"].data)
    np.testing.assert_allclose(restored, image, atol=1e-6)
    assert restored.dtype == np.float32


def test_deprocess_undoes_it(transformer):
    image = RNG.random((4, 6, 3)).astype(np.float32)
    made = transformer.preprocess("data", image)[None]
    np.testing.assert_allclose(transformer.deprocess("data", made), image, atol=1e-6)


def test_preprocess_resizes(transformer):
    assert transformer.preprocess("data", np.ones((9, 5, 3))).shape == SHAPE[1:]


def test_a_mean_image_is_resized_to_the_input(transformer):
    transformer.set_mean("data", np.full((3, 8, 12), 7.0))
    assert transformer.mean["data"].shape == SHAPE[1:]
    np.testing.assert_allclose(transformer.mean["data"], 7, rtol=1e-6)
    transformer.set_mean("data", np.full((8, 12), 7.0))
    assert transformer.mean["data"].shape == (1, *SHAPE[2:])


@pytest.mark.parametrize("call, complaint", [
    (lambda t: t.set_raw_scale("dat", 1), "dat is not one of the net inputs"),
    (lambda t: t.preprocess("dat", np.ones(3)), "dat is not one of the net inputs"),
    (lambda t: t.set_transpose("data", (0, 1)), "Transpose order .*3, not 2"),
    (lambda t: t.set_channel_swap("data", (0, 1)), "Channel swap .*3, not 2"),
    (lambda t: t.set_mean("data", np.ones(2)), "Mean channels incompatible .*2, not 3"),
    (lambda t: t.set_mean("data", np.ones((1, 2, 3, 4))), r"Mean shape invalid: \(1, 2, 3, 4\)")])
def test_what_a_transformer_refuses(transformer, call, complaint):
    with pytest.raises(Exception, match=complaint):
        call(transformer)


@pytest.mark.parametrize("mode, value, color, expected", [
    ("RGB", (255, 0, 51), True, (1, 0, 0.2)), ("RGBA", (255, 0, 51, 9), True, (1, 0, 0.2)),
    ("L", 51, True, (0.2, 0.2, 0.2)), ("L", 51, False, (0.2,)), ("I;16", 13107, False, (0.2,)),
    ("LA", (51, 9), True, (0.2, 0.2, 0.2)), ("1", 1, False, (1,)),
    ("RGB", (255, 0, 51), False, (0.2125 + 0.2 * 0.0721,))])
def test_load_image(tmp_path, mode, value, color, expected):
    Image.new(mode, (3, 2), value).save(tmp_path / "image.png")
    image = caffe.io.load_image(str(tmp_path / "image.png"), color)
    assert image.shape == (2, 3, len(expected)) and image.dtype == np.float32
    np.testing.assert_allclose(image[1, 2], expected, rtol=1e-5)


def test_load_image_of_a_file_object(tmp_path):
    """As classify_nsfw.py and the web demo of Caffe give it what was sent to them."""
    Image.fromarray(RNG.integers(0, 256, (5, 4, 3), np.uint8)).save(tmp_path / "image.png")
    expected = caffe.io.load_image(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    np.testing.assert_array_equal(caffe.io.load_image(io.BytesIO(content)), expected)
    with open(tmp_path / "image.png", "rb") as file:
        np.testing.assert_array_equal(caffe.io.load_image(file), expected)
    for no_image in (io.BytesIO(content[:-30]), io.BytesIO(b"text"), 7):
        with pytest.raises(CaffeError, match="a binary file object with an image"):
            caffe.io.load_image(no_image)


@pytest.mark.parametrize("scheme", ["http", "https", "ftp", "file"])
def test_load_image_of_a_url_says_how_to_get_it(scheme, tmp_path):
    """The original's skimage downloads it."""
    with pytest.raises(caffe.CaffeError, match=f"^{scheme}://host/cat.jpg: expected a path or .* "
                                               r"not a URL; give io.BytesIO\(urllib.request"):
        caffe.io.load_image(f"{scheme}://host/cat.jpg")
    Image.fromarray(np.full((2, 3, 3), 51, np.uint8)).save(tmp_path / "cat.png")
    content = urllib.request.urlopen((tmp_path / "cat.png").as_uri()).read()
    assert caffe.io.load_image(io.BytesIO(content)).shape == (2, 3, 3)


def test_load_image_with_a_palette(tmp_path):
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 255, 0, 51])
    image.save(tmp_path / "image.png")
    np.testing.assert_allclose(caffe.io.load_image(tmp_path / "image.png")[1, 2], [1, 0, 0.2])


def test_an_image_that_is_not_there():
    with pytest.raises(FileNotFoundError, match="no.png"):
        caffe.io.load_image("no.png")


# what scikit-image 0.26 makes of [[1, 4, 2], [8, 5, 7]]: resize(mode="constant",
# anti_aliasing=False) of the values in [0, 1], scaled back
RESIZED = {
    (3, 4): [[1.0, 2.5625, 2.875, 1.729167],
             [4.0625, 4.5, 4.5, 4.0625],
             [6.104167, 5.270833, 4.958333, 5.375]],
    (1, 2): [[4.5, 4.5]],
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", RESIZED)
def test_resizing_is_that_of_scikit_image(size, channels):
    image = np.tile(np.float32([[1, 4, 2], [8, 5, 7]])[:, :, None], channels)
    made = caffe.io.resize_image(image, size)
    for channel in range(channels):
        np.testing.assert_allclose(made[:, :, channel], RESIZED[size], rtol=1e-5)


def test_resizing_keeps_a_plane_inside():
    """Linear interpolation is exact on a ramp, away from the border that Caffe darkens."""
    ramp = np.tile(np.arange(8, dtype=np.float32)[:, None, None], (1, 5, 3))
    made = caffe.io.resize_image(ramp, (16, 5))
    np.testing.assert_allclose(made[1:-1, 2, 0], (np.arange(16) + 0.5)[1:-1] / 2 - 0.5, atol=1e-5)
    assert made.shape == (16, 5, 3) and made.dtype == np.float32


def test_resizing_arrays_of_other_channels_keeps_the_ends():
    ramp = np.tile(np.arange(8, dtype=np.float32)[:, None, None], (1, 5, 2))
    made = caffe.io.resize_image(ramp, (15, 5))
    np.testing.assert_allclose(made[:, 2, 1], np.arange(15) / 2, atol=1e-5)


def test_resizing_integers_of_other_channels_keeps_them_whole():
    ramp = np.tile(np.arange(3, dtype=np.uint8)[:, None, None], (1, 2, 4))
    made = caffe.io.resize_image(ramp, (5, 2))
    assert made.dtype == np.float32 and (made == made.round()).all()


def test_resizing_a_constant_image_keeps_it():
    np.testing.assert_array_equal(caffe.io.resize_image(np.full((3, 4, 3), 7.), (9, 2)), 7)


def test_oversample_takes_corners_centre_and_their_mirrors():
    image = np.arange(5 * 7).reshape(5, 7, 1)
    crops = caffe.io.oversample([image, image + 100], (3, 3))
    assert crops.shape == (20, 3, 3, 1) and crops.dtype == np.float32
    assert [crop[0, 0, 0] for crop in crops[:5]] == [0, 4, 14, 18, 9]
    np.testing.assert_array_equal(crops[5:10], crops[:5, :, ::-1])
    np.testing.assert_array_equal(crops[10:], crops[:10] + 100)


def test_crops_larger_than_the_images_are_refused():
    with pytest.raises(ValueError, match=r"\(3, 9\) do not fit into images of \(5, 7\)"):
        caffe.io.oversample([np.zeros((5, 7, 3))], (3, 9))


def test_blobprotos():
    array, diff = RNG.random((2, 3)), RNG.random((2, 3))
    blob = caffe.io.array_to_blobproto(array, diff)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob), array, rtol=1e-6)
    np.testing.assert_allclose(caffe.io.blobproto_to_array(blob, return_diff=True), diff, rtol=1e-6)
    legacy = caffe_pb2.BlobProto(num=1, channels=1, height=2, width=3, data=range(6))
    assert caffe.io.blobproto_to_array(legacy).shape == (1, 1, 2, 3)
    assert caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[5])).shape == ()
    with pytest.raises(ValueError):
        caffe.io.blobproto_to_array(caffe_pb2.BlobProto(data=[5, 6]))
    text = caffe.io.arraylist_to_blobprotovector_str([array, array[0]])
    assert [a.shape for a in caffe.io.blobprotovector_str_to_arraylist(text)] == [(2, 3), (3,)]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_datums(dtype):
    array = (RNG.random((3, 2, 4)) * 255).astype(dtype)
    datum = caffe.io.array_to_datum(array, 5)
    assert datum.label == 5 and bool(datum.data) == (dtype == np.uint8)
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), array)
    with pytest.raises(ValueError, match=r"\(4,\)"):
        caffe.io.array_to_datum(np.zeros(4))


def test_encoded_datums(tmp_path):
    image = Image.fromarray((RNG.random((2, 4, 3)) * 255).astype(np.uint8))
    image.save(tmp_path / "image.png")
    datum = caffe_pb2.Datum(encoded=True, data=(tmp_path / "image.png").read_bytes())
    bgr = np.asarray(image)[:, :, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(decode(datum), bgr)
    assert decode(datum, color=False).shape == (1, 2, 4)
    datum.data = datum.data[:20]
    with pytest.raises(CaffeError, match="damaged record"):
        decode(datum)
