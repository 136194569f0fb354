"""The layer for any folder in VOC layout, and its description."""

import numpy as np
import pytest
from PIL import Image

from data_samples import labels, picture, sequence
from folder_layers import check, describe
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
    with pytest.raises(DataError, match=f"not in VOC layout: {voc / path} does not exist"):
        describe(voc)


def test_describe_refuses_an_empty_split(voc):
    (voc / "ImageSets/Segmentation/val.txt").write_text("")
    with pytest.raises(DataError, match="val.txt is empty"):
        describe(voc)


def test_describe_refuses_masks_of_one_class(voc):
    for name in "abcde":
        label_image(labels(255)).save(voc / f"SegmentationClass/{name}.png")
    with pytest.raises(DataError, match="show class 0 alone, beside 255 for void"):
        describe(voc)


def test_describe_names_an_unreadable_label(voc):
    (voc / "SegmentationClass/a.png").write_text("no image")
    with pytest.raises(DataError, match="SegmentationClass/a.png cannot be read"):
        describe(voc)


# check

@pytest.mark.parametrize("split", ["train", "val", "both"])
def test_check_refuses_masks_of_0_and_255(voc, split):
    """Each 255 is void, so that whatever a net answers is right: mean IU 100."""
    (voc / "classes.txt").write_text("ground\nroad\n")
    (voc / "ImageSets/Segmentation/train.txt").write_text("a\nb\n")
    (voc / "ImageSets/Segmentation/val.txt").write_text("c\nd\n")
    for number, name in enumerate("abcd"):
        mask = labels(0, 9 + number)
        mask[2:] = 255 if split == "both" or (split == "train") == (name in "ab") else 1
        Image.fromarray(mask).save(voc / f"SegmentationClass/{name}.png")
    named = "train" if split == "both" else split
    with pytest.raises(DataError, match=f"labels of the split {named} show class 0 alone.*255 for v"
                                        "oid; there must be two.* of 0 and 255 store 1"):
        check(voc)


def test_check_tells_of_samples_in_both_lists(voc):
    assert "5 samples are in both lists" in check(voc)
    (voc / "ImageSets/Segmentation/train.txt").write_text("a\nb\nc\n")
    (voc / "ImageSets/Segmentation/val.txt").write_text("d\ne\n")
    assert "both" not in check(voc)


def test_binary_masks_of_one_bit_are_0_and_1(voc):
    for name in "abcde":
        Image.fromarray(np.eye(7, 9 + "abcde".index(name), dtype=bool)).save(
            voc / f"SegmentationClass/{name}.png")
    assert describe(voc).classes == ["class0", "class1"]
    assert "2 classes" in check(voc)


def test_check_accepts_what_trains(voc):
    (voc / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    (voc / "SegmentationClass/a.png").rename(voc / "SegmentationClass/a.PNG")
    turned = picture(0, 7, 9)
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(voc / "JPEGImages/a.jpg", "JPEG", exif=exif)
    check(str(voc))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("damage, said", [
    (lambda voc: (voc / "JPEGImages/b.jpg").unlink(), "image .*b.jpg does not exist"),
    (lambda voc: truncate(voc / "JPEGImages/b.jpg"), "image .*b.jpg cannot be read"),
    (lambda voc: truncate(voc / "SegmentationClass/b.png"), "label .*b.png cannot be read"),
    (lambda voc: picture(1, 8, 6).save(voc / "JPEGImages/b.jpg", "PNG"),
     "b.jpg is 8x6, but .*b.png is 10x7"),
    (lambda voc: label_image(labels(7, 10)).save(voc / "SegmentationClass/b.png"),
     "b.png has values 7, allowed are 0 to 4 and 255"),
    (lambda voc: picture(1, 10).save(voc / "SegmentationClass/b.png"), "its mode is RGB"),
])
def test_check_names_the_sample(voc, damage, said):
    (voc / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    damage(voc)
    with pytest.raises(DataError, match=rf"1 of 5 samples cannot be used:\n.*{said}.*train.txt:2"):
        check(voc)


def test_check_reads_photographs_to_their_end(voc):
    picture(0).resize((900, 700)).save(voc / "JPEGImages/a.jpg", "JPEG")
    label_image(labels(0, 900, 700)).save(voc / "SegmentationClass/a.png")
    check(voc)
    truncate(voc / "JPEGImages/a.jpg")
    with pytest.raises(DataError, match="a.jpg cannot be read: OSError"):
        check(voc)


def test_check_lists_the_first_few(voc):
    names = [f"gone{number}" for number in range(9)]
    (voc / "ImageSets/Segmentation/val.txt").write_text("\n".join(names))
    with pytest.raises(DataError) as caught:
        check(voc)
    lines = str(caught.value).splitlines()
    assert "9 of 14 samples" in lines[0] and lines[-1] == "  and 4 more"
    assert [name in line for name, line in zip(names, lines[1:-1])] == [True] * 5


def test_describe_counts_names_with_spaces_once(voc):
    (voc / "ImageSets/Segmentation/val.txt").write_text("my photo 1\nmy photo 2\n")
    assert describe(voc).splits == {"train": 5, "val": 2}


def test_16_bit_labels_are_refused(voc):
    Image.fromarray(labels(1, 10).astype(np.uint16)).save(voc / "SegmentationClass/b.png")
    with pytest.raises(DataError, match="its mode is I;16, expected a palette or 8-bit grey"):
        check(voc)
