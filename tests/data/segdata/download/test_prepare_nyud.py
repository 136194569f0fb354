"""NYUDv2's official files and what becomes of them."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from segdata import hha
from segdata.download import nyud as prepare_nyud
from segdata.download import splits
from segdata.errors import MaterialError


@pytest.fixture
def prepared(nyud_files, tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "NYUD_VAL", 1)
    monkeypatch.setattr(splits, "released", dict(nyud_train=["5003"], nyud_test=["5002"]).get)
    prepare_nyud.prepare(*nyud_files.values(), tmp_path / "data" / "nyud")
    return tmp_path / "data" / "nyud"


def picture(root, folder, name):
    return np.asarray(Image.open(root / "data" / folder / f"img_{name}.png")).astype(int)


def test_images_lie_upright_without_their_frame(prepared):
    """Rows 46 to 470 and columns 41 to 600 of 480×640 remain, counted from 1."""
    image = picture(prepared, "images", 5002)
    assert image.shape == (425, 560, 3)
    assert tuple(image[0, 0]) == (1, 45, 40)
    assert tuple(image[-1, -1]) == (1, 469 % 256, 599 % 256)


def test_depth_is_in_millimetres(prepared):
    depth = picture(prepared, "depth", 5003)
    np.testing.assert_array_equal(depth, np.broadcast_to(3000 + np.arange(45, 470)[:, None],
                                                         (425, 560)))


def test_hha_is_that_of_the_filled_depth_with_normals_of_the_measured(prepared):
    depth = np.broadcast_to(3 + np.arange(45, 470)[:, None] / 1000, (425, 560))
    measured = np.broadcast_to(np.arange(560) >= 60, depth.shape)
    np.testing.assert_array_equal(
        picture(prepared, "hha", 5003),
        hha.hha(depth.astype(np.float32), hha.NYUD[425, 560], measured))


def test_labels_are_the_40_classes(prepared):
    label = scipy.io.loadmat(prepared / "segmentation" / "img_5001.mat")["segmentation"]
    assert label.shape == (425, 560) and label.dtype == np.uint8
    np.testing.assert_array_equal(label[:, 7], np.arange(44, 469) % 40 + 1)


def test_raw_label_0_stays_unlabelled(nyud_files):
    table = prepare_nyud.class_table(nyud_files["nyud_classes"])
    assert table[0] == 0 and table[1] == 1 and len(table) == 895


def test_the_splits_and_nothing_half_done(prepared):
    found = {path.stem: path.read_text().split() for path in prepared.glob("*.txt")}
    assert found == {"train": ["5003"], "val": ["5001"], "trainval": ["5001", "5003"],
                     "test": ["5002"]}
    assert [path.name for path in prepared.parent.iterdir()] == ["nyud"]


def test_another_file_is_no_class_mapping(nyud_files, tmp_path):
    with pytest.raises(MaterialError, match="nyud_splits: it has no variable 'mapClass', only"):
        prepare_nyud.class_table(nyud_files["nyud_splits"])


def test_unexpected_counts_leave_nothing(nyud_files, tmp_path):
    with pytest.raises(MaterialError, match="splits.mat lacks images of NYUDv2's train"):
        prepare_nyud.prepare(*nyud_files.values(), tmp_path / "data" / "nyud")
    assert list((tmp_path / "data").iterdir()) == []
