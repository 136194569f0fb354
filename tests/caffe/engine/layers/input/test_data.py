"""Data, ImageData, WindowData, MemoryData, HDF5Data and HDF5Output on files in their formats."""

import gc
import threading
import time

import cv2
import h5py
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.engine.layers.input.prefetch import Prefetch
from caffe.errors import LayerError
from caffe.images import datasets
from caffe.images.datum import array_to_datum
from caffe.proto import caffe_pb2

RNG = np.random.default_rng(12)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    caffe.set_random_seed(1)
    return tmp_path


@pytest.fixture
def images(folder):
    """Seven images of one grey each, 10, 20, ... with labels 0, 1, ..."""
    for number in range(7):
        Image.new("RGB", (6, 4), (10 * number + 10,) * 3).save(folder / f"{number}.png")
    (folder / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(7)))


def net(text, phase=caffe.TEST):
    with open("net.prototxt", "w") as file:
        file.write('layer { name: "layer" ' + text + " }")
    return caffe.Net("net.prototxt", phase)


def batches(made, count):
    """What `count` forwards give: (values of each image's first pixel, labels)."""
    values, labels = [], []
    for _ in range(count):
        made.forward()
        values += made.blobs["x"].data[:, 0, 0, 0].tolist()
        labels += made.blobs["t"].data.flatten().tolist()
    return values, labels


DATA = 'type: "Data" top: "x" top: "t" data_param { source: "db" backend: LMDB batch_size: 3 }'
IMAGES = ('type: "ImageData" top: "x" top: "t" '
          'image_data_param { source: "list.txt" batch_size: 3 %s }')


def test_data_goes_round_in_order(images):
    datasets.convert_imageset("list.txt", "", "db")
    made = net(DATA + " transform_param { scale: 0.1 mean_value: 10 }")
    assert made.blobs["x"].shape == (3, 3, 4, 6) and made.blobs["t"].shape == (3,)
    values, labels = batches(made, 4)
    assert labels == [i % 7 for i in range(12)]
    np.testing.assert_allclose(values, labels, atol=1e-5)


def test_each_of_several_solvers_takes_its_share(images):
    datasets.convert_imageset("list.txt", "", "db")
    caffe.set_solver_count(2)
    try:
        for rank in range(2):
            caffe.set_solver_rank(rank)
            _, labels = batches(net(DATA, caffe.TRAIN), 3)
            assert labels == [i % 7 for i in range(rank, 18, 2)]
            assert batches(net(DATA, caffe.TEST), 1)[1] == [0, 1, 2]
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)


def test_encoded_data(images):
    datasets.convert_imageset("list.txt", "", "db", encoded=True)
    assert batches(net(DATA), 1)[0] == [10, 20, 30]
    gray = net(DATA + " transform_param { force_gray: true }")
    assert gray.blobs["x"].shape == (3, 1, 4, 6)


def test_float_data(folder):
    with datasets.writing_features(["db"]) as (write,):
        for number in range(3):
            write(np.full((2, 1, 1), number + 0.5))
    np.testing.assert_array_equal(batches(net(DATA), 1)[0], [0.5, 1.5, 2.5])


@pytest.mark.parametrize("text, complaint", [
    (DATA, "db: cannot be read as an LMDB"),
    (DATA.replace("backend: LMDB", ""), "expected backend: LMDB; LevelDB.*convert_imageset"),
    (DATA.replace("batch_size: 3", ""), "batch_size of at least 1"),
    (DATA.replace("batch_size: 3", "batch_size: 3 prefetch: 0"), "prefetch of at least 1"),
    ((IMAGES % "").replace('top: "t"', ""), r"produces 2 top blob\(s\)"),
    (IMAGES % "", "list.txt: no such file"),
    (IMAGES % "new_height: 3", "both new_height and new_width")])
def test_what_cannot_be_set_up(folder, text, complaint):
    with pytest.raises(LayerError, match=f"'layer'.*{complaint}"):
        net(text)


def test_a_damaged_record_is_named_in_forward(images, folder):
    with datasets.writing_lmdb("db") as write:
        write("0", array_to_datum(np.zeros((1, 2, 2), np.uint8)))
        bad = array_to_datum(np.zeros((1, 2, 2), np.uint8))
        bad.height = 5
        write("the bad one", bad)
    made = net(DATA)
    with pytest.raises(LayerError, match="'layer'.*db, key the bad one: a damaged record"):
        made.forward()


def test_image_data_goes_round_in_order(images):
    values, labels = batches(net(IMAGES % ""), 4)
    assert labels == [i % 7 for i in range(12)]
    assert values == [10 * label + 10 for label in labels]


def test_image_data_shuffles_each_round_anew_and_repeats_with_a_seed(images):
    runs = []
    for _ in range(2):
        caffe.set_random_seed(3)
        values, labels = batches(net(IMAGES.replace("batch_size: 3", "batch_size: 7")
                                     % "shuffle: true"), 2)
        assert values == [10 * label + 10 for label in labels]
        assert sorted(labels[:7]) == sorted(labels[7:]) == list(range(7))
        assert labels[:7] != labels[7:]
        runs.append(labels)
    assert runs[0] == runs[1]


def test_image_data_resizes_and_skips_and_is_grey(images):
    made = net(IMAGES % "new_height: 8 new_width: 5 is_color: false rand_skip: 3")
    assert made.blobs["x"].shape == (3, 1, 8, 5)
    values, labels = batches(made, 1)
    assert values == [10 * label + 10 for label in labels] and labels[0] in (0, 1, 2)


def test_image_data_under_a_root(images, folder):
    (folder / "list.txt").write_text("0.png 0\n")
    assert batches(net(IMAGES % f'root_folder: "{folder}/"'), 1)[0] == [10, 10, 10]


def test_images_of_different_sizes_are_told_apart(images, folder):
    Image.new("RGB", (3, 3)).save(folder / "1.png")
    made = net(IMAGES % "")
    with pytest.raises(LayerError, match=r"list.txt:2: an image of shape \(3, 3, 3\) in one batch"):
        made.forward()
    made = net(IMAGES.replace("batch_size: 3", "") % "")
    made.forward()
    made.forward()
    assert made.blobs["x"].shape == (1, 3, 3, 3)


def test_an_image_that_cannot_be_read_is_named(images, folder):
    (folder / "2.png").write_bytes(b"nonsense")
    made = net(IMAGES % "")
    for _ in range(3):      # also after the thread that reads has ended
        with pytest.raises(LayerError, match="list.txt:3: 2.png: not an image, or a damaged one"):
            made.forward()


def test_as_many_batches_are_made_ahead_as_prefetch_says():
    taken = []
    prefetch = Prefetch(lambda place: iter(lambda: taken.append(place) or (len(taken), None), None),
                        None, 2)
    assert [prefetch.next() for _ in range(3)] == [1, 2, 3]
    time.sleep(0.3)
    assert len(taken) == 3 + 2 + 1      # three given, two in the queue, one in the thread's hand


def test_threads_end_with_their_net(images):
    before = set(threading.enumerate())
    made = net(IMAGES % "")
    made.forward()
    thread, = set(threading.enumerate()) - before
    del made
    gc.collect()
    thread.join(timeout=5)
    assert not thread.is_alive()


# windows

WINDOWS = """# 0
left.png
3
20
40
2
1 0.9 0 0 9 9
0 0.1 20 0 39 19
# 1
right.png
3
20
40
1
2 0.7 30 10 49 19
"""
WINDOW_DATA = ('type: "WindowData" top: "x" top: "t" window_data_param { source: "windows.txt" '
               'batch_size: 8 fg_fraction: 0.5 %s } transform_param { crop_size: 8 %s }')


@pytest.fixture
def windows(folder):
    """Red left halves, blue right halves; the second image's window reaches beyond it."""
    pixels = np.zeros((20, 40, 3), np.uint8)
    pixels[:, :20, 0] = pixels[:, 20:, 2] = 255
    for name in ("left", "right"):
        Image.fromarray(pixels).save(folder / f"{name}.png")
    (folder / "windows.txt").write_text(WINDOWS)


def test_windows_background_first(windows):
    made = net(WINDOW_DATA % ("scale: 0.1", "mean_value: 5"))
    assert made.blobs["x"].shape == (8, 3, 8, 8)
    made.forward()
    labels, crops = made.blobs["t"].data, made.blobs["x"].data
    assert not labels[:4].any() and set(labels[4:]) <= {1, 2}
    for label, crop in zip(labels, crops):
        blue, green, red = crop[:, 4, 1]
        np.testing.assert_allclose(green, -0.5, rtol=1e-5)
        np.testing.assert_allclose((red, blue), (25, -0.5) if label == 1 else (-0.5, 25), rtol=1e-5)


def test_the_scale_of_transform_param_has_no_effect_on_windows(windows, caplog):
    """As in the original, which reads window_data_param's; prototxts of old have it moved."""
    crops = []
    for own, common in (("", ""), ("", "scale: 0.1"), ("scale: 0.1", "")):
        caffe.set_random_seed(1)
        caplog.clear()
        made = net(WINDOW_DATA % (own, common))
        made.forward()
        crops.append(made.blobs["x"].data.copy())
        said = "the scale of 0.1 in transform_param has no effect; window_data_param { scale: 0.1 }"
        assert (said in caplog.text) == bool(common)
    np.testing.assert_array_equal(crops[0], crops[1])
    np.testing.assert_allclose(crops[2], crops[0] * np.float32(0.1), rtol=1e-6)


def test_what_lies_beyond_the_image_is_zero(windows, folder):
    (folder / "windows.txt").write_text(WINDOWS.split("# 1")[1].join(["# 1", ""]))
    text = WINDOW_DATA.replace("fg_fraction: 0.5", "fg_fraction: 1") % ("", "mean_value: 5")
    made = net(text)
    made.forward()
    crop = made.blobs["x"].data[0]      # columns 30 to 49 of 40: the right half is missing
    assert (crop[0, :, :4] == 250).all() and not crop[:, :, 4:].any()


def half_up(value):
    return int(np.floor(float(value) + 0.5))


def warped_by_opencv(pixels, box, size, pad, square, mirror):
    """A window of `pixels` (height, width, 3) warped one axis after the other, in float32."""
    axes = []
    half = [np.float32(box[i + 2] - box[i] + 1) / np.float32(2) for i in range(2)]
    for axis, limit in enumerate((pixels.shape[1], pixels.shape[0])):
        centre = np.float32(box[axis]) + half[axis]
        reach = max(half) if square else half[axis]
        reach *= np.float32(size) / np.float32(size - 2 * pad)
        first, last = half_up(centre - reach), half_up(centre + reach)
        scale = np.float32(size) / np.float32(last - first + 1)
        before, after = max(0, -first), max(0, last - limit + 1)
        start = half_up(np.float32(after if mirror and axis == 0 else before) * scale)
        kept = range(first + before, last - after + 1)
        axes.append((kept, start, min(half_up(np.float32(len(kept)) * scale), size - start)))
    (columns, x, width), (rows, y, height) = axes
    part = cv2.resize(pixels[rows.start:rows.stop, columns.start:columns.stop], (width, height))
    out = np.zeros((size, size, 3))
    out[y:y + height, x:x + width] = part[:, ::-1] if mirror else part
    return out.transpose(2, 0, 1)


@pytest.mark.parametrize("mode", ["warp", "square"])
@pytest.mark.parametrize("box", [(2, 3, 22, 17), (10, 4, 20, 11), (0, 0, 7, 19), (30, 10, 39, 19)])
def test_surroundings_and_squares_are_as_opencv_warps_them(folder, box, mode):
    """(2, 3, 22, 17) begins a pixel further right where it is computed in double."""
    pixels = np.random.default_rng(2).integers(1, 256, (20, 40, 3)).astype(np.uint8)
    cv2.imwrite("image.png", pixels)
    line = " ".join(map(str, box))
    (folder / "windows.txt").write_text(
        f"# 0\nimage.png\n3\n20\n40\n2\n1 0.9 {line}\n0 0.1 {line}\n")
    made = net((WINDOW_DATA % (f'context_pad: 2 crop_mode: "{mode}"', "mirror: true"))
               .replace("crop_size: 8", "crop_size: 32"))
    made.forward()
    expected = [warped_by_opencv(pixels, box, 32, 2, mode == "square", flip) for flip in (0, 1)]
    matches = [[np.abs(crop - e).max() <= 1 for e in expected] for crop in made.blobs["x"].data]
    assert all(sum(one) == 1 for one in matches) and np.any(matches, axis=0).all()


@pytest.mark.parametrize("options, complaint", [
    ("context_pad: 4", "context_pad of 4 on each side leaves nothing of a crop_size of 8"),
    ("fg_fraction: 1.5", "fg_fraction between 0 and 1, got 1.5"),
    ('crop_mode: "wrap"', "crop_mode warp or square, got 'wrap'")])
def test_options_of_windows_that_make_no_sense(windows, options, complaint):
    with pytest.raises(LayerError, match=complaint):
        net(WINDOW_DATA.replace("fg_fraction: 0.5", "") % (options, ""))


def test_thresholds_and_shares_are_compared_as_float32(windows, folder):
    """0.6 and 0.7 are not what they are in double."""
    (folder / "windows.txt").write_text(
        "# 0\nleft.png\n3\n20\n40\n3\n1 0.6 0 0 9 9\n0 0.1 0 0 9 9\n3 0.3 0 0 9 9\n")
    made = net((WINDOW_DATA % ("fg_threshold: 0.6 bg_threshold: 0.3", ""))
               .replace("batch_size: 8 fg_fraction: 0.5", "batch_size: 10 fg_fraction: 0.7"))
    made.forward()
    assert made.blobs["t"].data.tolist() == [0] * 3 + [1] * 7


def test_a_window_outside_of_its_image(windows, folder):
    (folder / "windows.txt").write_text(WINDOWS.replace("0 0 9 9", "50 0 59 9")
                                        .replace("30 10 49 19", "50 0 59 9"))
    with pytest.raises(LayerError,
                       match=r"windows.txt:\d+: the window \[50, 0, 59, 9\] has no part"):
        net(WINDOW_DATA % ("", "")).forward()


def test_means_that_do_not_fit_the_windows(windows, folder):
    with pytest.raises(LayerError, match="each of 3 channels, got 2"):
        net(WINDOW_DATA % ("", "mean_value: [1, 2]"))
    for height, width in ((2, 2), (8, 20)):
        (folder / "mean.binaryproto").write_bytes(caffe_pb2.BlobProto(
            num=1, channels=3, height=height, width=width,
            data=[1] * (3 * height * width)).SerializeToString())
        with pytest.raises(LayerError, match=rf"at least 8x8, got \(3, {height}, {width}\)"):
            net(WINDOW_DATA % ("", 'mean_file: "mean.binaryproto"'))


@pytest.mark.parametrize("text, complaint", [
    ("left.png\n", "windows.txt:1: expected `# index`"),
    ("# 0\nleft.png\n3\n20\n", "windows.txt:4: the file ends within an entry"),
    ("# 0\nleft.png\n3\n20\n40\n1\n1 0.9 0 0 9\n", "windows.txt:7: expected `class overlap"),
    ("# 0\nleft.png\n3\ntall\n", "windows.txt:4: invalid literal"),
    ("# 0\nleft.png\n3\n20\n40\n1\n0 0.9 0 0 9 9\n", "windows.txt:7: expected the class"),
    ("# 0\nleft.png\n3\n20\n40\n1\n1 0.9 3 0 2 9\n", "windows.txt:7: expected left <= right"),
    ("", "lists no images"),
    ("# 0\nleft.png\n3\n20\n40\n0\n", "no foreground windows")])
def test_window_files_that_are_wrong(windows, folder, text, complaint):
    (folder / "windows.txt").write_text(text)
    with pytest.raises(LayerError, match=complaint):
        net(WINDOW_DATA % ("", ""))


# memory

MEMORY = ('type: "MemoryData" top: "x" top: "t" '
          'memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 }')


@pytest.mark.parametrize("shape", [(4,), (4, 1, 1, 1)])
def test_memory_data_goes_round(shape):
    made = net(MEMORY)
    data = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
    made.set_input_arrays(data, np.arange(4, dtype=np.float32).reshape(shape))
    assert batches(made, 3) == ([0, 6, 12, 18, 0, 6], [0, 1, 2, 3, 0, 1])
    assert made.blobs["t"].shape == (2, 1, 1, 1)


def test_what_memory_data_refuses():
    made, good = net(MEMORY), np.zeros((4, 1, 2, 3), np.float32)
    with pytest.raises(LayerError, match="'layer'.*set_input_arrays"):
        made.forward()
    for data, labels, complaint in (
            (good.astype(float), good[:, 0, 0, 0].copy(), "float32 array, got float64"),
            ([1], [1], "float32 array, got list"),
            (good[::2], np.zeros(2, np.float32), "C-contiguous array, got the strides"),
            (good[:3], np.zeros(3, np.float32), "multiple of the batch_size 2, got 3"),
            (good, np.zeros(3, np.float32), r"labels \(N,\), got .* and \(3,\)"),
            (good[:, :, :1].copy(), np.zeros(4, np.float32), r"\(N, 1, 2, 3\)")):
        with pytest.raises(LayerError, match=complaint):
            made.set_input_arrays(data, labels)


# HDF5

HDF5 = 'type: "HDF5Data" top: "x" top: "t" hdf5_data_param { source: "files.txt" batch_size: 4 %s }'


@pytest.fixture
def files(folder):
    """Rows 0 to 6 in two files."""
    for name, rows in (("a.h5", range(3)), ("b.h5", range(3, 7))):
        with h5py.File(folder / name, "w") as file:
            file["x"] = np.array(rows, float).reshape(-1, 1, 1, 1) * np.ones((1, 2, 1, 1))
            file["t"] = np.array(rows)
    (folder / "files.txt").write_text("a.h5\nb.h5\n")


def test_hdf5_batches_run_over_the_ends_of_files(files):
    made = net(HDF5 % "")
    assert made.blobs["x"].shape == (4, 2, 1, 1) and made.blobs["t"].shape == (4,)
    values, labels = batches(made, 4)
    assert labels == values == [i % 7 for i in range(16)]


def test_a_single_hdf5_file_is_read_once(files, folder):
    (folder / "files.txt").write_text("a.h5\n")
    made = net(HDF5 % "")
    (folder / "a.h5").unlink()
    assert batches(made, 2)[1] == [0, 1, 2, 0, 1, 2, 0, 1]


def test_hdf5_rounds_are_shuffled(files):
    values, labels = batches(net(HDF5.replace("batch_size: 4", "batch_size: 7") % "shuffle: true"),
                             2)
    assert values == labels and labels[:7] != labels[7:]
    assert sorted(labels[:7]) == sorted(labels[7:]) == list(range(7))


def test_hdf5_shares(files):
    caffe.set_solver_count(3)
    try:
        for rank in range(3):
            caffe.set_solver_rank(rank)
            assert batches(net(HDF5 % "", caffe.TRAIN), 3)[1] == [
                i % 7 for i in range(rank, 36, 3)]
    finally:
        caffe.set_solver_count(1)
        caffe.set_solver_rank(0)


def test_hdf5_files_that_are_wrong(files, folder):
    (folder / "files.txt").write_text("a.h5\nabsent.h5\n")
    made = net(HDF5 % "")
    with pytest.raises(LayerError, match="'layer'.*absent.h5: no such file"):
        made.forward()
    with pytest.raises(LayerError, match="a.h5: not an HDF5 file"):
        net((HDF5 % "").replace('"t"', '"other"'))
    with h5py.File(folder / "a.h5", "a") as file:
        del file["t"]
        file["t"] = [1, 2]
    with pytest.raises(LayerError, match="a.h5: expected datasets of as many rows"):
        net(HDF5 % "")


def test_hdf5_output_is_what_hdf5_data_reads(files, folder):
    (folder / "net.prototxt").write_text("layer { name: 'in' " + HDF5 % "" + """ }
        layer { name: "out" type: "HDF5Output" bottom: "x" bottom: "t"
                hdf5_output_param { file_name: "out.h5" } }""")
    made = caffe.Net("net.prototxt", caffe.TEST)
    made.forward()
    made.forward()
    with h5py.File("out.h5") as file:
        assert file["data"].shape == (4, 2, 1, 1) and file["label"].shape == (4, 1, 1, 1)
        assert file["label"][:].ravel().tolist() == [4, 5, 6, 0]
