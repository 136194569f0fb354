"""One small whole file of each format that is read, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import lmdb
import numpy as np
import scipy.io
from PIL import Image

import caffe
import label_forms
from caffe.formats import caffemodel
from caffe.images import datasets
from caffe.images.lists import read_list
from caffe.images.planes import read_planes
from data_samples import tar, zipped
from fcn.solvers.inference import network, photographs, trust
from fcn.solvers.runs import log
from fcn.solvers.runs.run import Run
from fcn.solvers.scoring import score_file
from segdata import lists, readers
from segdata.download.archives import extract
from segdata.importing.labelled import Request
from segdata.importing.write import import_labels

NET = """name: "net"
layer { name: "data" type: "Input" top: "data"
  input_param { shape { dim: 1 dim: 2 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 3 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "pool" type: "Pooling" bottom: "conv" top: "pool"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  inner_product_param { num_output: 2 } }
layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" }
"""
SOLVER = """net: "NET" base_lr: 0.01 lr_policy: "step" stepsize: 2 gamma: 0.5 momentum: 0.9
weight_decay: 0.0005 max_iter: 4 display: 0 average_loss: 2 type: "Adam" momentum2: 0.999
snapshot_prefix: "PREFIX" random_seed: 3
"""


class Format(NamedTuple):
    """make(folder) writes a whole file in a folder and returns its path; read(path) reads it."""

    make: Callable[[Path], Path]
    read: Callable[[Path], object]


def _net(folder: Path) -> Path:
    (folder / "net.prototxt").write_text(NET)
    return folder / "net.prototxt"


def _solver_file(folder: Path) -> Path:
    path = folder / "solver.prototxt"
    path.write_text(SOLVER.replace("NET", str(_net(folder))).replace("PREFIX", str(folder / "s")))
    return path


def _snapshot(kind: str, suffix: str, form: str = "") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = _solver_file(folder)
        path.write_text(path.read_text() + form)
        solver = caffe.get_solver(str(path))
        solver.step(2)
        solver.snapshot()
        for beside in folder.glob("*.resume"):
            beside.unlink()     # its hash would end every reading before the file is looked into
        return folder / f"s_iter_2.{kind}{suffix}"
    return make


def _read_weights(path: Path) -> None:
    net = caffe.Net(str(_net(path.parent)), caffe.TEST)
    net.copy_from(str(path))
    net.forward()


def _read_state(path: Path) -> None:
    caffe.get_solver(str(_solver_file(path.parent))).restore(str(path))


def _read_net(path: Path) -> None:
    net = caffe.Net(str(path), caffe.TEST)
    net.forward()


def _read_solver(path: Path) -> None:
    caffe.get_solver(str(path))


def _image(kind: str, mode: str = "RGB") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        shape = (12, 14, 3) if mode == "RGB" else (12, 14)
        values = np.random.default_rng(0).integers(0, 21, shape, np.uint8)
        image = Image.fromarray(values)
        if mode == "P":
            image.putpalette(bytes(range(256)) * 3)
        image.save(folder / f"image.{kind}")
        return folder / f"image.{kind}"
    return make


def _read_image(path: Path) -> None:
    read_planes(str(path))
    photographs.read_image(path)


def _read_label(path: Path) -> None:
    caffe.io.load_image(str(path))
    _own_errors(readers.read_label_image, path)


def _own_errors(read: Callable[[Path], object], path: Path) -> None:
    """Readers of the tools raise ValueError or OSError, to which their callers add the place."""
    from segdata.sample_files import read_file
    read_file(read, "file", path, "list:1")


def _mat(folder: Path) -> Path:
    scipy.io.savemat(folder / "a.mat", {"S": np.arange(30.0).reshape(5, 6), "T": {"a": 1}},
                     do_compression=True)
    return folder / "a.mat"


def _mean(folder: Path) -> Path:
    blob = caffe.io.array_to_blobproto(np.ones((1, 3, 4, 5)))
    (folder / "mean.binaryproto").write_bytes(blob.SerializeToString())
    return folder / "mean.binaryproto"


def _database(folder: Path) -> Path:
    _image("png")(folder)
    with lmdb.open(str(folder / "db"), map_size=1 << 24) as environment:
        with environment.begin(write=True) as transaction:
            for i in range(40):
                array = np.full((3, 10, 10), i, np.uint8)
                if i % 5 == 0:
                    array = np.zeros((3, 50, 50), np.uint8)
                datum = caffe.io.array_to_datum(array, i)
                transaction.put(f"{i:08d}".encode(), datum.SerializeToString())
    return folder / "db" / "data.mdb"


def _read_database(path: Path) -> None:
    from caffe.images.datum import decode
    for _, datum in datasets.records(str(path.parent)):
        decode(datum)


def _archive(content: bytes, name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name
    return make


def _extract(path: Path) -> None:
    import shutil
    out = path.parent / "out"
    shutil.rmtree(out, ignore_errors=True)
    extract(path, "", out)
    shutil.rmtree(out)


FILES = [(f"top/{i}", bytes(range(256)) * i) for i in range(6)]


def _json(name: str, content: object) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(json.dumps(content))
        return folder / name
    return make


def _labels(form: Callable[[Path], None], name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        form(folder / "labels")
        return folder / "labels" / name
    return make


def _import(path: Path) -> None:
    folder = next(place for place in path.parents if place.name == "labels")
    import_labels(Request(folder, folder.with_name("imported"), fresh=True))


def _read_settings(path: Path) -> None:
    run = Run(path.parent)
    run.unscored()
    run.check(width=1.0, unscored=[0], seed=None)


SCORES = {"iteration": 4, "labels": {"label": {
    "headline": "mean IU", "unscored": [0], "confusion": ["1 2 3", "4 5 6", "7 8 9"]}}}
DATA_LAYER = """layer { name: "data" type: "Python" top: "data" top: "label" python_param {
  module: "voc_layers" layer: "VOCSegDataLayer"
  param_str: "{'mean': (104.0, 116.5, 122.5), 'tops': ['color', 'label'], 'seed': 1337}" } }
"""


def _text(name: str, content: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(content)
        return folder / name
    return make


FORMATS = {
    "caffemodel": Format(_snapshot("caffemodel", ""), _read_weights),
    "solverstate": Format(_snapshot("solverstate", ""), _read_state),
    "caffemodel.h5": Format(_snapshot("caffemodel", ".h5", "snapshot_format: HDF5"),
                            _read_weights),
    "solverstate.h5": Format(_snapshot("solverstate", ".h5", "snapshot_format: HDF5"),
                             _read_state),
    "net": Format(_net, _read_net),
    "solver": Format(_solver_file, _read_solver),
    "binaryproto": Format(_mean, lambda path: caffemodel.read_blobproto(str(path))),
    "png": Format(_image("png"), _read_image),
    "label": Format(_image("png", "P"), _read_label),
    "jpg": Format(_image("jpg"), _read_image),
    "mat": Format(_mat, lambda path: _own_errors(lambda p: readers.read_mat(p, "S"), path)),
    "lmdb": Format(_database, _read_database),
    "tar.gz": Format(_archive(tar(*FILES, mode="w:gz"), "a.tar.gz"), _extract),
    "tar.xz": Format(_archive(tar(*FILES, mode="w:xz"), "a.tar.xz"), _extract),
    "tar.bz2": Format(_archive(tar(*FILES, mode="w:bz2"), "a.tar.bz2"), _extract),
    "tar": Format(_archive(tar(*FILES), "a.tar"), _extract),
    "zip": Format(_archive(zipped(*FILES), "a.zip"), _extract),
    "score.json": Format(_json("score.json", SCORES),
                         lambda path: score_file.load(Run(path.parent), 4)),
    "settings.json": Format(_json("settings.json", {"width": 1.0, "unscored": [0], "seed": None}),
                            _read_settings),
    "log.csv": Format(_text("log.csv", "iteration,loss,smoothed_loss,mean_iu\n0,,,3.5\n"
                            "20,1.5,1.5,\n40,1.25,1.475,5.5\n"), log.read),
    "val.prototxt": Format(_text("val.prototxt", DATA_LAYER),
                           lambda path: (Run(path.parent).images(), trust.layers_of(path))),
    "list": Format(_text("list.txt", "2007_000033\n2007_000042\n\nd/2008_1\n"), lists.read_list),
    "image list": Format(_text("images.txt", "a b.jpg 3\nc.png -4\n"),
                         lambda path: read_list(str(path))),
    "classes.txt": Format(_text("classes.txt", "background\ncat\ndog\n"),
                          lambda path: network.class_names(path.with_name("net"), 3)),
    "coco": Format(_labels(label_forms.coco, "annotations/instances_train2017.json"), _import),
    "coco compressed": Format(_labels(label_forms.coco_compressed,
                                      "annotations/instances_train2017.json"), _import),
    "labelme": Format(_labels(label_forms.labelme, "train/a.json"), _import),
    "cvat": Format(_labels(label_forms.cvat, "annotations.xml"), _import),
}
