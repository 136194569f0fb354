"""Does a trained trunk start an FCN-8s better than random weights do, in the same time?

    python benchmarks/backbones.py FOLDER [--trunks hed random nsfw] [--times 1] [--held-out]

Each trunk is trained on the photographs of a folder in VOC layout, made a third as large, and
scored on photographs in their own size. The heads are FCN-8s's without fc6 and fc7, which no
package has: scores start at zero, upsampling is bilinear. `make real` gets the weights. The numbers
of iterations in TRUNKS take about the same CPU time on one thread, which is printed; --times
multiplies them. With --held-out, every eighth photograph of train is scored in place of val: so
the rates in TRUNKS were chosen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

import caffe
import folder_layers
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2
from fcn import nets, surgery
from fcn.nets import vgg16
from fcn.nets.heads import HEADS, predict
from fcn.nets.layers import LEARN, Features, filled
from fcn.solvers.console.errors import report_errors
from fcn.solvers.inference import edges
from fcn.solvers.scoring.metrics import Scores, confusion
from segdata.arguments import ArgumentParser
from segdata.classes import VOID
from segdata.download import packages
from segdata.lists import KnownFiles, read_list
from segdata.means import ILSVRC
from segdata.paths import build_root
from segdata.readers import read_label_image, read_photograph, subtract_mean

SMALLER = 3     # times: the photographs in training
MEAN = np.reshape(ILSVRC, (3, 1, 1))
SEED = 0        # of the order and the mirroring


def vgg(n: NetSpec, image: Top, width: float = 1.0, filler: str | None = None) -> Features:
    top = vgg16.body(n, image, 1, width, dict(param=LEARN, **filled(filler)))
    return Features(n.data, top, {name: n[name] for name in ("pool4", "pool3")}, odd=False)


def narrow_vgg(n: NetSpec, image: Top) -> Features:
    """As `solve.py --data` trains it: images of unit variance, an eighth of the width."""
    n.scaled = L.Power(image, scale=1 / 58)
    return vgg(n, n.scaled, 1 / 8, "msra")


def resnet(n: NetSpec, image: Top) -> Features:
    """The trunk of open_nsfw, a ResNet-50 of half the channels; its statistics stay."""
    top = n.pool1 = L.Pooling(_normalised(n, "1", image, 64, 7, 2, 3, True), kernel_size=3,
                              stride=2, pool=P.Pooling.MAX)
    tops = []
    for stage, (channels, depth) in enumerate(((32, 3), (64, 4), (128, 6), (256, 3))):
        for block in range(depth):
            name, stride = f"stage{stage}_block{block}", 2 if block == 0 < stage else 1
            inner = _normalised(n, f"{name}_branch2a", top, channels, 1, stride, 0, True)
            inner = _normalised(n, f"{name}_branch2b", inner, channels, 3, 1, 1, True)
            inner = _normalised(n, f"{name}_branch2c", inner, 4 * channels, 1, 1, 0, False)
            if block == 0:
                top = _normalised(n, f"{name}_proj_shortcut", top, 4 * channels, 1, stride, 0,
                                  False)
            n[f"eltwise_{name}"] = L.Eltwise(top, inner)
            n[f"relu_{name}"] = top = L.ReLU(n[f"eltwise_{name}"], in_place=True)
        tops.append(top)
    return Features(n.data, tops[3], {"pool4": tops[2], "pool3": tops[1]}, odd=True)


def _normalised(n: NetSpec, name: str, bottom: Top, channels: int, kernel: int, stride: int,
                pad: int, relu: bool) -> Top:
    n[f"conv_{name}"] = L.Convolution(bottom, num_output=channels, kernel_size=kernel,
                                      stride=stride, pad=pad, param=LEARN)
    n[f"bn_{name}"] = L.BatchNorm(n[f"conv_{name}"], use_global_stats=True, in_place=True,
                                  param=[dict(lr_mult=0, decay_mult=0)] * 3)
    n[f"scale_{name}"] = top = L.Scale(n[f"bn_{name}"], bias_term=True, in_place=True)
    if relu:
        n[f"relu_{name}"] = top = L.ReLU(top, in_place=True)
    return top


class Trunk(NamedTuple):
    """build(n, image) : its Features; weights() : a caffemodel that fills it, None for random
    ones; lr : for the mean loss and momentum 0.9, the best of those tried"""
    build: Callable[[NetSpec, Top], Features]
    weights: Callable[[], Path] | None
    lr: float
    iterations: int


TRUNKS = {"hed": Trunk(vgg, lambda: edges.files()[1], 3e-4, 200),
          "random": Trunk(narrow_vgg, None, 1e-2, 2230),
          "nsfw": Trunk(resnet, lambda: packages.verified("nsfw"), 1e-3, 400)}


class Photographs:
    """Those of a folder. train, val : their names; classes : their number"""

    def __init__(self, folder: Path, held_out: bool) -> None:
        self.folder, self.known_files = folder, KnownFiles()
        self.classes = len(folder_layers.describe(folder).classes)
        self.train, self.val = ([entry.name for entry in read_list(
            folder_layers.split_list(folder, split))] for split in ("train", "val"))
        if held_out:
            self.val = self.train[::8]
            self.train = [name for name in self.train if name not in self.val]

    def read(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """(float32 (3, height, width), the image made smaller; the label in its own size)."""
        paths = folder_layers.sample_paths(self.folder, name, self.known_files)
        image = read_photograph(paths["data"])
        size = (image.width // SMALLER, image.height // SMALLER)
        small = np.asarray(image.resize(size, Image.Resampling.BOX))
        return subtract_mean(small, MEAN), np.asarray(read_label_image(paths["label"]))

    def samples(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """(image, label), both made smaller, without end: each once in a pass, half of them
        mirrored."""
        rng = np.random.default_rng(SEED)
        while True:
            for name in rng.permutation(self.train)[::-1]:
                image, label = self.read(name)
                label = label[SMALLER // 2::SMALLER, SMALLER // 2::SMALLER]
                turn = -1 if rng.random() < 0.5 else 1
                yield image[..., ::turn], label[:, ::turn]


def write_nets(trunk: Trunk, photographs: Photographs, folder: Path) -> dict[str, Path]:
    """{'train': path, 'deploy': path} of the prototxts, for the size of the first photograph."""
    image, _ = photographs.read(photographs.train[0])
    paths = {}
    for split in ("train", "deploy"):
        n = caffe.NetSpec()
        n.data = L.Input(shape=dict(dim=[1, *image.shape]))
        if split == "train":
            n.label = L.Input(shape=dict(dim=[1, 1, *image.shape[1:]]))
        predict(n, trunk.build(n, n.data), HEADS["fcn8s"], photographs.classes)
        if split == "train":
            n.loss = L.SoftmaxWithLoss(n.score, n.label,
                                       loss_param=dict(normalize=True, ignore_label=VOID))
        paths[split] = nets.write_prototxt(folder / f"{split}.prototxt", n.to_proto())
    return paths


def train(trunk: Trunk, photographs: Photographs, folder: Path, iterations: int
          ) -> tuple[caffe.Net, float]:
    """(the trained net, CPU seconds that the iterations took)."""
    paths = write_nets(trunk, photographs, folder)
    solver = caffe.get_solver(str(nets.write_prototxt(
        folder / "solver.prototxt", caffe_pb2.SolverParameter(
            train_net=str(paths["train"]), base_lr=trunk.lr, lr_policy="multistep", gamma=0.1,
            stepvalue=[round(0.75 * iterations)], momentum=0.9, weight_decay=0.0005,
            max_iter=iterations, display=0, random_seed=1337,
            snapshot_prefix=str(folder / "train")))))
    if trunk.weights:
        solver.net.copy_from(str(trunk.weights()))
    surgery.interp(solver.net, [name for name in solver.net.params if name.startswith("upscore")])
    blobs, start = solver.net.blobs, time.process_time()
    for _, (image, label) in zip(tqdm(range(iterations), folder.name), photographs.samples()):
        blobs["data"].data[0], blobs["label"].data[0, 0] = image, label
        solver.step(1)
    seconds = time.process_time() - start
    solver.net.save(str(folder / "trained.caffemodel"))
    return caffe.Net(str(paths["deploy"]), str(folder / "trained.caffemodel"), caffe.TEST), seconds


def score(net: caffe.Net, photographs: Photographs) -> Scores:
    """Scores of val: those of the net are enlarged bilinearly to the photographs' own size."""
    matrix = np.zeros((photographs.classes, photographs.classes), np.int64)
    for name in photographs.val:
        image, label = photographs.read(name)
        net.blobs["data"].data[0] = image
        net.forward()
        scores = torch.from_numpy(net.blobs["score"].data.copy())
        large = torch.nn.functional.interpolate(scores, label.shape, mode="bilinear")
        matrix += confusion(label, large[0].argmax(0).numpy(), photographs.classes)
    return Scores.of(matrix)


def main() -> None:
    parser = ArgumentParser(description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--trunks", nargs="+", choices=TRUNKS, default=list(TRUNKS))
    parser.add_argument("--times", type=float, default=1.0)
    parser.add_argument("--held-out", action="store_true")
    args = parser.parse_args()
    with report_errors():
        caffe.init_log(2)
        photographs = Photographs(args.folder, args.held_out)
        print("| trunk | iterations | CPU seconds | pixel accuracy | mean IU |\n" + 5 * "| --- "
              + "|")
        for name in args.trunks:
            iterations = round(args.times * TRUNKS[name].iterations)
            net, seconds = train(TRUNKS[name], photographs, build_root() / "backbones" / name,
                                 iterations)
            found = score(net, photographs)
            print(f"| {name} | {iterations} | {seconds:.0f} | {100 * found.pixel_accuracy:.1f} | "
                  f"{100 * found.mean_iu:.1f} |", flush=True)


if __name__ == "__main__":
    main()
