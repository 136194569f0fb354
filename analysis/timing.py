"""The three trunks as FCN-32s (CVPR, table 1): time, parameters, receptive field, stride.

The time is the median of three forward passes over one image of 500×500 pixels.
Parameters, receptive field and stride are worked out from the net at full width.
"""

import statistics
import time

import caffe
from fcn import nets
from fcn.analysis.geometry import parameters, places
from fcn.solvers.console.text import columns

TIMES = 3
# {trunk: (name, mean IU, forward ms, parameters, receptive field)}, strides are 32
PAPER = {"caffenet": ("FCN-AlexNet", 39.8, 50, "57M", 355),
         "vgg16": ("FCN-VGG16", 56.0, 210, "134M", 404),
         "googlenet": ("FCN-GoogLeNet", 42.5, 59, "6M", 907)}


def run(options):
    rows = [("", "forward, ms", "paper", "parameters", "paper", "field", "paper", "stride", "paper",
             "mean IU, paper")]
    for trunk, (name, mean_iu, milliseconds, millions, field) in PAPER.items():
        net = nets.fcn("fcn32s", "deploy", trunk=trunk)
        place = places(net)["score_fr"]
        seconds = forward_seconds(trunk, options.width, options.directory / "timing")
        rows.append((name, f"{1000 * seconds:.0f}", milliseconds, f"{parameters(net) / 1e6:.1f}M",
                     millions, place.field, field, place.stride, 32, mean_iu))
    print(columns(rows))
    pooled = places(nets.classifier("googlenet"))["pool5/7x7_s1"]
    print(f"\nGoogLeNet's receptive field is {pooled.field} with the classifier's average pooling, "
          "which its FCN drops.\nThe paper's times are of the GPU of its day.")
    if options.width != 1:
        print(f"The times here are at {options.width:g} of the width.")


def forward_seconds(trunk, width, directory):
    """The median time of a forward pass, from random weights."""
    path = nets.write_prototxt(directory / f"{trunk}.prototxt", nets.fcn(
        "fcn32s", "deploy", trunk=trunk, width=width, filler="msra"))
    net = caffe.Net(str(path), caffe.TEST)
    net.forward()       # allocates
    return statistics.median(_seconds(net) for _ in range(TIMES))


def _seconds(net):
    start = time.perf_counter()
    net.forward()
    return time.perf_counter() - start
