"""Files as arrays: the numbers that stand in them, or an error."""

import re
import struct
import subprocess
import sys
import zlib

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image, ImageOps

from segdata.importing.photographs import geometry, write_photograph
from segdata.means import ILSVRC, NYUD
from segdata.readers import (
    class_numbers,
    doubts_of,
    read_depth,
    read_label_image,
    read_mat,
    read_photograph,
    read_rgb,
    subtract_mean,
    turn,
)

GREY, COLOUR, PALETTE = 0, 2, 3


def png(path, values, bits, colour):
    """Write a PNG of that many bits a pixel, which Pillow cannot; values (height, width)."""
    def chunk(kind, content):
        return (struct.pack(">I", len(content)) + kind + content
                + struct.pack(">I", zlib.crc32(kind + content)))

    rows = []
    for row in values:
        digits = "".join(f"{value:0{bits}b}" for value in row)
        digits += "0" * (-len(digits) % 8)
        rows.append(bytes([0, *(int(digits[i:i + 8], 2) for i in range(0, len(digits), 8))]))
    width = len(values[0]) // (3 if colour == COLOUR else 1)
    header = struct.pack(">IIBBBBB", width, len(values), bits, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(3 * 2 ** bits))) if colour == PALETTE else b""
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette
                     + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b""))


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
@pytest.mark.parametrize("largest, told", [
    (65535, ""), (20000, ""), (0, ""), (16383, "14 bits"), (4095, "12 bits"), (3000, "12 bits"),
    (1000, "10 bits"), (200, "8 bits: to a net nearly black, 1 of 255")])
def test_images_of_fewer_bits_than_their_file_are_told(tmp_path, name, largest, told):
    Image.fromarray(np.array([[0, largest]], np.uint16)).save(tmp_path / name)
    found = doubts_of(tmp_path / name)
    assert bool(found) == bool(told)
    if found:
        assert f"no value above {largest:,} of 65,535, as of a camera of {told}" in found[0].problem
        factor = int(re.search(r"by (\d+),", found[0].remedy)[1])
        Image.fromarray(np.array([[0, largest * factor]], np.uint16)).save(tmp_path / name)
        assert doubts_of(tmp_path / name) == []


def test_colours_of_12_bits_are_told_and_bytes_are_not(tmp_path):
    png(tmp_path / "a.png", [[4000, 90, 3]], 16, COLOUR)
    doubt, = doubts_of(tmp_path / "a.png")
    assert "no value above 3,855 of 65,535, as of a camera of 12 bits" in doubt.problem
    Image.new("RGB", (4, 4), (9, 9, 9)).save(tmp_path / "b.png")
    Image.new("L", (4, 4), 9).save(tmp_path / "c.png")
    Image.fromarray(np.array([[0.1, 0.2]], np.float32)).save(tmp_path / "d.tif")
    (tmp_path / "e.png").write_text("no image")
    for name in ("b.png", "c.png", "d.tif", "e.png", "absent.png"):
        assert doubts_of(tmp_path / name) == []


def turned(path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (6, 4), (9, 9, 9)).save(path, exif=exif)


@pytest.mark.parametrize("orientation, told", [(1, False), (3, True), (6, True)])
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_images_that_exif_turns_are_told(tmp_path, name, orientation, told):
    """They are trained on as they are stored, and segmented upright."""
    turned(tmp_path / name, orientation)
    found = doubts_of(tmp_path / name)
    assert len(found) == told
    assert all("EXIF says that it is to be turned; it is trained on" in doubt.problem
               for doubt in found)
    assert read_rgb(tmp_path / name).shape == (4, 6, 3)
    assert read_photograph(tmp_path / name).size == ((4, 6) if orientation == 6 else (6, 4))


# a header that is cut, one of no TIFF, a turn that is the text "6"
DAMAGED = [b"II*\0", b"XXXXXXXX",
           b"II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x02\0\0\0" + b"6\0\0\0" + b"\0" * 4]


@pytest.mark.parametrize("exif", DAMAGED)
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_an_image_with_damaged_exif_is_read_as_it_is_stored(tmp_path, name, exif):
    path = tmp_path / name
    Image.new("RGB", (6, 4), (9, 9, 9)).save(path, exif=exif)
    assert doubts_of(path) == []
    assert read_photograph(path).size == (6, 4) and read_rgb(path).shape == (4, 6, 3)
    assert geometry(path) == ((4, 6), 1)
    assert write_photograph(path, tmp_path, "copy") is None
    assert (tmp_path / f"copy{path.suffix}").read_bytes() == path.read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif"])
def test_images_are_turned_as_pillow_turns_them(tmp_path, name, orientation):
    exif, path = Image.Exif(), tmp_path / name
    exif[0x0112] = orientation
    values = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)
    Image.fromarray(values).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    photograph = read_photograph(path)
    np.testing.assert_array_equal(np.asarray(photograph), expected)
    assert turn(photograph) == 1 and geometry(path).size == expected.shape[:2]


@pytest.mark.parametrize("damage", [b"\x01\x1a\0\x02", b"\x01\x01\0\x05"],
                         ids=["a number that is a text", "a height that is a fraction"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_an_image_is_turned_whatever_else_of_its_exif_is_damaged(tmp_path, name, damage):
    """Pillow's exif_transpose writes EXIF anew, and raises errors at such."""
    exif = Image.Exif()
    exif[0x0112], exif[0x011a] = 6, 72.0
    content = exif.tobytes()
    assert b"\x01\x1a\0\x05" in content
    content = content.replace(b"\x01\x1a\0\x05", damage)
    Image.new("RGB", (6, 4), (9, 9, 9)).save(tmp_path / name, exif=content)
    assert read_photograph(tmp_path / name).size == (4, 6)


READERS = """
import sys
from segdata import readers
from segdata.embedded import is_drawn
readers.read_photograph(sys.argv[1])
readers.doubts_of(sys.argv[1])
is_drawn(sys.argv[1])
"""


@pytest.mark.parametrize("code", [READERS, """
import sys
import caffe
assert caffe.io.load_image(sys.argv[1]).shape == (4, 6, 3)
from caffe.images.planes import read_planes
assert read_planes(sys.argv[1]).shape == (3, 4, 6)
"""], ids=["tools", "caffe"])
@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_damaged_exif_is_read_in_silence(tmp_path, code, name):
    """Pillow's warning of it names no file."""
    path = tmp_path / name
    image = Image.new("RGB", (6, 4), (9, 9, 9))
    if name == "a.jpg":     # nine entries that are not there
        image.save(path, exif=b"Exif\0\0II*\0\x08\0\0\0\x09\0")
    else:                   # a text that goes on beyond the end of the file
        image.save(path, description="text")
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"\x0e\x01\x02\0\x05\0", b"\x0e\x01\x02\0\xff\xff"))
    done = subprocess.run([sys.executable, "-W", "always", "-c", code, str(path)],
                          capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("alpha, told", [(255, False), (254, True)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_images_with_transparent_parts_are_told(tmp_path, mode, alpha, told):
    image = Image.new(mode, (2, 1), (9,) * (len(mode) - 1) + (255,))
    image.putpixel((1, 0), (9,) * (len(mode) - 1) + (alpha,))
    image.save(tmp_path / "a.png")
    assert ["it has transparent parts;" in doubt.problem
            for doubt in doubts_of(tmp_path / "a.png")] == [True] * told


@pytest.mark.parametrize("colour", [GREY, PALETTE])
@pytest.mark.parametrize("bits", [1, 2, 4])
def test_labels_of_few_bits_are_the_numbers_in_the_file(tmp_path, bits, colour):
    values = np.random.default_rng(bits).integers(0, 2 ** bits, (5, 7))
    values.flat[:2 ** bits] = range(2 ** bits)
    png(tmp_path / "label.png", values, bits, colour)
    label = read_label_image(tmp_path / "label.png")
    assert label.dtype == np.uint8
    np.testing.assert_array_equal(label, values)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_labels_of_8_bits_are_the_numbers_in_the_file(tmp_path, mode):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    image = Image.fromarray(values)
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    image.save(tmp_path / "label.png", transparency=0)
    np.testing.assert_array_equal(read_label_image(tmp_path / "label.png"), values)


@pytest.mark.parametrize("kind", ["JPEG", "GIF", "BMP", "TIFF", "PPM"])
def test_labels_in_files_that_may_change_numbers_are_refused(tmp_path, kind):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "label.png", kind)
    with pytest.raises(ValueError, match=f"it is a {kind} file, expected PNG"):
        read_label_image(tmp_path / "label.png")


def test_16_bit_grey_photographs_keep_their_shades(tmp_path):
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(values).save(tmp_path / "photo.png")
    rgb = read_rgb(tmp_path / "photo.png")
    np.testing.assert_array_equal(rgb, np.asarray(read_photograph(tmp_path / "photo.png")))
    np.testing.assert_allclose(rgb[..., 0], values / 257, atol=0.51)


def test_depth_in_metres_is_refused(tmp_path):
    Image.fromarray(np.full((4, 4), 3, np.uint16)).save(tmp_path / "depth.png")
    with pytest.raises(ValueError, match="largest value is 3, expected .* millimetres.* metres"):
        read_depth(tmp_path / "depth.png")


def test_depth_that_is_missing_everywhere_is_read(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "depth.png")
    assert not read_depth(tmp_path / "depth.png").any()


def test_mat_files_of_version_7_3_are_refused_with_advice(tmp_path):
    """MATLAB writes 512 bytes before the HDF5 signature; SciPy goes by them."""
    path = tmp_path / "label.mat"
    with h5py.File(path, "w", userblock_size=512) as file:
        file["S"] = np.zeros((2, 2))
    header = b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + struct.pack("<H", 0x0200) + b"IM"
    path.write_bytes(header + path.read_bytes()[len(header):])
    with pytest.raises(ValueError, match=r"version 7.3 \(HDF5\).*save\(file, '-v7'\)"):
        read_mat(path, "S")


def test_a_mat_file_without_the_variable_names_those_it_has(tmp_path):
    scipy.io.savemat(tmp_path / "label.mat", {"T": 1})
    with pytest.raises(ValueError, match="no variable 'S', only T"):
        read_mat(tmp_path / "label.mat", "S")


def test_labels_with_fractions_are_refused():
    with pytest.raises(ValueError, match="1 values are no integers, the first is 0.5"):
        class_numbers(np.array([[0.5, 1.0]]))


@pytest.mark.parametrize("mean", [np.array(ILSVRC), NYUD])
def test_means_are_subtracted_as_in_the_published_layers(mean):
    """There the image is float32, and the mean is taken off in place: in the mean's precision,
    rounded once."""
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    expected = image[:, :, ::-1].astype(np.float32)
    np.subtract(expected, mean, out=expected, casting="same_kind")
    found = subtract_mean(image, mean.reshape(3, 1, 1))
    assert found.dtype == np.float32
    assert found.tobytes() == np.ascontiguousarray(expected.transpose(2, 0, 1)).tobytes()
