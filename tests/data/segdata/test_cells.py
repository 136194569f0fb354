"""Instances, the weights of pixels, elastic deformation, and the layer that has them all."""

import os
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from segdata.cell_files import write_sample, write_weights
from segdata.elastic import cubic, deform, displacements, draw_grid
from segdata.errors import DataError
from segdata.instances import components, doubts, parted, read_instances
from segdata.weight_map import balanced, weight_map, write_weight_maps

EIGHT = np.ones((3, 3))


def discs(count, size=512, radius=19, seed=0):
    """Cells, of which many touch: what of a disc is nearest to its own centre."""
    y, x = np.mgrid[:size, :size]
    centres = np.random.default_rng(seed).uniform(0, size, (count, 2))
    away = np.hypot(y - centres[:, 0, None, None], x - centres[:, 1, None, None])
    return np.where(away.min(0) < radius, away.argmin(0) + 1, 0)


# instances

@pytest.mark.parametrize("dtype, name", [(np.uint16, "man_seg000.tif"), (np.uint8, "a.png"),
                                         (np.uint16, "a.png"), (np.int32, "a.tif")])
def test_instances_are_read_as_they_are(tmp_path, dtype, name):
    cells = np.zeros((6, 7), dtype)
    cells[1:3, 1:3], cells[4, 2:5] = 1, 200 if dtype == np.uint8 else 700
    Image.fromarray(cells).save(tmp_path / name)
    np.testing.assert_array_equal(read_instances(tmp_path / name), cells)


def two_parts(value, other=None):
    cells = np.zeros((9, 9), np.uint8)
    cells[1:3, 1:3], cells[5:7, 5:8] = value, value if other is None else other
    return cells


CLASSES = np.kron(np.eye(6, dtype=np.uint8), np.array([[1, 0], [0, 2]], np.uint8).repeat(2, 0))


@pytest.mark.parametrize("values, message", [
    (two_parts(255), "the value 255 marks 2 parts: this is a mask, not instances"),
    (two_parts(1), "the value 1 marks 2 parts: this is a mask"),
    (two_parts(255, 0), "the value 255 marks 1 part: this is a mask"),
    (CLASSES, r"the values 1, 2 mark 12 parts: this is a mask.*another number for each cell"),
    (np.zeros((4, 4, 3), np.uint8), "its mode is RGB, expected a grey image"),
    (np.full((4, 4), 0.5, np.float32), "no whole numbers"),
    (np.full((4, 4), -1, np.int32), "its values are -1 to -1, expected are numbers of cells")])
def test_what_are_no_instances_is_refused(tmp_path, values, message):
    Image.fromarray(values).save(tmp_path / "cells.tif")
    with pytest.raises(ValueError, match=message):
        read_instances(tmp_path / "cells.tif")


def in_a_row(*values, parts=1, dtype=np.uint8, speck=False):
    """Cells of those values, each in squares that lie apart; the second square is a pixel, or as
    large as the first."""
    cells = np.zeros((5 * len(values), 5 * parts), dtype)
    for i, value in enumerate(values):
        for j in range(parts):
            side = 1 if speck and j else 4
            cells[5 * i:5 * i + side, 5 * j:5 * j + side] = value
    return cells


@pytest.mark.parametrize("values, dtype", [
    ((1, 2, 3, 255), np.uint8), ((1, 255), np.uint8), ((1, 4, 7, 255), np.uint8),
    ((*range(1, 201), 255), np.uint8), ((1, 2, 3, 65_535), np.uint16),
    ((1, 2, 255, 65_535), np.uint16)])
def test_void_beside_numbers_of_cells_is_no_cell(tmp_path, values, dtype):
    Image.fromarray(in_a_row(*values, dtype=dtype)).save(tmp_path / "cells.png")
    with pytest.raises(ValueError, match=rf"{values[-1]} lies far above its other numbers, up to "
                       rf"{values[-2]}.*void.*make it 0.*another number"):
        read_instances(tmp_path / "cells.png")


@pytest.mark.parametrize("values, dtype", [
    (range(1, 256), np.uint8), ((85, 170, 255), np.uint8), ((128, 255), np.uint8),
    ((200, 230, 241, 255), np.uint8), ((1, 2, 3, 254), np.uint8), ([*range(1, 254), 255], np.uint8),
    (range(1, 301), np.uint16), ((1, 2, 3, 255), np.uint16), ((1, 2, 3, 256), np.uint16),
    ((255,), np.uint16), ((1, 2, 65_535), np.int32)])
def test_the_highest_number_among_others_like_it_and_255_of_16_bits_are_cells(tmp_path, values,
                                                                             dtype):
    cells = in_a_row(*values, dtype=dtype)
    name = "cells.tif" if dtype == np.int32 else "cells.png"
    Image.fromarray(cells).save(tmp_path / name)
    np.testing.assert_array_equal(read_instances(tmp_path / name), cells)


def squares(count):
    """Cells 1 to `count` of 3 × 3 pixels that lie apart, uint16."""
    side = int(np.ceil(count ** 0.5))
    numbers = np.arange(1, side * side + 1, dtype=np.uint16).reshape(side, side)
    return np.kron(np.where(numbers > count, 0, numbers), np.pad(np.ones((3, 3), np.uint16), 1))


@pytest.mark.parametrize("count", [258, 300, 600, 1000])
@pytest.mark.parametrize("name", ["cells.png", "cells.tif"])
def test_8_bits_that_hold_more_than_255_cells_are_refused(tmp_path, count, name):
    cells = squares(count)
    for narrow in (np.minimum(cells, 255), cells % 256):
        Image.fromarray(narrow.astype(np.uint8)).save(tmp_path / name)
        with pytest.raises(ValueError, match="8 bits, all .* 1 to 255 are taken, and the value.* "
                           "several parts: 8 bits hold 255 cells; write 16-bit PNG or TIFF"):
            read_instances(tmp_path / name)
    Image.fromarray(cells).save(tmp_path / name)
    np.testing.assert_array_equal(read_instances(tmp_path / name), cells)


def test_255_cells_of_8_bits_with_a_stray_pixel_or_without_one_number_are_cells(tmp_path):
    cells = squares(255).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    cells[0, 0] = 200
    Image.fromarray(cells).save(tmp_path / "cells.png")
    np.testing.assert_array_equal(read_instances(tmp_path / "cells.png"), cells)
    cells[cells == 9] = 0
    cells[0:4, 0] = 200
    Image.fromarray(cells).save(tmp_path / "cells.png")
    np.testing.assert_array_equal(read_instances(tmp_path / "cells.png"), cells)


@pytest.mark.parametrize("values, specks", [((1,), 1), ((1,), 5), ((1, 2), 4), ((300,), 2)])
def test_stray_pixels_beside_cells_make_no_mask(tmp_path, values, specks):
    cells = in_a_row(*values, dtype=np.uint16)
    cells = np.pad(cells, ((0, 0), (0, 2 * specks * len(values))))
    for i, value in enumerate(values):
        cells[5 * i, 6:6 + 2 * specks:2] = value
    Image.fromarray(cells).save(tmp_path / "cells.tif")
    np.testing.assert_array_equal(read_instances(tmp_path / "cells.tif"), cells)


def test_no_cell_at_all_is_read(tmp_path):
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(tmp_path / "cells.png")
    assert not read_instances(tmp_path / "cells.png").any()


@pytest.mark.parametrize("values, parts", [((1, 2), 2), ((1, 2, 3), 2), ((3, 5, 9, 11), 2)])
def test_classes_of_which_each_has_several_parts_are_no_instances(values, parts):
    classes = in_a_row(*values, parts=parts)
    with pytest.raises(ValueError, match=f"mark {len(values) * parts} parts: this is a mask"):
        weight_map(classes)
    if len(values) > 3:             # one class in one part changes nothing
        with pytest.raises(ValueError, match="mark 7 parts: this is a mask"):
            weight_map(np.where(np.arange(classes.shape[1]) < 5, classes, classes * (classes > 3)))


def test_cells_with_specks_and_cells_of_which_some_are_cut_are_instances():
    weight_map(in_a_row(1, 2, 3, parts=2, speck=True))
    weight_map(np.vstack([in_a_row(1, 2, parts=2), in_a_row(3, 4, parts=2, speck=True)]))


def test_a_stack_and_a_jpeg_are_no_instances(tmp_path):
    page = Image.fromarray(two_parts(1, 2))
    page.save(tmp_path / "cells.tif", save_all=True, append_images=[page])
    page.save(tmp_path / "cells.jpg")
    with pytest.raises(ValueError, match="a stack of 2 images"):
        read_instances(tmp_path / "cells.tif")
    with pytest.raises(ValueError, match="a JPEG file, expected PNG or TIFF"):
        read_instances(tmp_path / "cells.jpg")


def test_cells_that_touch_are_parted_by_background_and_none_is_lost():
    cells = discs(60, 128)
    found = parted(cells)
    kept = found > 0
    assert (found[kept] == cells[kept]).all() and kept.sum() > 0.5 * (cells > 0).sum()
    assert set(np.unique(found)) == set(np.unique(cells))
    for number in np.unique(found)[1:]:     # no other cell beside one, also at corners
        around = ndimage.binary_dilation(found == number, EIGHT)
        assert set(np.unique(found[around])) <= {0, number}


def test_each_cell_loses_what_lies_beside_another_and_cells_that_lie_apart_stay():
    cells = np.zeros((8, 12), int)
    cells[2:6, 1:4], cells[2:6, 4:10] = 2, 1
    found = parted(cells)
    assert (found == 2).sum() == 8 and (found == 1).sum() == 20
    assert not found[2:6, 3:5].any()
    apart = two_parts(3, 4)
    np.testing.assert_array_equal(parted(apart), apart)


def test_cells_of_a_pixels_width_are_not_lost():
    cells = np.zeros((5, 9), int)
    cells[1:4, 1:4], cells[1:4, 4], cells[1:4, 6:8] = 1, 9, 3
    found = parted(cells)
    assert (found == 9).sum() == 3 and (found == 1).sum() == 6 and (found == 3).sum() == 6
    cells[1:4, 5], cells[1:4, 6:8] = 4, 0       # of two such cells that touch the lower stays
    assert set(np.unique(parted(cells))) == {0, 1, 4}


def test_parts_of_a_mask_hang_together_over_edges():
    mask = np.array([[1, 1, 0], [0, 0, 1], [1, 0, 1]], bool)
    assert components(mask).tolist() == [[1, 1, 0], [0, 0, 2], [3, 0, 2]]


# weights of pixels

def test_weights_between_two_cells_in_closed_form():
    cells = np.zeros((5, 30), int)
    cells[:, :8], cells[:, 14:] = 1, 2          # background from 8 to 13
    found = weight_map(cells, (1, 2))
    column = np.arange(30)
    first, second = np.maximum(0, column - 7), np.maximum(0, 14 - column)
    expected = np.where((column < 8) | (column > 13), 2, 1) + 10 * np.exp(
        -(first + second) ** 2 / 50)
    np.testing.assert_allclose(found, np.tile(expected, (5, 1)), rtol=1e-6)
    assert found[0, 10] == pytest.approx(1 + 10 * np.exp(-49 / 50))


def test_weights_are_those_of_whole_distance_maps():
    cells = discs(20, 96)
    away = np.sort([ndimage.distance_transform_edt(parted(cells) != number)
                    for number in np.unique(cells)[1:]], 0)
    by_class = balanced(parted(cells) > 0)
    expected = np.where(parted(cells) > 0, *by_class[::-1]) + 10 * np.exp(
        -(away[0] + away[1]) ** 2 / 50)
    np.testing.assert_allclose(weight_map(cells), expected, atol=3e-6)


def test_classes_are_balanced_and_a_single_cell_has_no_border():
    cells = np.zeros((10, 10), int)
    cells[:5, :4] = 7
    found = weight_map(cells)
    np.testing.assert_allclose(found, np.where(cells > 0, 2.5, 0.625))
    assert found.mean() == pytest.approx(1) and weight_map(np.zeros((3, 3), int)).tolist() == [
        [1] * 3] * 3


def test_125_cells_of_512_take_less_than_a_second():
    cells = discs(125)
    begin = time.process_time()
    weight_map(cells)
    assert time.process_time() - begin < 1 and len(np.unique(cells)) == 126


@pytest.mark.parametrize("weights", [(1,), (1, 2, 3), (1, -1), (1, np.nan)])
def test_class_weights_that_are_none_are_refused(weights):
    with pytest.raises(ValueError, match="expected are two finite numbers from 0 on"):
        weight_map(two_parts(1, 2), weights)


def test_maps_are_written_once_and_again_where_instances_have_changed(tmp_path):
    (tmp_path / "cells").mkdir()
    file = tmp_path / "cells" / "a.tif"
    Image.fromarray(two_parts(1, 2)).save(file)
    path, = write_weight_maps(tmp_path / "cells", tmp_path / "weights")
    np.testing.assert_array_equal(np.load(path), weight_map(two_parts(1, 2)))

    def damage():
        changed = path.stat().st_mtime_ns
        path.write_bytes(b"kept")
        os.utime(path, ns=(changed, changed))

    damage()
    list(write_weight_maps(tmp_path / "cells", tmp_path / "weights"))
    assert path.read_bytes() == b"kept"
    for seconds in (9, -9):     # an older file may take the place of the one that was there
        os.utime(file, (time.time() + seconds,) * 2)
        list(write_weight_maps(tmp_path / "cells", tmp_path / "weights"))
        assert len(path.read_bytes()) > 99
        damage()


def test_masks_are_numbered_although_there_are_weights_of_the_same_file_as_instances(tmp_path):
    (tmp_path / "cells").mkdir()
    apart = np.zeros((24, 24), np.uint8)
    apart[2:8, 2:8], apart[14:20, 14:20] = 1, 2
    Image.fromarray(apart).save(tmp_path / "cells" / "a.png")
    path, = write_weight_maps(tmp_path / "cells", tmp_path / "weights")
    path.write_bytes(b"of instances")
    os.utime(path, ns=((tmp_path / "cells" / "a.png").stat().st_mtime_ns,) * 2)
    path, = write_weight_maps(tmp_path / "cells", tmp_path / "weights", of_masks=True)
    np.testing.assert_allclose(np.load(path), weight_map(apart), rtol=1e-6)


@pytest.mark.parametrize("dtype, name", [(np.uint8, "a.tif"), (np.uint16, "a.tif"),
                                         (np.uint16, "a.png"), (bool, "a.png"), (bool, "a.tif")])
def test_parts_of_a_mask_are_numbered_in_any_file_that_can_hold_instances(tmp_path, dtype, name):
    (tmp_path / "masks").mkdir()
    Image.fromarray(two_parts(255).astype(dtype)).save(tmp_path / "masks" / name)
    path, = write_weight_maps(tmp_path / "masks", tmp_path / "weights", of_masks=True)
    np.testing.assert_array_equal(np.load(path), weight_map(two_parts(1, 2)))


def test_a_mask_that_cannot_be_read_is_named(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.tif")
    with pytest.raises(DataError, match=r"mask .*a\.tif cannot be read: its mode is RGB"):
        list(write_weight_maps(tmp_path, tmp_path / "weights", of_masks=True))


def test_numbers_that_begin_again_in_8_bits_are_told_although_some_are_free(tmp_path, capsys):
    """270 cells but 10, whose numbers are those of 256 left: 14 have a second part or are 0."""
    numbers = np.setdiff1d(np.arange(1, 271), range(20, 120, 10))
    image = np.zeros((5 * 13, 5 * 20), int)
    for place, number in enumerate(numbers):
        row, column = 5 * (place // 20), 5 * (place % 20)
        image[row:row + 3, column:column + 3] = number
    doubt, = doubts((image % 256).astype(np.uint8))
    assert "8 bits, its numbers go up to 255, and 1, 2, 3, 4, 5, and 9 more mark" in doubt.problem
    assert "16-bit" in doubt.remedy and doubts(image.astype(np.uint16)) == []
    assert doubts(np.where(image > 240, 0, image).astype(np.uint8)) == []
    (tmp_path / "cells").mkdir()
    Image.fromarray((image % 256).astype(np.uint8)).save(tmp_path / "cells" / "a.png")
    list(write_weight_maps(tmp_path / "cells", tmp_path / "weights"))
    said = capsys.readouterr().err
    assert said.startswith(f"warning: {tmp_path / 'cells' / 'a.png'}: it has 8 bits") and (
        "Remedy: of more than 255 cells write 16-bit" in said)


def test_cells_that_are_lost_when_they_are_parted_are_told():
    lines = np.zeros((6, 9), np.uint16)
    lines[1, 1:8], lines[2, 1:8], lines[3, 1:8] = 1, 2, 3
    doubt, = doubts(lines)
    assert doubt.problem.startswith("the cells 2, 3 vanish where cells that touch are parted")
    assert doubts(two_parts(1, 2)) == []


def test_weights_have_the_time_at_which_they_were_made(tmp_path):
    """By which it shows that a label has changed since; not that of the instances."""
    Image.fromarray(two_parts(1, 2)).save(tmp_path / "a.png")
    os.utime(tmp_path / "a.png", (9, 9))
    path, = write_weight_maps(tmp_path, tmp_path / "weights")
    assert path.stat().st_mtime > 99
    (path.with_name("made.json")).write_text("damaged")
    list(write_weight_maps(tmp_path, tmp_path / "weights"))
    np.testing.assert_array_equal(np.load(path), weight_map(two_parts(1, 2)))


def test_two_instances_of_one_name_are_refused(tmp_path):
    for name in ("a.png", "a.tif"):
        Image.fromarray(two_parts(1, 2)).save(tmp_path / name)
    with pytest.raises(DataError, match=r"a\.png and a\.tif have one name.*a\.npy"):
        list(write_weight_maps(tmp_path, tmp_path / "weights"))


def test_the_command_says_which_file_holds_no_instances_and_numbers_parts(tmp_path):
    def run(*arguments):
        return subprocess.run([sys.executable, "-m", "segdata.weight_map", str(tmp_path), "-o",
                               str(tmp_path / "weights"), *arguments], capture_output=True,
                              text=True, timeout=60)
    Image.fromarray(two_parts(255)).save(tmp_path / "m.png")
    refused = run()
    assert refused.returncode == 1 and "m.png cannot be read: the value 255" in refused.stderr
    assert "--components" in refused.stderr and "Traceback" not in refused.stderr
    Image.fromarray(two_parts(255)).save(tmp_path / "n.jpg")
    done = run("--components")
    assert done.returncode == 0
    assert "the weights of 1 image; left out, being no PNG or TIFF: n.jpg" in done.stdout
    np.testing.assert_array_equal(np.load(tmp_path / "weights" / "m.npy"),
                                  weight_map(two_parts(1, 2)))


def test_a_folder_without_instances_is_told_for_what_it_is(tmp_path):
    def refused(folder):
        with pytest.raises(DataError) as error:
            list(write_weight_maps(folder, tmp_path / "weights"))
        assert not (tmp_path / "weights").exists()
        return str(error.value)
    empty, photos, file = (tmp_path / name for name in ("empty", "photos", "file.png"))
    assert refused(tmp_path / "cels") == f"{tmp_path / 'cels'} does not exist"
    empty.mkdir(), photos.mkdir()
    assert refused(empty) == f"{empty} has no images of instances (.tif, .tiff, .png)"
    Image.fromarray(two_parts(1, 2)).save(file)
    assert refused(file) == f"{file} is a file, expected a folder of images of instances"
    for name in ("a.jpg", "b.JPEG"):
        Image.fromarray(two_parts(1, 2)).save(photos / name)
    assert refused(photos) == (
        f"{photos} has no images of instances (.tif, .tiff, .png), only a.jpg, b.JPEG: JPEG "
        "changes the numbers of cells; write them anew, from where they come, as PNG or TIFF")
    Image.fromarray(two_parts(1, 2)).save(photos / "c.bmp")
    assert "only a.jpg, b.JPEG, c.bmp: JPEG changes" in refused(photos)
    for path in photos.glob("*.j*"), photos.glob("*.J*"):
        for each in path:
            each.unlink()
    assert refused(photos).endswith("only c.bmp: write them as PNG or TIFF")


# elastic deformation

def picture():
    rng = np.random.default_rng(0)
    return rng.normal(size=(1, 20, 24)).astype(np.float32), rng.integers(
        0, 5, (1, 20, 24)).astype(np.uint8)


def test_no_displacement_is_the_identity():
    image, label = picture()
    shift = displacements(np.zeros((2, 3, 3)), (20, 24))
    np.testing.assert_array_equal(deform(image, shift), image)
    np.testing.assert_array_equal(deform(label, shift, nearest=True), label)


@pytest.mark.parametrize("down, right", [(3, 0), (0, -4), (-2, 5)])
def test_a_constant_displacement_is_a_shift_with_mirrored_borders(down, right):
    grid = np.array([np.full((3, 3), down), np.full((3, 3), right)], float)
    shift = displacements(grid, (20, 24))
    for array, nearest in zip(picture(), (False, True)):
        padded = np.pad(array[0], 6, mode="reflect")
        expected = padded[6 + down:26 + down, 6 + right:30 + right]
        np.testing.assert_allclose(deform(array, shift, nearest)[0], expected, atol=1e-5)


def test_displacements_pass_through_the_grid_and_keep_what_is_linear():
    grid = np.random.default_rng(1).normal(size=(2, 3, 3))
    found = displacements(grid, (21, 41))
    np.testing.assert_allclose(found[:, ::10, ::20], grid, atol=1e-12)
    slope = np.add.outer(np.arange(3), 2.0 * np.arange(3))[None].repeat(2, 0)
    rows, columns = np.linspace(0, 2, 21)[:, None], np.linspace(0, 4, 41)
    np.testing.assert_allclose(displacements(slope, (21, 41))[0], rows + columns, atol=1e-12)
    np.testing.assert_allclose(cubic(17, 3).sum(1), 1)
    halfway = cubic(5, 3)[1]         # Keys: (-1, 9, 9, -1) / 16 of nodes -1 to 2, -1 is 2·a - b
    np.testing.assert_allclose(halfway, [7 / 16, 10 / 16, -1 / 16])


def test_draws_depend_on_seed_and_position_and_have_the_deviation():
    assert (draw_grid(1, 2, 10) == draw_grid(1, 2, 10)).all()
    assert (draw_grid(1, 2, 10) != draw_grid(1, 3, 10)).all() and draw_grid(-1, 0, 1).shape == (
        2, 3, 3)
    drawn = np.array([draw_grid(0, position, 10) for position in range(600)])
    assert abs(drawn.std() - 10) < 0.3 and abs(drawn.mean()) < 0.3


# the layer

@pytest.fixture
def folder(tmp_path):
    """Four images that show their own label, scaled, with cells that touch."""
    for number, name in enumerate("abcd"):
        cells = discs(12, 48, 9, number)
        write_sample(tmp_path, name, (parted(cells) > 0).astype(np.uint8) * 100, cells)
    for split in ("train", "val"):
        (tmp_path / f"{split}.txt").write_text("a\nb\nc\nd\n")
    write_weights(tmp_path)
    return tmp_path


TOPS = ("data", "label", "weight")


def layer(net, folder, **params):
    return net("segdata.cells", "CellSegDataLayer", TOPS[:2 + ("weights" in params)],
               cells_dir=str(folder), **params)


def test_images_are_grey_without_a_mean_and_labels_part_cells(net, folder):
    found = layer(net, folder, split="val", margin=6)
    found.forward()
    label, data = found.blobs["label"].data[0, 0], found.blobs["data"].data
    np.testing.assert_array_equal(label, parted(discs(12, 48, 9, 0)) > 0)
    assert data.shape == (1, 1, 60, 60)
    np.testing.assert_array_equal(data[0, 0, 6:-6, 6:-6], label * 100 - 127.5)


def test_image_label_and_weights_are_deformed_alike(net, folder):
    found = layer(net, folder, split="train", seed=3, crop=36, mirror=True, elastic=4,
                  weights=str(folder / "weights"))
    plain = layer(net, folder, split="train", seed=3, crop=36, mirror=True)
    changed = 0
    for _ in range(6):
        found.forward(), plain.forward()
        data, label, weight = (found.blobs[top].data[0, 0] for top in TOPS)
        assert data.shape == label.shape == weight.shape == (36, 36)
        agree = (data + 127.5 > 50) == (label > 0)     # half of 100, between two pixels
        assert agree.mean() > 0.97 and weight.min() > 0
        changed += (label != plain.blobs["label"].data[0, 0]).mean()
    assert changed / 6 > 0.05


def test_weights_of_another_size_are_refused(net, folder):
    np.save(folder / "weights" / "a.npy", np.ones((40, 48), np.float32))
    with pytest.raises(Exception, match=r"a\.tif is 48x48, but .*a\.npy is 48x40"):
        layer(net, folder, split="val", weights=str(folder / "weights")).forward()


def test_a_missing_file_is_named_with_all_suffixes(net, folder):
    (folder / "instances" / "a.tif").unlink()
    with pytest.raises(Exception, match=r"label .*a\.tif does not exist, nor with \.tiff or \.png"):
        layer(net, folder, split="val")


@pytest.mark.parametrize("elastic", [-1, "10", None, float("nan")])
def test_an_elastic_that_is_no_deviation_is_refused(net, folder, elastic):
    text = str(dict(cells_dir=str(folder), split="train", elastic=elastic)).replace("nan", "1e999")
    with pytest.raises(Exception, match="'elastic' is .*, expected 0 or more pixels"):
        net.from_text("segdata.cells", "CellSegDataLayer", text)


def test_a_mask_in_the_place_of_instances_is_told_with_its_file(net, folder):
    Image.fromarray(two_parts(255)).save(folder / "instances" / "b.tif")
    found = layer(net, folder, split="val")
    with pytest.raises(Exception, match=r"label .*b\.tif cannot be read: .*this is a mask.*"
                                        r"val\.txt:2"):
        for _ in range(2):
            found.forward()


def test_an_image_and_instances_of_two_sizes_are_not_written(tmp_path):
    with pytest.raises(DataError, match=r"the image of a is \(4, 5\), its instances are \(5, 4\)"):
        write_sample(tmp_path, "a", np.zeros((4, 5), np.uint8), np.zeros((5, 4), int))
