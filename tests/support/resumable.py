"""Trainings that a resumed run has to repeat bit for bit: one for each kind of data and state.

`make_files` writes what they read. Each draws all that it can at random, has a test net between,
and writes what was seen of the losses to the log.
"""

import glob
import itertools
import random
from collections.abc import Sequence
from pathlib import Path

import h5py
import lmdb
import numpy as np
from PIL import Image

import caffe
from caffe.images.datum import array_to_datum

SIZE = 6        # of the images; crops are smaller by 2
IMAGES = 7

BEHIND = """
layer { name: "conv" type: "Convolution" bottom: "x" top: "conv"
        convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "conv" }
layer { name: "score" type: "InnerProduct" bottom: "conv" top: "score"
        inner_product_param { num_output: 8 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "t" top: "loss" }
"""
TRANSFORM = 'transform_param { crop_size: 4 mirror: true scale: 0.01 }'
DUMMY = """
layer { name: "data" type: "DummyData" top: "x" top: "t" dummy_data_param {
        shape { dim: 2 dim: 3 dim: 4 dim: 4 } shape { dim: 2 }
        data_filler { type: "gaussian" } data_filler { type: "constant" value: 3 } } }"""
IMAGE_DATA = f"""
layer {{ name: "data" type: "ImageData" top: "x" top: "t" {TRANSFORM}
        image_data_param {{ source: "list.txt" batch_size: 3 shuffle: true rand_skip: 4 }} }}"""
LMDB = f"""
layer {{ name: "data" type: "Data" top: "x" top: "t" {TRANSFORM}
        data_param {{ source: "db" backend: LMDB batch_size: 3 }} }}"""
WINDOWS = f"""
layer {{ name: "data" type: "WindowData" top: "x" top: "t" {TRANSFORM}
        window_data_param {{ source: "windows.txt" batch_size: 4 fg_fraction: 0.5 }} }}"""
ROWS = """
layer { name: "data" type: "HDF5Data" top: "x" top: "t"
        hdf5_data_param { source: "rows.txt" batch_size: 3 shuffle: true } }"""
MEMORY = """
layer { name: "data" type: "MemoryData" top: "x" top: "t"
        memory_data_param { batch_size: 2 channels: 3 height: 4 width: 4 } }"""
PYTHON = """
layer { name: "data" type: "Python" top: "x" top: "t"
        python_param { module: "resumable" layer: "%s" } }"""
SEGDATA = """
layer { name: "data" type: "Python" top: "x" top: "label"
        python_param { module: "folder_layers" layer: "FolderSegDataLayer"
                       param_str: "{'folder': '.', 'split': 'train', 'mean': (1, 2, 3), "
                                  "'classes': 3, 'seed': 5, 'mirror': True, 'jitter': 2}" } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "score" param { lr_mult: 1e-4 }
        convolution_param { num_output: 3 kernel_size: 1 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "score" bottom: "label" top: "loss"
        loss_param { ignore_label: 255 } }"""
LSTM = """
layer { name: "x" type: "DummyData" top: "x" top: "cont" dummy_data_param {
        shape { dim: 2 dim: 3 dim: 4 } shape { dim: 2 dim: 3 }
        data_filler { type: "gaussian" } data_filler { type: "constant" value: 1 } } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont" top: "h" recurrent_param {
        num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "Reduction" bottom: "h" top: "loss" loss_weight: 1
        reduction_param { operation: SUMSQ } }"""

SEEDLESS = "segdata_draws_its_seed"
RATE = 'base_lr: 0.01 lr_policy: "step" gamma: 0.5 stepsize: 3 weight_decay: 0.001 '
MOMENTUM = RATE + "momentum: 0.9 "
# {name: (net, lines of the solver)}
SETUPS = {
    "dropout": (DUMMY.replace("gaussian", "uniform") + BEHIND, MOMENTUM),
    "dummy": (DUMMY + BEHIND.replace('"Dropout"', '"ReLU"'), MOMENTUM),
    "hdf5": (ROWS + BEHIND, MOMENTUM),
    "images": (IMAGE_DATA + BEHIND, MOMENTUM),
    "lmdb": (LMDB + BEHIND, MOMENTUM),
    "windows": (WINDOWS + BEHIND, MOMENTUM),
    "memory": (MEMORY + BEHIND, MOMENTUM),
    "python": (PYTHON % "Drawing" + BEHIND, MOMENTUM),
    "segdata": (SEGDATA, MOMENTUM),
    "segdata_batches": (SEGDATA.replace("'jitter': 2", "'jitter': 2, 'batch': 3, 'crop': (6, 5), "
                                        "'scale': (0.5, 2)"), MOMENTUM + "iter_size: 2"),
    SEEDLESS: (SEGDATA.replace("'seed': 5, ", ""), MOMENTUM),
    "lstm": (LSTM, MOMENTUM),
    "iter_size": (IMAGE_DATA + BEHIND, MOMENTUM + "iter_size: 3"),
    "average_loss": (LMDB + BEHIND, MOMENTUM + "average_loss: 3"),
    "hdf5_snapshots": (IMAGE_DATA + BEHIND, MOMENTUM + "snapshot_format: HDF5"),
    "Nesterov": (IMAGE_DATA + BEHIND, MOMENTUM + 'type: "Nesterov"'),
    "AdaGrad": (IMAGE_DATA + BEHIND, RATE + 'type: "AdaGrad"'),
    "RMSProp": (IMAGE_DATA + BEHIND, RATE + 'type: "RMSProp" rms_decay: 0.9'),
    "AdaDelta": (IMAGE_DATA + BEHIND, MOMENTUM + 'type: "AdaDelta" delta: 1e-6'),
    "Adam": (IMAGE_DATA + BEHIND, MOMENTUM + 'type: "Adam"'),
}


class Loader:
    """Keeps the position, as BVLC's example of a multilabel layer does."""

    def __init__(self):
        self.order, self.current = list(range(9)), 0
        self.draws = random.Random(4)

    def next(self):
        if self.current == len(self.order):
            self.current = 0
            self.draws.shuffle(self.order)
        self.current += 1
        return self.order[self.current - 1]


class Drawing(caffe.Layer):
    """Draws from each kind of generator, and from lists and arrays that it changes in place."""

    def setup(self, bottom: Sequence, top: Sequence) -> None:
        self.loader, self.loaders = Loader(), [Loader(), Loader()]
        self.old, self.new = np.random.RandomState(1), np.random.default_rng(2)
        self.sum, self.seen, self.path = np.zeros((3, 4, 4)), {"times": 0}, "here"

    def reshape(self, bottom: Sequence, top: Sequence) -> None:
        top[0].reshape(2, 3, 4, 4)
        top[1].reshape(2)

    def forward(self, bottom: Sequence, top: Sequence) -> None:
        self.sum += self.old.normal(size=(3, 4, 4)) + self.new.normal() + random.random()
        self.seen["times"] += 1
        self.last = self.loaders[1].next()
        top[0].data[0] = self.sum / self.seen["times"]
        top[0].data[1] = np.random.normal(size=(3, 4, 4)) + self.last
        top[1].data[...] = [self.loader.next() % 8, self.loaders[0].next() % 8]

    def backward(self, top: Sequence, propagate_down: Sequence, bottom: Sequence) -> None:
        pass


def make_files(folder: Path) -> None:
    """Write the files that the nets read."""
    rng = np.random.default_rng(5)
    for part in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / part).mkdir(parents=True)
    for number in range(IMAGES):
        pixels = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / "JPEGImages" / f"{number}.png")
        Image.fromarray(pixels[..., 0] % 3).save(folder / "SegmentationClass" / f"{number}.png")
    names = [f"JPEGImages/{number}.png" for number in range(IMAGES)]
    for split in ("train", "val"):
        (folder / "ImageSets/Segmentation" / f"{split}.txt").write_text("0\n1\n2\n3\n4\n5\n6\n")
    (folder / "list.txt").write_text("".join(f"{name} {i}\n" for i, name in enumerate(names)))
    (folder / "windows.txt").write_text("".join(
        f"# {i}\n{name}\n3\n{SIZE}\n{SIZE}\n2\n{i % 7 + 1} 0.9 0 0 4 4\n0 0.1 1 1 5 5\n"
        for i, name in enumerate(names)))
    with lmdb.open(str(folder / "db"), map_size=1 << 24) as database, \
            database.begin(write=True) as transaction:
        for number in range(IMAGES):
            image = rng.integers(0, 255, (3, SIZE, SIZE), np.uint8)
            transaction.put(f"{number:04}".encode(),
                            array_to_datum(image, number).SerializeToString())
    for number, rows in enumerate((4, 5, 2)):
        with h5py.File(folder / f"{number}.h5", "w") as file:
            file["x"], file["t"] = rng.normal(size=(rows, 3, 4, 4)), np.arange(rows)
    (folder / "rows.txt").write_text("0.h5\n1.h5\n2.h5\n")


def write_solver(folder: Path, name: str, interval: int = 2) -> str:
    """Write the prototxts of a set-up, with so many iterations between snapshots; returns the
    solver's path."""
    net, lines = SETUPS[name]
    (folder / f"{name}.prototxt").write_text(net)
    path = folder / f"{name}_solver.prototxt"
    path.write_text(f'net: "{name}.prototxt" snapshot_prefix: "{folder}/{name}" random_seed: 3 '
                    f"display: 1 test_iter: 2 test_interval: 3 max_iter: 1000000 "
                    f"snapshot: {interval} "
                    + lines)
    return str(path)


def make_solver(folder: Path, name: str, interval: int = 2) -> "caffe.Solver":
    """The solver of a set-up, from its beginning, in the working directory of the data."""
    random.seed(6)
    np.random.seed(7)
    solver = caffe.get_solver(write_solver(folder, name, interval))
    if name == "memory":
        rng = np.random.default_rng(8)
        for net in (solver.net, *solver.test_nets):
            net.set_input_arrays(rng.normal(size=(6, 3, 4, 4)).astype(np.float32),
                                 np.arange(6, dtype=np.float32))
    return solver


def snapshots(folder: Path, name: str) -> list[str]:
    """The solverstates of a set-up, the newest last."""
    found = glob.glob(f"{folder}/{name}_iter_*.solverstate*")
    return sorted((path for path in found if path.endswith((".solverstate", ".solverstate.h5"))),
                  key=iteration)


def iteration(path: str) -> int:
    """The number in the name of a snapshot."""
    return int(path.rpartition("_iter_")[2].partition(".")[0])


def train(folder: Path, name: str, iterations: int) -> None:
    """Train to the end, from the newest snapshot if there is one; then NAME.npz holds weights and
    histories."""
    solver = make_solver(folder, name, interval=3)
    if found := snapshots(folder, name):
        solver.restore(found[-1])
    solver.step(iterations - solver.iter)
    arrays = [blob.data for blobs in solver.net.params.values() for blob in blobs]
    np.savez(folder / f"{name}.npz", *itertools.chain(arrays, map(np.asarray, solver.history)))
