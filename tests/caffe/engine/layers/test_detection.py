"""PriorBox, DetectionOutput and PSROIPooling: by hand, what they refuse, and the files written."""

import json

import numpy as np
import pytest

import caffe
from caffe.errors import LayerError
from layer_checks import X, Z, backward, check_gradient, check_refused, normal, output

PRIOR = 'type: "PriorBox" bottom: "x" bottom: "z" top: "y" prior_box_param {{ {} }}'
FOUND = ('type: "DetectionOutput" bottom: "x" bottom: "z" bottom: "w" top: "y" '
         'detection_output_param {{ {} }}')
MAPS = {"x": (1, 2, 2, 3), "z": (1, 3, 20, 30)}
BOXES = {"x": (1, 12), "z": (1, 6), "w": (1, 2, 12)}
POOL = f'type: "PSROIPooling" {Z} psroi_pooling_param {{{{ {{}} }}}}'
REGIONS = {"x": (1, 8, 5, 6), "z": (2, 5)}


def boxes(*corners, variance=1.0):
    """What PriorBox would give for these boxes."""
    rows = np.array(corners, np.float32).ravel()
    return np.stack([rows, np.full_like(rows, variance)])[None]


def found(build, scores, corners, text, moved=None):
    """The rows of one item: scores (boxes, classes), corners (boxes, 4)."""
    scores = np.asarray(scores, np.float32)
    moved = np.zeros((1, 4 * len(corners))) if moved is None else np.reshape(moved, (1, -1))
    net = build(FOUND.format(f"num_classes: {scores.shape[1]} {text}"), x=moved,
                z=scores.reshape(1, -1), w=boxes(*corners))
    return net.forward()["y"][0, 0]


def test_prior_boxes_by_hand(build):
    net = build(PRIOR.format("min_size: 4.9 max_size: 16 aspect_ratio: 4 variance: 0.2"),
                x=np.zeros((1, 2, 2, 3)), z=np.zeros((1, 3, 20, 30)))
    y = output(net)
    assert y.shape == (1, 2, 2 * 3 * 4 * 4) and (y[0, 1] == np.float32(0.2)).all()
    rows = y[0, 0].reshape(2, 3, 4, 4) * [30, 20, 30, 20]
    for i, j in np.ndindex(2, 3):
        for row, (width, height) in zip(rows[i, j], [(4, 4), (8, 8), (8, 2), (2, 8)]):
            centre = np.array([(j + 0.5) * 10, (i + 0.5) * 10] * 2)
            half = np.array([-width, -height, width, height]) / 2
            np.testing.assert_allclose(row, centre + half, atol=1e-5)


def test_an_aspect_ratio_counts_once_and_may_stay_as_it_is(build):
    def count(text):
        return build(PRIOR.format(f"min_size: 3 {text}"), x=np.zeros((1, 1, 1, 1)),
                     z=np.zeros((1, 1, 9, 9))).blobs["y"].shape[2] // 4
    assert count("aspect_ratio: 2 aspect_ratio: 0.5 aspect_ratio: 1 aspect_ratio: 3") == 5
    assert count("aspect_ratio: 2 aspect_ratio: 0.5 flip: false") == 3
    assert count("min_size: 4 aspect_ratio: 2 aspect_ratio: 2") == 6


def test_prior_boxes_follow_their_bottoms_and_clip(build):
    net = build('type: "PriorBox" bottom: "x" top: "y" prior_box_param { min_size: 8 img_h: 8 '
                'img_w: 16 clip: true step: 2 offset: 0 }', x=np.zeros((1, 1, 1, 1)))
    np.testing.assert_array_equal(output(net)[0, 0], [0, 0, 0.25, 0.5])
    net.blobs["x"].reshape(1, 1, 1, 2)
    np.testing.assert_array_equal(output(net)[0], [[0, 0, 0.25, 0.5, 0, 0, 0.375, 0.5],
                                                   np.full(8, 0.1, np.float32)])
    backward(net, y=1)
    assert not net.blobs["x"].diff.any()


APART = (0, 0, 0.2, 0.2), (0.5, 0.5, 0.8, 0.9), (0.5, 0.5, 0.8, 0.8)


def test_what_is_found_goes_by_label_and_score(build):
    rows = found(build, [[0, 0.5, 0.1], [0, 0.7, 0.2], [0, 0.6, 0.9]], APART,
                 "confidence_threshold: 0.15 nms_param { nms_threshold: 0.5 }")
    # box 2 of label 1 is three quarters of box 1; of label 2 it is box 1 that goes
    np.testing.assert_allclose(rows, [[0, 1, 0.7, *APART[1]], [0, 1, 0.5, *APART[0]],
                                      [0, 2, 0.9, *APART[2]]], rtol=1e-6)


def test_top_k_of_a_class_and_keep_top_k_of_an_item(build):
    scores = [[0, 0.5, 0.4], [0, 0.7, 0.3], [0, 0.6, 0.9]]
    assert found(build, scores, APART, "nms_param { nms_threshold: 1 top_k: 2 }"
                 )[:, 2].tolist() == pytest.approx([0.7, 0.6, 0.9, 0.4])
    assert found(build, scores, APART, "nms_param { nms_threshold: 1 } keep_top_k: 3"
                 )[:, 2].tolist() == pytest.approx([0.7, 0.6, 0.9])


def test_equal_scores_keep_the_order_of_the_boxes(build):
    rows = found(build, [[0, 1, 1]] * 3, APART, "nms_param { nms_threshold: 1 } keep_top_k: 4")
    np.testing.assert_allclose(rows[:, 3:], [*APART, APART[0]])


def test_many_equal_scores_keep_it_too(build):
    corners = [(0, 0, 0.1 + i / 100, 0.2) for i in range(50)]
    rows = found(build, [[0, 1]] * 50, corners, "nms_param { nms_threshold: 1 } keep_top_k: 30")
    np.testing.assert_allclose(rows[:, 3:], corners[:30])


def test_eta_makes_the_threshold_smaller_with_each_box(build):
    corners, scores = [(0, 0, 1, 1 - i / 10) for i in range(4)], [[0, 1 - i / 10] for i in range(4)]
    everything = "nms_param { nms_threshold: 0.95 }"
    assert len(found(build, scores, corners, everything)) == 4
    # 0.9 is above 0.95 * 0.8; 0.8 is above, too; 0.7 is not
    shrinking = "nms_param { nms_threshold: 0.95 eta: 0.8 }"
    assert found(build, scores, corners, shrinking)[:, 2].tolist() == pytest.approx([1, 0.7])


@pytest.mark.parametrize("eta", [1, 0.99])
def test_more_boxes_than_are_looked_at_at_once(build, eta):
    """Held against one overlap at a time."""
    rng, count = np.random.default_rng(2), 1300
    corners = rng.uniform(0, 1, (count, 2))
    corners = np.hstack([corners, corners + rng.uniform(0.05, 0.3, (count, 2))]).astype(np.float32)
    rows = found(build, [[0, 1 - i / count] for i in range(count)], corners,
                 f"nms_param {{ nms_threshold: 0.7 eta: {eta} }}")
    limit, taken = 0.7, []
    for left, top, right, bottom in corners.astype(float):
        for x, y, x2, y2 in taken:
            shared = max(0, min(right, x2) - max(left, x)) * max(0, min(bottom, y2) - max(top, y))
            if shared > limit * ((right - left) * (bottom - top) + (x2 - x) * (y2 - y) - shared):
                break
        else:
            taken.append((left, top, right, bottom))
            limit *= eta if limit > 0.5 else 1
    assert 600 < len(taken) < count or eta < 1
    np.testing.assert_allclose(rows[:, 3:], taken, rtol=1e-6)


@pytest.mark.parametrize("code, expected", [
    ("CORNER", (0.25, 0.5, 0.65, 0.9)), ("CORNER_SIZE", (0.22, 0.44, 0.62, 0.84)),
    ("CENTER_SIZE", (0.42 - 0.2 * np.exp(0.05), 0.64 - 0.2 * np.exp(0.1),
                     0.42 + 0.2 * np.exp(0.05), 0.64 + 0.2 * np.exp(0.1)))])
def test_how_locations_move_a_box(build, code, expected):
    rows = found(build, [[0, 1]], [(0.2, 0.4, 0.6, 0.8)],
                 f"code_type: {code} variance_encoded_in_target: true", [0.05, 0.1, 0.05, 0.1])
    np.testing.assert_allclose(rows[0, 3:], expected, rtol=1e-6)


def test_nothing_is_found_in_any_item(build):
    net = build(FOUND.format("num_classes: 2 confidence_threshold: 0.5"), x=np.zeros((2, 12)),
                z=np.zeros((2, 6)), w=boxes(*APART))
    assert net.forward()["y"].tolist() == [[[[0] + [-1] * 6, [1] + [-1] * 6]]]
    net.blobs["z"].data[1, 1] = 0.75
    assert net.forward()["y"][0, 0, :, :3].tolist() == [[1, 1, 0.75]]


@pytest.mark.parametrize("items, count", [(2, 0), (0, 2), (0, 0)])
@pytest.mark.parametrize("share", ["true", "false"])
def test_nothing_is_found_among_no_boxes_or_in_no_items(build, items, count, share):
    each = 4 if share == "true" else 12
    net = build(FOUND.format(f"num_classes: 3 share_location: {share}"),
                x=np.zeros((items, count * each)), z=np.zeros((items, count * 3)),
                w=np.zeros((1, 2, count * 4)))
    y = net.forward()["y"]
    assert y.shape == (1, 1, items, 7)
    assert y[0, 0].tolist() == [[n, *[-1] * 6] for n in range(items)]


def test_without_a_background_boxes_may_be_shared(build):
    """In the original on a GPU alone."""
    rows = found(build, [[0.8, 0.6]], APART[:1], "background_label_id: -1")
    assert rows[:, :3].tolist() == [[0, 0, np.float32(0.8)], [0, 1, np.float32(0.6)]]


@pytest.mark.parametrize("name, place, value, facts", [
    ("z", (0, 3), np.nan, "score of item 0, box 1, class 1 is no number"),
    ("x", (0, 3), np.nan, "locations have values that are not finite"),
    ("x", (0, 3), 1e3, "a box of item 0 and class 1 is not finite"),
    ("w", (0, 0, 1), np.inf, "boxes of bottom 2 have values that are not finite"),
    ("w", (0, 0, 2), 0, r"a width and a height above 0 in bottom 2, got \[0.0, 0.0, 0.0, ")])
def test_deformed_values_are_not_silent(build, name, place, value, facts):
    net = build(FOUND.format("num_classes: 2 code_type: CENTER_SIZE"), x=np.zeros((1, 12)),
                z=np.ones((1, 6)), w=boxes(*APART))
    net.forward()
    net.blobs[name].data[place] = value
    with pytest.raises(LayerError, match=rf"layer 'layer' \(DetectionOutput\).*{facts}"):
        net.forward()


REFUSED = {
    "no size": (PRIOR.format(""), MAPS, ["min_size of at least 1 pixel"]),
    "size below a pixel": (PRIOR.format("min_size: 0.5"), MAPS, ["at least 1 pixel", "[0.5]"]),
    "max": (PRIOR.format("min_size: 3 max_size: 3"), MAPS, ["max_size above each min_size"]),
    "maxima": (PRIOR.format("min_size: 3 max_size: 4 max_size: 5"), MAPS, ["[4.0, 5.0]"]),
    "ratio": (PRIOR.format("min_size: 3 aspect_ratio: -2"), MAPS, ["aspect_ratio above 0"]),
    "variances": (PRIOR.format("min_size: 3 variance: 1 variance: 2"), MAPS,
                  ["one variance or four", "[1.0, 2.0]"]),
    "variance": (PRIOR.format("min_size: 3 variance: 0"), MAPS, ["above 0", "[0.0]"]),
    "offset": (PRIOR.format("min_size: 3 offset: nan"), MAPS, ["a finite offset"]),
    "two sizes": (PRIOR.format("min_size: 3 img_size: 3 img_h: 3"), MAPS,
                  ["has both img_size and img_h or img_w; remove one"]),
    "half a size": (PRIOR.format("min_size: 3 img_h: 3"), MAPS,
                    ["expected img_h and img_w above 0, got 3 and 0"]),
    "two steps": (PRIOR.format("min_size: 3 step: 3 step_w: 3"), MAPS, ["has both step and"]),
    "step": (PRIOR.format("min_size: 3 step: 0"), MAPS, ["expected step above 0"]),
    "no image": (f'type: "PriorBox" {X} prior_box_param {{ min_size: 3 }}', {"x": (1, 2, 2, 3)},
                 ["the image as bottom 1, or img_size"]),
    "axes": (PRIOR.format("min_size: 3"), {**MAPS, "x": (1, 2)}, ["(N, C, H, W)", "(1, 2)"]),
    "priors in place": ('type: "PriorBox" bottom: "x" bottom: "z" top: "x" prior_box_param { '
                        'min_size: 3 }', MAPS, ["in place"]),
    "no classes": (FOUND.format(""), BOXES, ["expected num_classes", "got 0"]),
    "only the background": (FOUND.format("num_classes: 1"), {**BOXES, "z": (1, 3)},
                            ["one class beside the background", "got 1"]),
    "other classes": (FOUND.format("num_classes: 3"), BOXES,
                      ["(N, 9), of 3 boxes with scores of 3 classes", "(1, 6)"]),
    "billions of classes": (FOUND.format("num_classes: 4000000000"), BOXES,
                            ["(N, 12000000000)", "(1, 6)"]),
    "other boxes": (FOUND.format("num_classes: 2"), {**BOXES, "w": (1, 2, 16)},
                    ["(N, 16), of 4 boxes with 1 x 4 locations", "(1, 12)"]),
    "locations of classes": (FOUND.format("num_classes: 2 share_location: false"), BOXES,
                             ["(N, 24), of 3 boxes with 2 x 4 locations", "share_location"]),
    "no variances": (FOUND.format("num_classes: 2"), {**BOXES, "w": (1, 1, 12)},
                     ["boxes (1, 2, 4 * boxes) as bottom 2", "(1, 1, 12)"]),
    "not flat": (FOUND.format("num_classes: 2"), {**BOXES, "z": (1, 3, 2)}, ["(1, 3, 2)"]),
    "items": (FOUND.format("num_classes: 2"), {**BOXES, "z": (2, 6)},
              ["as many items in bottom 0 as in bottom 1"]),
    "overlap": (FOUND.format("num_classes: 2 nms_param { nms_threshold: -1 }"), BOXES,
                ["nms_threshold of at least 0"]),
    "eta": (FOUND.format("num_classes: 2 nms_param { eta: 0 }"), BOXES, ["eta above 0"]),
    "threshold": (FOUND.format("num_classes: 2 confidence_threshold: nan"), BOXES,
                  ["confidence_threshold that is a number"]),
    "pictures": (FOUND.format("num_classes: 2 visualize: true"), BOXES,
                 ["visualize: true", "not supported", "remove"]),
    "channels": (POOL.format("output_dim: 3 group_size: 2 spatial_scale: 1"), REGIONS,
                 ["12 channels", "(1, 8, 5, 6)"]),
    "group": (POOL.format("output_dim: 2 spatial_scale: 1"), REGIONS,
              ["group_size and spatial_scale above 0, got 2, 0 and 1"]),
    "region": (POOL.format("output_dim: 2 group_size: 2 spatial_scale: 1"),
               {**REGIONS, "z": (2, 4)}, ["(R, 5)", "(2, 4)"]),
}


@pytest.mark.parametrize("layer, shapes, facts", REFUSED.values(), ids=REFUSED)
def test_refused(build, layer, shapes, facts):
    check_refused(build, layer, shapes, facts)


TWO = {"x": np.zeros((2, 4)), "z": np.ones((2, 3))}     # of two items and one box


def saving(text="", **changed):
    """A layer that writes files; `text` : more of its save_output_param, `changed` : strings."""
    strings = {"output_directory": "out/in", "output_name_prefix": "comp4_", "output_format": "VOC",
               "label_map_file": "map", "name_size_file": "sizes", **changed}
    fields = " ".join(f'{name}: "{value}"' for name, value in strings.items())
    return FOUND.format(f"num_classes: 3 save_output_param {{ {fields} {text} }}")


@pytest.fixture
def saved(build, tmp_path, monkeypatch):
    """A function that writes what is found in three images of four, two to a pass; the folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "map").write_text("".join(f'item {{ name: "{name}" label: {label} }}\n'
                                          for label, name in enumerate(("-", "3", "d"))))
    (tmp_path / "sizes").write_text("one 100 200\n42 10 10\nthree 50 40\nrest 9 9\n")

    def saved(form, text="num_test_image: 3", **changed):
        net = build(saving(text, output_format=form, **changed), **TWO,
                    w=boxes((0.125, 0.25, 0.5, 1.25)))
        for scores in ([[0, 0.25, 0], [0, 0, 0.123456789]], [[0, 0.5, 0.75], [0, 1, 1]]):
            net.blobs["z"].data[...] = np.where(scores, scores, -np.inf)
            net.forward()
        return tmp_path / "out" / "in"
    return saved


def test_files_for_voc(saved):
    folder = saved("VOC")
    assert {path.name: path.read_text() for path in folder.iterdir()} == {
        "comp4_3.txt": "one 0.25 25 25 100 100\nthree 0.5 5 12 20 49\n",
        "comp4_d.txt": "42 0.123457 1 2 4 9\nthree 0.75 5 12 20 49\n"}


def test_labels_of_one_name_have_a_file_together(saved, tmp_path):
    (tmp_path / "map").write_text("".join(f'item {{ name: "a" label: {i} }}\n' for i in range(3)))
    files = {path.name: path.read_text() for path in saved("VOC").iterdir()}
    assert files == {"comp4_a.txt": "one 0.25 25 25 100 100\n42 0.123457 1 2 4 9\n"
                                    "three 0.5 5 12 20 49\nthree 0.75 5 12 20 49\n"}


def test_files_for_ilsvrc(saved):
    folder = saved("ILSVRC", "num_test_image: 3 resize_param { height: 30 width: 30 "
                             "resize_mode: FIT_LARGE_SIZE_AND_PAD }")
    # the first image has a quarter of the height above it and below; the third, at the sides
    assert (folder / "comp4_.txt").read_text() == (
        "one 1 0.25 25 0 100 100\n42 2 0.123457 1 2 4 9\nthree 1 0.5 1 12 19 49\n"
        "three 2 0.75 1 12 19 49\n")


def test_files_for_coco(saved):
    folder = saved("COCO", "num_test_image: 3 resize_param { height: 30 width: 30 resize_mode: "
                           "FIT_SMALL_SIZE height_scale: 40 width_scale: 300 }")
    assert json.loads((folder / "comp4_.json").read_text()) == [
        {"image_id": "one", "category_id": 3, "bbox": [37.5, 10, 112.5, 40], "score": 0.25},
        {"image_id": 42, "category_id": "d", "bbox": [10, 10, 0, 0], "score": 0.12345679},
        {"image_id": "three", "category_id": 3, "bbox": [37.5, 10, 2.5, 40], "score": 0.5},
        {"image_id": "three", "category_id": "d", "bbox": [37.5, 10, 2.5, 40], "score": 0.75}]


def test_results_come_in_rounds(saved):
    """Of four images, all of name_size_file, and then again."""
    assert (saved("ILSVRC", "") / "comp4_.txt").read_text().splitlines()[-1] == "rest 2 1 1 2 4 8"


def test_a_file_that_could_not_be_written_is_written_with_the_next_pass(saved, build, tmp_path):
    net = build(saving("num_test_image: 2", output_format="ILSVRC"), **TWO, w=boxes((0, 0, 1, 1)))
    folder, elsewhere = tmp_path / "out" / "in", tmp_path / "elsewhere"
    folder.rename(elsewhere)
    with pytest.raises(caffe.CaffeError, match="comp4_.txt.*make its folder"):
        net.forward()
    elsewhere.rename(folder)
    net.forward()
    assert len((folder / "comp4_.txt").read_text().splitlines()) == 4


def test_a_prefix_may_have_a_folder(saved):
    folder = saved("COCO", output_name_prefix="found/one_")
    assert [path.name for path in (folder / "found").iterdir()] == ["one_.json"]


@pytest.mark.parametrize("text, changed, facts", [
    ("", {"output_format": "voc"}, "of VOC, COCO, ILSVRC; got 'voc'; without output_directory"),
    ("", {"label_map_file": ""}, "there is no label_map_file; without output_directory"),
    ("num_test_image: 5", {}, "num_test_image of 1 to 4, .*sizes, got 5"),
    ("num_test_image: 0", {}, "num_test_image of 1 to 4, .*sizes, got 0"),
    ("", {"label_map_file": "nowhere"}, "nowhere: no such file"),
    ("", {"label_map_file": "sizes"}, "sizes:1:"),
    ("", {"name_size_file": "map"}, "map:1: expected `name height width`"),
    ("", {"output_directory": "sizes"}, "output_directory sizes cannot be made"),
    ("resize_param { height: 3 }", {}, "height and width above 0 in resize_param, got 3 and 0")])
def test_files_that_cannot_be_written_are_refused(saved, build, text, changed, facts):
    with pytest.raises(caffe.CaffeError, match=rf"layer 'layer' \(DetectionOutput\).*{facts}"):
        build(saving(text, **changed), **TWO, w=boxes((0, 0, 1, 1)))


@pytest.mark.parametrize("sizes, facts", [
    ("", "sizes: names no image"), ("a 0 5", "above 0 of at most 9 digits, got 'a 0 5'"),
    (f"a 5 {10 ** 40}", "got 'a 5 10000")])
def test_sizes_that_no_image_has_are_refused(saved, tmp_path, sizes, facts):
    (tmp_path / "sizes").write_text(sizes)
    with pytest.raises(LayerError, match=facts):
        saved("ILSVRC")


@pytest.mark.parametrize("name", ["a/c", "../c"])
def test_a_label_whose_name_no_file_can_have_is_refused_for_voc(saved, tmp_path, name):
    """At once: not when all images are through."""
    (tmp_path / "map").write_text("".join(f'item {{ name: "{each}" label: {label} }}\n'
                                          for label, each in enumerate(("-", "b", name))))
    with pytest.raises(LayerError, match=f"map: for VOC.*name of label 2, '{name}'"):
        saved("VOC")
    assert f'"{name}"' in (saved("COCO") / "comp4_.json").read_text()


def test_a_label_without_a_name_is_refused(saved, tmp_path):
    (tmp_path / "map").write_text('item { name: "a" label: 1 }')
    with pytest.raises(LayerError, match=r"map: expected each label once.*without a name are \[2"):
        saved("VOC")


def test_a_layer_that_writes_files_is_no_function(saved, build):
    with pytest.raises(LayerError, match="no functions of tensors"):
        caffe.to_torch(build(saving(), **TWO, w=boxes((0, 0, 1, 1))))


def test_regions_by_their_own_channels(build):
    x = normal(2, 3 * 4, 9, 11)
    regions = [[0, 0, 0, 21, 17], [1, 4.5, 6, 9, 7], [1, 18, 2, 40, 8], [0, 60, 0, 70, 9]]
    layer = POOL.format("output_dim: 3 group_size: 2 spatial_scale: 0.25")
    net = build(layer, x=x, z=regions)
    y = output(net)
    for region, (item, left, top, right, bottom) in zip(y, regions):
        left, top, right, bottom = (int(v + 0.5) / 4 for v in (left, top, right + 1, bottom + 1))
        for c, i, j in np.ndindex(3, 2, 2):
            rows, columns = (slice(int(begin + k * (end - begin) / 2),
                                   int(np.ceil(begin + (k + 1) * (end - begin) / 2)))
                             for begin, end, k in ((top, bottom, i), (left, right, j)))
            window = x[item, (c * 2 + i) * 2 + j, rows, columns]
            expected = window.mean() if window.size else 0
            assert region[c, i, j] == pytest.approx(expected, abs=1e-6)
    assert not y[3].any()


def test_the_gradient_of_regions_is_the_slope(build):
    regions = np.array([[0, 0, 0, 9, 7], [1, 2, 3, 4, 4], [1, 5, 1, 14, 19]], float)
    check_gradient(build, POOL.format("output_dim: 2 group_size: 2 spatial_scale: 0.4"),
                   {"x": (2, 8, 5, 6)}, fixed={"z": regions})


def test_regions_without_an_item_are_refused(build):
    net = build(POOL.format("output_dim: 2 group_size: 2 spatial_scale: 1"),
                x=np.zeros((1, 8, 5, 6)), z=[[0, 0, 0, 3, 3], [0, 0, 0, 3, 3]])
    net.forward()
    for value in (1, -1, np.nan):
        net.blobs["z"].data[1, 0] = value
        with pytest.raises(LayerError, match=r"\(PSROIPooling\).*one of 1 items"):
            net.forward()
