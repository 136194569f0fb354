"""The embedded dataset: the same bytes for the same seed, in the layout of the real data."""

import threading
import time

import numpy as np
import pytest
from PIL import Image

from segdata.classes import VOID
from segdata.embedded import is_drawn
from segdata.embedded import voc as embedded_voc


def scenes(seed, count=12):
    return [embedded_voc.scene(np.random.default_rng((seed, index))) for index in range(count)]


def test_a_seed_gives_the_same_pixels_another_seed_others():
    first, again, other = scenes(1, 2), scenes(1, 2), scenes(2, 2)
    for (image, label), (image2, label2) in zip(first, again):
        np.testing.assert_array_equal(image, image2)
        np.testing.assert_array_equal(label, label2)
    assert any(image.shape != image2.shape or (image != image2).any()
               for (image, _), (image2, _) in zip(first, other))


def test_scenes_show_every_class_at_many_sizes():
    found = scenes(0)
    low, high = embedded_voc.SCENE_SIDE
    for image, label in found:
        assert image.dtype == label.dtype == np.uint8
        assert image.shape == (*label.shape, 3)
        assert low <= min(label.shape) and max(label.shape) <= high
    assert len({label.shape for _, label in found}) > 4
    values = np.unique(np.concatenate([label.ravel() for _, label in found]))
    assert list(values) == [*range(len(embedded_voc.CLASSES)), VOID]


def test_void_is_a_thin_border_between_a_shape_and_its_surroundings():
    """Every void pixel has a pixel that is not void within 2 px; borders exist everywhere."""
    for _, label in scenes(0, 4):
        void = np.pad(label == VOID, 2, mode="edge")
        height, width = label.shape
        windows = [void[i:i + height, j:j + width] for i in range(5) for j in range(5)]
        assert not np.all(windows, axis=0).any()
        beside = np.abs(np.diff(label.astype(int), axis=1))
        touching = (beside > 0) & (label[:, 1:] != VOID) & (label[:, :-1] != VOID)
        assert not (touching & ((label[:, 1:] == 0) | (label[:, :-1] == 0))).any()


@pytest.mark.parametrize("number", range(1, len(embedded_voc.CLASSES)))
def test_an_outline_is_as_large_as_its_radius_says(number):
    y, x = np.mgrid[-2:2:401j, -2:2:401j]
    inside = embedded_voc.OUTLINES[number - 1](x, y) < 0
    reach = np.hypot(x, y)[inside].max()
    assert 0.9 < reach < 1.6
    assert inside.any() and not inside.all()


def test_crops_are_balanced_and_deterministic():
    images, labels = embedded_voc.crops(3, 120, 48)
    assert images.shape == (120, 48, 48, 3) and images.dtype == np.uint8
    assert labels.shape == (120,)
    counts = np.bincount(labels)
    assert len(counts) == len(embedded_voc.CLASSES) and counts.min() > 5
    again, _ = embedded_voc.crops(3, 120, 48)
    np.testing.assert_array_equal(images, again)
    other, _ = embedded_voc.crops(4, 120, 48)
    assert (images != other).any()


def test_a_crop_of_a_class_shows_its_hue_in_the_middle_and_one_of_background_does_not():
    images, labels = embedded_voc.crops(3, 150, 64)
    middle = images[:, 26:38, 26:38].mean((1, 2)).astype(np.uint8)
    hue, saturation, _ = Image.fromarray(middle[None]).convert("HSV").split()
    hue, saturation = np.array(hue)[0] / 256, np.array(saturation)[0] / 256
    for number in (1, 2, 3):        # solid ones, which cover their middle
        own = labels == number
        away = np.abs((hue[own] - (number - 1) / 6 + 0.5) % 1 - 0.5)
        assert (away < 1 / 12).mean() > 0.9
    assert saturation[labels == 0].mean() < 0.3 < saturation[labels == 1].mean()


def test_the_data_layers_read_it_unchanged(net, tmp_path):
    embedded_voc.generate(tmp_path / "made", seed=1, train=3, val=2)
    train = net("voc_layers", "SBDDSegDataLayer", sbdd_dir=str(tmp_path / "made/sbdd/dataset"),
                split="train", randomize=False)
    val = net("voc_layers", "VOCSegDataLayer", voc_dir=str(tmp_path / "made/pascal/VOC2011"),
              split="seg11valid")
    for layer, held_out in ((train, 0), (val, 1)):
        layer.forward()
        image, label = embedded_voc.scene(np.random.default_rng((1, held_out, 0)))
        np.testing.assert_array_equal(layer.blobs["label"].data[0, 0], label)
        assert layer.blobs["data"].data.shape[2:] == image.shape[:2]


def test_a_dataset_that_is_there_is_left_alone_an_older_one_replaced(tmp_path):
    target = tmp_path / "made"
    embedded_voc.generate(target, train=1, val=1)
    marker = target / "marker"
    marker.touch()
    embedded_voc.generate(target, train=1, val=1)
    assert marker.exists()
    embedded_voc.generate(target, train=2, val=1)
    assert not marker.exists()
    assert len(list((target / "sbdd/dataset/img").iterdir())) == 2
    assert {path.name for path in tmp_path.iterdir()} <= {"made", ".made.lock"}


def test_no_bar_is_drawn_where_there_is_no_terminal(tmp_path, capfd):
    embedded_voc.generate(tmp_path / "made", train=1, val=1)
    assert capfd.readouterr().err == ""


def test_a_foreign_directory_is_refused(tmp_path):
    (tmp_path / "thesis.txt").touch()
    with pytest.raises(FileExistsError, match="holds no embedded dataset"):
        embedded_voc.generate(tmp_path, train=1, val=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_command_leaves_other_folders_alone(tmp_path, monkeypatch, capsys):
    (tmp_path / "mine.txt").touch()
    monkeypatch.setattr("sys.argv", ["embedded.py", str(tmp_path)])
    with pytest.raises(SystemExit):
        embedded_voc.command("", embedded_voc.generate)
    assert "holds no embedded dataset" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_processes_that_write_one_dataset_wait_for_each_other(tmp_path):
    """The second finds what the first has written; none removes what the other writes."""
    running, seen = [], []

    def write(folder, number):
        running.append(number)
        folder.mkdir()
        (folder / "file").write_text(str(number))
        time.sleep(0.05)
        seen.append(len(running))
        running.remove(number)

    def publish(number):
        embedded_voc.publish(tmp_path / "new" / "data", write, number=number)

    threads = [threading.Thread(target=publish, args=(number,)) for number in (1, 2, 1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen and set(seen) == {1}
    assert (tmp_path / "new" / "data" / "file").read_text() in "12"
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["data"]     # and no lock


@pytest.mark.parametrize("exif", [b"II", b"II*\0\x08", b"MM\0*\0\0\0\x08\xff\xff"])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_photograph_whose_exif_is_damaged_is_not_drawn(tmp_path, suffix, exif):
    path = tmp_path / f"photograph{suffix}"
    Image.new("RGB", (4, 4)).save(path, exif=b"Exif\0\0" + exif)
    assert not is_drawn(path)
