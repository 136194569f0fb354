"""HHA on scenes of planes, whose answers are known in closed form."""

import sys

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import binary_erosion

from segdata import hha
from segdata.hha import Camera, gravity_direction, height_above_ground, normals, points, rays

SHAPE, CAMERA = (60, 80), Camera(65., 66., 39.2, 30.1)
DOWN = np.array([0, 1, 0])


def plane(normal, distance, shape=SHAPE, camera=CAMERA):
    """The depth of the plane normal·P = distance; inf where a ray does not meet it."""
    x, y = rays(shape, camera)
    inverse = (normal[0] * x + normal[1] * y + normal[2]) / distance
    return np.divide(1, inverse, out=np.full(shape, np.inf), where=inverse > 1e-9)


def tilted(pitch, roll=0.):
    """Gravity as a camera sees it that looks down by `pitch` and is rolled by `roll`, degrees."""
    pitch, roll = np.radians([pitch, roll])
    return np.array([np.cos(pitch) * np.sin(roll), np.cos(pitch) * np.cos(roll), np.sin(pitch)])


def room(gravity, floor, wall, ceiling, *view):
    """The depth of a room: distances of the floor, the wall ahead and the ceiling, metres."""
    ahead = [0, 0, 1] - gravity[2] * gravity
    return np.min([plane(gravity, floor, *view), plane(ahead / np.linalg.norm(ahead), wall, *view),
                   plane(-gravity, ceiling, *view)], axis=0)


def angle_between(a, b):
    return np.degrees(np.arccos(np.clip(np.dot(a, b), -1, 1)))


# Normals.

@pytest.mark.parametrize("normal", [(0, 0, 1), (0.3, 0.4, 0.8), (-0.6, 0.1, 0.5), (0, 0.95, 0.3)])
@pytest.mark.parametrize("radius", [1, 3, 10])
def test_normals_of_a_plane_point_away(normal, radius):
    normal = np.array(normal) / np.linalg.norm(normal)
    found = normals(plane_without_sky(normal), CAMERA, radius)
    seen = ~np.isnan(found[..., 0])
    assert seen.mean() > 0.5
    np.testing.assert_allclose(found[seen], np.broadcast_to(normal, found[seen].shape), atol=1e-7)


def plane_without_sky(normal):
    depth = plane(normal, 1.5)
    return np.where(depth < 50, depth, np.nan)


def test_normals_are_the_least_squares_fit_of_the_window():
    rng = np.random.default_rng(0)
    depth = rng.uniform(1, 3, SHAPE)
    depth[rng.random(SHAPE) < 0.3] = np.nan
    found = normals(depth, CAMERA, 3)
    x, y = np.broadcast_arrays(*rays(SHAPE, CAMERA))
    for row, column in ((0, 0), (5, 79), (30, 41), (59, 20)):
        window = np.s_[max(0, row - 3):row + 4, max(0, column - 3):column + 4]
        known = ~np.isnan(depth[window])
        system = np.stack([x[window][known], y[window][known], np.ones(known.sum())], axis=-1)
        expected, *_ = np.linalg.lstsq(system, 1 / depth[window][known], rcond=None)
        np.testing.assert_allclose(found[row, column], expected / np.linalg.norm(expected),
                                   atol=1e-8)


def test_three_pixels_make_a_normal_unless_they_are_in_line():
    depth = np.full(SHAPE, np.nan)
    depth[10, 10] = depth[10, 11] = depth[11, 10] = 2
    depth[40, 40:43] = 2
    found = normals(depth, CAMERA, 1)
    np.testing.assert_allclose(found[10, 10], (0, 0, 1), atol=1e-9)
    assert np.isnan(found[35:45, 35:48]).all()


# Gravity.

@pytest.mark.parametrize("pitch, roll", [(0, 0), (20, 0), (-15, 5), (30, -12)])
def test_gravity_in_a_room(pitch, roll):
    gravity = tilted(pitch, roll)
    found = gravity_direction(normals(room(gravity, 1.4, 3, 1.2), CAMERA, 2))
    assert angle_between(found, gravity) < 0.3


def test_a_ramp_does_not_bend_gravity():
    """A slope of 30 degrees counts as floor at first, but not in the end."""
    gravity = tilted(25)
    ramp = np.cos(np.radians(30)) * gravity + np.sin(np.radians(30)) * np.array([1, 0, 0])
    normal = np.stack([gravity] * 6 + [ramp] * 4).reshape(2, 5, 3)
    assert angle_between(gravity_direction(normal), gravity) < 0.01


def test_a_single_wall_leaves_the_camera_s_own_direction_along_it():
    wall = np.array([0, 0.6, 0.8])      # leans by 37 degrees
    expected = DOWN - 0.6 * wall
    found = gravity_direction(np.tile(wall, (4, 5, 1)))
    assert angle_between(found, expected / np.linalg.norm(expected)) < 0.01


def test_without_surfaces_gravity_is_the_y_axis():
    np.testing.assert_allclose(gravity_direction(np.full((2, 2, 3), np.nan)), DOWN)


def test_gravity_has_unit_length_where_the_walls_turn_it_by_a_right_angle():
    walls = np.array([[[0, 0.7, 0.714], [0, -0.7, 0.714]]])
    assert np.linalg.norm(gravity_direction(walls)) == pytest.approx(1)


# Height.

def test_height_is_above_the_lowest_point_or_above_an_assumed_floor():
    heights = np.array([[0.2, -0.5], [-1.1, 0]])
    cloud = np.stack([0 * heights, -heights, 0 * heights], axis=-1)
    np.testing.assert_allclose(height_above_ground(cloud, DOWN), heights + 1.1)
    near = np.maximum(cloud, -0.5)[:1]
    np.testing.assert_allclose(height_above_ground(near, DOWN), heights[:1] + 1.3)


# The channels.

def test_wall_in_front():
    found = hha.hha(np.full(SHAPE, 2.), CAMERA)
    y = 2 * rays(SHAPE, CAMERA)[1]
    np.testing.assert_array_equal(found[..., 0], 155)
    np.testing.assert_array_equal(found[..., 1], np.broadcast_to(np.rint(130 - 100 * y), SHAPE))
    np.testing.assert_array_equal(found[..., 2], 128)


@pytest.mark.parametrize("pitch", [40, 70])
def test_floor_under_a_camera_that_looks_down(pitch):
    """Within 45 degrees of upright, a plane is the floor; beyond, it is a wall that leans."""
    depth = plane(tilted(pitch), 1.5)
    found = hha.hha(depth, CAMERA)
    np.testing.assert_array_equal(found[..., 0], np.rint(np.clip(310 / depth, 0, 255)))
    np.testing.assert_array_equal(found[..., 2], 38 if pitch == 40 else 128)
    if pitch == 40:
        np.testing.assert_array_equal(found[..., 1], 0)


def test_room():
    gravity = tilted(5, 3)
    shape, camera = (240, 320), Camera(260., 264., 157., 121.)
    depth = room(gravity, 1.4, 3, 0.8, shape, camera)
    found = hha.hha(depth, camera)
    heights = 100 * (1.4 - points(depth, camera) @ gravity)
    np.testing.assert_allclose(found[..., 1], heights, atol=2)
    surfaces = {38: heights < 1e-6, 128: (heights > 1) & (heights < 219), 218: heights > 219.99}
    for angle, where in surfaces.items():
        inside = binary_erosion(where, iterations=8)        # whole windows
        assert inside.sum() > 1000
        np.testing.assert_allclose(found[inside][:, 2], angle, atol=1)


def test_near_depth_has_the_disparity_of_one_metre():
    assert (hha.hha(np.full(SHAPE, 0.4), CAMERA)[..., 0] == 255).all()


# Holes.

@pytest.mark.parametrize("hole", [0, np.nan, np.inf, -1])
def test_holes_take_what_is_beside_them(hole):
    gravity = tilted(40)
    whole = plane(gravity, 1.5)
    holed = whole.copy()
    holed[20:40, 30:50] = hole          # larger than the windows
    holed[::7, ::5] = hole
    expected, found = hha.hha(whole, CAMERA), hha.hha(holed, CAMERA)
    kept = holed == whole
    np.testing.assert_array_equal(found[kept], expected[kept])
    np.testing.assert_array_equal(found[..., 2], 38)
    np.testing.assert_allclose(found[:20:7, ::5, 0].astype(float), expected[:20:7, ::5, 0], atol=3)
    assert abs(float(found[30, 31, 0]) - expected[30, 29, 0]) <= 1


def test_what_was_filled_in_has_a_depth_but_no_plane():
    """A wall whose lower half was not measured, and was filled in as a floor."""
    depth = np.minimum(4, plane(DOWN, 1.0))
    wall = depth == 4
    found = hha.hha(depth, CAMERA, measured=wall)
    np.testing.assert_array_equal(found[..., 0], np.rint(np.clip(310 / depth, 0, 255)))
    np.testing.assert_array_equal(found[~wall, 1], 0)
    np.testing.assert_array_equal(found[..., 2], 128)
    assert (hha.hha(depth, CAMERA)[..., 2] < 45).any()


@pytest.mark.parametrize("depth", [np.zeros(SHAPE), np.full(SHAPE, np.nan), np.eye(60)[:, :1]])
def test_too_little_depth(depth):
    with pytest.raises(ValueError, match="missing almost everywhere"):
        hha.hha(depth, CAMERA)


# The command.

def run(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["hha.py", *map(str, words)])
    hha.main()


def save_depth(path, shape):
    Image.fromarray(np.full(shape, 2000, np.uint16)).save(path)
    return path


@pytest.mark.parametrize("shape, cy", [((480, 640), 252.73617), ((425, 560), 207.73617)])
def test_command_knows_the_sizes_of_nyud(tmp_path, monkeypatch, shape, cy):
    run(monkeypatch, save_depth(tmp_path / "img_5001.png", shape), "-o", tmp_path / "hha")
    assert [path.name for path in (tmp_path / "hha").iterdir()] == ["img_5001.png"]
    with Image.open(tmp_path / "hha/img_5001.png") as image:
        assert image.mode == "RGB" and image.size == shape[::-1]
        assert image.getpixel((9, 100)) == (155, round(130 - 200 * (100 - cy) / 519.46961), 128)


def test_command_with_a_camera(tmp_path, monkeypatch):
    path = save_depth(tmp_path / "a.png", SHAPE)
    run(monkeypatch, path, "-o", tmp_path / "out", "--camera", *CAMERA)
    with Image.open(tmp_path / "out/a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), hha.hha(np.full(SHAPE, 2.), CAMERA))


@pytest.mark.parametrize("make, said", [
    (lambda path: save_depth(path, SHAPE), "a.png: it has 80x60 pixels.*--camera"),
    (lambda path: Image.new("L", (640, 480)).save(path), "a.png: its mode is L"),
    (lambda path: path.write_text("none"), "a.png: cannot identify"),
    (lambda path: None, "No such file.*a.png")])
def test_command_names_the_file_that_is_wrong(tmp_path, monkeypatch, make, said):
    make(tmp_path / "a.png")
    with pytest.raises(SystemExit, match=f"error: .*{said}"):
        run(monkeypatch, tmp_path / "a.png", "-o", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_command_does_not_overwrite_depth(tmp_path, monkeypatch, capsys):
    path = save_depth(tmp_path / "a.png", (480, 640))
    before = path.read_bytes()
    with pytest.raises(SystemExit):
        run(monkeypatch, path, "-o", tmp_path)
    assert "would be overwritten" in capsys.readouterr().err and path.read_bytes() == before
