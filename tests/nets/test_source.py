"""Sources: the modules, classes and keys that the published prototxts name."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from fcn import nets
from fcn.nets.source import ROOT, folder, nyud, pascalcontext, siftflow, voc

DATA = ROOT / "data" / "store"
KEYS = {    # name: module, class, directories, splits
    "voc-fcn32s": ("voc_layers", ("SBDDSegDataLayer", "VOCSegDataLayer"),
                   ({"sbdd_dir": DATA / "sbdd/dataset"}, {"voc_dir": DATA / "pascal/VOC2011"}),
                   ("train", "seg11valid")),
    "nyud-fcn32s-hha": ("nyud_layers", ("NYUDSegDataLayer",) * 2,
                        ({"nyud_dir": DATA / "nyud"},) * 2, ("trainval", "test")),
    "siftflow-fcn8s": ("siftflow_layers", ("SIFTFlowSegDataLayer",) * 2,
                       ({"siftflow_dir": DATA / "sift-flow"},) * 2, ("trainval", "test")),
    "pascalcontext-fcn8s": ("pascalcontext_layers", ("PASCALContextSegDataLayer",) * 2,
                            ({"voc_dir": DATA / "pascal", "context_dir": DATA / "pascal-context"},)
                            * 2, ("train", "val"))}


@pytest.mark.parametrize("name", KEYS)
def test_data_layers_are_those_of_the_published_prototxts(name):
    module, classes, directories, splits = KEYS[name]
    row = nets.TABLE[name]
    for ours, layer, own, split in zip(("train", "val"), classes, directories, splits):
        python = nets.fcn(row.head, ours, row.source()).layer[0].python_param
        params = ast.literal_eval(python.param_str)
        assert (python.module, python.layer) == (module, layer)
        assert params["split"] == split and params["seed"] == 1337
        assert {key: Path(params[key]) for key in own} == own
        assert ("mean" in params) == name.startswith("voc")


@pytest.mark.parametrize("source, path", [
    (voc("/d"), "/d/pascal/VOC2011/ImageSets/Segmentation/seg11valid.txt"),
    (folder("/d", 3), "/d/ImageSets/Segmentation/val.txt"),
    (nyud(data_dir="/d"), "/d/nyud/test.txt"),
    (siftflow("/d"), "/d/sift-flow/test.txt"),
    (pascalcontext("/d"), "/d/pascal/VOC2010/ImageSets/Main/val.txt")])
def test_validation_samples_are_listed_where_the_layers_read_them(source, path):
    assert source.val_names == Path(path)


def test_blobs_are_images_then_labels():
    assert list(nyud(("color", "depth")).tops("train")) == ["color", "depth", "label"]
    assert nyud(("color", "depth")).images == {"color": 3, "depth": 1}
    assert list(nyud(("hha",)).tops("train")) == ["data", "label"]
    assert siftflow().labels == {"sem": 33, "geo": 3} and siftflow().classes == 33
    assert (voc().classes, pascalcontext().classes, nyud().classes) == (21, 60, 40)


@pytest.mark.parametrize("source, fusion, words", [
    (voc(), "early", "with the images data it can be None"),
    (nyud(("color", "hha")), None, "color, hha it can be 'early' or 'late'")])
def test_a_fusion_that_does_not_fit_the_source_is_refused(source, fusion, words):
    with pytest.raises(ValueError, match=words):
        nets.fcn("fcn32s", "train", source, fusion=fusion)


def test_late_fusion_has_one_label_and_no_factors_on_its_skips():
    source = nyud(("color", "hha"))
    for head, labels in (("fcn8s-atonce", source.labels), ("fcn32s", {"sem": 4, "geo": 3})):
        with pytest.raises(ValueError, match="one label, and skips without factors"):
            nets.fcn(head, "train", replace(source, labels=labels), fusion="late")
