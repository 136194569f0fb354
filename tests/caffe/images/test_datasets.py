"""LMDBs, from lists of images to their mean and back into nets; and the tools that do it."""

import re
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.cli import main
from caffe.errors import CaffeError
from caffe.formats.caffemodel import read_blobproto
from caffe.images import datasets, planes
from caffe.images.datum import decode
from caffe.images.planes import read_planes, resized
from caffe.proto import caffe_pb2

RNG = np.random.default_rng(11)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """The arrays (height, width, 3) of images 0 to 4, RGB, that images.txt lists."""
    monkeypatch.chdir(tmp_path)
    arrays = RNG.integers(0, 256, (5, 6, 8, 3)).astype(np.uint8)
    (tmp_path / "root").mkdir()
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / "root" / f"an image {number}.png")
    (tmp_path / "images.txt").write_text("".join(f"an image {i}.png {i + 10}\n" for i in range(5)))
    return arrays


def bgr(array):
    return array[:, :, ::-1].transpose(2, 0, 1)


def test_convert_imageset(images):
    assert datasets.convert_imageset("images.txt", "root/", "db") == 5
    found = list(datasets.records("db"))
    assert [key for key, _ in found] == [f"0000000{i}_an image {i}.png" for i in range(5)]
    assert [datum.label for _, datum in found] == list(range(10, 15))
    for (_, datum), array in zip(found, images):
        np.testing.assert_array_equal(decode(datum), bgr(array))
        expected = caffe.proto.caffe_pb2.Datum(channels=3, height=6, width=8, label=datum.label,
                                               data=bgr(array).tobytes(), encoded=False)
        assert datum.SerializeToString() == expected.SerializeToString()    # as the original's


def test_encoded_records_are_the_files(images, tmp_path):
    datasets.convert_imageset("images.txt", "root/", "db", encoded=True)
    for number, (_, datum) in enumerate(datasets.records("db")):
        assert datum.encoded
        assert datum.data == (tmp_path / "root" / f"an image {number}.png").read_bytes()
        assert not datum.HasField("channels")       # as in the original's
    datasets.convert_imageset("images.txt", "root/", "smaller", encoded=True, size=(3, 4))
    assert decode(next(datasets.records("smaller"))[1]).shape == (3, 3, 4)


def test_records_are_compressed_anew(images, tmp_path):
    """JPEGs as those of OpenCV; whatever Pillow calls the format."""
    (tmp_path / "images.txt").write_text("an image 0.png 7\n")
    for kind in ("jpg", "JPEG", "tif", "bmp"):
        datasets.convert_imageset("images.txt", "root/", f"db {kind}", encoded=True,
                                  encode_type=kind)
        (_, datum), = datasets.records(f"db {kind}")
        assert decode(datum).shape == (3, 6, 8) and datum.label == 7
        expected = bgr(images[0]).transpose(1, 2, 0)
        if kind in ("jpg", "JPEG"):
            expected = cv2.imdecode(cv2.imencode(".jpg", expected)[1], cv2.IMREAD_COLOR)
        np.testing.assert_allclose(decode(datum).transpose(1, 2, 0).astype(int), expected, atol=8)
    with pytest.raises(CaffeError, match="image 0.png: cannot be compressed as 'nothing'"):
        datasets.convert_imageset("images.txt", "root/", "db", encoded=True, encode_type="nothing")
    assert not (tmp_path / "db").exists()


def test_gray_resized_shuffled(images):
    datasets.convert_imageset("images.txt", "root/", "db", gray=True, size=(3, 5), shuffle=True)
    found = [datum for _, datum in datasets.records("db")]
    assert {(d.channels, d.height, d.width) for d in found} == {(1, 3, 5)}
    labels = [datum.label for datum in found]
    assert sorted(labels) == list(range(10, 15)) != labels


def test_what_convert_imageset_refuses_leaves_nothing(images, tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "root" / "small.png")
    (tmp_path / "bad.txt").write_text("an image 0.png 1\nsmall.png 2\n")
    with pytest.raises(CaffeError, match=r"bad.txt:2: .*small.png has the shape \(3, 3, 3\)"):
        datasets.convert_imageset("bad.txt", "root/", "db", check_size=True)
    (tmp_path / "bad.txt").write_text("\n\n")
    with pytest.raises(CaffeError, match="bad.txt: it lists no images"):
        datasets.convert_imageset("bad.txt", "root/", "db")
    assert not list(tmp_path.glob("db*"))
    (tmp_path / "db").mkdir()
    with pytest.raises(CaffeError, match="db: is there already"):
        datasets.convert_imageset("images.txt", "root/", "db")


def test_compute_image_mean(images):
    datasets.convert_imageset("images.txt", "root/", "db")
    means = datasets.compute_image_mean("db", "mean.binaryproto")
    expected = bgr(images.astype(float).mean(0))
    np.testing.assert_allclose(read_blobproto("mean.binaryproto")[0], expected, rtol=1e-6)
    np.testing.assert_allclose(means, expected.mean((1, 2)))


def test_damaged_records_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = caffe.proto.caffe_pb2.Datum(channels=1, height=2, width=2, data=b"abc")
    huge = caffe.proto.caffe_pb2.Datum(encoded=True, data=b"P5 99999 99999 255 ")
    for name, datum in (("bad", bad), ("huge", huge)):
        with datasets.writing_lmdb(name) as write:
            write("some key", datum)
        with pytest.raises(CaffeError, match=f"{name}, key some key: a damaged record"):
            datasets.compute_image_mean(name)
    with lmdb.open("other") as environment, environment.begin(write=True) as transaction:
        transaction.put(b"some key", b"\xff\xff")
    with pytest.raises(CaffeError, match="other, key some key: no Datum"):
        datasets.compute_image_mean("other")


def test_keys_that_are_too_long(tmp_path):
    with pytest.raises(CaffeError, match="db: cannot be written, key kkk"):
        with datasets.writing_lmdb(str(tmp_path / "db")) as write:
            write("k" * 600, caffe.proto.caffe_pb2.Datum())
    assert not list(tmp_path.iterdir())


def test_a_mean_of_images_of_different_sizes(images, tmp_path):
    Image.new("RGB", (3, 3)).save(tmp_path / "root" / "small.png")
    (tmp_path / "images.txt").write_text("an image 0.png 1\nsmall.png 2\n")
    datasets.convert_imageset("images.txt", "root/", "db")
    with pytest.raises(CaffeError, match=r"key 00000001_small.png: expected the shape"):
        datasets.compute_image_mean("db", "mean.binaryproto")
    assert not list(tmp_path.glob("mean*"))
    with pytest.raises(CaffeError, match="absent: cannot be read as an LMDB"):
        datasets.compute_image_mean("absent")


def test_the_tools(images, tmp_path, capsys):
    assert main(["convert_imageset", "-resize_width=4", "--resize_height", "4",
                 "--gray=true", "-shuffle=false",
                 "root/", "images.txt", "db"]) == 0
    assert "Processed 5 files." in capsys.readouterr().err
    assert main(["compute_image_mean", "db", "mean.binaryproto"]) == 0
    assert "mean_value channel [0]: " in capsys.readouterr().err
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "data" type: "Data" top: "data" top: "label"
                data_param { source: "db" backend: LMDB batch_size: 2 }
                transform_param { mean_file: "mean.binaryproto" } }
        layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc" inner_product_param {
                num_output: 3 weight_filler { type: "gaussian" } } }""")
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.save("w.caffemodel")
    assert main(["extract_features", "w.caffemodel", "net.prototxt", "fc,label", "fc,labels", "2",
                 "lmdb"]) == 0
    found = [decode(datum) for _, datum in datasets.records("fc")]
    assert [array.shape for array in found] == [(3, 1, 1)] * 4
    np.testing.assert_allclose(found[0].ravel(), net.forward()["fc"][0], rtol=1e-5)
    assert [decode(datum).item() for _, datum in datasets.records("labels")] == [10, 11, 12, 13]


def test_extract_features_of_a_loss_and_of_many_axes(images, capsys, tmp_path):
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "x" type: "DummyData" top: "x" top: "z" dummy_data_param { shape { dim: 2
                dim: 1 dim: 1 dim: 1 dim: 1 } data_filler { value: 3 } } }
        layer { name: "sum" type: "Reduction" bottom: "x" top: "sum" }""")
    caffe.Net("net.prototxt", caffe.TEST).save("w.caffemodel")
    command = ["extract_features", "w.caffemodel", "net.prototxt"]
    assert main([*command, "sum", "db", "2", "lmdb"]) == 0
    assert [decode(datum).tolist() for _, datum in datasets.records("db")] == [[[[6]]]] * 2
    assert main([*command, "x", "more", "1", "lmdb"]) == 1
    assert "the items of blob 'x' have more" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command, "sum", "more", "0", "lmdb"])
    assert not (tmp_path / "more").exists()


def test_extract_features_of_what_is_not_there(images, capsys, tmp_path):
    (tmp_path / "net.prototxt").write_text('layer { name: "x" type: "DummyData" top: "x" '
                                           'dummy_data_param { shape { dim: 1 } } }')
    caffe.Net("net.prototxt", caffe.TEST).save("w.caffemodel")
    assert main(["extract_features", "w.caffemodel", "net.prototxt", "y", "db", "1", "lmdb"]) == 1
    assert "no blob 'y'" in capsys.readouterr().err and not (tmp_path / "db").exists()


def opencv_s(array, height, width):
    made = cv2.resize(np.ascontiguousarray(array.transpose(1, 2, 0)), (width, height),
                      interpolation=cv2.INTER_LINEAR)
    return made.reshape(height, width, len(array)).transpose(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_opencv_s_to_the_bit(channels):
    """Also to and from a single row, to whole multiples, and to halves of one or both sides."""
    rng = np.random.default_rng(channels)
    shapes = [(*rng.integers(1, 70, 2), *rng.integers(1, 70, 2)) for _ in range(300)]
    for height, width, *factors in [(*rng.integers(1, 40, 2), *rng.integers(1, 5, 2))
                                    for _ in range(200)]:
        large = height * factors[0], width * factors[1]
        shapes += [(*large, height, width), (height, width, *large)]
    shapes += [(375, 500, 227, 227), (256, 256, 255, 300), (500, 333, 1000, 666)]
    for old_height, old_width, height, width in shapes:
        array = rng.integers(0, 256, (channels, old_height, old_width)).astype(np.uint8)
        made = resized(array, int(height), int(width))
        assert made.dtype == np.uint8
        np.testing.assert_array_equal(made, opencv_s(array, int(height), int(width)))


def test_windows_are_resized_without_a_copy():
    array = RNG.integers(0, 256, (3, 40, 50)).astype(np.uint8)[:, 3:30, 5:44]
    np.testing.assert_array_equal(resized(array, 20, 20), opencv_s(array, 20, 20))


def test_no_size_is_no_size():
    with pytest.raises(CaffeError, match="cannot be resized to 0 x 5"):
        resized(np.zeros((3, 4, 4), np.uint8), 0, 5)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "1"])
def test_any_image_is_bgr(tmp_path, mode):
    image = Image.fromarray(RNG.integers(0, 256, (6, 8, 3)).astype(np.uint8)).convert(mode)
    path = tmp_path / ("image.tif" if mode == "CMYK" else "image.png")
    image.save(path)
    np.testing.assert_array_equal(read_planes(str(path)), bgr(np.asarray(image.convert("RGB"))))


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "ppm", "tif"])
def test_grey_is_opencv_s_to_the_bit(tmp_path, kind):
    path = str(tmp_path / f"image.{kind}")
    cv2.imwrite(path, RNG.integers(0, 256, (40, 50, 3)).astype(np.uint8))
    for color, flag in ((False, cv2.IMREAD_GRAYSCALE), (True, cv2.IMREAD_COLOR)):
        expected = cv2.imread(path, flag).reshape(40, 50, -1).transpose(2, 0, 1)
        np.testing.assert_array_equal(read_planes(path, color), expected)


def test_of_16_bits_the_upper_8_are_kept(tmp_path):
    array = RNG.integers(0, 65536, (6, 8)).astype(np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), array)
    np.testing.assert_array_equal(read_planes(str(tmp_path / "deep.png"), color=False)[0],
                                  cv2.imread(str(tmp_path / "deep.png"), cv2.IMREAD_GRAYSCALE))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("largest, told", [
    (4095, "none is above 4095. Caffe takes the upper 8 bits: here at most 15 of 255, nearly "
           "black. Multiply the values of such images by 16 first"),
    (16383, "of 255, nearly black. Multiply the values of such images by 4 first"),
    (16384, ""), (0, "")])
def test_16_bits_that_come_out_nearly_black_are_warned_of_once(channels, largest, told, tmp_path,
                                                               monkeypatch, capsys):
    """A net with an ImageData layer gets them as from the original, whose values are OpenCV's."""
    monkeypatch.setattr(planes, "warned_of", set())
    monkeypatch.chdir(tmp_path)
    images = RNG.integers(0, largest + 1, (2, 6, 8, channels)).astype(np.uint16)
    images[:, 0, 0] = largest
    for name, image in zip("ab", images):
        cv2.imwrite(f"{name}.png", image)
    (tmp_path / "list.txt").write_text("a.png 0\nb.png 1\n")
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "d" type: "ImageData" top: "x" top: "t" '
        'image_data_param { source: "list.txt" batch_size: 2 } }')
    net = caffe.Net("net.prototxt", caffe.TEST)
    net.forward()
    for name, found in zip("ab", net.blobs["x"].data):
        np.testing.assert_array_equal(found.transpose(1, 2, 0), cv2.imread(f"{name}.png"))
    lines = [line for line in capsys.readouterr().err.splitlines() if "16 bits" in line]
    # threads read the images, and the first that has read one warns
    assert len(lines) == bool(told) and all(re.search(r" [ab]\.png: ", line) for line in lines)
    assert told in "".join(lines)


@pytest.mark.parametrize("orientation", [1, 6])
def test_an_image_that_exif_turns_is_read_as_it_is_stored_with_a_warning(
        orientation, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(planes, "warned_of", set())
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in "a.jpg", "b.jpg":
        Image.new("RGB", (8, 6)).save(tmp_path / name, exif=exif)
        assert read_planes(str(tmp_path / name)).shape == (3, 6, 8)
    lines = [line for line in capsys.readouterr().err.splitlines() if "EXIF" in line]
    assert len(lines) == (orientation != 1)
    assert all("a.jpg: EXIF says that it is to be turned. Here it is read as it is stored" in line
               for line in lines)


def test_grey_of_the_first_of_several_jpegs_in_a_file_is_its_luminance(tmp_path):
    """Phones write such files, MPO, with the name .jpg."""
    image = Image.fromarray(RNG.integers(0, 256, (16, 16, 3)).astype(np.uint8))
    image.save(tmp_path / "one.jpg")
    image.save(tmp_path / "two.jpg", format="MPO", save_all=True, append_images=[image])
    one, two = (read_planes(str(tmp_path / name), color=False) for name in ("one.jpg", "two.jpg"))
    np.testing.assert_array_equal(one, two)


def test_halves_round_up(tmp_path):
    array = np.array([[[0, 1, 2, 3]]], np.uint8)
    np.testing.assert_array_equal(resized(array, 1, 2), [[[1, 3]]])


def test_the_database_is_an_lmdb(images):
    datasets.convert_imageset("images.txt", "root/", "db")
    with lmdb.open("db", readonly=True) as environment:
        assert environment.stat()["entries"] == 5


@pytest.mark.parametrize("datum, said", [
    (caffe_pb2.Datum(), r"its channels, height and width are \(0, 0, 0\)"),
    (caffe_pb2.Datum(channels=-1, height=2, width=2, data=bytes(12)), r"are \(-1, 2, 2\)"),
    (caffe_pb2.Datum(encoded=True, data=b"no image"), "it holds no image of a known format"),
    (caffe_pb2.Datum(channels=3, height=2, width=2, data=bytes(11)), "size 11")])
def test_records_that_hold_no_image_are_refused(datum, said):
    """As in the original, whose checks demand channels, height and width above 0."""
    with pytest.raises(CaffeError, match=f"a damaged record: .*{said}"):
        decode(datum)


def test_grey_and_coloured_records_in_one_batch_name_what_makes_them_equal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with lmdb.open("db", map_size=1 << 20) as environment, environment.begin(write=True) as written:
        for mode in "L", "RGB":
            Image.new(mode, (4, 3)).save(f"{mode}.png")
            written.put(mode.encode(), caffe_pb2.Datum(
                encoded=True, data=Path(f"{mode}.png").read_bytes()).SerializeToString())
    text = ('layer {{ name: "d" type: "Data" top: "x" transform_param {{ {} }} data_param {{ '
            'source: "db" backend: LMDB batch_size: 2 }} }}')
    Path("net.prototxt").write_text(text.format(""))
    with pytest.raises(CaffeError, match="force_color or force_gray makes the channels equal"):
        caffe.Net("net.prototxt", caffe.TEST).forward()
    Path("net.prototxt").write_text(text.format("force_color: true"))
    assert caffe.Net("net.prototxt", caffe.TEST).forward()["x"].shape == (2, 3, 3, 4)
