"""The PASCAL-Context layer maps the labels of everything to the classes of the task."""

import numpy as np
import pytest
import scipy.io

from data_samples import picture
from segdata.errors import DataError

CONTEXT = ("pascalcontext_layers", "PASCALContextSegDataLayer")
ALL = ("accordion", "aeroplane", "bedclothes", "cloth", "potted plant", "table")    # 1, 2, ...
CHOSEN = ("aeroplane", "pottedplant", "diningtable", "bedcloth", "clothes")         # classes 1, ...
CLASS_OF = (0, 0, 1, 4, 5, 2, 3)        # of the values 0, 1, ...


@pytest.fixture
def context(tmp_path):
    """The directories of VOC and of Context, with one sample of 9x7 pixels."""
    voc, root = tmp_path / "pascal", tmp_path / "pascal-context"
    for folder in (voc / "VOC2010/JPEGImages", voc / "VOC2010/ImageSets/Main", root / "trainval"):
        folder.mkdir(parents=True)
    picture(1).save(voc / "VOC2010/JPEGImages/2008_000002.jpg", "PNG")
    (voc / "VOC2010/ImageSets/Main/val.txt").write_text("2008_000002\n")
    save_labels(root, (np.arange(63) % 7).reshape(7, 9).astype(np.uint16))
    for name, names in (("labels.txt", ALL), ("59_labels.txt", CHOSEN)):
        lines = [f"{number}: {label}\n" for number, label in enumerate(names, 1)]
        (root / name).write_text("".join(lines))
    return dict(voc_dir=str(voc), context_dir=str(root), split="val"), root


def save_labels(root, values):
    scipy.io.savemat(root / "trainval/2008_000002.mat", {"LabelMap": values})


def test_names_are_mapped_to_the_numbers_of_the_task(net, context):
    params, _ = context
    layer = net(*CONTEXT, **params)
    layer.forward()
    expected = np.array(CLASS_OF)[np.arange(63) % 7].reshape(7, 9)
    np.testing.assert_array_equal(layer.blobs["label"].data[0, 0], expected)
    bgr = np.float32(picture(1))[..., ::-1] - np.float32([104.007, 116.669, 122.679])
    np.testing.assert_array_equal(layer.blobs["data"].data[0], bgr.transpose(2, 0, 1))


@pytest.mark.parametrize("value", [7, 460, -1])
def test_values_without_a_name(net, context, value):
    params, root = context
    save_labels(root, np.full((7, 9), value, np.int16))
    with pytest.raises(DataError, match=f"values are {value} to {value}, labels.txt .* up to 6"):
        net(*CONTEXT, **params)


@pytest.mark.parametrize("text, said", [
    ("1: aeroplane\n2 bicycle\n", "59_labels.txt:2: '2 bicycle' is not a line NUMBER: NAME"),
    ("1: aeroplane\n2: zebra\n", "59_labels.txt: 'zebra' is not in .*labels.txt"),
    ("1: aeroplane\n3: table\n", "59_labels.txt:2: '3: table' has the number 3, expected is 2"),
    ("0: aeroplane\n", "59_labels.txt:1: '0: aeroplane' has the number 0, expected is 1"),
    ("1: table\n2: table\n", "59_labels.txt:2: 'table' has the number 1 already"),
    ("", "59_labels.txt is empty")])
def test_broken_lists_of_names(net, context, text, said):
    params, root = context
    (root / "59_labels.txt").write_text(text)
    with pytest.raises(DataError, match=f"'input'.*{said}"):
        net(*CONTEXT, **params)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_lists_of_names_of_any_encoding(net, context, encoding):
    params, root = context
    for file in ("labels.txt", "59_labels.txt"):
        text = (root / file).read_text().replace("aeroplane", "caf\xe9")
        (root / file).write_text(text, encoding=encoding)
    layer = net(*CONTEXT, **params)
    layer.forward()
    expected = np.array(CLASS_OF)[np.arange(63) % 7].reshape(7, 9)
    np.testing.assert_array_equal(layer.blobs["label"].data[0, 0], expected)


def test_missing_list_of_names(net, context):
    params, root = context
    (root / "labels.txt").unlink()
    with pytest.raises(DataError, match="labels.txt does not exist"):
        net(*CONTEXT, **params)
