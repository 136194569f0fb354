"""The base of the data layers, seen through VOCSegDataLayer: order, preprocessing, errors."""

import itertools
import random
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data_samples import MEAN, labels, picture, sequence
from fcn.nets.source import folder
from segdata import param_str
from segdata.augment import draw_move
from segdata.errors import DataError
from segdata.layer import SegDataLayer
from segdata.lists import literal
from segdata.order import sample_order
from segdata.palette import label_image
from voc_layers import VOCSegDataLayer

VOC = ("voc_layers", "VOCSegDataLayer")


# {(samples, seed): the first draws of random.randint(0, samples - 1) under Python 2.7.18}
PYTHON_27 = {
    (17, 1337): [10, 9, 6, 9, 2, 14, 6, 13, 15, 5, 16, 3],
    (8498, 1337): [5249, 4531, 3108, 4978, 1408, 7005, 3260, 6710, 7832, 2614, 8432, 1741],
    (2486, 1337): [1535, 1325, 909, 1456, 411, 2049, 953, 1962, 2291, 764, 2466, 509],
    (795, 1337): [491, 423, 290, 465, 131, 655, 305, 627, 732, 244, 788, 162],
    (4998, 1337): [3087, 2665, 1828, 2927, 828, 4120, 1917, 3946, 4606, 1537, 4959, 1024],
    (5, 3): [1, 2, 1, 3, 3, 0, 0, 4, 1, 1, 4, 2],
    (5, 5): [3, 3, 3, 4, 3, 4, 0, 2, 4, 3, 4, 0, 2, 1, 2, 2, 0, 1, 1, 4],
    (5, 7): [1, 0, 3, 0, 2, 1, 0, 2, 0, 2],
    (5, 1337): [3, 2, 1, 2, 0, 4, 1, 3, 4, 1, 4, 1, 3, 4, 0, 4, 1, 0, 3, 1],
    (1000, 2 ** 40): [103, 670, 426, 387, 626, 77, 676, 688, 319, 751, 273, 988],
    (17, -1337): [10, 9, 6, 9, 2, 14, 6, 13, 15, 5, 16, 3]}


def published_order(seed, count):
    """Of five samples."""
    return PYTHON_27[5, seed][:count]


@pytest.mark.parametrize("count, seed", PYTHON_27)
def test_draws_are_those_of_the_python_that_the_release_ran_on(count, seed):
    draws = PYTHON_27[count, seed]
    assert list(itertools.islice(sample_order(count, seed), len(draws))) == draws


def test_evaluation_runs_through_the_list_in_order(net, voc):
    assert sequence(net(*VOC, voc_dir=str(voc), split="val", seed=1337), 7) == [
        0, 1, 2, 3, 4, 0, 1]


def test_training_draws_in_the_published_order(net, voc):
    found = sequence(net(*VOC, voc_dir=str(voc), split="train", seed=1337), 20)
    assert found == published_order(1337, 20)


def test_training_without_randomize_runs_in_order(net, voc):
    layer = net(*VOC, voc_dir=str(voc), split="train", seed=1, randomize=False)
    assert sequence(layer, 3) == [0, 1, 2]


def test_order_is_independent_of_the_global_random_state(net, voc):
    layer = net(*VOC, voc_dir=str(voc), split="train", seed=7)
    found = []
    for _ in range(10):
        random.seed(0)
        np.random.seed(0)
        found += sequence(layer, 1)
    assert found == published_order(7, 10)


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("start", [0, 1, 6])
def test_start_continues_a_sequence(net, voc, split, start):
    whole = sequence(net(*VOC, voc_dir=str(voc), split=split, seed=3), 12)
    rest = sequence(net(*VOC, voc_dir=str(voc), split=split, seed=3, start=start), 12 - start)
    assert rest == whole[start:]


class Vector:
    """The tops as the original hands them over: they can be indexed and measured, no more."""

    def __init__(self, *items):
        self.items = items

    def __len__(self):
        return len(self.items)

    def __getitem__(self, place):
        if not 0 <= place < len(self.items):
            raise RuntimeError("Index out of range")
        return self.items[place]

    __iter__ = None


def test_the_original_s_vectors_suffice(voc):
    tops = Vector(SimpleNamespace(), SimpleNamespace())
    for top in tops.items:
        top.reshape = lambda *shape, top=top: setattr(top, "data", np.zeros(shape, np.float32))
    layer = VOCSegDataLayer.__new__(VOCSegDataLayer)
    layer.param_str = str(dict(voc_dir=str(voc), split="val", mean=MEAN))
    layer.setup(Vector(), tops)
    for number in range(2):
        layer.reshape(Vector(), tops)
        layer.forward(Vector(), tops)
        assert tops[0].data.shape == (1, 3, 7, 9 + number)
        assert (tops[1].data == number).all()


def test_reshape_alone_does_not_move_on(net, voc):
    layer = net(*VOC, voc_dir=str(voc), split="val")
    layer.reshape()
    layer.reshape()
    assert sequence(layer, 2) == [0, 1]


def test_tops_take_the_size_of_the_sample(net, voc):
    layer = net(*VOC, voc_dir=str(voc), split="val")
    assert layer.blobs["data"].data.shape == (1, 3, 7, 9)      # known before the first forward
    for width in (9, 10, 11):
        layer.forward()
        assert layer.blobs["data"].data.shape == (1, 3, 7, width)
        assert layer.blobs["label"].data.shape == (1, 1, 7, width)


def test_images_become_bgr_minus_mean_unscaled(net, voc):
    layer = net(*VOC, voc_dir=str(voc), split="val")
    layer.forward()
    rgb = np.asarray(Image.open(voc / "JPEGImages" / "a.jpg")).astype(float)
    expected = np.float32(rgb[:, :, ::-1] - np.array(MEAN)).transpose(2, 0, 1)
    np.testing.assert_array_equal(layer.blobs["data"].data[0], expected)


@pytest.mark.parametrize("mode, size", [("L", 1), ("RGBA", 4), ("CMYK", 4)])
def test_images_of_other_modes_become_rgb(net, voc, mode, size):
    Image.new(mode, (9, 7), (30,) * size if size > 1 else 30).save(
        voc / "JPEGImages" / "a.jpg", "TIFF")
    layer = net(*VOC, voc_dir=str(voc), split="val")
    layer.forward()
    assert layer.blobs["data"].data.shape == (1, 3, 7, 9)


def test_void_is_handed_over(net, voc):
    label_image(labels(255)).save(voc / "SegmentationClass" / "a.png")
    assert sequence(net(*VOC, voc_dir=str(voc), split="val"), 1) == [255]


def test_blank_lines_and_windows_line_ends_in_lists(net, voc):
    (voc / "ImageSets/Segmentation/val.txt").write_bytes(b"b\r\n\r\nd\r\n")
    assert sequence(net(*VOC, voc_dir=str(voc), split="val"), 3) == [1, 3, 1]


# Errors at set-up.

def message(call, *args, **kwargs):
    with pytest.raises(DataError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


def test_unknown_key(net, voc):
    said = message(net, *VOC, voc_dir=str(voc), split="val", sede=1)
    for part in ("'input'", "VOCSegDataLayer", "'sede'", "voc_dir", "randomize", "start"):
        assert part in said


def test_missing_keys(net, voc):
    said = message(net, *VOC, split="val")
    assert "lacks key 'voc_dir'" in said and "randomize" in said


@pytest.mark.parametrize("text", ["split", "", "[1, 2", "__import__('os').getcwd()", "3"])
def test_param_str_that_is_no_dictionary(net, text):
    assert "not a dictionary literal" in message(net.from_text, *VOC, text)


@pytest.mark.parametrize("mean", [(1, 2), "abc", ("1", "2", "3"), (1, 2, (3,))])
def test_mean_that_is_not_three_numbers(net, voc, mean):
    assert f"'mean' is {mean!r}" in message(net, *VOC, voc_dir=str(voc), split="val", mean=mean)


@pytest.mark.parametrize("start", [-1, "3", 1.5])
def test_start_that_is_no_count(net, voc, start):
    assert f"'start' is {start!r}" in message(net, *VOC, voc_dir=str(voc), split="val",
                                              start=start)


@pytest.mark.parametrize("key", ["split", "voc_dir"])
def test_text_that_is_none(net, key):
    said = message(net, *VOC, **{"voc_dir": ".", "split": "val", key: 3})
    assert f"param_str key '{key}' is 3, expected a string" in said


def test_missing_directory(net, voc):
    assert f"{voc}x does not exist" in message(net, *VOC, voc_dir=f"{voc}x", split="val")


def test_missing_and_empty_split_list(net, voc):
    path = voc / "ImageSets/Segmentation/other.txt"
    assert f"{path} does not exist" in message(net, *VOC, voc_dir=str(voc), split="other")
    path.write_text("\n")
    assert f"{path} is empty" in message(net, *VOC, voc_dir=str(voc), split="other")


def test_wrong_number_of_tops(net, voc):
    said = message(net, *VOC, ("data",), voc_dir=str(voc), split="val")
    assert "1 tops" in said and "data and label" in said


@pytest.mark.parametrize("kind, path", [("image", "JPEGImages/b.jpg"),
                                        ("label", "SegmentationClass/b.png")])
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_missing_file_is_noticed_before_its_sample_is_drawn(net, voc, kind, path, split):
    (voc / path).unlink()
    said = message(net, *VOC, voc_dir=str(voc), split=split, seed=1)
    assert f"{kind} {voc / path} does not exist" in said and f"{split}.txt:2" in said


def test_many_missing_files_are_counted(net, voc):
    for name in "bd":
        (voc / f"JPEGImages/{name}.jpg").unlink()
    said = message(net, *VOC, voc_dir=str(voc), split="val")
    assert "JPEGImages/b.jpg does not exist" in said and said.endswith("with 2 files")


@pytest.mark.parametrize("line", ["b 1", "b -1", "b.jpg", "b\t1"])
def test_a_second_column_or_a_suffix_is_told(net, voc, line):
    """VOC's lists of one class have 1 or -1 behind the name."""
    (voc / "ImageSets/Segmentation/val.txt").write_text(f"a\n{line}\n")
    said = message(net, *VOC, voc_dir=str(voc), split="val")
    assert "val.txt:2; the name in the list should be 'b' alone" in said


@pytest.mark.parametrize("seed", ["1337", 1.5, (1,)])
def test_a_seed_that_is_no_whole_number(net, voc, seed):
    assert f"'seed' is {seed!r}, expected a whole number" in message(
        net, *VOC, voc_dir=str(voc), split="train", seed=seed)


# Errors on load: they come with their sample, not with the one before it.

def second_sample(net, voc):
    layer = net(*VOC, voc_dir=str(voc), split="val")
    assert sequence(layer, 1) == [0]
    said = message(layer.forward)
    assert f"{voc / 'ImageSets/Segmentation/val.txt'}:2" in said
    return said


@pytest.mark.parametrize("kind, path", [("image", "JPEGImages/b.jpg"),
                                        ("label", "SegmentationClass/b.png")])
def test_broken_file(net, voc, kind, path):
    (voc / path).write_bytes((voc / path).read_bytes()[:60])
    assert f"{kind} {voc / path} cannot be read" in second_sample(net, voc)


def test_label_values_out_of_range(net, voc):
    label = labels(1, 10)
    label[0, :3] = 21, 254, 255
    label_image(label).save(voc / "SegmentationClass/b.png")
    said = second_sample(net, voc)
    assert f"label {voc / 'SegmentationClass/b.png'} has values 21, 254, allowed are" in said
    assert "0 to 20 and 255" in said


def test_sizes_that_differ(net, voc):
    picture(1, 8, 6).save(voc / "JPEGImages/b.jpg", "PNG")
    said = second_sample(net, voc)
    assert f"{voc / 'JPEGImages/b.jpg'} is 8x6" in said
    assert f"{voc / 'SegmentationClass/b.png'} is 10x7" in said


def test_colour_image_as_label(net, voc):
    picture(1, 10).save(voc / "SegmentationClass/b.png")
    assert "mode is RGB, expected a palette" in second_sample(net, voc)


def test_names_with_spaces_and_a_byte_order_mark(net, voc):
    for path in ("JPEGImages/b.jpg", "SegmentationClass/b.png"):
        (voc / path).rename(voc / path.replace("b.", "my photo, 2."))
    (voc / "ImageSets/Segmentation/val.txt").write_bytes(b"\xef\xbb\xbfmy photo, 2\r\na \r\n")
    assert sequence(net(*VOC, voc_dir=str(voc), split="val"), 2) == [1, 0]


# Augmentation. Labels and red channels count the columns; the mean is 0.

OPTIONS = dict(split="train", seed=5, mean=(0, 0, 0))


@pytest.fixture
def striped(voc):
    columns = np.arange(9, dtype=np.uint8) * np.ones((7, 1), np.uint8)
    for name in "abcde":
        label_image(columns).save(voc / "SegmentationClass" / f"{name}.png")
        image = np.stack([columns] * 3, axis=-1)
        Image.fromarray(image).save(voc / "JPEGImages" / f"{name}.jpg", "PNG")
    return str(voc)


def samples(net, count):
    """[(red, label)] of the next samples, each (height, width)."""
    found = []
    for _ in range(count):
        net.forward()
        found.append((net.blobs["data"].data[0, 2].copy(), net.blobs["label"].data[0, 0].copy()))
    return found


def test_mirror_depends_on_seed_and_position_alone(net, striped):
    whole = samples(net(*VOC, voc_dir=striped, mirror=True, **OPTIONS), 16)
    for red, label in whole:
        np.testing.assert_array_equal(red, label)
    turned = [bool(label[0, 0]) for _, label in whole]
    assert turned == [draw_move(5, position, True, 0).mirror for position in range(16)]
    assert 3 < sum(turned) < 13
    rest = samples(net(*VOC, voc_dir=striped, mirror=True, start=6, **OPTIONS), 10)
    np.testing.assert_array_equal(rest, whole[6:])


def test_jitter_moves_image_and_label_together(net, striped):
    found = samples(net(*VOC, voc_dir=striped, jitter=3, mirror=True, **OPTIONS), 12)
    assert len({label.tobytes() for _, label in found}) > 6
    for position, (red, label) in enumerate(found):
        outside = label == 255
        _, down, right = draw_move(5, position, True, 3)
        assert outside.sum() == 7 * 9 - (7 - abs(down)) * (9 - abs(right))
        np.testing.assert_array_equal(red, np.where(outside, 0, label))


def test_augmentation_is_off_by_default_and_in_evaluation(net, striped):
    plain = samples(net(*VOC, voc_dir=striped, **OPTIONS), 8)
    val = samples(net(*VOC, voc_dir=striped, split="val", mean=(0, 0, 0), mirror=True, jitter=3), 8)
    for red, label in plain + val:
        np.testing.assert_array_equal(label[0], np.arange(9))
        np.testing.assert_array_equal(red, label)


def test_augmentation_leaves_the_order_alone(net, voc):
    layer = net(*VOC, voc_dir=str(voc), mirror=True, jitter=1, **OPTIONS)
    middles = []
    for _ in range(20):
        layer.forward()
        middles.append(layer.blobs["label"].data[0, 0, 3, 4])
    assert middles == published_order(5, 20)


@pytest.mark.parametrize("jitter", [-1, 2.5, "32"])
def test_jitter_that_is_no_number_of_pixels(net, voc, jitter):
    assert f"'jitter' is {jitter!r}, expected 0 or more pixels" in message(
        net, *VOC, voc_dir=str(voc), split="val", jitter=jitter)


# Batches, windows and scales.

def given(layer):
    """What the layer gives next: (images, labels)."""
    layer.forward()
    return layer.blobs["data"].data.copy(), layer.blobs["label"].data.copy()


def test_a_batch_is_its_samples_padded_to_the_largest(net, voc):
    """Below and right: the image with the mean, which is 0 after the subtraction, labels with
    void. The order is that of single samples."""
    options = dict(voc_dir=str(voc), split="train", seed=5)
    single, batches = net(*VOC, **options), net(*VOC, batch=3, **options)
    for _ in range(4):
        images, labelled = given(batches)
        ones = [given(single) for _ in range(3)]
        assert images.shape == (3, 3, 7, max(image.shape[3] for image, _ in ones))
        for i, (image, label) in enumerate(ones):
            width = image.shape[3]
            np.testing.assert_array_equal(images[i, :, :, :width], image[0])
            np.testing.assert_array_equal(labelled[i, :, :, :width], label[0])
            assert not images[i, :, :, width:].any() and (labelled[i, :, :, width:] == 255).all()


def test_batches_go_on_from_any_sample(net, voc):
    """start counts samples; what a snapshot holds too."""
    options = dict(voc_dir=str(voc), split="train", seed=5, batch=2, crop=(5, 20), mirror=True,
                   scale=(0.5, 2), jitter=2)
    whole = net(*VOC, **options)
    expected = [given(whole) for _ in range(6)]
    started = net(*VOC, start=4, **options)
    resumed = net(*VOC, **options)
    for _ in range(2):
        resumed.forward()
    state = resumed.layers[0].resume_state()
    assert state["position"] == 4
    fresh = net(*VOC, **options)
    fresh.layers[0].resume_from(state)
    for layer in (started, fresh):
        for sample in expected[2:]:
            for found, blob in zip(given(layer), sample):
                np.testing.assert_array_equal(found, blob)
    assert len({images.tobytes() for images, _ in expected}) == 6


def test_a_run_from_before_there_were_batches_goes_on(net, voc):
    state = net(*VOC, voc_dir=str(voc), split="train", seed=5).layers[0].resume_state()
    assert not any(word in state["of"] for word in ("batch", "crop", "scale"))
    with pytest.raises(DataError, match="param_str, has changed"):
        net(*VOC, voc_dir=str(voc), split="train", seed=5, batch=2).layers[0].resume_from(state)


def test_a_run_from_before_there_was_a_key_goes_on():
    """A key that is added to the defaults belongs into OPTIONS of segdata/param_str.py."""
    first = {"randomize", "seed", "start", "mirror", "jitter", "prefetch"}
    assert SegDataLayer.defaults.keys() - first == set(param_str.OPTIONS)


def test_windows_lie_inside_and_images_and_labels_agree(net, striped):
    layer = net(*VOC, voc_dir=striped, crop=(4, 6), **OPTIONS)
    found = samples(layer, 60)
    for red, label in found:
        assert label.shape == (4, 6)
        np.testing.assert_array_equal(red, label)
        np.testing.assert_array_equal(label, label[0, 0] + np.arange(6) * np.ones((4, 1)))
    assert {label[0, 0] for _, label in found} == {0, 1, 2, 3}


def test_a_window_larger_than_the_sample_is_padded(net, striped):
    red, label = samples(net(*VOC, voc_dir=striped, crop=11, **OPTIONS), 1)[0]
    assert red.shape == label.shape == (11, 11)
    np.testing.assert_array_equal(label[:7, :9], np.arange(9) * np.ones((7, 1)))
    assert (label == 255).sum() == 121 - 63
    np.testing.assert_array_equal(red, np.where(label == 255, 0, label))


def test_evaluation_takes_the_middle_window_and_no_scale(net, striped):
    options = dict(OPTIONS, split="val", crop=(3, 5), scale=(2, 2), batch=2)
    layer = net(*VOC, voc_dir=striped, **options)
    for _ in range(2):
        images, found = given(layer)
        assert images.shape == (2, 3, 3, 5)
        np.testing.assert_array_equal(found[:, 0], np.arange(2, 7) * np.ones((2, 3, 1)))


def test_scaled_labels_are_those_of_the_nearest_pixels(net, striped):
    """Twice as large each column stands twice; the image is interpolated between them."""
    red, label = samples(net(*VOC, voc_dir=striped, scale=(2, 2), **OPTIONS), 1)[0]
    np.testing.assert_array_equal(label, (np.arange(18) // 2) * np.ones((14, 1)))
    expected = np.clip((np.arange(18) - 0.5) / 2, 0, 8)
    np.testing.assert_allclose(red, expected * np.ones((14, 1)), atol=1e-5)
    heights = {red.shape[0] for red, _ in samples(net(*VOC, voc_dir=striped, scale=[0.5, 2],
                                                      **OPTIONS), 40)}
    assert min(heights) >= 4 and max(heights) <= 14 and len(heights) > 6


@pytest.mark.parametrize("params, words", [
    (dict(batch=0), "'batch' is 0, expected 1 or more samples"),
    (dict(batch=True), "'batch' is True"), (dict(batch=2.0), "'batch' is 2.0"),
    (dict(crop=0), "'crop' is 0, expected a side or (height, width)"),
    (dict(crop=(3, -1)), "'crop' is (3, -1)"), (dict(crop=(3, 4, 5)), "'crop' is (3, 4, 5)"),
    (dict(crop="3"), "'crop' is '3'"),
    (dict(scale=(2, 1)), "'scale' is (2, 1), expected (low, high) with 0 < low <= high <= 16"),
    (dict(scale=(0, 1)), "'scale' is (0, 1)"), (dict(scale=(1, 99)), "'scale' is (1, 99)"),
    (dict(scale=1.5), "'scale' is 1.5"), (dict(scale=("a", "b")), "'scale' is ('a', 'b')")])
def test_batches_windows_and_scales_that_are_none(net, voc, params, words):
    assert words in message(net, *VOC, voc_dir=str(voc), split="train", **params)


def test_sources_pass_the_options_to_the_training_layer_alone(voc):
    source = folder(voc, 3).with_training(batch=4, crop=(5, 6), scale=(0.5, 1.5), jitter=3)
    assert source.batch == 4 and folder(voc, 3).batch == 1
    assert source.val == folder(voc, 3).val
    params = literal(source.tops("train", start=8)["data"].fn.params["param_str"])
    assert (params["batch"], params["crop"], params["scale"], params["jitter"],
            params["start"]) == (4, (5, 6), (0.5, 1.5), 3, 8)


@pytest.mark.parametrize("params", [{}, dict(crop=(4, 6)), dict(crop=11),
                                    dict(split="val", crop=(3, 5), batch=2)])
def test_a_margin_is_what_lies_around_the_label_or_its_reflection(net, striped, params):
    """Around the label, the image goes on; the columns of the whole image are 0 to 8."""
    options = {**OPTIONS, **params}
    narrow, wide = (net(*VOC, voc_dir=striped, margin=margin, **options) for margin in (0, 20))
    for _ in range(8):
        (image, label), (around, same) = given(narrow), given(wide)
        np.testing.assert_array_equal(label, same)
        assert around.shape[2:] == tuple(side + 40 for side in image.shape[2:])
        np.testing.assert_array_equal(around[:, :, 20:-20, 20:-20], image)
        row = around[0, 0, 20]
        if params != dict(crop=11):         # which is padded with the mean before
            places = np.arange(len(row)) - 20 + image[0, 0, 0, 0]
            np.testing.assert_array_equal(row, 8 - abs(places % 16 - 8))


@pytest.mark.parametrize("margin", [-1, 2.5, "186"])
def test_margins_that_are_none(net, voc, margin):
    assert f"'margin' is {margin!r}, expected 0 or more pixels" in message(
        net, *VOC, voc_dir=str(voc), split="val", margin=margin)
