"""The folder of a run, as if trained, whose net sees the noisy colours of single pixels."""

from pathlib import Path

import numpy as np
from PIL import Image

import caffe
from fcn.nets.source import folder
from fcn.solvers.runs.run import Run

SCORE = ('layer { name: "score" type: "Convolution" bottom: "data" top: "score" '
         'convolution_param { num_output: 2 kernel_size: 1 } }\n')
SIZE = 24, 36
COLOURS = np.array([(150, 120, 60), (60, 120, 150)])        # of the two classes


def small_run(directory: Path) -> Run:
    """It is scored on two photographs of two halves."""
    run = Run(directory / "run")
    run.folder.mkdir(parents=True)
    photographs(directory / "data", 2)
    net = caffe.NetSpec()
    net.data, net.label = folder(directory / "data", 2).tops("val").values()
    run.prototxt("val").write_text(f"{net.to_proto()}\n{SCORE}")
    run.prototxt("deploy").write_text('input: "data" input_shape { dim: 1 dim: 3 dim: 9 dim: 9 }\n'
                                      + SCORE)
    run.prototxt("solver").write_text("test_iter: 2\n")
    (run.directory / "classes.txt").write_text("left\nright\n")
    trained = caffe.Net(str(run.prototxt("deploy")), caffe.TEST)
    trained.params["score"][0].data[0, :, 0, 0] = -0.01, 0, 0.01
    trained.save(str(run.weights(4)))
    return run


def photographs(folder: Path, count: int) -> None:
    """A folder in VOC layout with as many, and their list val.txt."""
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (folder / name).mkdir(parents=True)
    rng = np.random.default_rng(2)
    for i in range(count):
        label = np.tile(np.arange(SIZE[1]) >= 13 + 4 * i, (SIZE[0], 1)).astype(np.uint8)
        pixels = COLOURS[label] + rng.normal(scale=60, size=(*SIZE, 3))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(
            folder / f"JPEGImages/{i}.jpg", quality=95, subsampling=0)
        Image.fromarray(label).save(folder / f"SegmentationClass/{i}.png")
    (folder / "ImageSets/Segmentation/val.txt").write_text("".join(f"{i}\n" for i in range(count)))
