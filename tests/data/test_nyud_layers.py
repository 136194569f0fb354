"""The NYUDv2 layer reads colour, depth, HHA and labels, whichever are asked for."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from data_samples import picture
from segdata.errors import DataError

NYUD = ("nyud_layers", "NYUDSegDataLayer")
STORED = (np.arange(63) % 41).reshape(7, 9).astype(np.uint16)      # labels 0 to 40


@pytest.fixture
def nyud(tmp_path):
    """One sample, 5001, of 9x7 pixels; the depth is 500 mm and more, in column 0 none."""
    root = tmp_path / "nyud"
    for folder in ("data/images", "data/depth", "data/hha", "segmentation"):
        (root / folder).mkdir(parents=True)
    picture(1).save(root / "data/images/img_5001.png")
    picture(2).save(root / "data/hha/img_5001.png")
    Image.fromarray(depth()).save(root / "data/depth/img_5001.png")
    scipy.io.savemat(root / "segmentation/img_5001.mat", {"segmentation": STORED})
    for split in ("trainval", "test"):
        (root / f"{split}.txt").write_text("5001\n")
    return root


def depth():
    millimetres = np.linspace(500, 60000, 63).reshape(7, 9).astype(np.uint16)
    millimetres[:, 0] = 0
    return millimetres


def read(net, nyud, *tops):
    layer = net(*NYUD, tops, nyud_dir=str(nyud), split="test", tops=list(tops))
    layer.forward()
    return [layer.blobs[top].data[0] for top in tops]


def test_colour_is_bgr_minus_mean(net, nyud):
    colour, = read(net, nyud, "color")
    expected = np.float32(picture(1))[..., ::-1] - np.float32([116.190, 97.203, 92.318])
    np.testing.assert_array_equal(colour, expected.transpose(2, 0, 1))


def test_hha_keeps_the_order_of_the_file(net, nyud):
    hha, = read(net, nyud, "hha")
    expected = np.float32(picture(2)) - np.float32([132.431, 94.076, 118.477])
    np.testing.assert_array_equal(hha, expected.transpose(2, 0, 1))


def test_depth_is_logarithmic_and_the_mean_where_it_is_missing(net, nyud):
    found, = read(net, nyud, "depth")
    assert found.shape == (1, 7, 9)
    np.testing.assert_array_equal(found[0, :, 0], 0)
    np.testing.assert_allclose(found[0, :, 1:], np.log(depth()[:, 1:]) - 7.844, atol=2e-6)


def test_labels_start_at_0_and_0_is_void(net, nyud):
    label, = read(net, nyud, "label")
    np.testing.assert_array_equal(label[0], np.where(STORED == 0, 255, STORED - 1.))


@pytest.mark.parametrize("tops", [("color", "depth", "label"), ("color", "hha", "label"),
                                  ("label", "color")])
def test_tops_come_in_the_order_asked_for(net, nyud, tops):
    shapes = {"color": (3, 7, 9), "hha": (3, 7, 9), "depth": (1, 7, 9), "label": (1, 7, 9)}
    assert [array.shape for array in read(net, nyud, *tops)] == [shapes[top] for top in tops]


def test_files_that_are_not_asked_for_need_not_exist(net, nyud):
    (nyud / "data/hha/img_5001.png").unlink()
    read(net, nyud, "color", "label")
    with pytest.raises(DataError, match="hha/img_5001.png does not exist, .*test.txt:1"):
        read(net, nyud, "hha", "label")


@pytest.mark.parametrize("tops", [[], ["colour"], ["color", "color"], "color", 3])
def test_tops_that_are_none(net, nyud, tops):
    with pytest.raises(DataError, match="'tops' is .*expected a list of some of color, depth, hha"):
        net(*NYUD, ("data",), nyud_dir=str(nyud), split="test", tops=tops)


def test_as_many_tops_as_asked_for(net, nyud):
    with pytest.raises(DataError, match="the tops color and label, got 0 bottoms and 1 tops"):
        net(*NYUD, ("color",), nyud_dir=str(nyud), split="test", tops=["color", "label"])


def test_8_bit_depth_is_refused(net, nyud):
    Image.fromarray(STORED.astype(np.uint8)).save(nyud / "data/depth/img_5001.png")
    with pytest.raises(DataError, match="its mode is L, expected a 16-bit grey image"):
        read(net, nyud, "depth")


def test_all_tops_move_together(net, nyud):
    tops = ("color", "depth", "hha", "label")
    layer = net(*NYUD, tops, nyud_dir=str(nyud), split="trainval", tops=tops, seed=3, jitter=5)
    layer.forward()
    outside = layer.blobs["color"].data[0].any(axis=0) == 0
    assert outside.any()
    for top in ("depth", "hha"):
        assert not layer.blobs[top].data[0][:, outside].any()
    assert (layer.blobs["label"].data[0, 0, outside] == 255).all()
