"""The data layers against a few lines that follow the published ones, bit by bit, on random data.

The published layers read an image into float32, turn R G B to B G R, subtract the mean in place
and put the channels first; labels are bytes, in which class 1 of NYUDv2 and SIFT Flow becomes 0 and
0 wraps around to 255. Each draw is int(random() * samples), as Python 2.7's randint has it.
"""

import random

import numpy as np
import pytest
import scipy.io
from PIL import Image

from fcn.solvers.runs.run import Run
from fcn.solvers.scoring.metrics import Scores, confusion
from segdata.inputs import Inputs
from segdata.readers import read_photograph

SCENES = "spatial_envelope_256x256_static_8outdoorcategories"
SAMPLES, DRAWS = 5, 24


def centred(pixels, mean):
    image = pixels.astype(np.float32)
    image -= mean
    return image.transpose(2, 0, 1)


def photograph(path, mean):
    return centred(np.array(Image.open(path))[:, :, ::-1], mean)


def less_one(label):
    return label.astype(np.uint8) - np.uint8(1)


class Data:
    """Random files of one dataset: `folders` for param_str, and what the tops of a sample are."""

    def __init__(self, root, seed):
        self.root, self.rng = root, np.random.default_rng(seed)
        self.names = [f"s{self.rng.integers(10 ** 6)}_{number}" for number in range(SAMPLES)]
        self.rng.shuffle(self.names)
        for name in self.names:
            self.write(name, *self.rng.integers(3, 12, 2))

    def path(self, *parts):
        path = self.root.joinpath(*parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def picture(self, path, size, kind="PNG"):
        Image.fromarray(self.rng.integers(0, 256, (*size, 3), np.uint8)).save(path, kind)

    def lists(self, *folder):
        for split in ("train", "val"):
            self.path(*folder, f"{split}.txt").write_text("\n".join(self.names))


class Voc(Data):
    module, layer, tops, classes = "voc_layers", "VOCSegDataLayer", ("data", "label"), 21
    mean = (104.00699, 116.66877, 122.67892)

    def write(self, name, *size):
        self.picture(self.path("JPEGImages", f"{name}.jpg"), size, "JPEG")
        label = self.rng.choice([*range(21), 255], size).astype(np.uint8)
        Image.fromarray(label).save(self.path("SegmentationClass", f"{name}.png"))
        self.lists("ImageSets", "Segmentation")

    def params(self):
        return {"voc_dir": str(self.root)}

    def expected(self, name):
        return [photograph(self.root / f"JPEGImages/{name}.jpg", np.array(self.mean)),
                np.array(Image.open(self.root / f"SegmentationClass/{name}.png"))[None]]


class Sbd(Voc):
    layer = "SBDDSegDataLayer"

    def write(self, name, *size):
        self.picture(self.path("img", f"{name}.jpg"), size, "JPEG")
        label = self.rng.choice([*range(21), 255], size).astype(np.uint8)
        scipy.io.savemat(self.path("cls", f"{name}.mat"), {"GTcls": {"Segmentation": label}})
        self.lists()

    def params(self):
        return {"sbdd_dir": str(self.root)}

    def expected(self, name):
        label = scipy.io.loadmat(self.root / f"cls/{name}.mat")["GTcls"]["Segmentation"][0, 0]
        return [photograph(self.root / f"img/{name}.jpg", np.array(self.mean)), label[None]]


class Nyud(Data):
    module, layer, classes = "nyud_layers", "NYUDSegDataLayer", 40
    tops = ("color", "depth", "hha", "label")

    def write(self, name, *size):
        for kind in ("images", "hha"):
            self.picture(self.path("data", kind, f"img_{name}.png"), size)
        depth = self.rng.integers(500, 10_000, size).astype(np.uint16)
        Image.fromarray(depth).save(self.path("data", "depth", f"img_{name}.png"))
        scipy.io.savemat(self.path("segmentation", f"img_{name}.mat"),
                         {"segmentation": self.rng.integers(0, 41, size).astype(np.uint16)})
        self.lists()

    def params(self):
        return {"nyud_dir": str(self.root), "tops": list(self.tops)}

    def expected(self, name):
        data, file = self.root / "data", f"img_{name}.png"
        logs = np.log(np.array(Image.open(data / "depth" / file)).astype(np.float32))
        label = scipy.io.loadmat(self.root / "segmentation" / f"img_{name}.mat")["segmentation"]
        return [photograph(data / "images" / file, np.float32([116.190, 97.203, 92.318])),
                (logs - np.float32(7.844))[None],
                centred(np.array(Image.open(data / "hha" / file)),
                        np.float32([132.431, 94.076, 118.477])), less_one(label)[None]]


class SiftFlow(Data):
    module, layer, classes = "siftflow_layers", "SIFTFlowSegDataLayer", 33
    tops = ("data", "sem", "geo")

    def write(self, name, *size):
        self.picture(self.path("Images", SCENES, f"{name}.jpg"), size, "JPEG")
        for folder, low, high in (("SemanticLabels", 0, 33), ("GeoLabels", -1, 3)):
            scipy.io.savemat(self.path(folder, SCENES, f"{name}.mat"),
                             {"S": self.rng.integers(low, high + 1, size).astype(np.int16)})
        self.lists()

    def params(self):
        return {"siftflow_dir": str(self.root)}

    def expected(self, name):
        sem, geo = (scipy.io.loadmat(self.root / folder / SCENES / f"{name}.mat")["S"]
                    for folder in ("SemanticLabels", "GeoLabels"))
        return [photograph(self.root / "Images" / SCENES / f"{name}.jpg",
                           np.float32([114.578, 115.294, 108.353])),
                less_one(sem)[None], less_one(np.maximum(geo, 0))[None]]


class Context(Data):
    module, layer, tops = "pascalcontext_layers", "PASCALContextSegDataLayer", ("data", "label")
    classes = 60

    def __init__(self, root, seed):
        super().__init__(root, seed)
        values = [f"thing {value}" for value in range(1, 101)]
        self.chosen = list(self.rng.choice(97, 59, replace=False) + 1)
        for position, renamed in enumerate(("table", "bedclothes", "cloth")):
            values[97 + position] = renamed
            self.chosen[10 * position] = 98 + position
        task = [values[value - 1] for value in self.chosen]
        task[0], task[10], task[20] = "diningtable", "bedcloth", "clothes"
        for file, names in (("labels.txt", values), ("59_labels.txt", task)):
            lines = [f"{number}: {name}\n" for number, name in enumerate(names, 1)]
            self.path("context", file).write_text("".join(lines))

    def write(self, name, *size):
        self.picture(self.path("voc/VOC2010/JPEGImages", f"{name}.jpg"), size, "JPEG")
        scipy.io.savemat(self.path("context/trainval", f"{name}.mat"),
                         {"LabelMap": self.rng.integers(1, 101, size).astype(np.uint16)})
        self.lists("voc/VOC2010/ImageSets/Main")

    def params(self):
        return {"voc_dir": str(self.root / "voc"), "context_dir": str(self.root / "context")}

    def expected(self, name):
        values = scipy.io.loadmat(self.root / f"context/trainval/{name}.mat")["LabelMap"]
        label = np.zeros(values.shape, np.uint8)
        for number, value in enumerate(self.chosen, 1):
            label[values == value] = number
        return [photograph(self.root / f"voc/VOC2010/JPEGImages/{name}.jpg",
                           np.float32([104.007, 116.669, 122.679])), label[None]]


KINDS = pytest.mark.parametrize("kind", [Voc, Sbd, Nyud, SiftFlow, Context])


@KINDS
@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("seed", [0, 1337, 20_151_111])
def test_tops_are_bit_by_bit_those_of_the_published_layers(net, tmp_path, kind, split, seed):
    data = kind(tmp_path, seed)
    layer = net(data.module, data.layer, data.tops, **data.params(), split=split, seed=seed)
    draws = random.Random(seed)
    for step in range(DRAWS):
        layer.forward()
        place = int(draws.random() * SAMPLES) if split == "train" else step % SAMPLES
        for top, expected in zip(data.tops, data.expected(data.names[place]), strict=True):
            found = layer.blobs[top].data
            assert found.shape == (1, *expected.shape)
            assert found[0].tobytes() == expected.astype(np.float32).tobytes(), (top, step)


@KINDS
@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_the_released_script(net, tmp_path, kind, seed):
    """Its accuracy, mean accuracy, mean IU and f.w. IU over the validation set, for answers that
    are right in part; here mean IU is over the classes in truth or answer, as there."""
    data = kind(tmp_path, seed)
    layer = net(data.module, data.layer, data.tops, **data.params(), split="val")
    label = data.tops[1 if len(data.tops) == 3 else -1]
    counts, matrix = np.zeros((data.classes, data.classes)), 0
    for _ in range(SAMPLES):
        layer.forward()
        truth = layer.blobs[label].data[0, 0]
        answer = data.rng.integers(0, data.classes, truth.shape)
        answer = np.where(data.rng.random(truth.shape) < 0.6, truth, answer).astype(int)
        answer[answer == 255] = 0
        for true, said in zip(truth.astype(int).flat, answer.flat):
            if true < data.classes:
                counts[true, said] += 1
        matrix = matrix + confusion(truth, answer, data.classes)
    right, true, said = np.diag(counts), counts.sum(1), counts.sum(0)
    with np.errstate(invalid="ignore"):
        accuracy, iu = right / true, right / (true + said - right)
    scores = Scores.of(matrix)
    np.testing.assert_allclose(
        [scores.pixel_accuracy, scores.mean_accuracy, scores.mean_iu, scores.frequency_weighted_iu],
        [right.sum() / counts.sum(), np.nanmean(accuracy), np.nanmean(iu),
         np.nansum(true * iu) / counts.sum()], rtol=1e-12)


@KINDS
def test_inference_sees_the_same_bits(net, tmp_path, kind):
    """Inputs, as infer.py makes them by the val.prototxt of a run, of the layer's own files."""
    data = kind(tmp_path / "data", 1)
    layer = net(data.module, data.layer, data.tops, **data.params(), split="val")
    (tmp_path / "val.prototxt").write_text((tmp_path / "data.prototxt").read_text())
    takes = Run(tmp_path).images()
    beside = {kind: tmp_path / "data" / "data" / kind if kind in takes.kinds else None
              for kind in ("depth", "hha")}
    inputs = Inputs(takes.kinds, takes.mean, beside)
    for name in data.names:
        layer.forward()
        path, = (path for path in tmp_path.rglob(f"*{name}.*") if path.parent.name in (
            "images", "img", "JPEGImages") or path.parent.parent.name == "Images")
        arrays = inputs.read(path, read_photograph(path))
        tops = data.tops[:len(takes.kinds)]
        assert len(arrays) == len(tops) == (3 if kind is Nyud else 1)
        for top, array in zip(tops, arrays):
            assert array.astype(np.float32).tobytes() == layer.blobs[top].data[0].tobytes(), top
