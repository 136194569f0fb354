"""The sets that U-Net was trained on, prepared from small files in their true formats."""

import hashlib
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from segdata.cell_files import samples
from segdata.download import catalog, cells, prepare
from segdata.errors import DataError, MaterialError
from segdata.instances import read_instances


def write_stack(path, pages):
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(path, save_all=True, append_images=others)


@pytest.fixture
def stacks(tmp_path):
    """30 slices: membranes (0) part a slice in four cells."""
    source = tmp_path / "ISBI-2012-challenge"
    source.mkdir()
    label = np.full((12, 14), 255, np.uint8)
    label[6], label[:, 5] = 0, 0
    write_stack(source / "train-volume.tif", [np.full((12, 14), n, np.uint8) for n in range(30)])
    write_stack(source / "train-labels.tif", [label] * 30)
    return source


def test_slices_of_the_em_stacks(tmp_path, stacks):
    folder = tmp_path / "isbi"
    cells.prepare_isbi(tmp_path, folder)
    assert (folder / "val.txt").read_text().split() == [f"slice{n}" for n in range(25, 30)]
    assert len((folder / "train.txt").read_text().split()) == 25
    assert np.asarray(Image.open(folder / "images" / "slice07.tif")).tolist() == [[7] * 14] * 12
    found = read_instances(folder / "instances" / "slice07.tif")
    assert found[0, 0] == 1 and found.max() == 4 and (found[6] == 0).all()
    assert np.load(folder / "weights" / "slice07.npy").shape == (12, 14)


def test_a_stack_that_is_missing_damaged_or_shorter(tmp_path, stacks):
    for count in (3, 31):
        write_stack(stacks / "train-labels.tif", [np.full((12, 14), 255, np.uint8)] * count)
        with pytest.raises(MaterialError, match=r"train-volume\.tif has 30 slices, .*"
                           rf"train-labels\.tif {count}: expected are as many"):
            cells.prepare_isbi(tmp_path, tmp_path / "isbi")
    write_stack(stacks / "train-labels.tif", [np.full((12, 13), 255, np.uint8)] * 30)
    with pytest.raises(MaterialError, match=r"slice 0 of .*train-volume\.tif is 14x12 pixels, "
                       r".*train-labels\.tif 13x12"):
        cells.prepare_isbi(tmp_path, tmp_path / "isbi")
    (stacks / "train-labels.tif").write_bytes(b"II*\0")
    with pytest.raises(MaterialError, match=r"train-labels\.tif cannot be read"):
        cells.prepare_isbi(tmp_path, tmp_path / "isbi")
    (stacks / "train-labels.tif").unlink()
    with pytest.raises(MaterialError, match=r"holds 0 files train-labels\.tif, expected is one"):
        cells.prepare_isbi(tmp_path, tmp_path / "isbi")
    assert not (tmp_path / "isbi").exists()


@pytest.fixture
def sequences(tmp_path):
    """Two sequences of three frames, of which one has a segmentation, of 16 bits."""
    source = tmp_path / "PhC-C2DH-U373"
    for sequence, frame in (("01", "001"), ("02", "002")):
        (source / sequence).mkdir(parents=True)
        (source / f"{sequence}_GT" / "SEG").mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((20, 24), 40 + number, np.uint8)).save(
                source / sequence / f"t{number:03}.tif")
        mask = np.zeros((20, 24), np.uint16)
        mask[2:9, 2:9], mask[2:9, 9:20] = 1, 300
        Image.fromarray(mask).save(source / f"{sequence}_GT" / "SEG" / f"man_seg{frame}.tif")
    return source


def test_the_sequences_of_the_cell_tracking_challenge_from_their_archive(tmp_path, sequences,
                                                                         monkeypatch):
    root = tmp_path / "store"
    (root / "downloads").mkdir(parents=True)
    with zipfile.ZipFile(root / "downloads" / "PhC-C2DH-U373.zip", "w") as archive:
        for path in sequences.rglob("*.tif"):
            archive.write(path, path.relative_to(tmp_path))
    put_there = (root / "downloads" / "PhC-C2DH-U373.zip").read_bytes()
    monkeypatch.setitem(catalog.ITEMS, "phc", replace(
        catalog.ITEMS["phc"], checksum="sha256:" + hashlib.sha256(put_there).hexdigest()))
    assert "make data-phc-u373" in catalog.missing("phc", root)
    prepare.get("phc-u373", root)
    assert catalog.missing("phc", root) is None and not list((root / "downloads").iterdir())
    folder = root / "cells" / "phc"
    (name, instances), = samples(folder, "val")
    assert name == "02_t002" and np.unique(instances).tolist() == [0, 1, 300]
    assert (np.asarray(Image.open(folder / "images" / "01_t001.tif")) == 41).all()
    assert np.load(folder / "weights" / "01_t001.npy").max() > 5       # between the two cells


def test_a_frame_or_masks_that_are_missing_or_no_instances(tmp_path, sequences):
    mask = sequences / "02_GT" / "SEG" / "man_seg002.tif"
    Image.fromarray(np.kron(np.eye(2, dtype=np.uint8), np.full((5, 5), 255, np.uint8))).save(mask)
    with pytest.raises(DataError, match=r"man_seg002\.tif cannot be read: the value 255 marks"):
        cells.prepare_sequences(sequences, tmp_path / "phc")
    (sequences / "01" / "t001.tif").unlink()
    with pytest.raises(MaterialError, match=r"t001\.tif is missing, the frame of .*man_seg001"):
        cells.prepare_sequences(sequences, tmp_path / "phc")
    with pytest.raises(MaterialError, match=r"holds no 01_GT/SEG/man_seg\*\.tif"):
        cells.prepare_sequences(tmp_path, tmp_path / "phc")
    assert not (tmp_path / "phc").exists()


def test_a_frame_and_its_mask_of_two_sizes_are_named(tmp_path, sequences):
    mask = sequences / "01_GT" / "SEG" / "man_seg001.tif"
    Image.fromarray(np.ones((19, 24), np.uint16)).save(mask)
    with pytest.raises(MaterialError) as caught:
        cells.prepare_sequences(sequences, tmp_path / "phc")
    assert str(caught.value) == (f"{sequences / '01' / 't001.tif'} is 24x20 pixels, {mask} 24x19: "
                                 "expected is one size")
    assert not (tmp_path / "phc").exists()


def test_pages_of_big_endian_files_and_of_colour(tmp_path):
    page = (300 * np.arange(12).reshape(3, 4)).astype(">u2")
    header = b"MM\0*\0\0\0\x08\0\x09"                    # as ImageJ writes them
    tags = [(256, 3, 4), (257, 3, 3), (258, 3, 16), (259, 3, 1), (262, 3, 1), (273, 4, 122),
            (277, 3, 1), (278, 3, 3), (279, 4, 24)]
    entries = b"".join(tag.to_bytes(2, "big") + kind.to_bytes(2, "big") + (1).to_bytes(4, "big")
                       + (value.to_bytes(2, "big") + b"\0\0" if kind == 3 else
                          value.to_bytes(4, "big")) for tag, kind, value in tags)
    (tmp_path / "big.tif").write_bytes((header + entries + b"\0" * 4).ljust(122, b"\0")
                                       + page.tobytes())
    found, = cells.pages(tmp_path / "big.tif")
    assert found.dtype == np.uint16 and found.tolist() == page.tolist()
    Image.new("RGB", (3, 3)).save(tmp_path / "colour.tif")
    with pytest.raises(MaterialError, match=r"page 0 is uint8 \(3, 3, 3\), expected grey"):
        list(cells.pages(tmp_path / "colour.tif"))
