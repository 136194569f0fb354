"""Data, ImageData, WindowData, MemoryData, HDF5Data and HDF5Output on files in their formats."""

import gc
import threading

import h5py
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe import datasets
from caffe.datum import array_to_datum
from caffe.errors import LayerError
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
        labels += made.blobs["t"].data.tolist()
    return values, labels


DATA = 'type: "Data" top: "x" top: "t" data_param { source: "db" backend: LMDB batch_size: 3 }'
IMAGES = 'type: "ImageData" top: "x" top: "t" image_data_param { source: "list.txt" batch_size: 3 %s }'


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
    (IMAGES % "", "list.txt: cannot be read"),
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
        with pytest.raises(LayerError, match="list.txt:3: 2.png: cannot be read as an image"):
            made.forward()


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
    made = net(WINDOW_DATA % ("", "mean_value: 5 scale: 0.1"))
    assert made.blobs["x"].shape == (8, 3, 8, 8)
    made.forward()
    labels, crops = made.blobs["t"].data, made.blobs["x"].data
    assert not labels[:4].any() and set(labels[4:]) <= {1, 2}
    for label, crop in zip(labels, crops):
        blue, green, red = crop[:, 4, 1]
        np.testing.assert_allclose(green, -0.5, rtol=1e-5)
        np.testing.assert_allclose((red, blue), (25, -0.5) if label == 1 else (-0.5, 25), rtol=1e-5)


def test_what_lies_beyond_the_image_is_zero(windows, folder):
    (folder / "windows.txt").write_text(WINDOWS.split("# 1")[1].join(["# 1", ""]))
    text = WINDOW_DATA.replace("fg_fraction: 0.5", "fg_fraction: 1") % ("", "mean_value: 5")
    made = net(text)
    made.forward()
    crop = made.blobs["x"].data[0]      # columns 30 to 49 of 40: the right half is missing
    assert (crop[0, :, :4] == 250).all() and not crop[:, :, 4:].any()


def test_surroundings_and_squares(windows):
    made = net(WINDOW_DATA % ('context_pad: 2 crop_mode: "square"', "mirror: true"))
    made.forward()
    assert made.blobs["x"].data.any()


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
    with pytest.raises(LayerError, match=r"windows.txt:\d+: the window \[50, 0, 59, 9\] has no part"):
        net(WINDOW_DATA % ("", "")).forward()


def test_means_that_do_not_fit_the_windows(windows, folder):
    with pytest.raises(LayerError, match="each of 3 channels, got 2"):
        net(WINDOW_DATA % ("", "mean_value: [1, 2]"))
    (folder / "mean.binaryproto").write_bytes(caffe_pb2.BlobProto(
        num=1, channels=3, height=2, width=2, data=[1] * 12).SerializeToString())
    with pytest.raises(LayerError, match=r"at least 8x8, got \(3, 2, 2\)"):
        net(WINDOW_DATA % ("", 'mean_file: "mean.binaryproto"'))


@pytest.mark.parametrize("text, complaint", [
    ("left.png\n", "windows.txt:1: expected `# index`"),
    ("# 0\nleft.png\n3\n20\n", "windows.txt:1: the file ends within an entry"),
    ("# 0\nleft.png\n3\n20\n40\n1\n0 0.9 0 0 9 9\n", "windows.txt:7: expected the class"),
    ("# 0\nleft.png\n3\n20\n40\n1\n1 0.9 3 0 2 9\n", "windows.txt:7: expected left <= right"),
    ("", "lists no images"),
    ("# 0\nleft.png\n3\n20\n40\n0\n", "no foreground windows")])
def test_window_files_that_are_wrong(windows, folder, text, complaint):
    (folder / "windows.txt").write_text(text)
    with pytest.raises(LayerError, match=complaint):
        net(WINDOW_DATA % ("", ""))


# memory

MEMORY = 'type: "MemoryData" top: "x" top: "t" memory_data_param { batch_size: 2 channels: 1 height: 2 width: 3 }'


@pytest.mark.parametrize("shape", [(4,), (4, 1, 1, 1)])
def test_memory_data_goes_round(shape):
    made = net(MEMORY)
    data = np.arange(24, dtype=np.float32).reshape(4, 1, 2, 3)
    made.set_input_arrays(data, np.arange(4, dtype=np.float32).reshape(shape))
    assert batches(made, 3) == ([0, 6, 12, 18, 0, 6], [0, 1, 2, 3, 0, 1])


def test_what_memory_data_refuses():
    made, good = net(MEMORY), np.zeros((4, 1, 2, 3), np.float32)
    with pytest.raises(LayerError, match="'layer'.*set_input_arrays"):
        made.forward()
    for data, labels, complaint in (
            (good.astype(float), good[:, 0, 0, 0].copy(), "float32 array, got float64"),
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
    with pytest.raises(LayerError, match="'layer'.*absent.h5: cannot be read"):
        made.forward()
    with pytest.raises(LayerError, match="a.h5: cannot be read"):
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
