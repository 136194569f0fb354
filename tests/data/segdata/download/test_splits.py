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


def test_lists_of_windows_and_of_several_columns(voc):
    folder, root = voc
    (root / "train.txt").write_bytes(b"\xef\xbb\xbfb\r\nd\r\n")
    assert splits.read_names(root / "train.txt") == ["b", "d"]
    (root / "train.txt").write_text("b 1\nd -1\n")
    with pytest.raises(MaterialError, match="train.txt: 'b 1' has 2 columns"):
        splits.write_seg11valid(folder, root)
    (root / "train.txt").unlink()
    with pytest.raises(MaterialError, match="train.txt does not exist"):
        splits.write_seg11valid(folder, root)


@pytest.fixture
def released(monkeypatch):
    """released(name=names, ...): the authors' lists are those."""
    return lambda **lists: monkeypatch.setattr(splits, "released", lists.get)


@pytest.fixture
def siftflow(tmp_path, released):
    """Six images, of which b and d test and highway_bost181 has no annotation."""
    names = ["a", "b", "c", "d", "e", "highway_bost181"]
    for folder, suffix in (("Images", "jpg"), ("SemanticLabels", "mat"), ("GeoLabels", "mat")):
        (tmp_path / folder / splits.SIFTFLOW_CATEGORIES).mkdir(parents=True)
        for name in names if folder == "Images" else names[:-1]:
            (tmp_path / folder / splits.SIFTFLOW_CATEGORIES / f"{name}.{suffix}").touch()
    released(siftflow_trainval=["e", "a", "c"], siftflow_test=["d", "b"])
    return tmp_path


def test_siftflow_is_in_the_order_of_the_release(siftflow):
    splits.write_siftflow(siftflow)
    assert (siftflow / "test.txt").read_text() == "d\nb\n"
    assert (siftflow / "trainval.txt").read_text() == "e\na\nc\n"


@pytest.mark.parametrize("remove, said", [
    ("Images/*/a.jpg", "SIFT Flow trainval has 2 images, expected 3"),
    ("Images/*/b.jpg", "SIFT Flow test has 1 images, expected 2"),
    ("GeoLabels/*/c.mat", "GeoLabels has no label for c")])
def test_siftflow_with_something_missing(siftflow, remove, said):
    next(siftflow.glob(remove)).unlink()
    with pytest.raises(MaterialError, match=said):
        splits.write_siftflow(siftflow)
    assert not (siftflow / "trainval.txt").exists()


@pytest.mark.parametrize("name, count, first, last", [
    ("siftflow_trainval", 2486, "forest_for121", "opencountry_land202"),
    ("siftflow_test", 200, "coast_natu975", "highway_gre141"),
    ("nyud_train", 381, "5449", "6419"), ("nyud_test", 654, "5133", "5618")])
def test_released_lists(name, count, first, last):
    """As in shelhamer/fcn.berkeleyvision.org at 1305c73."""
    names = splits.released(name)
    assert len(names) == len(set(names)) == count
    assert (names[0], names[-1]) == (first, last) and names != sorted(names)


def test_released_lists_go_together():
    trainval, test = splits.released("siftflow_trainval"), splits.released("siftflow_test")
    assert not set(trainval) & set(test)
    assert not {"highway_bost181", "street_urb506"} & {*trainval, *test}     # have no labels
    assert not set(splits.released("nyud_train")) & set(splits.released("nyud_test"))


def test_nyud_trainval_is_train_and_val(tmp_path, monkeypatch, released):
    monkeypatch.setattr(splits, "NYUD_VAL", 1)
    released(nyud_train=["5020", "5003"], nyud_test=["5002", "5001"])
    splits.write_nyud(tmp_path, ["5003", "5010", "5020"], ["5001", "5002"])
    found = {path.stem: path.read_text().split() for path in tmp_path.iterdir()}
    assert found == {"train": ["5020", "5003"], "val": ["5010"], "test": ["5002", "5001"],
                     "trainval": ["5003", "5010", "5020"]}
    with pytest.raises(MaterialError, match="splits.mat lacks images of NYUDv2's test"):
        splits.write_nyud(tmp_path, ["5003", "5010", "5020"], ["5001"])
    with pytest.raises(MaterialError, match="NYUDv2 trainval has 4 images, expected 3"):
        splits.write_nyud(tmp_path, ["5003", "5010", "5011", "5020"], ["5001", "5002"])


def test_train_aug_is_voc_s_train_and_all_of_sbd_without_val(voc, monkeypatch):
    folder, sbd = voc
    (folder / "ImageSets/Segmentation/train.txt").write_text("e\nd\n")
    (sbd / "val.txt").write_text("c\nf\n")
    monkeypatch.setattr(splits, "VOC2012_VAL", 3)
    with pytest.raises(MaterialError, match="train_aug has 3 images, expected 10582: .*train.txt, "
                                            ".*train.txt, .*val.txt, .*val.txt"):
        splits.write_train_aug(folder, sbd)
    assert not list(folder.rglob("train_aug*"))
    monkeypatch.setattr(splits, "TRAIN_AUG", 3)
    splits.write_train_aug(folder, sbd)
    assert (folder / "ImageSets/Segmentation/train_aug.txt").read_text() == "d\ne\nf\n"
    monkeypatch.undo()
    with pytest.raises(MaterialError, match="VOC 2012 val has 3 images, expected 1449"):
        splits.write_train_aug(folder, sbd)
