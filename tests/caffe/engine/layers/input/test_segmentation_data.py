"""ImageSegData, WindowSegData and DenseImageData, from files."""

import re

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.errors import LayerError

MEAN = "mean_value: 100 mean_value: 110 mean_value: 120"


@pytest.fixture
def folder(tmp_path):
    """Three images of different sizes with their labels, and list.txt."""
    rng = np.random.default_rng(0)
    for i, size in enumerate([(20, 30), (24, 26), (33, 17)]):
        Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(tmp_path / f"{i}.png")
        Image.fromarray(rng.integers(0, 9, size, np.uint8)).save(tmp_path / f"l{i}.png")
    (tmp_path / "list.txt").write_text("".join(f"{i}.png l{i}.png\n" for i in range(3)))
    return tmp_path


def seg(folder, data, transform=MEAN, phase=caffe.TEST, tops=3, source="list.txt",
        kind="ImageSegData"):
    """A net of an ImageSegData layer, or of another kind of it."""
    names = " ".join(f'top: "{name}"' for name in ("data", "label", "dim")[:tops])
    (folder / "net.prototxt").write_text(
        f'layer {{ name: "d" type: "{kind}" {names} transform_param {{ {transform} }} '
        f'image_data_param {{ source: "{folder}/{source}" root_folder: "{folder}/" {data} }} }}')
    return caffe.Net(str(folder / "net.prototxt"), phase)


def dense(folder, data, transform="", phase=caffe.TEST, source="list.txt"):
    """A net of a DenseImageData layer."""
    (folder / "net.prototxt").write_text(
        f'layer {{ name: "d" type: "DenseImageData" top: "data" top: "label" transform_param {{ '
        f'{transform} }} dense_image_data_param {{ source: "{folder}/{source}" root_folder: '
        f'"{folder}/" {data} }} }}')
    return caffe.Net(str(folder / "net.prototxt"), phase)


def picture(folder, i):
    """Image i as B G R less the mean, and its labels."""
    image = np.asarray(Image.open(folder / f"{i}.png")).astype(float)[:, :, ::-1].transpose(2, 0, 1)
    return image - np.reshape([100, 110, 120], (3, 1, 1)), np.asarray(Image.open(
        folder / f"l{i}.png"))


@pytest.mark.parametrize("kind, data", [(seg, "label_type: PIXEL"), (dense, "")])
def test_labels_are_resized_to_opencv_s_nearest(folder, kind, data):
    """Whose index of column 17 is that of 17 / (34 / 6), a little below 3."""
    Image.new("RGB", (6, 1)).save(folder / "0.png")
    Image.fromarray(np.arange(6, dtype=np.uint8)[None]).save(folder / "l0.png")
    net = kind(folder, f"{data} batch_size: 1 new_height: 1 new_width: 34")
    net.forward()
    assert net.blobs["label"].data.ravel().tolist() == [
        0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4,
        5, 5, 5, 5, 5]


def test_images_are_padded_with_the_mean_and_cut_in_the_centre(folder):
    net = seg(folder, "batch_size: 3 label_type: PIXEL ignore_label: 77", f"{MEAN} crop_size: 24")
    net.forward()
    data, label, dim = (net.blobs[name].data for name in ("data", "label", "dim"))
    assert data.shape == (3, 3, 24, 24) and label.shape == (3, 1, 24, 24)
    assert dim.reshape(3, 2).tolist() == [[20, 24], [24, 24], [24, 17]]
    image, labels = picture(folder, 0)
    np.testing.assert_allclose(data[0, :, :20], image[:, :, 3:27], atol=1e-4)
    np.testing.assert_array_equal(label[0, 0, :20], labels[:, 3:27])
    assert not data[0, :, 20:].any() and (label[0, 0, 20:] == 77).all()


def test_image_and_label_go_together_at_random(folder):
    caffe.set_random_seed(4)
    net = seg(folder, "batch_size: 3 label_type: PIXEL shuffle: true",
              "crop_size: 9 mirror: true scale_factors: 1 scale_factors: 2", caffe.TRAIN)
    net.forward()
    first = net.blobs["data"].data.copy()
    # where an image is its label's index three times, both show the same
    for i in range(3):
        label = Image.open(folder / f"l{i}.png")
        Image.merge("RGB", [label] * 3).save(folder / f"{i}.png")
    net = seg(folder, "batch_size: 3 label_type: PIXEL shuffle: true", "crop_size: 9 mirror: true",
              caffe.TRAIN)
    places = set()
    for _ in range(6):
        net.forward()
        for channel in range(3):
            np.testing.assert_array_equal(net.blobs["data"].data[:, channel],
                                          net.blobs["label"].data[:, 0])
        places.add(net.blobs["label"].data.tobytes())
    assert len(places) == 6 and first.shape == (3, 3, 9, 9)


def test_scaled_labels_are_labels(folder):
    net = seg(folder, "batch_size: 1 label_type: PIXEL", "scale_factors: 2.5", caffe.TRAIN)
    net.forward()
    _, labels = picture(folder, 0)
    assert net.blobs["label"].data.shape == (1, 1, 50, 75)
    np.testing.assert_array_equal(net.blobs["label"].data[0, 0, ::5, ::5],
                                  labels[::2, ::2])


def test_one_label_for_all_pixels_or_none(folder):
    (folder / "numbers.txt").write_text("0.png 7\n")
    net = seg(folder, "batch_size: 1", "crop_size: 24", source="numbers.txt")
    net.forward()
    assert set(np.unique(net.blobs["label"].data)) == {7, 255}
    (folder / "names.txt").write_text("0.png\n")
    net = seg(folder, "batch_size: 1 label_type: NONE", "crop_size: 24", source="names.txt")
    net.forward()
    assert (net.blobs["label"].data == 255).all()
    assert seg(folder, "batch_size: 1 has_label: false", tops=1, source="names.txt").blobs[
        "data"].shape == (1, 3, 20, 30)


@pytest.mark.parametrize("make", [dense, seg])
def test_a_batch_of_one_has_the_size_of_each_image(folder, make):
    more = "" if make is dense else "label_type: PIXEL"
    net = make(folder, f"batch_size: 1 {more}", MEAN)
    for i in (0, 1, 2, 0):
        net.forward()
        image, labels = picture(folder, i)
        np.testing.assert_allclose(net.blobs["data"].data[0], image, atol=1e-4)
        np.testing.assert_array_equal(net.blobs["label"].data[0, 0], labels)


def test_a_label_with_a_palette_is_its_indices(folder):
    label = Image.open(folder / "l0.png").convert("P")
    label.putdata(list(np.asarray(Image.open(folder / "l0.png")).ravel()))
    label.putpalette(list(range(255, -1, -1)) * 3)
    label.save(folder / "l0.png")
    net = dense(folder, "batch_size: 1")
    net.forward()
    assert net.blobs["label"].data.max() < 9


def test_mirrored_and_cut_at_random_in_both_phases(folder):
    for i in range(3):
        label = Image.open(folder / f"l{i}.png")
        Image.merge("RGB", [label] * 3).save(folder / f"{i}.png")
    net = dense(folder, "batch_size: 3 mirror: true crop_height: 8 crop_width: 9")
    found = set()
    for _ in range(5):
        net.forward()
        np.testing.assert_array_equal(net.blobs["data"].data[:, 1], net.blobs["label"].data[:, 0])
        found.add(net.blobs["label"].data.tobytes())
    assert len(found) == 5 and net.blobs["label"].data.shape == (3, 1, 8, 9)


def test_labels_of_an_encoder_are_smaller(folder):
    net = dense(folder, "batch_size: 1 new_height: 16 new_width: 24 label_divide_factor: 8")
    net.forward()
    _, labels = picture(folder, 0)
    assert net.blobs["data"].data.shape == (1, 3, 16, 24)
    np.testing.assert_array_equal(net.blobs["label"].data[0, 0], labels[::10, ::10])


def test_a_run_goes_on_where_it_stood(folder):
    caffe.set_random_seed(1)
    net, other = (seg(folder, "batch_size: 1 label_type: PIXEL shuffle: true") for _ in "ab")
    for _ in range(4):
        net.forward()
    other.layers[0].resume_from(net.layers[0].resume_state())
    for _ in range(5):
        net.forward()
        other.forward()
        np.testing.assert_array_equal(net.blobs["data"].data, other.blobs["data"].data)


REFUSED = {
    "mean file": (seg, "batch_size: 1", 'mean_file: "m"', "mean_value.*mean_file"),
    "two crops": (seg, "batch_size: 1", "crop_size: 3 crop_height: 3 crop_width: 3", "crop_size"),
    "half a crop": (seg, "batch_size: 1", "crop_height: 3", "both crop_height and crop_width"),
    "half a size": (dense, "batch_size: 1 new_width: 3", "", "both new_height and new_width"),
    "mirror there": (dense, "batch_size: 1", "mirror: true", "dense_image_data_param"),
    "too large": (dense, "batch_size: 1 crop_height: 21 crop_width: 9", "",
                  r"list.txt:1: a crop of 21 x 9.*\(20, 30\)"),
    "a number": (seg, "batch_size: 1", "", r"list.txt:1: .*whole number.*'l0.png'.*PIXEL"),
}


@pytest.mark.parametrize("make, data, transform, message", REFUSED.values(), ids=REFUSED)
def test_refused(folder, make, data, transform, message):
    with pytest.raises(LayerError, match=f"layer 'd'.*{message}"):
        make(folder, data, transform)


@pytest.mark.parametrize("line, message", [
    ("0.png", "list.txt:1: the line has no label"),
    ("0.png l1.png", r"list.txt:1: expected a label of the image's size, \(20, 30\), got "
                     r"\(24, 26\)"),
    ("none.png l1.png", "list.txt:1: .*none.png: no such file"), ("", "it lists no images")])
def test_lines_that_are_wrong(folder, line, message):
    (folder / "list.txt").write_text(line)
    with pytest.raises(LayerError, match=f"layer 'd'.*{message}"):
        dense(folder, "batch_size: 1")


def test_images_of_several_sizes_in_a_batch(folder):
    net = dense(folder, "batch_size: 2")
    with pytest.raises(LayerError, match=re.escape("(3, 24, 26)")):
        net.forward()


def windows(folder, lines, data="batch_size: 1 label_type: PIXEL", **options):
    """A net of a WindowSegData layer of such lines."""
    (folder / "windows.txt").write_text("\n".join(lines) + "\n")
    return seg(folder, data, source="windows.txt", kind="WindowSegData", **options)


def test_a_window_is_cut_out_and_what_lies_beyond_is_black_and_void(folder):
    net = windows(folder, ["0.png l0.png -2 3 8 21"])
    net.forward()
    data, label = net.blobs["data"].data[0], net.blobs["label"].data[0, 0]
    assert data.shape == (3, 19, 11) and label.shape == (19, 11)
    image, labels = picture(folder, 0)                                      # of 20 x 30
    np.testing.assert_allclose(data[:, :17, 2:], image[:, 3:, :9], atol=1e-4)
    np.testing.assert_array_equal(label[:17, 2:], labels[3:, :9])
    np.testing.assert_array_equal(data[:, 17:, 0], np.full((3, 2), [[-100], [-110], [-120]]))
    assert (label[17:] == 255).all() and (label[:, :2] == 255).all()
    assert net.blobs["dim"].data.ravel().tolist() == [19, 11]               # at most the top's


def test_windows_get_one_size_and_are_cropped(folder):
    net = windows(folder, ["0.png l0.png 4 2 23 15", "1.png l1.png 0 0 3 3"],
                  "batch_size: 2 label_type: PIXEL new_height: 28 new_width: 40",
                  transform=f"{MEAN} crop_size: 24")
    net.forward()
    assert net.blobs["data"].data.shape == (2, 3, 24, 24)
    labels = picture(folder, 0)[1][2:16, 4:24].repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(net.blobs["label"].data[0, 0], labels[2:26, 8:32])


def test_windows_without_labels(folder):
    net = windows(folder, ["0.png 0 0 3 4"], "batch_size: 1 label_type: NONE ignore_label: 9")
    net.forward()
    assert net.blobs["data"].data.shape == (1, 3, 5, 4) and (net.blobs["label"].data == 9).all()


@pytest.mark.parametrize("line", ["0.png l0.png", "0.png l0.png 1 2 3", "0.png l0.png 5 0 4 9",
                                  "0.png l0.png a b c d", "0.png 0 0 4 9"])
def test_a_line_without_a_window(folder, line):
    with pytest.raises(LayerError, match=r"windows.txt:2: expected `image label left top right "
                                         r"bottom`, with left <= right"):
        windows(folder, ["0.png l0.png 0 0 4 4", line])


def test_a_label_of_another_size_than_the_image_of_a_window(folder):
    with pytest.raises(LayerError, match=r"windows.txt:1.*image's size, \(20, 30\)"):
        windows(folder, ["0.png l1.png 0 0 4 4"],
                "batch_size: 1 label_type: PIXEL new_height: 8 new_width: 8")


def test_a_window_that_no_memory_holds(folder):
    with pytest.raises(caffe.CaffeError, match="memory"):
        windows(folder, ["0.png l0.png 0 0 1000000 1000000"])
