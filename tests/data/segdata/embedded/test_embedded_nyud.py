"""The embedded RGB-D dataset: geometry that agrees with the labels, in NYUDv2's layout."""

import numpy as np
import pytest
import scipy.io
from PIL import Image

from segdata import hha
from segdata.embedded import nyud as embedded_nyud

WALL, FLOOR = 1, 2
POSTERS, BOARDS, RAMPS = (3, 4), (5, 6), (7, 8)


@pytest.fixture(scope="module")
def scenes():
    return [embedded_nyud.scene(np.random.default_rng((0, 0, index))) for index in range(30)]


def test_a_seed_gives_the_same_pixels_another_seed_others():
    first, again, other = (embedded_nyud.scene(np.random.default_rng(seed)) for seed in (1, 1, 2))
    for one, two, three in zip(first, again, other):
        np.testing.assert_array_equal(one, two)
        assert (one != three).any()


def test_every_class_occurs_and_void(scenes):
    values = np.unique([scene.label for scene in scenes])
    assert list(values) == list(range(len(embedded_nyud.CLASSES) + 1))
    assert all((scene.label == 0).any() for scene in scenes)


def test_depth_is_that_of_a_room_without_gaps(scenes):
    for scene in scenes:
        assert scene.depth.shape == scene.label.shape == scene.image.shape[:2] == embedded_nyud.SIDE
        assert 0.3 < scene.depth.min() and scene.depth.max() < 10


def test_the_angle_is_that_of_the_surface(scenes):
    """Walls, boards: upright; floor: level; ramps lean; posters lie on a wall or the floor."""
    lean = np.degrees(embedded_nyud.LEAN)
    for _, _, planes, label in scenes:
        angle = planes[..., 2].astype(int) - 38
        assert set(angle[np.isin(label, (WALL, *BOARDS))]) <= {90}
        assert set(angle[label == FLOOR]) <= {0}
        assert set(angle[np.isin(label, POSTERS)]) <= {0, 90}
        ramps = angle[np.isin(label, RAMPS)]
        assert ((90 - lean[1] - 1 <= ramps) & (ramps <= 90 - lean[0] + 1)).all()


def test_height_is_zero_on_the_floor_and_grows_upwards_on_the_wall(scenes):
    for _, _, planes, label in scenes:
        assert planes[..., 1][label == FLOOR].max(initial=0) == 0
        wall = (label[1:] == WALL) & (label[:-1] == WALL)
        assert (np.diff(planes[..., 1].astype(int), axis=0)[wall] <= 0).all()


def test_disparity_is_inverse_to_the_depth(scenes):
    for _, depth, planes, _ in scenes:
        seen = planes[..., 0] < 255
        np.testing.assert_allclose(planes[..., 0][seen] * depth[seen], 310, rtol=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_hha_of_an_empty_room_is_what_hha_computes_from_its_depth(seed):
    """The exact planes against those that are fitted: equal but for the edge of the floor."""
    rng = np.random.default_rng(seed)
    eye = rng.uniform(*embedded_nyud.CAMERA)
    room = embedded_nyud.empty_room(rng, eye)
    exact = embedded_nyud.hha(room.depth, eye - room.y * room.depth, room.angle).astype(int)
    focal, width = embedded_nyud.FOCAL, embedded_nyud.SIDE[1]
    fitted = hha.hha(room.depth, hha.Camera(focal, focal, width / 2, -room.y[0, 0] * focal))
    assert (abs(fitted - exact) <= 2).mean() > 0.95


def test_depth_sees_boards_and_ramps_but_no_posters(scenes):
    """Across the edge of a board or a ramp the depth jumps; across that of a poster it does not."""
    jumps = {kind: [] for kind in (POSTERS, BOARDS, RAMPS)}
    for _, depth, _, label in scenes:
        for kind, found in jumps.items():
            edge = (np.isin(label[:, 4:], kind) & (label[:, :-4] == WALL))
            found.append((np.abs(np.log(depth[:, 4:] / depth[:, :-4])))[edge])
    median = {kind: np.median(np.concatenate(found)) for kind, found in jumps.items()}
    assert median[POSTERS] < 0.03 < 0.1 < min(median[BOARDS], median[RAMPS])


def test_colour_tells_red_from_blue_and_nothing_else(scenes):
    """Per class, the mean of red minus blue: the same for posters, boards and ramps."""
    redness = np.zeros(9)
    for number in range(3, 9):
        pixels = np.concatenate([scene.image[scene.label == number] for scene in scenes])
        redness[number] = pixels[:, 0].mean() - pixels[:, 2].mean()
    assert (redness[3::2] > 40).all() and (redness[4::2] < -40).all()
    assert np.ptp(redness[3::2]) < 40 and np.ptp(redness[4::2]) < 40


def test_the_layout(tmp_path):
    embedded_nyud.generate(tmp_path / "made", seed=1, train=4, test=2)
    root = tmp_path / "made" / "nyud"
    names = {split: (root / f"{split}.txt").read_text().split()
             for split in ("train", "val", "trainval", "test")}
    assert {split: len(found) for split, found in names.items()} == {
        "train": 3, "val": 1, "trainval": 4, "test": 2}
    assert names["train"] + names["val"] == names["trainval"]
    scene = embedded_nyud.scene(np.random.default_rng((1, 1, 0)))
    name = names["test"][0]
    picture = {kind: np.asarray(Image.open(root / "data" / kind / f"img_{name}.png"))
               for kind in ("images", "depth", "hha")}
    np.testing.assert_array_equal(picture["images"], scene.image)
    np.testing.assert_array_equal(picture["hha"], scene.hha)
    assert picture["depth"].dtype in (np.uint16, np.int32)
    np.testing.assert_allclose(picture["depth"], 1000 * scene.depth, atol=0.5)
    label = scipy.io.loadmat(root / "segmentation" / f"img_{name}.mat")["segmentation"]
    np.testing.assert_array_equal(label, scene.label)


def test_the_data_layer_reads_it_unchanged(net, tmp_path):
    embedded_nyud.generate(tmp_path / "made", seed=1, train=1, test=1)
    tops = ("color", "depth", "hha", "label")
    layer = net("nyud_layers", "NYUDSegDataLayer", tops, nyud_dir=str(tmp_path / "made" / "nyud"),
                split="test", tops=tops)
    layer.forward()
    scene = embedded_nyud.scene(np.random.default_rng((1, 1, 0)))
    assert layer.blobs["color"].data.shape == (1, 3, *embedded_nyud.SIDE)
    np.testing.assert_allclose(layer.blobs["depth"].data[0, 0], np.log(1000 * scene.depth) - 7.844,
                               atol=2e-3)
    np.testing.assert_array_equal(layer.blobs["label"].data[0, 0],
                                  np.where(scene.label, scene.label - 1., 255))


def test_log_depth_and_hha_have_about_the_published_means(scenes):
    """7.844 and (132.431, 94.076, 118.477), which the data layer subtracts."""
    assert abs(np.mean([np.log(1000 * scene.depth).mean() for scene in scenes]) - 7.844) < 0.3
    means = np.mean([scene.hha.mean(axis=(0, 1)) for scene in scenes], axis=0)
    np.testing.assert_allclose(means, (132.431, 94.076, 118.477), atol=40)


def test_a_plane_leans_back_and_lies_before_what_it_hides():
    """Inverse depth is linear in y, in the ratio tan(lean) of slope to value at y = 0."""
    y = np.linspace(-0.4, 0.5, 50)
    behind = 3 + y
    depth = embedded_nyud.plane(np.random.default_rng(0), y, behind, np.radians(40))
    slope, value = np.polyfit(y, 1 / depth, 1)
    np.testing.assert_allclose(value + slope * y, 1 / depth)
    assert np.degrees(np.arctan2(slope, value)) == pytest.approx(40)
    low, high = embedded_nyud.BEFORE
    assert low < (depth / behind).max() < high
