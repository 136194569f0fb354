"""Split lists: what they hold, and what is said when the material is not as published."""

import pytest

from segdata.download import splits
from segdata.errors import MaterialError


@pytest.fixture
def voc(tmp_path):
    """VOC's val is a, b, c; SBD's train is b, d."""
    lists = tmp_path / "VOC2011/ImageSets/Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("a\nb\nc\n")
    (tmp_path / "train.txt").write_text("b\nd\n")
    return tmp_path / "VOC2011", tmp_path


@pytest.mark.parametrize("split, said", [("SBD_TRAIN", "SBD train has 2 images, expected 9"),
                                         ("SEG11VALID", "seg11valid has 2 images, expected 9")])
def test_seg11valid_of_an_unexpected_size_is_not_written(voc, monkeypatch, split, said):
    monkeypatch.setattr(splits, "SBD_TRAIN", 2)
    monkeypatch.setattr(splits, "SEG11VALID", 2)
    monkeypatch.setattr(splits, split, 9)
    with pytest.raises(MaterialError, match=f"{said}: .*train.txt, .*val.txt"):
        splits.write_seg11valid(*voc)
    assert not list(voc[0].rglob("seg11valid*"))


def test_context_counts_annotated_images(tmp_path, monkeypatch):
    lists = tmp_path / "ImageSets/Main"
    lists.mkdir(parents=True)
    (tmp_path / "trainval").mkdir()
    for split, names in (("train", "ab"), ("val", "cd")):
        (lists / f"{split}.txt").write_text("\n".join(names))
        monkeypatch.setattr(splits, f"CONTEXT_{split.upper()}", 2)
    for name in "abc":
        (tmp_path / "trainval" / f"{name}.mat").touch()
    with pytest.raises(MaterialError, match="PASCAL-Context val has 1 images, expected 2: .*val.t"):
        splits.check_context(tmp_path, tmp_path)
    (tmp_path / "trainval/d.mat").touch()
    splits.check_context(tmp_path, tmp_path)


@pytest.fixture
def siftflow(tmp_path, monkeypatch):
    """Six images, of which b and d test and highway_bost181 has no annotation."""
    names = ["a", "b", "c", "d", "e", "highway_bost181"]
    for folder, suffix in (("Images", "jpg"), ("SemanticLabels", "mat"), ("GeoLabels", "mat")):
        (tmp_path / folder / splits.SIFTFLOW_CATEGORIES).mkdir(parents=True)
        for name in names if folder == "Images" else names[:-1]:
            (tmp_path / folder / splits.SIFTFLOW_CATEGORIES / f"{name}.{suffix}").touch()
    (tmp_path / "TestSet1.txt").write_text("x\\d.jpg\nx\\b.jpg\n")
    monkeypatch.setattr(splits, "SIFTFLOW_IMAGES", 6)
    monkeypatch.setattr(splits, "SIFTFLOW_TEST", 2)
    return tmp_path


def test_siftflow_tests_on_the_official_list_and_trains_on_the_annotated_rest(siftflow):
    splits.write_siftflow(siftflow)
    assert (siftflow / "test.txt").read_text().split() == ["d", "b"]
    assert (siftflow / "trainval.txt").read_text().split() == ["a", "c", "e"]


@pytest.mark.parametrize("remove, said", [
    ("Images/*/a.jpg", "SIFT Flow has 5 images, expected 6"),
    ("TestSet1.txt", "has 0 lists TestSet"),
    ("GeoLabels/*/c.mat", "GeoLabels has no label for c")])
def test_siftflow_with_something_missing(siftflow, remove, said):
    next(siftflow.glob(remove)).unlink()
    with pytest.raises(MaterialError, match=said):
        splits.write_siftflow(siftflow)
    assert not (siftflow / "trainval.txt").exists()


def test_siftflow_tests_on_nothing_without_labels(siftflow, monkeypatch):
    (siftflow / "TestSet1.txt").write_text("x\\d.jpg\nx\\highway_bost181.jpg\n")
    splits.write_siftflow(siftflow)
    assert (siftflow / "test.txt").read_text().split() == ["d"]
    assert (siftflow / "trainval.txt").read_text().split() == ["a", "b", "c", "e"]


def test_siftflow_with_a_test_image_that_is_not_there(siftflow):
    (siftflow / "TestSet1.txt").write_text("x\\d.jpg\nx\\z.jpg\n")
    with pytest.raises(MaterialError, match="SIFT Flow test has 1 images, expected 2"):
        splits.write_siftflow(siftflow)


def test_nyud_validates_on_414_of_its_795():
    """The published sizes: 381 + 414 = 795."""
    runs = [tuple(map(int, run.split("-"))) for run in splits.NYUD_VAL.split()]
    assert sum(last - first + 1 for first, last in runs) == 414
    assert all(first <= last < second for (first, last), (second, _) in zip(runs, runs[1:]))


def test_nyud_trainval_is_train_and_val(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "NYUD_TRAINVAL", 3)
    monkeypatch.setattr(splits, "NYUD_TEST", 1)
    splits.write_nyud(tmp_path, ["5003", "5010", "5020"], ["5001"])
    found = {path.stem: path.read_text().split() for path in tmp_path.iterdir()}
    assert found == {"train": ["5003", "5020"], "val": ["5010"], "test": ["5001"],
                     "trainval": ["5003", "5010", "5020"]}
    with pytest.raises(MaterialError, match="NYUDv2 test has 0 images, expected 1"):
        splits.write_nyud(tmp_path, ["5001", "5002", "5003"], ["5001"])
