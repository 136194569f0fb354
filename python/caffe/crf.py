"""Dense CRFs: the probabilities of a net's classes, sharpened along the edges of the image."""

from __future__ import annotations

import math

import numpy as np
import torch

from .context import device
from .engine.layers.kernels.mean_field import inferred, over_colours, over_places
from .engine.process import prepare
from .errors import CaffeError

LEAST = float(np.finfo(np.float32).tiny)    # probabilities below it count as it
SUM_ERROR = 0.01    # how far from 1 the probabilities of a place may add up, bf16 included


def dense_crf(probabilities: np.ndarray, image: np.ndarray, iterations: int = 10, w: float = 5,
              xy: float = 50, rgb: float = 10, spatial_w: float = 3, spatial_xy: float = 3
              ) -> np.ndarray:
    """The probabilities of classes after mean field inference in a fully connected CRF.

    probabilities : (classes, height, width), as softmax makes them of a net's scores
    image : (height, width, 3), R G B from 0 to 255, uint8 or float
    iterations : of the mean field; 0 gives back the probabilities
    w, xy, rgb : of the kernel over places and colours: its weight; its deviations, in pixels and in
        the image's units
    spatial_w, spatial_xy : of the kernel over places alone: its weight; its deviation, in pixels

    Returns float32 (classes, height, width). A kernel of weight 0 is left out. It runs on the
    device of the mode (`caffe.set_mode_gpu`). An iteration is q <- softmax(log(probabilities) + sum
    of weight * mean of q by the kernel), with Potts compatibility and means divided by the sum of
    the kernel, on a permutohedral lattice, as in Krähenbühl and Koltun 2011. The defaults are those
    of DeepLab (Chen et al. 2015).

        q = scipy.special.softmax(net.blobs["score"].data[0], 0)
        labels = caffe.dense_crf(q, image).argmax(0)

    Raises CaffeError for arrays or numbers that are not as described.
    """
    settings = {"w": w, "xy": xy, "rgb": rgb, "spatial_w": spatial_w, "spatial_xy": spatial_xy}
    _check_settings(iterations, settings)
    probabilities, image = np.asarray(probabilities), np.asarray(image)
    _check_probabilities(probabilities)
    _check_image(image, probabilities.shape[1:])
    prepare()
    height, width = image.shape[:2]
    scores = torch.from_numpy(np.log(np.maximum(probabilities, LEAST, dtype=np.float32)))
    pixels = torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))
    filters = []
    if spatial_w and iterations:
        filters.append((spatial_w, over_places(height, width, spatial_xy, device())))
    if w and iterations:
        filters.append((w, over_colours(pixels.to(device()), xy, rgb)))
    result = inferred(scores.to(device()), filters, int(iterations))
    return result.softmax(0).cpu().numpy()


def _check_settings(iterations: int, settings: dict[str, float]) -> None:
    if int(iterations) != iterations or iterations < 0:
        raise CaffeError(f"dense_crf: iterations is {iterations}, expected a whole number from 0")
    for name, value in settings.items():
        weight = name.endswith("w")
        if not math.isfinite(value) or value < 0 or value == 0 and not weight:
            raise CaffeError(f"dense_crf: {name} is {value}, expected a finite number "
                             f"{'from 0 on' if weight else 'above 0'}")


def _check_probabilities(probabilities: np.ndarray) -> None:
    shape = probabilities.shape
    if len(shape) != 3 or shape[0] < 2 or not probabilities.size:
        raise CaffeError("dense_crf: expected probabilities (classes, height, width) of at least 2 "
                         f"classes, got {shape}")
    _check_finite(probabilities, "probabilities")
    total = probabilities.sum(0, dtype=np.float64)
    if probabilities.min() < 0 or abs(total - 1).max() > SUM_ERROR:
        raise CaffeError("dense_crf: expected probabilities from 0 on that add up to 1 at each "
                         f"place, got a least of {probabilities.min():g} and sums from "
                         f"{total.min():g} to {total.max():g}. Softmax over the classes makes "
                         "probabilities of scores")


def _check_image(image: np.ndarray, size: tuple) -> None:
    if image.ndim != 3 or image.shape[2] != 3:
        raise CaffeError("dense_crf: expected an image (height, width, 3), R G B, got "
                         f"{image.shape}. Repeat a grey image in 3 channels; transpose one in "
                         "Caffe's order, (3, height, width)")
    if image.shape[:2] != size:
        raise CaffeError(f"dense_crf: the image is {image.shape[0]} x {image.shape[1]}, the "
                         f"probabilities are {size[0]} x {size[1]} (height x width). Resize or "
                         "crop the probabilities to the image's size")
    _check_finite(image, "image")


def _check_finite(array: np.ndarray, name: str) -> None:
    if array.dtype.kind not in "buif":
        raise CaffeError(f"dense_crf: {name}: expected real numbers, got {array.dtype}")
    count = array.size - np.count_nonzero(np.isfinite(array))
    if count:
        raise CaffeError(f"dense_crf: {name}: {count} of {array.size} values are not finite")
