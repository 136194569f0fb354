"""Text that is not UTF-8, byte order marks, and lines of lists as the original takes them apart."""

import codecs
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.cli import main
from caffe.errors import CaffeError, LayerError, PrototxtError, WeightsError
from caffe.formats import prototxt, text
from caffe.images import datasets
from caffe.images.datum import decode
from caffe.images.lists import read_list
from caffe.proto import caffe_pb2

NAME = "caf\xe9".encode("latin-1")      # as a file system keeps it
COMMENT = "# \u5377\u79ef\n".encode("gbk")
NET = b"""name: "net"
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "fc" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, *pieces):
    with open(path, "wb") as file:
        file.write(b"".join(pieces))


def picture(path, value):
    with open(path, "wb") as file:
        Image.new("RGB", (6, 4), (value,) * 3).save(file, "PNG")


def test_bytes_come_back():
    content = bytes(range(256)) * 2 + "\u00e9\u5377".encode() + COMMENT
    assert text.encode(text.decode(content)) == content
    assert os.fsencode(text.file_name(text.decode(NAME))) == NAME
    assert text.printable(text.decode(NAME + "é".encode())) == "caf\\xe9é"
    assert text.printable(os.fsdecode(NAME)) == "caf\\xe9"


@pytest.mark.parametrize("before", [COMMENT, codecs.BOM_UTF8, codecs.BOM_UTF8 + COMMENT])
def test_comments_and_marks_in_prototxts(before):
    write("net.prototxt", before, NET)
    write("solver.prototxt", before, b'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed"')
    assert prototxt.read_net("net.prototxt").name == "net"
    assert caffe.get_solver("solver.prototxt").net.name == "net"
    assert main(["upgrade_net_proto_text", "net.prototxt", "new.prototxt"]) == 0
    assert prototxt.read_net("new.prototxt") == prototxt.read_net("net.prototxt")


def test_names_in_prototxts():
    """Layers, blobs and nets named in bytes: their parameters find each other in files."""
    write("net.prototxt", NET.replace(b'"fc"', b'"' + NAME + b'"').replace(b'"y"', b'"\xff"'))
    made, again = (caffe.Net("net.prototxt", caffe.TEST) for _ in range(2))
    (name, (weights, _)), = made.params.items()
    weights.data[...] = [[1, 2, 3], [4, 5, 6]]
    made.save("w.caffemodel")
    made.save_hdf5("w.h5")
    with h5py.File("w.h5") as file:
        assert NAME in list(file["data"])
    for path in ("w.caffemodel", "w.h5"):
        again.params[name][0].data[...] = 0
        again.copy_from(path)
        np.testing.assert_array_equal(again.params[name][0].data, weights.data)
    with pytest.raises(LayerError, match=r"layer 'caf\\xe9'") as raised:
        made.blobs["x"].reshape(2, 4)
        made.forward()
    assert str(raised.value).encode("ascii")
    assert main(["upgrade_net_proto_text", "net.prototxt", "new.prototxt"]) == 0
    assert NAME in Path("new.prototxt").read_bytes()
    assert prototxt.read_net("new.prototxt") == prototxt.read_net("net.prototxt")
    assert main(["draw_net", "net.prototxt", "net.dot"]) == 0
    assert NAME in Path("net.dot").read_bytes()


def test_names_in_caffemodels_of_the_original():
    body = b"\x0a\x04" + NAME + caffe_pb2.LayerParameter(
        blobs=[dict(shape=dict(dim=[3]), data=[1, 2, 3])]).SerializeToString()
    write("w.caffemodel", b"\xa2\x06", bytes([len(body)]), body)
    from caffe.formats import caffemodel
    (name, (array,)), = caffemodel.read_caffemodel("w.caffemodel")
    assert text.encode(name) == NAME and array.tolist() == [1, 2, 3]


def test_errors_are_printable():
    write("net.prototxt", b'layer { name: "' + NAME + b'" typo: "x" }')
    with pytest.raises(PrototxtError) as raised:
        prototxt.read_net("net.prototxt")
    str(raised.value).encode()
    with pytest.raises(PrototxtError, match=r"caf\\xe9: no such file"):
        prototxt.read_net(os.fsdecode(NAME))
    write("net.prototxt", NET)
    with pytest.raises(WeightsError, match=r"caf\\xe9: no such file"):
        caffe.Net("net.prototxt", os.fsdecode(NAME), caffe.TEST)


def test_names_on_the_command_line(capsys):
    write(NAME + b".prototxt", NET)
    caffe.Net(os.fsdecode(NAME + b".prototxt"), caffe.TEST).save(os.fsdecode(NAME))
    given = [os.fsdecode(NAME + b".prototxt"), os.fsdecode(NAME)]
    for ending in (b".onnx", b".safetensors", b".h5"):
        assert main(["export", *given, "-o", os.fsdecode(NAME + ending)]) == 0
        assert os.path.getsize(NAME + ending)
        assert f"caf\\xe9{ending.decode()}: " in capsys.readouterr().out
    assert main(["draw_net", given[0], os.fsdecode(NAME + b".dot")]) == 0
    assert "caf\\xe9.dot" in capsys.readouterr().out


def test_names_of_files_in_solvers():
    write(NAME + b".prototxt", NET, b'layer { name: "loss" type: "Reduction" bottom: "y" top: "l" '
                                    b'loss_weight: 1 }')
    write("solver.prototxt", b'net: "' + NAME + b'.prototxt" base_lr: 0.1 lr_policy: "fixed" '
                             b'snapshot_prefix: "' + NAME + b'" max_iter: 1')
    solver = caffe.get_solver("solver.prototxt")
    solver.solve()
    assert os.path.exists(NAME + b"_iter_1.caffemodel")
    solver.restore(os.fsdecode(NAME + b"_iter_1.solverstate"))
    assert solver.iter == 1


DATA = {
    "ImageData": b'top: "x" top: "t" image_data_param { source: "%s" batch_size: 1 }',
    "HDF5Data": b'top: "x" top: "t" hdf5_data_param { source: "%s" batch_size: 1 }',
    "WindowData": b'top: "x" top: "t" window_data_param { source: "%s" batch_size: 1 '
                  b'fg_fraction: 1 } transform_param { crop_size: 4 }',
    "Data": b'top: "x" top: "t" data_param { source: "%s" batch_size: 1 backend: LMDB }',
}


@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8])
@pytest.mark.parametrize("kind", DATA)
def test_data_layers(kind, mark):
    """The source, and what it lists, have names that are not UTF-8; it begins with a mark."""
    picture(NAME + b".png", 70)
    with h5py.File(NAME + b".h5", "w") as file:
        file["x"], file["t"] = np.full((1, 3, 4, 4), 70.0), [5.0]
    source = NAME + b".list"
    if kind == "Data":
        write("list", mark, NAME + b".png 5\n")
        datasets.convert_imageset("list", "", os.fsdecode(source), encoded=True)
        found = caffe.images.database.open_database(os.fsdecode(source))
        assert [text.encode(key) for key, _ in found] == [b"00000000_" + NAME + b".png"]
    else:
        write(source, mark, {"ImageData": NAME + b".png 5\n", "HDF5Data": NAME + b".h5\n",
                             "WindowData": b"# 0\n%s.png\n3\n4\n6\n1\n5 1 0 0 3 3\n" % NAME}[kind])
    write("net.prototxt", b'layer { name: "data" type: "%s" ' % kind.encode()
          + DATA[kind] % source + b" }")
    made = caffe.Net("net.prototxt", caffe.TEST)
    made.forward()
    assert made.blobs["t"].data == 5 and (made.blobs["x"].data == 70).all()


def test_mean_files():
    write(NAME, caffe_pb2.BlobProto(num=1, channels=3, height=4, width=6, data=[1] * 72)
          .SerializeToString())
    picture("a.png", 7)
    write("list", b"a.png 5\n")
    write("net.prototxt", b'layer { name: "data" type: "ImageData" ',
          DATA["ImageData"] % b"list", b' transform_param { mean_file: "' + NAME + b'" } }')
    assert (caffe.Net("net.prototxt", caffe.TEST).forward()["x"] == 6).all()


# lines

@pytest.mark.parametrize("line, path, label", [
    (b"a b.png 7", b"a b.png", 7), (b"a.png  7", b"a.png ", 7), (b"a.png\t 7", b"a.png\t", 7),
    (b"a.png 7\r", b"a.png", 7), (b"a.png 7 ", b"a.png 7", 0), (b"a.png 7 \r", b"a.png 7", 0),
    (b"a.png -1", b"a.png", -1), (b"a.png +3", b"a.png", 3), (b"a.png 3.9", b"a.png", 3),
    (b"a.png 12x", b"a.png", 12), (b"a.png \t4", b"a.png", 4), (b"a.png x", b"a.png", 0),
    (b"a.png", b"a.png", 0), (b"12", b"12", 12),
    (b"a\x0cb\x1c\xc2\x85 2", b"a\x0cb\x1c\xc2\x85", 2),
    (b"a.png 4294967297", b"a.png", 1), (NAME + b" 3", NAME, 3),
    ("a.png \u0664".encode(), b"a.png", 0)])
def test_a_line_of_a_list(line, path, label):
    """Up to the last blank, then C's atoi."""
    for ending in (b"", b"\n", b"\nother.png 1"):
        write("list", line, ending)
        entry = read_list("list", "root/")[0]
        assert (text.encode(entry.path), entry.label) == (b"root/" + path, label)


def test_labels_that_are_none_are_warned_of(capsys, log_as_it_is):
    write("list", b"a.png 1\na.png cat\na.png\n")
    assert [entry.label for entry in read_list("list")] == [1, 0, 0]
    assert "list:2: no label behind the last blank" in capsys.readouterr().err


def test_labels_that_are_not_read_as_they_stand_are_warned_of(capsys, log_as_it_is):
    write("list", b"a.png 1\na.png 0.7\na.png 1e3\na.png 3000000000\na.png +2\n")
    assert [entry.label for entry in read_list("list")] == [1, 0, 1, 3_000_000_000 - 2 ** 32, 2]
    warning, = capsys.readouterr().err.splitlines()
    assert "list:2: the label '0.7' is read as 0, as in the original" in warning
    assert "(3 such lines)" in warning


def test_blank_lines_are_not_warned_of(capsys, log_as_it_is):
    write("list", b"a.png 1\n\n   \na.png 2\n")
    assert [entry.label for entry in read_list("list") if entry.path] == [1, 2]
    assert not capsys.readouterr().err


def test_a_list_in_utf_16_is_named_as_one():
    write("list", "a.png 1\n".encode("utf-16"))
    with pytest.raises(CaffeError, match="list: .*null bytes, as text in UTF-16 does; save it as"):
        read_list("list")


@pytest.mark.parametrize("line", [b"a.png  7", b"a.png\t7", b"a.png 7\t 3"])
def test_blanks_that_are_part_of_a_path_are_said_at_once(line):
    picture("a.png", 7)
    write("list", b"a.png 1\n", line, b"\n")
    write("net.prototxt", b'layer { name: "data" type: "ImageData" ',
          DATA["ImageData"] % b"list", b" }")
    with pytest.raises(LayerError, match="list:2: no file has the name .*a single blank before"):
        caffe.Net("net.prototxt", caffe.TEST)
    picture(line.rpartition(b" ")[0] or line, 9)
    made = caffe.Net("net.prototxt", caffe.TEST)
    made.forward()
    made.forward()
    assert (made.blobs["x"].data == 9).all()


def test_an_unreadable_image_is_left_out(capsys, log_as_it_is):
    """The keys count all lines, as those of the original."""
    for number in (0, 2):
        picture(f"{number}.png", number)
    write("1.png", b"no image")
    write("list", b"0.png 10\n1.png 11\nabsent.png 12\n\n2.png  13\n2.png 14\n")
    assert main(["convert_imageset", "./", "list", "db"]) == 0
    log = capsys.readouterr().err
    assert [f"list:{n}: left out" in log for n in range(1, 7)] == [False, *[True] * 4, False]
    assert "Processed 2 files." in log
    found = list(datasets.records("db"))
    assert [(key, datum.label) for key, datum in found] == [("00000000_0.png", 10),
                                                            ("00000005_2.png", 14)]
    assert [decode(datum).max() for _, datum in found] == [0, 2]


def test_a_list_of_images_that_all_cannot_be_read():
    write("list", b"absent.png 1\n")
    with pytest.raises(CaffeError, match="list: none of its 1 images can be read"):
        datasets.convert_imageset("list", "", "db")
    assert not os.path.exists("db")
