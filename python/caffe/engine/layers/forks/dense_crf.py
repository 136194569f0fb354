"""DenseCRF (DeepLab) and MultiStageMeanfield (CRF-RNN): mean field inference in a fully connected
CRF (Krähenbühl and Koltun 2011)."""

from __future__ import annotations

import math
import os
import re

import torch
from torch import Tensor

from ....errors import LayerError
from ....formats.text import read_text
from ....log import logger
from ....proto.caffe_pb2 import FillerParameter
from ..base import TensorLayer
from ..kernels.lattice import Lattice
from ..kernels.mean_field import as_rows, inferred, over_colours, over_places
from ..loss import FLT_MIN
from ..registry import register
from ..types import Blobs, Shapes

LEAST_EXPONENT = -20    # below it, DenseCRF takes the exponential for 0


class Meanfield(TensorLayer):
    """What both layers share: scores (N, classes, H, W), an image (N, 3, H, W), and Gaussian
    filters over places, and over places and colours."""

    recordable = False      # lattices follow from values

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self._spatial: dict = {}

    def check_image(self, scores: tuple, image: tuple) -> None:
        """Raises the layer's error unless the image has 3 channels, and the size of the scores."""
        if image != (scores[0], 3, *scores[2:]):
            raise self.error(f"expected an image of 3 channels in the size of the scores, "
                             f"{(scores[0], 3, *scores[2:])}, got {image}; an Interp or Crop of "
                             "the scores gives them the image's size")

    def check_scores(self, scores: tuple) -> None:
        """Raises the layer's error unless they are of several classes."""
        if len(scores) != 4 or scores[1] < 2:
            raise self.error("expected scores (N, classes, H, W) of at least 2 classes, got "
                             f"{scores}")

    def spatial(self, height: int, width: int, deviation: float, device: torch.device) -> Lattice:
        """The filter over places; the last of each deviation is kept."""
        key = height, width, device
        found = self._spatial.get(deviation)
        if found is None or found[0] != key:
            found = key, over_places(height, width, deviation, device)
            self._spatial[deviation] = found
        return found[1]


@register("DenseCRF")
class DenseCRF(Meanfield):
    """The probabilities of the classes, or their logarithms without output_probability, after
    max_iter steps of q <- softmax(scores + sum of w * mean(q)), which begin with softmax(scores).

    Means are weighed over places (pos_w, pos_xy_std), and over places and colours of bottom 2, the
    image (bi_w, bi_xy_std, bi_rgb_std); each of these may be given several times. Without bottom 2
    only those over places count. Bottom 1 is the height and width of each image, (N, 1, 1, 2); what
    lies beyond is padding, for which the top is 0. It has no backward.
    """

    bottoms = (2, 3)
    no_gradient = (0, 1, 2)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        p = self.layer_param.dense_crf_param
        if p.max_iter < 0:
            raise self.error(f"expected max_iter of at least 0, got {p.max_iter}")
        for names in (("pos_w", "pos_xy_std"), ("bi_w", "bi_xy_std", "bi_rgb_std")):
            counts = [len(getattr(p, name)) for name in names]
            if len(set(counts)) > 1:
                raise self.error(f"expected as many of {', '.join(names)}, got {counts}")
            if not all(value > 0 for name in names[1:] for value in getattr(p, name)):
                raise self.error(f"expected {' and '.join(names[1:])} above 0")
            if not all(map(math.isfinite, getattr(p, names[0]))):
                raise self.error(f"expected {names[0]} to be finite")
        if len(bottom) == 3 and not p.bi_w:
            raise self.error("has an image as bottom 2, but no bi_w, bi_xy_std and bi_rgb_std to "
                             "use it with")

    def shapes(self, bottom: Shapes) -> Shapes:
        scores, sizes, *image = bottom
        self.check_scores(scores)
        if sizes != (scores[0], 1, 1, 2):
            raise self.error("expected the height and width of each image, "
                             f"{(scores[0], 1, 1, 2)}, as bottom 1, got {sizes}")
        if image:
            self.check_image(scores, image[0])
        return [scores]

    def compute(self, scores: Tensor, sizes: Tensor, *image: Tensor) -> Tensor:
        top = torch.zeros_like(scores)
        for n, (height, width) in enumerate(sizes.reshape(-1, 2).tolist()):
            if not (1 <= height < math.inf and 1 <= width < math.inf):
                raise self.error(f"expected heights and widths of at least 1 in bottom 1, got "
                                 f"{height:g} x {width:g}")
            inside = slice(0, int(height)), slice(0, int(width))
            own = [x[n][:, inside[0], inside[1]].detach() for x in (scores, *image)]
            top[n][:, inside[0], inside[1]] = self._inferred(*own)
        return top

    def _inferred(self, scores: Tensor, *image: Tensor) -> Tensor:
        p, (_, height, width) = self.layer_param.dense_crf_param, scores.shape
        filters = [(w, self.spatial(height, width, deviation, scores.device))
                   for w, deviation in zip(p.pos_w, p.pos_xy_std) if w]
        if image:
            filters += [(w, over_colours(image[0], places, colours)) for w, places, colours
                        in zip(p.bi_w, p.bi_xy_std, p.bi_rgb_std) if w]
        q = _softmax(inferred(scores, filters, p.max_iter))
        return q if p.output_probability else q.clamp(min=FLT_MIN).log()


def _softmax(scores: Tensor) -> Tensor:
    exponent = scores - scores.amax(0)
    exponential = exponent.exp().masked_fill(exponent < LEAST_EXPONENT, 0)
    return exponential / exponential.sum(0)


@register("MultiStageMeanfield")
class MultiStageMeanfield(Meanfield):
    """num_iterations steps of q <- bottom 0 - M (Ws S + Wb B), which begin with bottom 1; S and B
    are the means of softmax(q) over places (theta_gamma), and over places and colours of bottom 2
    (theta_alpha, theta_beta). The top is the last q, as scores.

    Parameters, (1, 1, classes, classes): Ws and Wb, at first diagonals of the numbers in the files
    spatial.par and bilateral.par of the working folder, or without such a file of
    spatial_filter_weight and bilateral_filter_weight; and M, at first minus the identity.
    """

    bottoms = (3, 3)
    no_gradient = (2,)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        super().setup(bottom, top)
        p, shape = self.layer_param.multi_stage_meanfield_param, bottom[0].shape
        self.check_scores(shape)
        if p.num_iterations < 2:
            raise self.error(f"expected num_iterations of at least 2, got {p.num_iterations}")
        if not all(theta > 0 for theta in (p.theta_alpha, p.theta_beta, p.theta_gamma)):
            raise self.error("expected theta_alpha, theta_beta and theta_gamma above 0, got "
                             f"{p.theta_alpha:g}, {p.theta_beta:g} and {p.theta_gamma:g}")
        self.classes = shape[1]
        for diagonal in (self._weights("spatial.par", p.spatial_filter_weight),
                         self._weights("bilateral.par", p.bilateral_filter_weight),
                         [-1.0] * self.classes):
            self.add_param((1, 1, self.classes, self.classes), FillerParameter())
            self.blobs[-1].data_tensor.copy_(torch.diag(torch.tensor(diagonal)))

    def _weights(self, path: str, weight: float) -> list[float]:
        """The first weights of a filter, one for each class."""
        if not os.path.exists(path):
            return [weight] * self.classes
        text = read_text(path)
        numbers = [float(word) for word in text.split() if re.fullmatch(r"[-+.\deE]+", word)]
        if len(numbers) < self.classes or len(numbers) < len(text.split()):
            raise LayerError(f"{os.path.abspath(path)}: expected a number for each of "
                             f"{self.classes} classes, got {text.split()[:self.classes]}")
        logger.info("Layer '%s' (MultiStageMeanfield): its first weights are the numbers in %s. "
                    "The original reads them wrongly", self.name, os.path.abspath(path))
        return numbers[:self.classes]

    def shapes(self, bottom: Shapes) -> Shapes:
        unary, start, image = bottom
        self.check_scores(unary)
        if start != unary or unary[1] != self.classes:
            raise self.error(f"expected bottoms 0 and 1 of one shape, with {self.classes} classes, "
                             f"got {unary} and {start}")
        self.check_image(unary, image)
        return [unary]

    def compute(self, unary: Tensor, start: Tensor, image: Tensor) -> Tensor:
        p = self.layer_param.multi_stage_meanfield_param
        by_place, by_colour, compatibility = (w.reshape(self.classes, self.classes).t()
                                              for w in self.weights)
        near = self.spatial(unary.shape[2], unary.shape[3], p.theta_gamma, unary.device)
        tops: list[Tensor] = []
        for own, q, picture in zip(unary, start, image):
            alike = over_colours(picture, p.theta_alpha, p.theta_beta)
            own, q = as_rows(own), as_rows(q)
            for _ in range(p.num_iterations):
                probability = q.softmax(1)
                message = near.mean(probability) @ by_place + alike.mean(probability) @ by_colour
                q = own - message @ compatibility
            tops.append(q.t().reshape(unary.shape[1:]))
        return torch.stack(tops) if tops else unary
