"""The layer for any folder in VOC layout, and its description."""

import pytest

from data_samples import labels, picture, sequence
from folder_layers import describe
from segdata.errors import DataError
from segdata.palette import label_image

FOLDER = ("folder_layers", "FolderSegDataLayer")


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".JPG"])
def test_image_suffixes(net, voc, suffix):
    (voc / "JPEGImages/a.jpg").rename(voc / f"JPEGImages/a{suffix}")
    assert sequence(net(*FOLDER, folder=str(voc), split="val"), 2) == [0, 1]


def test_missing_image_is_named(net, voc):
    (voc / "JPEGImages/a.jpg").unlink()
    with pytest.raises(DataError, match="JPEGImages/a.jpg does not exist.*val.txt:1"):
        net(*FOLDER, folder=str(voc), split="val")


def test_classes_bound_the_labels(net, voc):
    with pytest.raises(DataError, match="e.png has values 4, allowed are 0 to 3 and 255"):
        sequence(net(*FOLDER, folder=str(voc), split="val", classes=4), 5)


@pytest.mark.parametrize("classes", [0, -1, 256, "5", 2.5])
def test_classes_that_are_no_count(net, voc, classes):
    with pytest.raises(DataError, match=f"'classes' is {classes!r}, expected 1 to 255"):
        net(*FOLDER, folder=str(voc), split="val", classes=classes)


def test_classes_txt_bounds_the_labels(net, voc):
    (voc / "classes.txt").write_text("sky\nroad\ncar\n")
    with pytest.raises(DataError, match="d.png has values 3, allowed are 0 to 2 and 255"):
        sequence(net(*FOLDER, folder=str(voc), split="val"), 5)


def test_classes_must_agree_with_classes_txt(net, voc):
    (voc / "classes.txt").write_text("sky\nroad\ncar\n")
    with pytest.raises(DataError, match="'input'.*classes.txt: 3 names for 5 classes"):
        net(*FOLDER, folder=str(voc), split="val", classes=5)


def test_turned_photographs_are_set_upright(net, voc):
    turned = picture(0, 7, 9)
    exif = turned.getexif()
    exif[0x0112] = 6        # orientation: turn by 90 degrees
    turned.save(voc / "JPEGImages/a.jpg", "JPEG", exif=exif)
    layer = net(*FOLDER, folder=str(voc), split="val")
    assert layer.blobs["data"].data.shape == (1, 3, 7, 9)


def test_describe_reads_classes_txt(voc):
    (voc / "classes.txt").write_text("sky\nroad \n\ncar\n")
    found = describe(voc)
    assert found.classes == ["sky", "road", "car"]
    assert found.splits == {"train": 5, "val": 5}


def test_describe_scans_labels_without_classes_txt(voc):
    label_image(labels(255)).save(voc / "SegmentationClass/e.png")
    assert describe(str(voc)).classes == ["class0", "class1", "class2", "class3"]


@pytest.mark.parametrize("path", ["JPEGImages", "SegmentationClass",
                                  "ImageSets/Segmentation/train.txt",
                                  "ImageSets/Segmentation/val.txt"])
def test_describe_names_what_the_layout_lacks(voc, path):
    (voc / path).rename(voc / "elsewhere")
    with pytest.raises(DataError, match=f"not a complete VOC layout: {voc / path} does not exist"):
        describe(voc)


@pytest.mark.parametrize("below, said", [
    ("", "Such a folder holds JPEGImages, SegmentationClass and ImageSets; `fcn import`"),
    ("JPEGImages", "Is the folder above it meant, {folder}?")])
def test_describe_says_what_may_be_meant(tmp_path, below, said):
    (tmp_path / below / "photos").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        describe(tmp_path / below)
    assert said.format(folder=tmp_path.resolve()) in str(caught.value)


def test_describe_refuses_a_file(tmp_path):
    (tmp_path / "data.zip").touch()
    with pytest.raises(DataError, match="data.zip: is a file, expected a folder"):
        describe(tmp_path / "data.zip")


def test_describe_refuses_an_empty_split(voc):
    (voc / "ImageSets/Segmentation/val.txt").write_text("")
    with pytest.raises(DataError, match="val.txt is empty"):
        describe(voc)


def test_describe_names_an_unreadable_label(voc):
    (voc / "SegmentationClass/a.png").write_text("no image")
    with pytest.raises(DataError, match="SegmentationClass/a.png cannot be read"):
        describe(voc)


def test_describe_counts_names_with_spaces_once(voc):
    (voc / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    (voc / "ImageSets/Segmentation/val.txt").write_text("my photo 1\nmy photo 2\n")
    assert describe(voc).splits == {"train": 5, "val": 2}
