"""Files and nets that hang, take the machine, run code or write files: refused with a message."""

import os
import re
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.errors import WeightsError
from caffe.formats import hdf5
from caffe.images.database import Database
from caffe.proto import caffe_pb2
from fcn.solvers import infer
from fcn.solvers.console.errors import RunError
from fcn.solvers.inference import photographs, trust
from fcn.solvers.inference.errors import InferError
from fcn.solvers.runs.run import Run
from segdata import lists, readers
from segdata.errors import DataError, UserError

INPUT = """layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 1 dim: %d dim: %d } } }
"""


def net(folder: Path, text: str) -> caffe.Net:
    (folder / "net.prototxt").write_text(text)
    return caffe.Net(str(folder / "net.prototxt"), caffe.TEST)


LAYERS = {
    'type: "Python" python_param { module: "evil" layer: "L" }': "runs the code of .* 'evil'",
    'type: "HDF5Output" bottom: "a" bottom: "b" hdf5_output_param { file_name: "v.h5" }':
        "writes over the file 'v.h5'",
    'type: "ImageData" image_data_param { source: "/etc/passwd" }': "reads .* '/etc/passwd'",
    'type: "Data" data_param { source: "db" }': "reads .* 'db'",
    'type: "HDF5Data" hdf5_data_param { source: "list" }': "reads .* 'list'",
    'type: "WindowData" window_data_param { source: "list" }': "reads .* 'list'",
    'type: "ImageSegData" image_data_param { source: "list" }': "reads .* 'list'",
    'type: "WindowSegData" image_data_param { source: "list" }': "reads .* 'list'",
    'type: "DenseImageData" dense_image_data_param { source: "list" mean_file: "m" }':
        "reads .* 'list'",
    'type: "InfogainLoss" infogain_loss_param { source: "h" }': "reads .* 'h'",
    'type: "SoftmaxWithLoss" softmaxloss_param { weight_source: "w" }': "reads .* 'w'",
    'type: "MemoryData" transform_param { mean_file: "m" }': "reads .* 'm'",
    'type: "DetectionOutput" detection_output_param { save_output_param { output_directory: "d" '
    'label_map_file: "m" } }': "writes files into 'd'",
    'type: "MatRead"': "a type of which is not known that it only computes"}
OLD = {'layers { name: "l" type: HDF5_OUTPUT hdf5_output_param { file_name: "v.h5" } }':
       "layer 'l' .hdf5output. writes over the file 'v.h5'",
       'layers { layer { name: "l" type: "images" } }': "layer 'l' .images. reads",
       'layers { name: "l" type: IMAGE_SEG_DATA }': "layer 'l' .imagesegdata. reads",
       'layers { layer { name: "l" type: "infogain_loss" source: "h" } }': "layer .* reads .* 'h'"}


@pytest.mark.parametrize("text, what", [
    *((f'layer {{ name: "l" {layer} }}', f"layer 'l' .*{what}") for layer, what in LAYERS.items()),
    *OLD.items()])
def test_nets_that_do_more_than_compute_want_trust(tmp_path: Path, text: str, what: str) -> None:
    (tmp_path / "net.prototxt").write_text(INPUT % (4, 4) * text.startswith("layer {") + text)
    with pytest.raises(trust.TrustError, match=f"net.prototxt: {what}.*--trust"):
        trust.check(tmp_path / "net.prototxt")


def test_what_each_layer_type_does_is_known() -> None:
    from caffe.formats.upgrade_v0 import _TYPES
    types = {*caffe.layer_type_list(), *_TYPES, "padding",
             *caffe_pb2.V1LayerParameter.LayerType.keys()} - {"NONE"}
    names = {name.lower().replace("_", "") for name in types}
    assert names <= trust.COMPUTES | set(trust.DOES) and not trust.COMPUTES & set(trust.DOES)


def test_no_field_that_names_a_file_is_missing() -> None:
    """Of the parameters of all layers; a new one is to be decided on here."""
    own = {field.name for message in caffe_pb2.DESCRIPTOR.message_types_by_name.values()
           for field in message.fields if field.type == field.TYPE_STRING
           and re.search("source|file|module|path|folder|dir", field.name)}
    assert own - set(trust.NAMES) <= {"root_folder", "profile"}


def test_infer_refuses_before_anything_is_run(tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "evil.py").write_text("open('ran', 'w')")
    (tmp_path / "net.prototxt").write_text(
        INPUT % (4, 4) + 'layer { name: "l" type: "Python" bottom: "data" top: "score" '
        'python_param { module: "evil" layer: "L" } }')
    for name in ("w.caffemodel", "image.png"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "argv", ["infer", "image.png", "--net", "net.prototxt", "--weights",
                                      "w.caffemodel", "-o", "out"])
    with pytest.raises(SystemExit, match="error: .*layer 'l'.*--trust"):
        infer.main()
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--trust"])
    with pytest.raises(SystemExit, match="error: .*no class 'L'|has no"):
        infer.main()
    assert (tmp_path / "ran").exists()


def test_scoring_takes_the_projects_own_data_layers(tmp_path: Path) -> None:
    layer = 'layer { name: "d" type: "Python" top: "x" python_param { module: "%s" layer: "L" } }'
    (tmp_path / "val.prototxt").write_text(layer % "voc_layers")
    trust.check(tmp_path / "val.prototxt", own_data=True)
    (tmp_path / "val.prototxt").write_text(layer % "other")
    with pytest.raises(trust.TrustError, match="'other'"):
        trust.check(tmp_path / "val.prototxt", own_data=True)


def test_the_command_caffe_imports_from_pythonpath_alone(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("open('ran', 'w')\nraise ImportError('was imported')")
    (tmp_path / "net.prototxt").write_text(
        'layer { name: "l" type: "Python" top: "x" python_param { module: "beside" layer: "L" } }')
    command = [sys.executable, "-m", "caffe", "time", "--model", "net.prototxt"]
    paths = [path for path in sys.path if path and Path(path) != tmp_path]
    for extra, ran in (([], False), ([str(tmp_path)], True)):
        result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env={
            **os.environ, "PYTHONPATH": os.pathsep.join([*paths, *extra])})
        assert result.returncode != 0 and (tmp_path / "ran").exists() == ran, result.stderr
        assert ran or "no Python module 'beside'" in result.stderr


def test_hdf5_with_a_huge_number_a_bomb_and_another_file(tmp_path: Path) -> None:
    made = net(tmp_path, INPUT % (4, 4) + """layer { name: "conv" type: "Convolution" bottom: "data"
        top: "score" convolution_param { num_output: 1 kernel_size: 1 } }""")
    path = str(tmp_path / "w.h5")
    with h5py.File(path, "w") as file:
        file["data/conv/999999999"] = np.zeros(1)
    with pytest.raises(caffe.CaffeError, match="w.h5: .*data/conv/999999999"):
        made.copy_from(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("data/conv/0", (1 << 40,), chunks=(1 << 20,), compression="gzip")
    with pytest.raises(caffe.CaffeError, match=r"w.h5: .*takes [\d,]+ bytes of memory, there are"):
        made.copy_from(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("data/conv/0", (4,), external=[("/etc/passwd", 0, 16)])
    with pytest.raises(caffe.CaffeError, match="in another file"):
        made.copy_from(path)


@pytest.mark.parametrize("source", ["/dev/zero", "fifo"])
def test_lists_and_prototxts_that_never_end(tmp_path: Path, source: str) -> None:
    path = tmp_path / source
    if source == "fifo":
        os.mkfifo(path)
    with pytest.raises(caffe.CaffeError, match="expected a plain file"):
        caffe.Net(str(path), caffe.TEST)
    with pytest.raises(caffe.CaffeError, match="expected a plain file"):
        net(tmp_path, f'layer {{ name: "l" type: "ImageData" top: "x" top: "t" image_data_param '
                      f'{{ source: "{path}" batch_size: 1 }} }}')
    with pytest.raises(DataError, match="expected a plain file"):
        lists.read_list(path)
    with pytest.raises(InferError, match="expected a plain file"):
        photographs.read_image(path)
    with pytest.raises(caffe.CaffeError, match="expected a plain file"):
        caffe.io.load_image(str(path))


def test_a_picture_of_more_pixels_than_are_allowed(tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bomb.png"
    def chunk(kind: bytes, content: bytes) -> bytes:
        return (len(content).to_bytes(4, "big") + kind + content
                + zlib.crc32(kind + content).to_bytes(4, "big"))
    size = (13000).to_bytes(4, "big")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size * 2 + bytes([8, 0, 0, 0, 0]))
                     + chunk(b"IDAT", b"") + chunk(b"IEND", b""))
    for read in (photographs.read_image, readers.read_rgb, readers.read_label_image,
                 lambda path: caffe.io.load_image(str(path))):
        with pytest.raises((UserError, ValueError, caffe.CaffeError),
                           match="13000 x 13000 pixels, more than 50,000,000.*FCN_MAX_PIXELS"):
            read(path)
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(path)
    monkeypatch.setenv("FCN_MAX_PIXELS", "11")
    with pytest.raises(InferError, match="4 x 3 pixels, more than 11"):
        photographs.read_image(path)
    monkeypatch.setenv("FCN_MAX_PIXELS", "12")
    photographs.read_image(path)


def test_an_lmdb_that_is_cut_short_also_while_it_is_read(tmp_path: Path) -> None:
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 24) as environment:
        with environment.begin(write=True) as transaction:
            for i in range(300):
                transaction.put(b"%06d" % i, bytes([i % 256]) * (20 * i))
    database = Database(str(tmp_path / "db"))
    assert [(key, value) for key, value in database] == [
        (f"{i:06d}", bytes([i % 256]) * (20 * i)) for i in range(300)]
    reader = iter(database)
    next(reader)
    path = tmp_path / "db" / "data.mdb"
    path.write_bytes(path.read_bytes()[:path.stat().st_size // 2])
    with pytest.raises(caffe.CaffeError, match="data.mdb: .*cut short: .* expected .* pages"):
        Database(str(tmp_path / "db"))
    with pytest.raises(caffe.CaffeError, match="has become shorter|stands twice|no page"):
        list(reader)


@pytest.mark.parametrize("layer, what", [
    ('type: "Convolution" convolution_param { num_output: 900 kernel_size: 30000 pad: 15000 }',
     r"a blob of shape \(900, 1, 30000, 30000\) takes [\d,]+ bytes of memory, there are"),
    ('type: "Convolution" convolution_param { num_output: 2 kernel_size: 3000 pad: 1500 }',
     r"window of \(3000, 3000\) would take [\d,]+ products"),
    ('type: "Pooling" pooling_param { kernel_size: 3000 pad: 1499 }',
     r"window of \(3000, 3000\) would take [\d,]+ products"),
    ('type: "InnerProduct" inner_product_param { num_output: 2000000000 }',
     r"a blob of shape \(2000000000, 250000\) takes")])
def test_sizes_are_checked_before_memory_is_taken(tmp_path: Path, layer: str, what: str) -> None:
    with pytest.raises(caffe.LayerError, match=f"net.prototxt: layer 'l' .*{what}"):
        net(tmp_path, INPUT % (500, 500) + f'layer {{ name: "l" bottom: "data" top: "y" {layer} }}')


def test_batches_that_memory_does_not_hold(tmp_path: Path) -> None:
    with pytest.raises(caffe.LayerError, match=r"layer 'data'.*\(1, 1, 999999999, 999999999\)"):
        net(tmp_path, INPUT % (999999999, 999999999))
    made = net(tmp_path, INPUT % (4, 4))
    with pytest.raises(caffe.LayerError, match="takes 16,000,000,000,000 bytes"):
        made.blobs["data"].reshape(1_000_000, 1, 2000, 2000)
    assert made.blobs["data"].shape == (1, 1, 4, 4)


@pytest.mark.parametrize("content", ["[" * 50_000, '{"a": ' * 20_000, "[1]", '{"unscored": 5}',
                                     '{"unscored": ["x"]}', "\udcff", ""])
def test_settings_that_are_damaged(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(RunError, match="settings.json: damaged"):
        Run(tmp_path).unscored()


@pytest.mark.parametrize("text", ["(" * 5000, "9" * 70_000, "{[]: 1}", "9**9**9", "{'a': f()}",
                                  "-" * 60_000 + "1", "'\\N{x}'"])
def test_param_str_that_explodes(text: str) -> None:
    with pytest.raises(ValueError):
        lists.literal(text)


@pytest.mark.parametrize("module", ["..evil", "a b", "a..b", "/tmp/x", "os\\u0000"])
def test_names_that_are_no_modules(tmp_path: Path, module: str) -> None:
    with pytest.raises(caffe.CaffeError):
        net(tmp_path, f'layer {{ name: "l" type: "Python" top: "x" python_param {{ '
                      f'module: "{module}" layer: "L" }} }}')


@pytest.mark.parametrize("form, names", [("caffemodel", ["data"]), ("solverstate", ["iter"]),
                                         ("solverstate", ["history"])])
def test_hdf5_links_are_not_followed(tmp_path: Path, form: str, names: list[str]) -> None:
    """A pipe behind one would never answer; another file's values would pass for this one's."""
    os.mkfifo(tmp_path / "pipe")
    path = str(tmp_path / f"a.{form}.h5")
    with h5py.File(path, "w") as file:
        file["iter"], file["current_step"], file["learned_net"] = [1], [0], np.bytes_("x")
        file.create_group("history")
        for name in names:
            file.pop(name, None)
            file[name] = h5py.ExternalLink(str(tmp_path / "pipe"), "/x")
    with pytest.raises(WeightsError, match=f"'{names[0]}' is a link to another place"):
        getattr(hdf5, f"read_{form}")(path)


def test_hdf5_rows_of_no_width(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        file.create_dataset("x", (10 ** 12, 0), "f4")
    with h5py.File(tmp_path / "rows.h5") as file, pytest.raises(WeightsError, match="rows.h5"):
        hdf5.check_numbers([file["x"]])


@pytest.mark.parametrize("place", [
    {"passed": 2.5, "key": None}, {"passed": -5, "key": None}, {"passed": "x", "key": None},
    {"key": None}, {"passed": 0, "key": 5}])
def test_a_place_in_the_data_that_means_nothing(tmp_path: Path, place: dict) -> None:
    """Before, the layer would look for it for ever, or fail in its thread."""
    datum = caffe.io.array_to_datum(np.zeros((1, 2, 2), np.uint8)).SerializeToString()
    with lmdb.open(str(tmp_path / "db")) as environment, environment.begin(write=True) as records:
        records.put(b"0", datum)
    made = net(tmp_path, f'layer {{ name: "d" type: "Data" top: "x" data_param {{ backend: LMDB '
                         f'source: "{tmp_path}/db" batch_size: 1 }} }}')
    state = made.layers[0].resume_state()
    with pytest.raises(Exception, match="."):
        made.layers[0].resume_from({**state, "place": place})
    made.layers[0].resume_from(state)
    made.forward()


def test_exp_with_a_huge_shift(tmp_path: Path) -> None:
    made = net(tmp_path, INPUT % (2, 2) + 'layer { name: "e" type: "Exp" bottom: "data" top: "y" '
                                          'exp_param { shift: 1e38 } }')
    assert np.isinf(made.forward()["y"]).all()
