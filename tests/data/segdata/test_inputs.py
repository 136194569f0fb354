"""The input arrays of a net, of files beside a photograph."""

import numpy as np
import pytest
from PIL import Image

from data_samples import picture
from nyud_layers import MEAN_HHA, MEAN_LOG_DEPTH
from segdata.errors import InputError
from segdata.hha import NYUD, hha
from segdata.inputs import Inputs

MEAN = (1, 2, 3)


@pytest.fixture
def beside(tmp_path):
    """A folder with a.png: depth of 9x7 pixels, from 500 mm on, missing in its first pixel."""
    depth = np.arange(437, 500, dtype=np.uint16).reshape(7, 9) + 63
    depth[0, 0] = 0
    Image.fromarray(depth).save(tmp_path / "a.png")
    return tmp_path


def read(path, kinds, image=None, **files):
    return Inputs(kinds, MEAN, {"depth": None, "hha": None, **files}).read(
        path, image or picture(1))


def test_early_fusion_takes_colour_and_the_logarithm_of_depth(beside):
    colour, depth = read(beside / "a.jpg", ("color", "depth"), depth=beside)
    expected = np.float32(picture(1))[..., ::-1].transpose(2, 0, 1) - np.reshape(MEAN, (3, 1, 1))
    np.testing.assert_allclose(colour, expected)
    assert depth.shape == (1, 7, 9) and depth[0, 0, 0] == 0
    np.testing.assert_allclose(depth[0, 0, 1], np.log(501) - MEAN_LOG_DEPTH, atol=1e-6)


def test_hha_is_taken_as_it_is_or_computed_from_the_depth(tmp_path):
    millimetres = np.full((425, 560), 2000, np.uint16)
    Image.fromarray(millimetres).save(tmp_path / "depth.png")
    encoded = hha(millimetres / 1000, NYUD[425, 560])
    Image.fromarray(encoded).save(tmp_path / "hha.png")
    image = Image.new("RGB", (560, 425))
    for files in (dict(hha=tmp_path / "hha.png"), dict(depth=tmp_path / "depth.png"),
                  dict(hha=tmp_path / "hha.png", depth=tmp_path / "absent.png")):
        found, = read(tmp_path / "a.jpg", ("hha",), image, **files)
        np.testing.assert_array_equal(found, encoded.transpose(2, 0, 1) - MEAN_HHA)


@pytest.mark.parametrize("kinds, files, said", [
    (("color", "depth"), (), "takes color and depth: give --depth"),
    (("hha",), (), "takes hha: give --hha or --depth"),
    (("color",), ("depth",), "takes color alone, no depth"),
    (("color", "depth"), ("depth", "hha"), "takes color and depth alone, no hha")])
def test_what_is_given_is_what_the_net_takes(beside, kinds, files, said):
    with pytest.raises(InputError, match=said):
        read(beside / "a.jpg", kinds, **dict.fromkeys(files, beside))


@pytest.mark.parametrize("name, size, said", [
    ("b.jpg", (9, 7), "b.png: no such file, the depth of .*b.jpg"),
    ("a.jpg", (9, 8), "a.png is 9x7, but .*a.jpg is 9x8"),
    ("broken.jpg", (9, 7), "broken.png: cannot identify"),
    ("grey.jpg", (9, 7), "grey.png: its mode is L, expected a 16-bit")])
def test_files_that_do_not_fit_are_named(beside, name, size, said):
    (beside / "broken.png").write_text("none")
    Image.new("L", (9, 7)).save(beside / "grey.png")
    with pytest.raises(InputError, match=said):
        read(beside / name, ("depth",), Image.new("RGB", size), depth=beside)


def test_a_depth_is_no_hha(beside):
    with pytest.raises(InputError, match="a.png: its mode is I;16, expected an RGB image of HHA"):
        read(beside / "a.jpg", ("hha",), hha=beside)


def test_hha_of_an_unknown_camera_names_the_command(beside):
    with pytest.raises(InputError, match="a.png: it has 9x7 pixels.*segdata.hha --camera"):
        read(beside / "a.jpg", ("hha",), depth=beside)
