"""The table of downloads, and what is said when one is missing."""

import ast
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from segdata.download import catalog

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("name, path, size, target", [
    ("vgg16", "ilsvrc/VGG_ILSVRC_16_layers.caffemodel", "553 MB", "make vgg16"),
    ("sbd", "sbdd/dataset/train.txt", "1.4 GB", "make data-voc"),
    ("voc2011", "pascal/VOC2011/ImageSets/Segmentation/seg11valid.txt", "1.7 GB",
     "make data-voc"),
    ("voc2010", "pascal/VOC2010/ImageSets/Main/val.txt", "1.4 GB", "make data-context"),
    ("context", "pascal-context/labels.txt", "31 MB", "make data-context"),
    ("siftflow", "sift-flow/trainval.txt", "140 MB", "make data-siftflow"),
    ("nyud", "nyud/trainval.txt", "3.0 GB", "make data-nyud"),
    ("caffenet", "ilsvrc/bvlc_reference_caffenet.caffemodel", "244 MB", "make caffenet"),
    ("googlenet", "ilsvrc/bvlc_googlenet.caffemodel", "54 MB", "make googlenet")])
def test_missing_says_file_size_and_command(tmp_path, name, path, size, target):
    said = catalog.missing(name, tmp_path)
    for part in (str(tmp_path / path), size, f"Get it with `{target}`."):
        assert part in said


def test_the_command_names_all_that_is_missing_and_then_the_way_without(monkeypatch):
    monkeypatch.setattr(catalog, "missing", lambda name: name != "sbd" and f"no {name}")
    monkeypatch.setattr("sys.argv", ["catalog.py", "vgg16", "sbd", "voc2011"])
    with pytest.raises(SystemExit) as stop:
        catalog.main()
    assert stop.value.code == ("error: no vgg16\nno voc2011\n`make demo`, and `make NAME-demo` for "
                               "an experiment, need no download at all.")
    monkeypatch.setattr("sys.argv", ["catalog.py", "vgg16", "--device=--gpu 0,1"])
    with pytest.raises(SystemExit) as stop:
        catalog.main()
    assert stop.value.code.startswith("note: it trains on a GPU (--gpu 0,1); where there is none, "
                                      "add DEVICE=--cpu.\nerror: no vgg16\n")
    monkeypatch.setattr("sys.argv", ["catalog.py", "vgg16", "--device=--cpu"])
    with pytest.raises(SystemExit) as stop:
        catalog.main()
    assert stop.value.code.startswith("error: no vgg16\n")
    monkeypatch.setattr("sys.argv", ["catalog.py", "sbd"])
    with pytest.raises(SystemExit) as stop:
        catalog.main()
    assert stop.value.code == 0


def test_nothing_is_missing_where_the_file_lies(tmp_path):
    path = tmp_path / catalog.ITEMS["sbd"].path
    path.parent.mkdir(parents=True)
    path.write_text("2008_000002\n")
    assert catalog.missing("sbd", tmp_path) is None


def test_a_file_of_the_wrong_size_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setitem(catalog.ITEMS, "vgg16", replace(catalog.ITEMS["vgg16"], size=3))
    path = tmp_path / catalog.ITEMS["vgg16"].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"abcd")
    assert "has 4 bytes, expected 3" in catalog.missing("vgg16", tmp_path)
    path.write_bytes(b"abc")
    assert catalog.missing("vgg16", tmp_path) is None


def test_a_file_of_unknown_size_is_there_whatever_its_size(tmp_path):
    path = tmp_path / catalog.ITEMS["caffenet"].path
    path.parent.mkdir(parents=True)
    path.write_bytes(b"abcd")
    assert catalog.missing("caffenet", tmp_path) is None


def test_every_item_has_a_make_target_and_a_checksum_that_hashlib_knows():
    targets = sorted({item.target for item in catalog.ITEMS.values()} - {""})   # of one's own
    plan = subprocess.run(["make", "-n", "-o", ".venv/done", *targets], cwd=ROOT,
                          capture_output=True, text=True)
    assert plan.returncode == 0, plan.stderr
    for target in targets:
        assert f"-m segdata.download {target.removeprefix('data-')}\n" in plan.stdout
    for item in catalog.ITEMS.values():
        if item.checksum:
            algorithm, _, digest = item.checksum.partition(":")
            assert len(bytes.fromhex(digest)) == hashlib.new(algorithm).digest_size


def test_an_old_python_runs_it_as_far_as_its_message():
    """Its syntax is 3.7's, and it evaluates no annotation, which may be newer than that."""
    for file in ("__init__", "paths", "download/__init__", "download/catalog"):
        ast.parse((ROOT / "data/segdata" / f"{file}.py").read_text(), feature_version=(3, 7))
    assert all(isinstance(kind, str) for kind in catalog.Item.__annotations__.values())


def test_the_items_lie_in_the_store_of_the_checkout(monkeypatch):
    monkeypatch.delenv("FCN_DATA", raising=False)
    assert catalog.path("sbd") == ROOT / "data/store/sbdd/dataset/train.txt"


def test_or_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("FCN_DATA", str(tmp_path))
    assert catalog.path("sbd") == tmp_path / "sbdd/dataset/train.txt"


def test_import_is_light():
    code = ("from segdata.download import catalog; import sys; "
            "print({'numpy', 'urllib.request', 'tqdm'} & set(sys.modules))")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          cwd=ROOT / "data", check=True)
    assert done.stdout.strip() == "set()"


def test_released_weights_are_those_of_experiments():
    from fcn.solvers.experiments.table import EXPERIMENTS
    assert set(catalog.RELEASED) <= set(EXPERIMENTS)
    urls = {catalog.ITEMS[f"{name}-released"].urls[0] for name in catalog.RELEASED}
    assert len(urls) == len(catalog.RELEASED) == 14
    assert "http://dl.caffe.berkeleyvision.org/fcn8s-heavy-pascal.caffemodel" in urls
    assert "voc-fcn8s-released" in catalog.missing("voc-fcn8s-released")
