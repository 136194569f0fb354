"""Importing labels: the same scenes in every form give the same folder."""

import base64
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import label_forms
from fcn.solvers.preflight import labels as preflight
from label_forms import CLASSES, FORMS, NAMES, photograph, put, truth, write
from segdata.errors import DataError
from segdata.importing.labelled import Options, Request
from segdata.importing.polygons import run_lengths
from segdata.importing.recognise import MASK_KINDS
from segdata.importing.write import import_labels


def run(source, target=None, **options):
    """Import; returns (DST, report)."""
    target = target or source.with_name(source.name + "-voc")
    own = {key: options.pop(key) for key in ("colours", "foreground", "images", "masks")
           if key in options}
    return target, import_labels(Request(source, target, Options(**own), **options))


@pytest.fixture(autouse=True)
def build(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("FCN_BUILD", str(tmp_path_factory.mktemp("build")))


def trains(folder):
    """Whether training would take a folder; its images may be alike, and classes absent."""
    _, found = preflight.of_folder(folder)
    return not [finding for finding in found if "cannot be used" in finding.problem
                or "alone" in finding.problem or "lists" in finding.problem]


def names(folder, split):
    return (folder / "ImageSets" / "Segmentation" / f"{split}.txt").read_text().split()


def label(folder, name):
    with Image.open(folder / "SegmentationClass" / f"{name}.png") as image:
        assert image.mode == "P"
        return np.asarray(image)


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_labels(source, form):
    FORMS[form](source)
    before = label_forms.snapshot(source)
    target, report = run(source)
    assert label_forms.snapshot(source) == before
    found = {split: names(target, split) for split in NAMES}
    short = {split: [re.match(r"[a-e]", name)[0] for name in listed]
             for split, listed in found.items()}
    assert short == {split: list(listed) for split, listed in NAMES.items()}
    for name in sum(found.values(), []):
        np.testing.assert_array_equal(label(target, name), truth(name[0]))
        with Image.open(next((target / "JPEGImages").glob(f"{name}.*"))) as image:
            assert image.size == (32, 24)
    listed = (target / "classes.txt").read_text().split("\n")[:-1]
    if form.startswith("cityscapes"):
        assert listed[:3] == ["road", "sidewalk", "building"] and len(listed) == 19
    else:
        assert listed == CLASSES
        assert "no problems" in report
    assert trains(target)
    assert len(list((target / "report").glob("*.png"))) == 5
    assert not list(source.parent.glob(".*"))


# masks

def masks(source, arrays, suffix=".png", ending="", folders=("images", "masks"), **save):
    """Images a, b, c, ... and masks of these arrays."""
    for name, array in zip("abcdefgh", arrays):
        height, width = np.shape(array)[:2]
        put(photograph(name, width, height), source / folders[0] / f"{name}.jpg")
        put(Image.fromarray(np.asarray(array), **save),
            source / folders[1] / f"{name}{ending}{suffix}")


def half(low, high, size=(6, 8)):
    array = np.full(size, low, np.uint8)
    array[:, size[1] // 2:] = high
    return array


@pytest.mark.parametrize("low, high", [(0, 255), (0, 1), (0, 128), (1, 2), (10, 255)])
def test_masks_of_two_values(source, low, high):
    masks(source, [half(low, high)] * 3)
    target, report = run(source)
    np.testing.assert_array_equal(label(target, "a"), half(0, 1))
    if (low, high) != (0, 1):
        assert f"{low} is background, {high} foreground" in report
        assert (target / "classes.txt").read_text() == "background\nforeground\n"


@pytest.mark.parametrize("mode", ["1", "RGB", "RGBA", "P", "I;16"])
def test_masks_of_0_and_255_of_any_mode(source, mode):
    masks(source, [half(0, 255)] * 2)
    for path in (source / "masks").iterdir():
        image = Image.open(path)
        (Image.fromarray(np.asarray(image).astype(np.uint16)) if mode == "I;16" else
         image.convert(mode)).save(path)
    np.testing.assert_array_equal(label(run(source)[0], "a"), half(0, 1))


@pytest.mark.parametrize("listed, names", [("earth\ncrack\n", "earth\ncrack\n"),
                                           ("crack\n", "background\ncrack\n")])
def test_names_of_two_values(source, listed, names):
    masks(source, [half(0, 255)] * 3)
    write(source / "classes.txt", listed)
    target, _ = run(source)
    np.testing.assert_array_equal(label(target, "a"), half(0, 1))
    assert (target / "classes.txt").read_text() == names


def test_the_foreground_is_the_value_that_is_given(source):
    array = half(0, 255)
    array[0] = 7
    masks(source, [array] * 3)
    target, _ = run(source, foreground=(7,))
    np.testing.assert_array_equal(label(target, "a"), array == 7)


def test_the_foreground_may_be_a_colour(source):
    array = np.zeros((6, 8, 3), np.uint8)
    array[:2] = 255, 0, 0
    array[4:] = 0, 0, 255
    masks(source, [array] * 3)
    target, _ = run(source, foreground=(255, 0, 0))
    assert label(target, "b")[:2].all() and not label(target, "b")[2:].any()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_smoothed_masks_are_cut_at_128(source, suffix):
    array = half(0, 255, (64, 64))
    image = Image.fromarray(array).resize((160, 160), Image.Resampling.BICUBIC)
    masks(source, [np.asarray(image)] * 3, suffix)
    target, report = run(source)
    np.testing.assert_array_equal(label(target, "a"), half(0, 1, (160, 160)))
    assert "from 128 on is foreground" in report


def test_numbers_stay_as_they_are(source):
    array = half(0, 3)
    array[0], array[1] = 1, 255
    masks(source, [array] * 3)
    target, report = run(source)
    np.testing.assert_array_equal(label(target, "a"), array)
    assert (target / "classes.txt").read_text() == "class0\nclass1\nclass2\nclass3\n"
    assert "classes.txt beside the masks" in report and "of 4 classes: class2" in report


def test_two_numbers_are_classes_where_that_is_said(source):
    masks(source, [half(0, 2)] * 3)
    np.testing.assert_array_equal(label(run(source, form="index")[0], "a"), half(0, 2))


def test_greys_that_people_see_are_colours(source):
    array = half(0, 85)
    array[0], array[1] = 170, 255
    masks(source, [array] * 3)
    assert set(np.unique(label(run(source)[0], "a"))) == {0, 1, 2, 3}


def test_names_that_say_void_and_background(source):
    array = half(0, 1)
    array[0], array[1] = 2, 3
    masks(source, [array] * 3)
    write(source / "masks" / "labels.txt", "cat\n_background_\nUnlabelled\ndog\n")
    target, _ = run(source)
    assert (target / "classes.txt").read_text() == "background\ncat\ndog\n"
    assert label(target, "a")[:, 0].tolist() == [255, 2, 1, 1, 1, 1]


def test_colours_are_found_and_listed(source):
    label_forms.colours(source)
    (source / "label_colors.txt").unlink()
    target, report = run(source)
    table = target / "report" / "colours.txt"
    assert table.read_text().splitlines() == [
        "0 0 0 background", "30 220 40 colour_1edc28", "90 90 200 colour_5a5ac8",
        "200 10 20 colour_c80a14"]
    assert "--colours FILE" in report
    table.write_text(table.read_text().replace("colour_1edc28", "dog")
                     .replace("colour_5a5ac8", "void").replace("colour_c80a14", "cat"))
    again, _ = run(source, source.with_name("again"), colours=table)
    assert (again / "classes.txt").read_text() == "background\ndog\ncat\n"
    np.testing.assert_array_equal(label(again, "a"), np.array([0, 2, 1, *[255] * 253])[truth("a")])


@pytest.mark.parametrize("text", ["0 0 0 background\n200 10 20 cat\n30 220 40 dog\n90 90 200 void",
                                  "name,r,g,b\nbackground,0,0,0\ncat,200,10,20\ndog,30,220,40\n"
                                  "void,90,90,200", "# mine\n#000000 background\n#c80a14 cat\n"
                                  "#1edc28 dog\n#5a5ac8 void\n",
                                  "background:0,0,0::\ncat:200,10,20::\ndog:30,220,40:part:act\n"
                                  "ignore:90,90,200::"])
def test_tables_of_colours(source, text):
    label_forms.colours(source)
    write(source / "label_colors.txt", text)
    np.testing.assert_array_equal(label(run(source)[0], "c"), truth("c"))


def test_a_palette_image_is_read_by_colours_where_a_table_has_them(source):
    label_forms.colours(source)
    for path in source.glob("*_labels/*"):
        Image.open(path).quantize(4).save(path)
    np.testing.assert_array_equal(label(run(source)[0], "c"), truth("c"))


def test_a_table_of_colours_beside_numbers_names_them(source):
    label_forms.index(source)
    (source / "classes.txt").unlink()
    write(source / "label_colors.txt", "9 9 9 background\n200 10 20 cat\n30 220 40 dog\n")
    target, _ = run(source)
    np.testing.assert_array_equal(label(target, "a"), truth("a"))
    assert (target / "classes.txt").read_text().split() == CLASSES


@pytest.mark.parametrize("folders, ending", [
    (("images", "masks"), ""), (("x", "y"), ""), (("both", "both"), "_mask"),
    (("both", "both"), ""), (("a/img", "a/gt"), "-label"), (("JPEGImages", "Annotations"), "_L")])
def test_two_folders_of_any_name(source, folders, ending):
    masks(source, [half(0, 1), half(1, 0), half(0, 2)], folders=folders, ending=ending)
    target, _ = run(source)
    np.testing.assert_array_equal(label(target, "b"), half(1, 0))


@pytest.mark.parametrize("image, mask", [("images/img_{}", "masks/mask_{}"), ("img{}", "mask{}"),
                                         ("images/{}", "masks/label-{}"), ("x/{}.rgb", "y/{}.gt")])
def test_prefixes(source, image, mask):
    for number in range(3):
        put(photograph("a", 8, 6), source / f"{image.format(number)}.png")
        put(Image.fromarray(half(0, number + 1)), source / f"{mask.format(number)}.png")
    target, _ = run(source)
    assert len(list((target / "SegmentationClass").iterdir())) == 3


@pytest.mark.parametrize("kind", ["numbers", "colours"])
def test_images_of_few_colours_are_no_masks(source, kind):
    """Neither names nor suffixes tell: masks share their colours, or have one channel."""
    for number, name in enumerate("abcd"):
        pixels = np.dstack([truth(name) % 254 * 9, truth(name), np.full((24, 32), number)])
        split = "x" if number < 2 else "y"
        put(Image.fromarray(pixels.astype(np.uint8)), source / "left" / split / f"{name}.png")
        mask = Image.fromarray(truth(name)) if kind == "numbers" else label_forms.coloured(name)
        put(mask, source / "right" / split / f"{name}.png")
    target, _ = run(source)
    if kind == "numbers":
        np.testing.assert_array_equal(label(target, "a"), truth("a"))
    assert len(np.unique(label(target, "a"))) == len(np.unique(truth("a")))


@pytest.mark.parametrize("named", [True, False])
def test_colours_of_voc_are_its_classes(source, named):
    """Where these have names, or its colour of void occurs."""
    label_forms.index(source)
    if not named:
        (source / "classes.txt").unlink()
    for path in (source / "drawn").rglob("*.png"):
        Image.open(path).convert("RGB").save(path)
    target, report = run(source)
    np.testing.assert_array_equal(label(target, "a"), truth("a"))
    assert (target / "classes.txt").read_text().split() == (
        CLASSES if named else ["class0", "class1", "class2"])
    assert "the colours are those of PASCAL VOC" in report


def test_label_images_of_this_project_in_their_colours_alone(source):
    """Class 0 has one of its own where it is no background."""
    label_forms.index(source)
    (source / "classes.txt").write_text("sky\ncat\ndog")
    first, _ = run(source)
    assert Image.open(first / "SegmentationClass" / "a.png").getpalette()[:3] != [0, 0, 0]
    for path in (source / "drawn").rglob("*.png"):
        Image.open(first / "SegmentationClass" / path.name).convert("RGB").save(path)
    target, report = run(source, source.with_name("again"))
    np.testing.assert_array_equal(label(target, "a"), truth("a"))
    assert (target / "classes.txt").read_text().split() == ["sky", "cat", "dog"]


def test_folders_that_are_links(source):
    label_forms.index(source.with_name("elsewhere"))
    (source / "linked").symlink_to(source.with_name("elsewhere"))
    (source / "circle").symlink_to(source)
    np.testing.assert_array_equal(label(run(source)[0], "a"), truth("a"))


def test_other_annotations_of_coco(source):
    label_forms.coco(source)
    path = source / COCO
    write(path.with_name("person_keypoints_train2017.json"),
          path.read_text().replace('"cat"', '"person"'))
    write(path.with_name("captions_train2017.json"), '{"images": [], "annotations": []}')
    target, report = run(source)
    assert (target / "classes.txt").read_text().split() == CLASSES
    assert "no problems" in report


def test_folders_that_do_not_tell_are_given(source):
    masks(source, [half(0, 1)] * 3, folders=("masks_of_wax", "labels"))
    target, _ = run(source, images=source / "masks_of_wax", masks=source / "labels")
    np.testing.assert_array_equal(label(target, "b"), half(0, 1))


# images

def cmyk(path):
    Image.open(path).convert("CMYK").save(path)


def deep(path):
    Image.fromarray(np.arange(48, dtype=np.uint16).reshape(6, 8) * 1000).save(
        path.with_suffix(".png"))
    path.unlink()


def clear(path):
    Image.open(path).convert("RGBA").save(path.with_suffix(".webp"), lossless=True)
    path.unlink()


@pytest.mark.parametrize("change", [cmyk, deep, clear])
def test_images_of_any_kind_become_rgb(source, change):
    masks(source, [half(0, 1)] * 3)
    change(source / "images" / "a.jpg")
    target, _ = run(source)
    with Image.open(target / "JPEGImages" / "a.png") as image:
        assert (image.mode, image.size) == ("RGB", (8, 6))
    assert (target / "JPEGImages" / "b.jpg").read_bytes() == \
        (source / "images" / "b.jpg").read_bytes()


def turned(path, orientation):
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = orientation
    image.save(path, exif=exif)


def test_masks_of_turned_images(source):
    """The mask is upright, as tools that turn the image have it, or as the image is stored."""
    upright = np.arange(48).reshape(8, 6) % 3
    masks(source, [half(0, 1), half(0, 1)])
    for name in "ab":
        turned(source / "images" / f"{name}.jpg", 6)        # stored 8x6, upright 6x8
    Image.fromarray(upright.astype(np.uint8)).save(source / "masks" / "a.png")
    Image.fromarray(np.rot90(upright).astype(np.uint8)).save(source / "masks" / "b.png")
    target, report = run(source)
    for name in "ab":
        np.testing.assert_array_equal(label(target, name), upright)
        with Image.open(target / "JPEGImages" / f"{name}.png") as image:
            assert image.size == (6, 8)
    assert "1 label turned with the image" in report


def test_masks_of_another_size(source):
    masks(source, [half(0, 1)] * 3)
    put(photograph("a", 16, 12), source / "images" / "a.jpg")
    put(photograph("b", 9, 19), source / "images" / "b.jpg")
    target, report = run(source)
    np.testing.assert_array_equal(label(target, "a"), half(0, 1, (12, 16)))
    assert "1 label brought to the size" in report
    assert re.search(r"1 of 3 samples cannot be used, left out:\n  \S*b.png is 8x6, but "
                     r"\S*b.jpg is 9x19", report)
    assert sorted(names(target, "train") + names(target, "val")) == ["a", "c"]


def test_what_lacks_its_counterpart_is_named(source):
    masks(source, [half(0, 1)] * 4)
    (source / "masks" / "b.png").unlink()
    (source / "images" / "c.jpg").unlink()
    _, report = run(source)
    assert re.search(r"1 mask without an image: \S*c.png", report)
    assert re.search(r"1 image without labels, left out: \S*b.jpg", report)


def test_names_that_clash(source):
    for folder in ("one", "two"):
        masks(source / folder, [half(0, 1), half(1, 0 if folder == "one" else 2)])
    put(photograph("a"), source / "one" / "images" / "x?.jpg")
    put(label_forms.label_image(truth("a")), source / "one" / "masks" / "x?.png")
    target, report = run(source)
    found = sorted(names(target, "train") + names(target, "val"))
    assert found == ["one_images_a", "one_images_b", "two_images_a", "two_images_b", "x_"]
    assert "5 samples with another name" in report
    np.testing.assert_array_equal(label(target, "two_images_b"), half(1, 2))


def test_two_images_of_one_mask_are_left_out(source):
    masks(source, [half(0, 1)] * 3)
    put(photograph("a"), source / "images" / "a.png")
    _, report = run(source)
    assert re.search(r"a.png may be of \S*a.(jpg|png) or of \S*a.(png|jpg)", report)


# splits

def test_a_seeded_split_is_drawn(source):
    masks(source, [half(0, 1)] * 8)
    one, report = run(source, source.with_name("one"), share=0.25, seed=3)
    two, _ = run(source, source.with_name("two"), share=0.25, seed=3)
    other, _ = run(source, source.with_name("other"), share=0.25, seed=4)
    assert len(names(one, "val")) == 2 and len(names(one, "train")) == 6
    assert not {*names(one, "val")} & {*names(one, "train")}
    assert names(one, "val") == names(two, "val") != names(other, "val")
    assert "0.25 of the samples validate, drawn with the seed 3" in report


def test_both_lists_show_all_classes_where_they_can(source):
    masks(source, [half(0, 1)] * 6 + [half(0, 2)] * 2)
    for seed in range(5):
        target, _ = run(source, source.with_name(f"seed{seed}"), share=0.5, seed=seed)
        for split in NAMES:
            assert {"g", "h"} & {*names(target, split)}


@pytest.mark.parametrize("share, val", [(None, "c"), (0.5, "a b")])
def test_train_and_test(source, share, val):
    """The test list validates, unless a part of train is to."""
    for split, arrays in (("train", [half(0, 1)] * 2), ("test", [half(0, 1)] * 3)):
        masks(source / split, arrays)
    (source / "test/images/a.jpg").unlink(), (source / "test/images/b.jpg").unlink()
    target, report = run(source, share=share)
    assert names(target, "test") == ["c"]
    assert {*names(target, "val")} <= {*val.split()}
    assert ("that of the test validates" in report) == (share is None)


def test_splits_that_are_there_stay(source):
    label_forms.voc(source)
    target, report = run(source, share=0.4)
    assert names(target, "train") == ["a", "b", "c"]
    assert "--val has no effect" in report


@pytest.mark.parametrize("lists, train, val", [
    ({"train": "c\nb\n", "val": "a\n", "trainval": "a\nb\nc\n"}, "c b", "a"),
    ({"my_training_set": "JPEGImages/b.jpg SegmentationClass/b.png\na.jpg a.png\n",
      "validation-set": "c\n"}, "b a", "c"),
    ({"train": "VOC2012/JPEGImages/a.jpg 1\n/data/JPEGImages/b.jpg 1\n", "val": "d.png\n"},
     "a b", "d"),
    ({"train": "c\na\n", "val": "b\nc\n"}, "c a", "b c"),
    ({"train_2024": "a\nb\n", "dev": "c\nd\n"}, "a b", "c d"),
    ({"trainval": "a\nb\n", "test": "d\nc\n"}, "a b", "d c")])
def test_lists_of_other_names(source, lists, train, val):
    label_forms.voc(source)
    folder = source / "VOC/ImageSets/Segmentation"
    for path in folder.iterdir():
        path.unlink()
    for name, text in lists.items():
        write(folder / f"{name}.txt", text)
    target, _ = run(source)
    assert names(target, "train") == train.split() and names(target, "val") == val.split()


def test_a_list_that_names_what_is_not_there(source):
    label_forms.voc(source)
    write(source / "VOC/ImageSets/Segmentation/training.txt", "a\nb\ngone\n")
    _, report = run(source)
    assert "1 name in the lists without image or label: gone" in report
    assert "1 sample in no list, left out: c" in report


def test_folds(source):
    masks(source, [half(0, 1)] * 7)
    target, report = run(source, folds=3)
    validate = [names(target / f"fold{number}", "val") for number in (1, 2, 3)]
    assert sorted(sum(validate, [])) == list("abcdefg")
    for number in (1, 2, 3):
        folder = target / f"fold{number}"
        assert sorted(names(folder, "train") + names(folder, "val")) == list("abcdefg")
        assert trains(folder)
    assert sorted(path.name for path in target.iterdir()) == ["fold1", "fold2", "fold3", "report"]
    assert f"--data {target / 'fold1'}" in report


# what goes wrong

def refused(source, message, target=None, **options):
    """The import is refused so, and leaves nothing."""
    before = sorted(source.parent.iterdir())
    with pytest.raises(DataError, match=message):
        run(source, target, **options)
    assert sorted(source.parent.iterdir()) == before


def test_no_folder(source):
    refused(source / "gone", "gone: no such folder")


def test_a_folder_without_labels(source):
    put(photograph("a"), source / "a.jpg")
    write(source / "notes.md", "")
    refused(source, "no labels are recognised; it holds 1 .jpg, 1 .md. Known are .*COCO JSON"
                    "(.|\n)*, type\n.*fcn import SRC DST --images FOLDER --masks FOLDER$")


def test_labels_of_several_forms(source):
    label_forms.coco(source)
    label_forms.labelme(source)
    refused(source, r"several forms: COCO JSON \(annotations/instances_train2017.json\), LabelMe "
                    "JSON .*--format coco or --format labelme")
    target, _ = run(source, form="labelme")
    np.testing.assert_array_equal(label(target, "a"), truth("a"))


def test_a_form_that_does_not_fit(source):
    label_forms.coco(source)
    refused(source, "is not CVAT's XML for images; fitting are: COCO JSON", form="cvat")


@pytest.mark.parametrize("fresh", [False, True])
def test_a_target_with_something_else(source, fresh):
    label_forms.index(source)
    write(source.with_name("there") / "thesis.txt", "mine")
    refused(source, "there exists already; it holds no import", source.with_name("there"),
            fresh=fresh)
    assert (source.with_name("there") / "thesis.txt").read_text() == "mine"


def test_an_earlier_import_is_replaced_where_that_is_said(source):
    label_forms.index(source)
    target, _ = run(source)
    refused(source, "exists already; --fresh replaces it")
    (target / "own").mkdir()
    run(source, fresh=True)
    assert not (target / "own").exists()


@pytest.mark.parametrize("inside", [True, False])
def test_a_target_in_the_source(source, inside):
    label_forms.index(source)
    target = source / "out" if inside else source.parent
    refused(source, "lie one in the other", target)


def test_nothing_is_left_of_an_import_that_fails(source, monkeypatch):
    label_forms.index(source)
    monkeypatch.setattr("segdata.importing.report.draw", lambda *_: 1 / 0)
    before = sorted(source.parent.iterdir())
    with pytest.raises(ZeroDivisionError):
        run(source)
    assert sorted(source.parent.iterdir()) == before


def change_text(path, old, new):
    def change(source):
        text = (source / path).read_text()
        assert old in text
        (source / path).write_text(text.replace(old, new))
    return change


def break_masks(source):
    for path in source.rglob("*_L.png"):
        path.write_bytes(path.read_bytes()[:60])


COCO = "annotations/instances_train2017.json"


@pytest.mark.parametrize("form, damage, message", [
    ("coco", change_text(COCO, '"categories"', '"kinds": ["categories"], "x"'),
     "train2017.json: no list 'categories'"),
    ("coco", change_text(COCO, '"images": [', '"images": [,'), "train2017.json: no valid JSON"),
    ("coco", change_text(COCO, '"category_id": 18', '"category_id": 7'),
     "annotation 1 is of category 7, which 'categories' does not name"),
    ("coco", change_text(COCO, '"file_name"', '"path"'), r"images\[0\] has no 'file_name'"),
    ("cvat", change_text("annotations.xml", "</annotations>", ""), "annotations.xml: no valid XML"),
    ("cvat", change_text("annotations.xml", 'z_order="1"', 'z_order="x"'),
     "annotations.xml: a z_order of image a.jpg: .*'x'"),
    ("cvat", change_text("annotations.xml", 'encoding="utf-8"', 'encoding="utf-88"'),
     "annotations.xml: no valid XML: .*utf-88"),
    ("labelme", change_text("train/a.json", '"label": "dog", ', ""),
     "a.json: no file of LabelMe's: 'label' is missing in 'shapes'; save it anew"),
    ("labelme", change_text("train/a.json", '"label": "dog"', '"label": ["dog"]'),
     "a.json: no file of LabelMe's: a label that is a text"),
    ("labelme", change_text("train/a.json", '"imagePath": "', '"imagePath": 1, "x": "'),
     "a.json: its imagePath is 1, expected is the name of its image"),
    ("coco", change_text(COCO, '"name": "cat"', '"name": 3'),
     r"train2017.json: categories\[0\] has a name that is no text: 3"),
    ("coco", change_text(COCO, '"images": [', '"images": [null, '), "train2017.json: damaged: "),
    ("coco", change_text(COCO, '"category_id": 18', '"category_id": []'),
     "train2017.json: damaged: "),
    ("coco", change_text(COCO, '[[10, 8, 25, 8, 25, 18, 10, 18]]', "3"), "mine: damaged: "),
    ("cvat", change_text("annotations.xml", "</meta>", "</meta><track/>"), "XML for video; export"),
    ("cvat_masks", change_text("labelmap.txt", "dog:30,220,40::\n", ""),
     r"5 of 5 samples cannot be used.*\n.*a.png: 1 colours that \S*labelmap.txt does not name, such"
     r" as 30 220 40 \(\d+ pixels\); add a line"),
    ("colours", break_masks, "a_L.png: not a readable mask"),
    ("roboflow_masks", change_text("train/_classes.csv", "1, cat", "one, cat"),
     "_classes.csv:3: 'one, cat' is no class, expected `value, name`"),
    ("roboflow_masks", change_text("valid/_classes.csv", "1, cat", "1, cow"),
     "1 is 'cow', in another _classes.csv it is 'cat'"),
])
def test_damaged_labels(source, form, damage, message):
    FORMS[form](source)
    damage(source)
    refused(source, message)


def test_names_that_are_no_utf8(source):
    """Written on a system with another encoding, or cut within a character."""
    label_forms.voc(source)
    path = source / "VOC/ImageSets/Segmentation/training.txt"
    path.write_bytes(path.read_bytes() + b"\ncaf\xe9\n\xed\xa0\x80\n")
    target, report = run(source)
    assert "2 names in the lists without image or label: caf\xe9, " in report
    assert (target / "report" / "report.txt").read_text(encoding="utf-8") == report + "\n"


@pytest.mark.parametrize("form, path", [("coco", COCO), ("labelme", "train/a.json")])
def test_names_with_half_a_character(source, form, path):
    FORMS[form](source)
    write(source / path, (source / path).read_text().replace('"dog"', r'"dog\ud83d"'))
    target, _ = run(source)
    assert "dog\ufffd" in (target / "classes.txt").read_text(encoding="utf-8").split("\n")


@pytest.mark.parametrize("form, damage, message", [
    ("coco", change_text(COCO, '"counts": [', '"counts": [9, '),
     "annotation 2 cannot be drawn: its"),
    ("labelme", change_text("train/a.json", '"imageWidth": 32', '"imageWidth": 64'),
     "a.json is 64x24, but .*a.jpg is 32x24"),
    ("labelme", change_text("train/a.json", '"mask": "', '"mask": "////'), "shapes.2. '__ignore__' "
     "cannot be drawn"),
    ("cvat", change_text("annotations.xml", 'rle="0, ', 'rle="5, '),
     "a mask 'ignore' of a.jpg cannot be drawn: its run"),
])
def test_single_samples_that_are_damaged_are_left_out_and_named(source, form, damage, message):
    FORMS[form](source)
    damage(source)
    if form == "cvat":
        write(source / "annotations.xml", (source / "annotations.xml").read_text().replace(
            'rle="5, ', 'rle="0, ').replace('rle="0, ', 'rle="5, ', 1))
    _, report = run(source)
    assert re.search(rf"of 5 samples cannot be used, left out:\n  .*{message}", report)


FAR = 999_999_999
SQUARE = "[3, 4, 15, 4, 15, 12, 3, 12]"
RING = '"points": [[3, 4], [15, 4], [15, 12], [3, 12]]'


@pytest.mark.parametrize("form, old, new, message", [
    ("coco", SQUARE, f"[{FAR}, 4, 15, 4, 15, 12]", "annotation 0 cannot be drawn: it has a point "
     "at x 1e[+]09, y 4, far outside the image of 32x24"),
    ("coco", SQUARE, f"[{FAR}, {FAR}, {FAR}, {FAR}, {FAR}, {FAR}]", "far outside"),
    ("coco", SQUARE, "[1e400, 4, 15, 4, 15, 12]", "x inf, y 4, far outside"),
    ("coco", SQUARE, f"[{10 ** 400}, 4, 15, 4, 15, 12]", "annotation 0 cannot be drawn"),
    ("coco", SQUARE, f"[{'-90, -90, 100, 100, ' * 100_000} 3, 4]", "sides of its polygon are"),
    ("coco", SQUARE, '["a", 4, 15, 4, 15, 12]', "annotation 0 cannot be drawn"),
    ("coco", '"width": 32, "height": 24', f'"width": 32, "height": {FAR}',
     f"is 32x{FAR}, but .*a.jpg is 32x24"),
    ("coco", '"width": 32, "height": 24', '"width": 320000000, "height": 240000000',
     "is 320000000x240000000, but .*a.jpg is 32x24"),
    ("coco", '"width": 32, "height": 24', '"width": 0, "height": 0', "is 0x0, but .*a.jpg"),
    ("coco", '"width": 32, "height": 24', '"width": "x", "height": null',
     "height and width of .*a.jpg are None and 'x', expected whole numbers"),
    ("labelme", RING, '"points": [[3, 4], [999999999, 4], [15, 12]]', "'cat' cannot be.*outside"),
    ("labelme", '"points": [[25, 18], [10, 8]]', f'"points": [[25, 18], [10, {FAR}]]',
     "'dog' cannot be drawn: it has a point"),
    ("labelme", '"points": [[25, 18], [10, 8]], "shape_type": "rectangle"',
     f'"points": [[25, 18], [{FAR}, 8]], "shape_type": "circle"', "'dog' cannot be.*outside"),
    ("labelme", '"points": [[28, 0], [31, 2]]', f'"points": [[-{FAR}, NaN], [31, 2]]',
     "'__ignore__' cannot be drawn: it has a point"),
    ("labelme", '"imageHeight": 24', f'"imageHeight": {FAR}', f"is 32x{FAR}, but .*a.jpg"),
    ("cvat", 'points="3,4', f'points="{FAR},4', "a polygon 'cat' of a.jpg cannot be.*outside"),
    ("cvat", 'xbr="25"', f'xbr="{FAR}"', "a box 'dog' of a.jpg cannot be drawn.*outside"),
    ("cvat", '<box label="dog"', f'<ellipse cx="9" cy="9" rx="{FAR}" ry="5" label="dog"',
     "an? ellipse 'dog' of a.jpg cannot be drawn.*outside"),
    ("cvat", 'rle="0, 12" left="28" top="0" width="4" height="3"',
     f'rle="0, {FAR ** 2}" left="28" top="0" width="{FAR}" height="{FAR}"',
     "a mask 'ignore' of a.jpg cannot be drawn.*outside"),
    ("cvat", 'height="24"', f'height="{FAR}"', f"is 32x{FAR}, but .*a.jpg"),
    ("cvat", 'height="24"', 'hight="24"', "height and width of .* are None and '32'"),
])
def test_numbers_far_beyond_the_image(source, form, old, new, message):
    """The COCO tools write beyond their memory for these, and end the process."""
    FORMS[form](source)
    path = {"coco": source / COCO, "labelme": source / "train" / "a.json",
            "cvat": source / "annotations.xml"}[form]
    text = path.read_text()
    assert old in text
    write(path, text.replace(old, new, 1))
    _, report = run(source)
    assert re.search(rf"1 of 5 samples cannot be used, left out:\n  .*{message}", report)


def test_shapes_drawn_on_a_larger_image(source):
    label_forms.coco(source)
    for path in source.rglob("*.jpg"):
        with Image.open(path) as image:
            image.resize((16, 12)).save(path)
    target, report = run(source)
    assert "5 labels brought to the size of the image" in report
    np.testing.assert_array_equal(label(target, "a"), truth("a")[1::2, 1::2])


@pytest.mark.parametrize("counts, message", [
    ("52", "its run lengths are 7 pixels, expected 768"),
    ("P", "compressed run lengths end within a number"),
    ("0O", "its run lengths have -1"),
    ("\u00e9", "its counts are no compressed run lengths"),
    ("oooooooooooooooo0", "its counts are no compressed run lengths"),
    ("", "its run lengths are 0 pixels, expected 768"),
    ([700.5, 67.5], "its run lengths have 700.5, expected whole numbers"),
    ([-1, 769], "its run lengths have -1"),
    ([1], "its run lengths are 1 pixels"),
    (None, "annotation 0 cannot be drawn"),
])
def test_run_lengths_that_do_not_fit(source, counts, message):
    label_forms.coco(source, lambda mask: {"size": [24, 32], "counts": counts})
    refused(source, f"5 of 5 samples cannot be used.*\n.*{message}")


def test_compressed_run_lengths_are_those_of_the_coco_tools():
    generator = np.random.default_rng(0)
    for share in (0, 0.01, 0.5, 1):
        mask = (generator.random((37, 53)) < share).astype(np.uint8)
        np.testing.assert_array_equal(run_lengths(label_forms.compressed(mask), (37, 53)), mask)


@pytest.mark.parametrize("array, options, message", [
    (half(0, 0), {}, "all labels show 'class0' alone.*--foreground VALUE"),
    (half(0, 1), {"foreground": (9,)}, "no mask has the foreground 9; .* has 0, 1"),
    (half(0, 44).astype(np.uint16) + 300, {"form": "index"}, "the masks have the values 300, 344"),
    (np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8), {"form": "masks"},
     "masks have one colour a class. Is it a photograph"),
])
def test_masks_that_are_none(source, array, options, message):
    if array.dtype == np.uint16:
        array[0, 0] = 999
    masks(source, [array] * 3)
    refused(source, message, **options)


def test_one_sample_is_too_few(source):
    masks(source, [half(0, 1)])
    refused(source, "1 sample to train and to validate; there must be two or more")


def test_boxes_alone_are_no_labels(source):
    label_forms.coco(source, lambda mask: [])
    refused(source, "annotations have boxes, but no outlines; export it as segmentation")


def test_every_kind_of_masks_is_a_format():
    assert MASK_KINDS == ("index", "colours", "binary")


def test_classes_of_nearly_the_same_name_are_told(source):
    label_forms.labelme(source)
    path = source / "train" / "b.json"
    write(path, path.read_text().replace('"cat"', '"Cat"'))
    assert "nearly the same name: Cat and cat; are they one?" in run(source)[1]


def test_labelme_may_hold_the_images(source):
    label_forms.labelme(source)
    for path in source.rglob("*.json"):
        image = path.with_suffix(".jpg")
        content = base64.b64encode(image.read_bytes()).decode()
        write(path, path.read_text().replace('"imageData": null', f'"imageData": "{content}"'))
        image.unlink()
    target, report = run(source)
    assert names(target, "train") == ["a", "b", "c"] and "no problems" in report
    np.testing.assert_array_equal(label(target, "d"), truth("d"))


def test_an_archive(source):
    label_forms.cvat_masks(source)
    (source / "JPEGImages" / "b.jpg").write_text("broken")
    archive = shutil.make_archive(str(source), "zip", source)
    target, report = run(Path(archive), source.with_name("out"))
    np.testing.assert_array_equal(label(target, "d"), truth("d"))
    assert report.startswith(f"{archive}: a VOC layout")
    assert f"{archive}/JPEGImages/b.jpg: not a readable image" in report
    write(source / "labelmap.txt", "cat:1,2,3::\n")
    archive = shutil.make_archive(str(source), "zip", source)
    refused(Path(archive), f"{archive}: 5 of 5 samples cannot be", source.with_name("out2"))


def test_names_with_spaces_and_points(source):
    label_forms.voc(source)
    for path in list((source / "VOC").rglob("[ab].*")):
        path.rename(path.with_name(f"my {path.stem}.1{path.suffix}"))
    write(source / "VOC/ImageSets/Segmentation/training.txt", "my a.1\nmy b.1.jpg\n")
    target, _ = run(source)
    text = (target / "ImageSets/Segmentation/train.txt").read_text()
    assert text == "my a.1\nmy b.1\n"
    assert trains(target)


@pytest.mark.parametrize("form", ["coco", "labelme", "roboflow_masks", "cityscapes", "index"])
def test_the_same_names_in_train_and_val(source, form, monkeypatch):
    """Each label finds the image of its own split."""
    monkeypatch.setitem(NAMES, "val", ("a", "b"))
    FORMS[form](source)
    for path in source.rglob("*.jpg"):
        if "val" in str(path.relative_to(source)):
            photograph("z").save(path)
    for path in source.rglob("*leftImg8bit.png"):
        if "val" in path.parts:
            photograph("z").save(path)
    target, _ = run(source)
    assert len(names(target, "train")) == 3 and len(names(target, "val")) == 2
    images = {path.stem: path.read_bytes() for path in (target / "JPEGImages").iterdir()}
    assert len({images[name] for name in names(target, "val")}) == 1
    assert len({images[name] for name in names(target, "train")}) == 3


@pytest.mark.parametrize("form", ["coco", "labelme", "cvat", "cvat_masks"])
def test_labels_without_any_image(source, form):
    FORMS[form](source)
    for path in [*source.rglob("*.jpg")]:
        path.unlink()
    refused(source, r"(no image has a label\n.*5 labels without an image: .*|no images in \S*JPE.*)"
                    "(put the images|--images FOLDER|put them there)")
