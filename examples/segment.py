"""Segment one photograph with a trained net, in plain pycaffe.

    python examples/segment.py deploy.prototxt trained.caffemodel image.jpg classes.png [--trust]

The net takes a colour image of any size, less ILSVRC's mean, and has a blob 'score'. `infer.py`
does the same with all the checks. A net that would run code or read and write files of its choice
is refused without --trust.
"""

import sys

import numpy as np
from PIL import Image

import caffe
from fcn.solvers.inference import trust
from segdata.means import ILSVRC
from segdata.palette import label_image


def main(prototxt: str, weights: str, photograph: str, output: str, trusted: str = "") -> None:
    if trusted != "--trust":
        trust.check(prototxt)
    net = caffe.Net(prototxt, weights, caffe.TEST)
    with Image.open(photograph) as file:
        rgb = np.asarray(file.convert("RGB"), np.float64)
    blue_green_red = rgb[..., ::-1] - ILSVRC
    data = net.blobs["data"]
    data.reshape(1, 3, *rgb.shape[:2])
    data.data[0] = blue_green_red.transpose(2, 0, 1)
    net.forward()
    score = net.blobs["score"].data[0]          # (classes, height, width)
    if not np.isfinite(score).all():
        sys.exit(f"error: the scores of {weights} are not finite")
    label_image(score.argmax(0).astype(np.uint8)).save(output)
    for number, count in zip(*np.unique(score.argmax(0), return_counts=True)):
        print(f"class {number}: {count / score[0].size:.1%}")


if __name__ == "__main__":
    if len(sys.argv) != 5 and sys.argv[5:] != ["--trust"]:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except trust.TrustError as error:
        sys.exit(f"error: {error}")
