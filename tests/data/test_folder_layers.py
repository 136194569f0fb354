"""The layer for any folder in VOC layout, and its description."""

import numpy as np
import pytest
from data_samples import labels, picture, sequence
from folder_layers import coin, describe
from palette import label_image
from PIL import Image
from seg_data import DataError

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
    with pytest.raises(DataError, match="values 4 in .*e.png, allowed are 0 to 3 and 255"):
        sequence(net(*FOLDER, folder=str(voc), split="val", classes=4), 5)


def test_classes_txt_bounds_the_labels(net, voc):
    (voc / "classes.txt").write_text("sky\nroad\ncar\n")
    with pytest.raises(DataError, match="values 3 in .*allowed are 0 to 2 and 255"):
        sequence(net(*FOLDER, folder=str(voc), split="val"), 5)


def test_classes_must_agree_with_classes_txt(net, voc):
    (voc / "classes.txt").write_text("sky\nroad\ncar\n")
    with pytest.raises(DataError, match="'classes' is 5, but .*classes.txt names 3 classes"):
        net(*FOLDER, folder=str(voc), split="val", classes=5)


def striped(voc):
    """Labels and red channels that count the columns, in every sample."""
    columns = np.arange(9, dtype=np.uint8) * np.ones((7, 1), np.uint8)
    for name in "abcde":
        label_image(columns).save(voc / "SegmentationClass" / f"{name}.png")
        image = np.stack([columns] * 3, axis=-1)
        Image.fromarray(image).save(voc / "JPEGImages" / f"{name}.jpg", "PNG")


def mirrored(net, count):
    """For each of the next samples: is it mirrored? Image and label must agree."""
    found = []
    for _ in range(count):
        net.forward()
        label, red = net.blobs["label"].data[0, 0, 0], net.blobs["data"].data[0, 2, 0]
        np.testing.assert_array_equal(label, red)
        found.append(bool(label[0]))
    return found


def test_mirror_depends_on_seed_and_position_alone(net, voc):
    striped(voc)
    options = dict(folder=str(voc), split="train", seed=5, mirror=True, mean=(0, 0, 0))
    whole = mirrored(net(*FOLDER, **options), 16)
    assert whole == [coin(5, position) for position in range(16)]
    assert 3 < sum(whole) < 13
    assert mirrored(net(*FOLDER, **options, start=6), 10) == whole[6:]


def test_mirror_leaves_order_and_evaluation_alone(net, voc):
    plain = sequence(net(*FOLDER, folder=str(voc), split="train", seed=5), 8)
    assert sequence(net(*FOLDER, folder=str(voc), split="train", seed=5, mirror=True), 8) == plain
    striped(voc)
    layer = net(*FOLDER, folder=str(voc), split="val", mirror=True, mean=(0, 0, 0))
    assert not any(mirrored(layer, 8))


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
    with pytest.raises(DataError, match="fewer than two classes"):
        describe(voc)


def test_describe_names_an_unreadable_label(voc):
    (voc / "SegmentationClass/a.png").write_text("no image")
    with pytest.raises(DataError, match="SegmentationClass/a.png cannot be read"):
        describe(voc)
