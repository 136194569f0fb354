"""The pictures of docs/explanation.md and README.md, from the project's own nets and scenes.

    python docs/pictures/make.py                                 # those that need no trained net
    python docs/pictures/make.py stages --weights FILE.caffemodel...     # one column each
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from PIL import Image

import caffe
from caffe import layers as L
from caffe.log import silence
from caffe.proto import caffe_pb2
from fcn import nets, surgery
from fcn.analysis.geometry import places
from fcn.nets.source import MEAN
from segdata.embedded import voc as scenes

# Okabe and Ito's colours, which colour-blind people can tell apart as well
BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, RED, PINK = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")
GREY = "#8a8a8a"
CLASS_COLOURS = ("#f2f2f2", ORANGE, SKY, GREEN, PINK, BLUE, RED)     # of scenes.CLASSES
WIDTH = 4.0     # inches of 200 pixels: text of 8 points can be read where the page is 390 px wide
STYLE = {"font.size": 8, "axes.spines.top": False, "axes.spines.right": False,
         "axes.titlesize": 8.5, "axes.titlelocation": "left", "savefig.dpi": 200,
         "figure.constrained_layout.use": True}


def kernels(_: argparse.Namespace) -> None:
    """How a deconvolution interpolates, and what its kernel becomes when it learns."""
    figure = plt.figure(figsize=(WIDTH, 4.3))
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1))
    _sum_of_kernels(figure.add_subplot(grid[0, :]))
    bilinear = surgery.bilinear(4)
    for column, (title, kernel) in enumerate({"bilinear, by 2": bilinear,
                                              "learned on class maps": learned_kernel()}.items()):
        axes = figure.add_subplot(grid[1, column])
        axes.imshow(kernel, cmap="Blues", vmin=-0.1, vmax=0.75)
        for (row, place), value in np.ndenumerate(kernel):
            axes.text(place, row, f"{value:.2f}".replace("-0.00", "0.00"), ha="center", va="center",
                      color="white" if value > 0.42 else "black")
        axes.set(title=title, xticks=[], yticks=[])


def _sum_of_kernels(axes: Axes, factor: int = 8) -> None:
    values = np.array([0.3, 1.0, 0.8, 0.2, 0.6])
    line = surgery.bilinear(2 * factor)[factor]
    line = line / line.max() * (1 - 0.5 / factor)
    total = np.zeros((len(values) + 1) * factor)
    for number, value in enumerate(values):
        start = number * factor
        total[start:start + 2 * factor] += value * line
        axes.plot(np.arange(start, start + 2 * factor), value * line, color=SKY, lw=1.2,
                  label=None if number else "each score times the kernel")
    axes.plot(np.arange(len(total)), total, color=BLACK, lw=2, label="their sum: interpolation")
    centres = factor - 0.5 + factor * np.arange(len(values))
    axes.plot(centres, values, "o", color=RED, label="scores, a stride of 8 apart")
    axes.set(title="A deconvolution by 8", xlabel="pixels", ylim=(0, 1.75), yticks=[0, 1],
             xlim=(0, len(total) - 1))
    axes.legend(frameon=False, loc="upper left", fontsize=7.5, borderpad=0)


def learned_kernel(steps: int = 200) -> np.ndarray:
    """The 4×4 kernel that one deconvolution learns, from the bilinear one on: to restore class
    maps of scenes from their averages over 2×2 pixels."""
    rng = np.random.default_rng(0)
    maps = [scenes.scene(rng)[1][:128, :128] for _ in range(8)]
    fine = np.stack([label == number for label in maps for number in (0, 1, 2)])[:, None]
    n = caffe.NetSpec()
    n.coarse, n.fine = (L.Input(shape=dict(dim=[len(fine), 1, side, side])) for side in (64, 128))
    n.up = L.Deconvolution(n.coarse, convolution_param=dict(
        num_output=1, kernel_size=4, stride=2, pad=1, bias_term=False))
    n.loss = L.EuclideanLoss(n.up, n.fine, loss_weight=1 / 128 ** 2)
    settings = caffe_pb2.SolverParameter(train_net_param=n.to_proto(), base_lr=0.5, momentum=0.9,
                                         lr_policy="fixed", snapshot_after_train=False)
    with written(settings) as path:
        solver = caffe.SGDSolver(path)
    surgery.interp(solver.net, ["up"])
    solver.net.blobs["fine"].data[...] = fine
    solver.net.blobs["coarse"].data[...] = fine.reshape(len(fine), 1, 64, 2, 64, 2).mean((3, 5))
    solver.step(steps)
    return solver.net.params["up"][0].data[0, 0].copy()


@contextmanager
def written(message: caffe_pb2.NetParameter | caffe_pb2.SolverParameter) -> Iterator[str]:
    """The path of a prototxt, as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "message.prototxt"
        path.write_text(str(message))
        yield str(path)


def fields(_: argparse.Namespace) -> None:
    """How far each layer of VGG-16 looks, and how far apart its values lie."""
    found = places(nets.fcn("fcn32s", "deploy"))
    names = ("conv1_2", "pool1", "conv2_2", "pool2", "conv3_3", "pool3", "conv4_3", "pool4",
             "conv5_3", "pool5", "fc7")
    colours = dict(zip((1, 2, 4, 8, 16, 32), (GREY, PINK, YELLOW, GREEN, SKY, BLUE)))
    figure, (bars, view) = plt.subplots(2, 1, figsize=(WIDTH, 6), height_ratios=(1, 1.1))
    for row, name in enumerate(names):
        place = found[name]
        bars.barh(row, place.field, color=colours[place.stride], edgecolor="black", lw=0.4)
        bars.text(place.field + 6, row, f"{place.field} px, stride {place.stride}", va="center")
    bars.set(title="Receptive field and stride of VGG-16's layers", yticks=range(len(names)),
             xlim=(0, 560), xlabel="pixels of the image")
    bars.set_yticklabels(names)
    bars.invert_yaxis()
    view.add_patch(Rectangle((0, 0), 500, 375, color="#ededed"))
    for name in ("fc7", "pool5", "pool4", "pool3"):
        side = found[name].field
        view.add_patch(Rectangle((250 - side / 2, 187.5 - side / 2), side, side, fill=False,
                                 ec=colours[found[name].stride] if name != "pool5" else ORANGE,
                                 lw=2.2))
        view.text(250, 184 - side / 2, f"{name}: {side}", va="bottom", ha="center")
    view.set(title="What one value sees of a photograph of 500×375", xlim=(-4, 504),
             ylim=(395, -40), aspect="equal")
    view.axis("off")


def crop(_: argparse.Namespace) -> None:
    """Where the scores of FCN-32s lie, with the padding of 100 and without, and what is cropped."""
    side, start, count = 500, *first_score("fcn32s")
    offset, length = offsets("fcn32s")["score"], 32 * (count - 1) + 64
    figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
    rows = {"image": (0, side, GREY), "padded\nby 100": (-100, side + 200, "#d9d9d9"),
            "upscore": (-offset, length, SKY), "score": (0, side, BLUE)}
    heights = {name: row for row, name in enumerate((
        "image", "padded\nby 100", "score_fr", "upscore", "score", "score_fr,\npad 1"))}
    for name, (left, width, colour) in rows.items():
        axes.barh(heights[name], width, left=left, color=colour, height=0.5)
    axes.plot(start + 32 * np.arange(count), [heights["score_fr"]] * count, "o", color=RED, ms=3.5)
    fewer = count - 6       # of an image of 500
    axes.plot(start + 99 + 32 * np.arange(fewer), [heights["score_fr,\npad 1"]] * fewer, "o",
              color=RED, ms=3.5)
    for edge in (0, side):
        axes.axvline(edge, color=BLACK, lw=0.8, ls=":")
    axes.text(-offset, heights["upscore"] + 0.3, f"{offset} cropped", va="top", ha="center",
              fontsize=7.5, bbox=dict(fc="white", ec="none", pad=0.5))
    axes.text(250, heights["upscore"], f"{length}", ha="center", va="center")
    for name, text in (("image", "500"), ("padded\nby 100", "700"), ("score", "500")):
        axes.text(250, heights[name], text, ha="center", va="center",
                  color="white" if name != "padded\nby 100" else "black")
    axes.set(yticks=list(heights.values()), xlim=(-110, 610), ylim=(5.6, -0.6),
             xlabel="pixels of the image", title="FCN-32s along one side of an image")
    axes.set_yticklabels(heights)


def offsets(head: str) -> dict[str, int]:
    """{Crop layer: its offset} of an FCN on VGG-16."""
    return {layer.name: layer.crop_param.offset[0] for layer in nets.fcn(head, "deploy").layer
            if layer.type == "Crop"}


def first_score(head: str, side: int = 500) -> tuple[float, int]:
    """(place of the first score along a side of an image, in its pixels; how many there are)."""
    size = side + 2 * 100
    for _ in range(5):
        size = -(-size // 2)
    return 32 - 0.5 - offsets(head)["score"], size - 6


def momentum(_: argparse.Namespace) -> None:
    """What each image of the past contributes to an update."""
    ages = np.arange(400)
    figure, axes = plt.subplots(figsize=(WIDTH, 2.5))
    axes.step(ages, 100 * 0.1 * 0.9 ** (ages // 20) / 20, where="post", color=ORANGE, lw=2,
              label="momentum 0.9, 20 images at a time")
    axes.plot(ages, 100 * 0.01 * 0.99 ** ages, color=BLUE, lw=2, ls="--",
              label="momentum 0.99, one image at a time")
    axes.set(xlabel="images ago", ylabel="share, percent", xlim=(0, 400), ylim=(0, 1.25),
             title="What an image contributes to an update")
    axes.legend(frameon=False)


def strides(options: argparse.Namespace) -> None:
    """What scores at each stride can say at best: the truth as they would hold it, interpolated."""
    rng = np.random.default_rng(options.seed)
    image, label = (array[:128, :128] for array in scenes.scene(rng))
    cells = {"scene": image, "truth": _coloured(label),
             **{f"stride {stride}": _coloured(at_stride(label, stride)) for stride in (32, 16, 8)}}
    figure, axes = plt.subplots(2, 3, figsize=(WIDTH, 2.9))
    for place in axes.flat:
        place.axis("off")
    order = [axes[0, 0], axes[0, 1], axes[1, 0], axes[1, 1], axes[1, 2]]
    for place, (title, cell) in zip(order, cells.items()):
        place.imshow(cell, interpolation="nearest")
        place.set_title(title)
    _legend(axes[0, 2])


def at_stride(label: np.ndarray, stride: int) -> np.ndarray:
    """The class of each pixel after the shares of the classes in cells of `stride` pixels, which
    are the best that scores this far apart can hold, went through a deconvolution of the nets."""
    classes, (height, width) = len(scenes.CLASSES), label.shape
    shares = np.stack([label == number for number in range(classes)]).reshape(
        classes, height // stride, stride, width // stride, stride).mean((2, 4))
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, *shares.shape]))
    n.up = L.Deconvolution(n.data, convolution_param=dict(
        num_output=classes, kernel_size=2 * stride, stride=stride, pad=stride // 2,
        bias_term=False))
    with written(n.to_proto()) as path:
        net = caffe.Net(path, caffe.TEST)
    surgery.interp(net, ["up"])
    net.blobs["data"].data[0] = shares
    return net.forward()["up"][0].argmax(0)


def stages(options: argparse.Namespace) -> None:
    """What trained nets say of scenes: those of a demo, or one net as it learns."""
    heads = [json.loads((path.parents[1] / "settings.json").read_text())["head"]
             for path in options.weights]
    steps = [f"{int(path.stem.rpartition('_')[2]):,}" for path in options.weights]
    titles = [head.removeprefix("fcn") for head in heads] if len({*heads}) > 1 else steps
    trained = [caffe.Net(str(path.parents[1] / "deploy.prototxt"), str(path), caffe.TEST)
               for path in options.weights]
    rng = np.random.default_rng(options.seed)
    figure, axes = plt.subplots(3, 2 + len(trained), figsize=(4.6, 3.1), squeeze=False)
    for number, row in enumerate(axes):
        image, label = (array[:128, :128] for array in scenes.scene(rng))
        cells = [image, _coloured(label), *(_coloured(said(net, image)) for net in trained)]
        for place, cell, title in zip(row, cells, ("scene", "truth", *titles)):
            place.imshow(cell, interpolation="nearest")
            place.set_title("" if number else title)
            place.axis("off")


def said(net: caffe.Net, image: np.ndarray) -> np.ndarray:
    """The classes that an FCN gives the pixels of a scene."""
    net.blobs["data"].reshape(1, 3, *image.shape[:2])
    net.blobs["data"].data[0] = (image[..., ::-1] - np.array(MEAN)).transpose(2, 0, 1)
    return net.forward()["score"][0].argmax(0)


def _coloured(label: np.ndarray) -> np.ndarray:
    colours = np.zeros((256, 3))
    colours[255] = 1
    colours[:len(CLASS_COLOURS)] = [matplotlib.colors.to_rgb(one) for one in CLASS_COLOURS]
    return colours[label]


def _legend(axes: Axes) -> None:
    patches = [Rectangle((0, 0), 1, 1, fc=colour, ec="black", lw=0.5) for colour in CLASS_COLOURS]
    axes.legend(patches, scenes.CLASSES, loc="center", frameon=False, labelspacing=0.25)


PICTURES = {made.__name__: made for made in (kernels, fields, crop, momentum, strides, stages)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[*PICTURES, []],
                        help=", ".join(PICTURES))
    parser.add_argument("--weights", type=Path, nargs="+", metavar="FILE",
                        help="for stages: snapshots in the folders of runs")
    parser.add_argument("--seed", type=int, default=7, help="of the scenes (default 7)")
    parser.add_argument("-o", "--output", type=Path, default=Path(__file__).parent)
    options = parser.parse_args(arguments)
    if "stages" in options.names and not options.weights:
        parser.error("stages needs --weights, snapshots in the folders of runs")
    matplotlib.use("Agg")
    with plt.rc_context(STYLE), silence():
        for name in options.names or [name for name in PICTURES if name != "stages"]:
            PICTURES[name](options)
            save(options.output / f"{name}.png")


def save(path: Path) -> None:
    """Write the current figure in 256 colours, which makes a small file."""
    plt.savefig(path)
    plt.close()
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(
            256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
