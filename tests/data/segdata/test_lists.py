"""Lists of names, whatever system wrote them."""

import os

import pytest

from data_samples import sequence
from fcn.solvers.preflight.labels import of_folder
from segdata.errors import DataError
from segdata.lists import KnownFiles, read_list

UTF8, LATIN1 = "caf\xe9".encode(), "caf\xe9".encode("latin-1")
VOC = ("voc_layers", "VOCSegDataLayer")


@pytest.mark.parametrize("content", [
    b"a\nb c\n\n d\t\n", b"a\r\nb c\r\nd", b"\xef\xbb\xbfa\nb c\nd\n", b"a\rb c\rd\r",
    "a\nb c\nd\n".encode("utf-16"), "\ufeffa\r\nb c\r\nd".encode("utf-16-be")])
def test_line_ends_and_byte_order_marks(tmp_path, content):
    path = tmp_path / "val.txt"
    path.write_bytes(content)
    assert [entry.name for entry in read_list(path)] == ["a", "b c", "d"]
    assert read_list(path)[0].source == f"{path}:1"


@pytest.mark.parametrize("text, said", [
    ("a\nb\na\n", "val.txt:3: 'a' stands already in line 1"),
    ("/JPEGImages/a.jpg /SegmentationClassAug/a.png\n", "val.txt:1: '/JPEGImages/a.jpg .* a path"),
    ("a\n/b\n", "val.txt:2: '/b' is a path"),
    ("../a\n", "val.txt:1: '../a' is a path"),
    ("\\a\n", "val.txt:1: .* is a path"),
    ("\n", "val.txt is empty")])
def test_what_is_no_list_of_names(tmp_path, text, said):
    path = tmp_path / "val.txt"
    path.write_text(text)
    with pytest.raises(DataError, match=said):
        read_list(path)


def test_names_may_have_folders(net, voc):
    """As those of Cityscapes have."""
    for folder, suffix in (("JPEGImages", "jpg"), ("SegmentationClass", "png")):
        (voc / folder / "town").mkdir()
        (voc / folder / f"b.{suffix}").rename(voc / folder / f"town/b.{suffix}")
    (voc / "ImageSets/Segmentation/val.txt").write_text("town/b\na\n")
    assert sequence(net(*VOC, voc_dir=str(voc), split="val"), 2) == [1, 0]


@pytest.mark.parametrize("in_list, on_disk", [(UTF8, UTF8), (LATIN1, LATIN1), (LATIN1, UTF8)])
def test_a_latin1_name_finds_its_file(net, voc, tmp_path, monkeypatch, on_disk, in_list):
    """By bytes, as the published layers find it, or else as text."""
    monkeypatch.setenv("FCN_BUILD", str(tmp_path / "build"))
    for folder, suffix in (("JPEGImages", b".jpg"), ("SegmentationClass", b".png")):
        place = os.fsencode(voc / folder) + b"/"
        os.rename(place + b"b" + suffix, place + on_disk + suffix)
    (voc / "ImageSets/Segmentation/train.txt").write_text("c\nd\n")
    (voc / "ImageSets/Segmentation/val.txt").write_bytes(in_list + b"\na\n")
    assert "2 for val" in of_folder(voc)[0]
    assert sequence(net(*VOC, voc_dir=str(voc), split="val"), 2) == [1, 0]


def test_a_missing_file_of_a_latin1_name_can_be_printed(net, voc):
    (voc / "ImageSets/Segmentation/val.txt").write_bytes(b"caf\xe9\n")
    with pytest.raises(DataError) as caught:
        net(*VOC, voc_dir=str(voc), split="val")
    assert "JPEGImages/caf\xe9.jpg does not exist" in str(caught.value)
    str(caught.value).encode()


def test_a_listing_looks_into_each_folder_once(tmp_path, monkeypatch):
    looked, listdir = [], os.listdir
    monkeypatch.setattr(os, "listdir", lambda folder: looked.append(folder) or listdir(folder))
    (tmp_path / "a").touch()
    known_files = KnownFiles()
    assert tmp_path / "a" in known_files
    assert tmp_path / "b" not in known_files and tmp_path / "none" / "a" not in known_files
    assert tmp_path / "none" / "b" not in known_files
    assert looked == [tmp_path, tmp_path / "none"]
