"""Importing labels: the same scenes in every form give the same folder."""

import re

import numpy as np
import pytest
from PIL import Image

import folder_layers
import label_forms
from label_forms import CLASSES, FORMS, NAMES, truth
from segdata.importing.labelled import Options
from segdata.importing.write import Request, import_labels


def run(source, target=None, **options):
    """Import; returns (DST, report)."""
    target = target or source.with_name(source.name + "-voc")
    own = {key: options.pop(key) for key in ("colours", "foreground", "images", "masks")
           if key in options}
    return target, import_labels(Request(source, target, Options(**own), **options))


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
    assert folder_layers.check(target)
    assert len(list((target / "report").glob("*.png"))) == 5
    assert not list(source.parent.glob(".*"))
