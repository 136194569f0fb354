"""PriorBox and DetectionOutput, of SSD: the boxes that a net begins with, and what it finds."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ....proto.caffe_pb2 import PriorBoxParameter
from ..base import TensorLayer
from ..registry import register
from ..types import Blobs, Shape, Shapes
from .detection_results import Results

Pair = tuple[float, float]
BLOCK = 512     # boxes whose overlaps are computed at once


@register("PriorBox")
class PriorBox(TensorLayer):
    """The boxes around each place of bottom 0, and below them their variances, (1, 2, 4 * boxes).

    Boxes are left, top, right, bottom as shares of the image, whose size is that of bottom 1, or
    img_size, or img_h and img_w. They lie around (place + offset) * step, row by row; without a
    step it is what fits the image. For each min_size there are a square of that side, with
    max_size one of the side sqrt(min_size * max_size), and for each aspect_ratio r a box of
    min_size * sqrt(r) by min_size / sqrt(r), with flip one of 1 / r, too. Sizes count as whole
    pixels: fractions are dropped, as in the original. It has no gradient.
    """

    bottoms = (1, 2)
    shape_bottoms = (0, 1)
    recordable = False      # the sizes of the boxes come from the host

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.prior_box_param
        if not p.min_size or not all(1 <= size < math.inf for size in p.min_size):
            raise self.error("expected a min_size of at least 1 pixel, and each of several, got "
                             f"{[*p.min_size]}")
        pairs = [*zip(p.min_size, p.max_size)]
        if len(p.max_size) not in (0, len(p.min_size)) or not all(
                small < large < math.inf for small, large in pairs):
            raise self.error("expected a max_size above each min_size, or none at all, got "
                             f"max_size {[*p.max_size]} for min_size {[*p.min_size]}")
        if not all(0 < ratio < math.inf for ratio in p.aspect_ratio):
            raise self.error(f"expected each aspect_ratio above 0, got {[*p.aspect_ratio]}")
        if len(p.variance) not in (0, 1, 4) or not all(0 < v < math.inf for v in p.variance):
            raise self.error(f"expected one variance or four, above 0, got {[*p.variance]}")
        if not math.isfinite(p.offset):
            raise self.error(f"expected a finite offset, got {p.offset:g}")
        self.steps = self._given("step", "step_h", "step_w")
        self.image_size = self._given("img_size", "img_h", "img_w")
        if len(bottom) < 2 and not self.image_size:
            raise self.error("expected the image as bottom 1, or img_size, or img_h and img_w")

    def _given(self, both: str, height: str, width: str) -> Pair | None:
        """Two numbers that are given by one field, or by a field each; None if by none."""
        p = self.layer_param.prior_box_param
        alone, apart = p.HasField(both), p.HasField(height) or p.HasField(width)
        if alone and apart:
            raise self.error(f"has both {both} and {height} or {width}; remove one of them")
        if not alone and not apart:
            return None
        found = getattr(p, both if alone else height), getattr(p, both if alone else width)
        if not all(0 < number < math.inf for number in found):
            names = both if alone else f"{height} and {width}"
            raise self.error(f"expected {names} above 0, got {found[0]:g} and {found[1]:g}")
        return found

    def ratios(self) -> list[float]:
        """The aspect ratios beside 1. One that is there already does not count, nor its flip."""
        p, found = self.layer_param.prior_box_param, [1.0]
        for ratio in map(np.float32, p.aspect_ratio):
            if all(abs(ratio - np.float32(other)) >= 1e-6 for other in found):
                found += [float(ratio), float(np.float32(1 / float(ratio)))][:1 + p.flip]
        return found[1:]

    def sizes(self) -> Iterator[Pair]:
        """Width and height in pixels of the boxes around a place, in their order."""
        p = self.layer_param.prior_box_param
        for i, side in enumerate(map(int, p.min_size)):
            yield side, side
            if p.max_size:
                yield (math.sqrt(side * int(p.max_size[i])),) * 2
            for root in np.sqrt(np.array(self.ratios(), np.float32)):
                yield float(np.float32(side) * root), float(np.float32(side) / root)

    def shapes(self, bottom: Shapes) -> Shapes:
        if any(len(shape) != 4 or not all(shape[2:]) for shape in bottom):
            raise self.error("expected bottoms (N, C, H, W) with at least one pixel, got "
                             + " and ".join(map(str, bottom)))
        return [(1, 2, 4 * bottom[0][2] * bottom[0][3] * len([*self.sizes()]))]

    def compute(self, x: Tensor, *image: Tensor) -> Tensor:
        p, places = self.layer_param.prior_box_param, x.shape[2:]
        image_size = self.image_size or image[0].shape[2:]
        steps = self.steps or [pixels / count for pixels, count in zip(image_size, places)]
        half = x.new_tensor([*self.sizes()]).double().T / 2
        (top, bottom), (left, right) = (
            _ends((torch.arange(count, device=x.device) + p.offset) * step, half[1 - axis], pixels)
            for axis, (count, step, pixels) in enumerate(zip(places, steps, image_size)))
        grid = *places, half.shape[1]
        ends = [left.expand(grid), top[:, None].expand(grid),
                right.expand(grid), bottom[:, None].expand(grid)]
        boxes = torch.stack(ends, 3).to(x.dtype).flatten()
        variances = x.new_tensor([*p.variance] or [0.1])
        variances = variances.repeat(boxes.shape[0] // variances.shape[0])
        return torch.stack([boxes.clamp(0, 1) if p.clip else boxes, variances])[None]


def _ends(centres: Tensor, half: Tensor, pixels: float) -> tuple[Tensor, Tensor]:
    """Where boxes around each of (n) centres begin and end along an axis, (n, boxes) each."""
    centres = centres.double()[:, None]
    return (centres - half) / pixels, (centres + half) / pixels


@register("DetectionOutput")
class DetectionOutput(TensorLayer):
    """The boxes that are found, (1, 1, boxes, 7): item, label, score, left, top, right, bottom.

    Bottom 0 holds for each box of bottom 2, which PriorBox makes, how far it is moved (N, boxes *
    4), without share_location for each class; bottom 1 the scores of the classes, (N, boxes *
    num_classes). Of each class but the background those above confidence_threshold are taken from
    the best on, top_k at most, unless they overlap one that was taken by more than nms_threshold,
    as the share of what both cover; with an eta below 1 that share shrinks by it as long as it is
    above a half. The keep_top_k best of an item stay. Rows go by item, label and score, equal
    scores by the order of the boxes. Where nothing is found there is a row for each item: its
    index, and -1. With an output_directory in save_output_param they are written to files, too. It
    has no gradient.
    """

    bottoms = (3, 4)        # bottom 3, the image, is for pictures of the result
    no_gradient = (0, 1, 2, 3)
    recordable = False      # how many are found follows from values
    is_function = True      # unless it writes files
    results: Results | None = None

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.detection_output_param
        if p.num_classes <= (0 <= p.background_label_id < p.num_classes):
            raise self.error("expected num_classes, with at least one class beside the background "
                             f"(background_label_id: {p.background_label_id}), got "
                             f"{p.num_classes}")
        if not 0 <= p.nms_param.nms_threshold < math.inf or not 0 < p.nms_param.eta <= 1:
            raise self.error("expected an nms_threshold of at least 0, and an eta above 0 and up "
                             f"to 1, got {p.nms_param.nms_threshold:g} and {p.nms_param.eta:g}")
        if math.isnan(p.confidence_threshold):
            raise self.error("expected a confidence_threshold that is a number, got nan")
        if p.visualize:
            raise self.error("pictures of the result (visualize: true) are not supported; remove "
                             "it, and draw the boxes of the top")
        self.shapes([blob.shape for blob in bottom])    # of how many classes there are scores
        self.labels = [c for c in range(p.num_classes) if c != p.background_label_id]
        if p.save_output_param.output_directory:
            self.results, self.is_function = Results(p.save_output_param, self.labels), False

    def shapes(self, bottom: Shapes) -> Shapes:
        p = self.layer_param.detection_output_param
        locations, scores, priors = bottom[:3]
        if len(priors) < 3 or priors != (1, 2, priors[2], *(1,) * (len(priors) - 3)) \
                or priors[2] % 4:
            raise self.error(f"expected boxes (1, 2, 4 * boxes) as bottom 2, got {priors}")
        boxes, moved = priors[2] // 4, 1 if p.share_location else p.num_classes
        self._check(locations, boxes * moved * 4, f"{boxes} boxes with {moved} x 4 locations each")
        self._check(scores, boxes * p.num_classes,
                    f"{boxes} boxes with scores of {p.num_classes} classes")
        if locations[0] != scores[0]:
            raise self.error(f"expected as many items in bottom 0 as in bottom 1, got {locations} "
                             f"and {scores}")
        return [(1, 1, 1, 7)]

    def _check(self, shape: Shape, count: int, what: str) -> None:
        if len(shape) < 2 or shape[1:] != (count,) + (1,) * (len(shape) - 2):
            raise self.error(f"expected (N, {count}), of {what} (num_classes, share_location and "
                             f"the PriorBox layers have to fit), got {shape}")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        super().forward(bottom, top)
        if self.results is not None:
            self.results.add(top[0].data_nearby[0, 0].numpy(), bottom[0].shape[0])

    def compute(self, locations: Tensor, scores: Tensor, priors: Tensor, *image: Tensor) -> Tensor:
        p = self.layer_param.detection_output_param
        moved, scored, begun = (x.detach().cpu().numpy() for x in (locations, scores, priors))
        count, kinds = begun.shape[2] // 4, 1 if p.share_location else p.num_classes
        scored = scored.reshape(len(scored), count, p.num_classes)
        boxes = self._boxes(moved.reshape(len(moved), count, kinds, 4),
                            begun.reshape(2, count, 1, 4))
        if np.isnan(scored).any():
            n, box, label = np.argwhere(np.isnan(scored))[0]
            raise self.error(f"the score of item {n}, box {box}, class {label} is no number (nan); "
                             "look for it in the weights and the layers below")
        rows = [self._rows(*each) for each in zip(range(len(scored)), boxes, scored)]
        found = np.concatenate([np.zeros((0, 7), np.float32), *rows])
        if not len(found):
            found = np.full((len(scored), 7), -1, np.float32)
            found[:, 0] = range(len(scored))
        return torch.from_numpy(found).to(scores.device, scores.dtype)[None, None]

    def _boxes(self, moved: np.ndarray, begun: np.ndarray) -> np.ndarray:
        """The boxes (N, count, 1 or classes, 4), of how they are moved and where they began."""
        p = self.layer_param.detection_output_param
        for what, values in (("locations", moved), ("boxes of bottom 2", begun)):
            if not np.isfinite(values).all():
                raise self.error(f"the {what} have values that are not finite; look for them in "
                                 "the weights and the layers below")
        prior, variance = begun
        if p.code_type != PriorBoxParameter.CORNER and not (prior[..., 2:] > prior[..., :2]).all():
            box = int(np.argwhere((prior[..., 2:] <= prior[..., :2]).any((1, 2)))[0, 0])
            raise self.error(f"expected boxes with a width and a height above 0 in bottom 2, got "
                             f"{prior[box, 0].tolist()} as box {box}")
        with np.errstate(all="ignore"):     # looked at where they are taken
            return decoded(p.code_type, prior,
                           moved if p.variance_encoded_in_target else variance * moved)

    def _rows(self, item: int, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """What is found in an item, (found, 7), of boxes (count, 1 or classes, 4) and scores
        (count, classes)."""
        p, found = self.layer_param.detection_output_param, []
        for label in self.labels:
            own = boxes[:, 0 if p.share_location else label]
            index = self._candidates(scores[:, label])
            if not np.isfinite(own[index]).all():
                raise self.error(f"a box of item {item} and class {label} is not finite: its "
                                 "locations in bottom 0 are too large")
            index = index[not_overlapping(own[index], p.nms_param.nms_threshold, p.nms_param.eta)]
            front = np.full((len(index), 2), (item, label), np.float32)
            found.append(np.column_stack([front, scores[index, label], own[index]]))
        rows = np.concatenate(found)
        if -1 < p.keep_top_k < len(rows):
            rows = rows[np.sort(_best_first(rows[:, 2])[:p.keep_top_k])]
        return rows

    def _candidates(self, scores: np.ndarray) -> np.ndarray:
        """The boxes whose score is above confidence_threshold, from the best on, at most top_k."""
        p = self.layer_param.detection_output_param
        least = (p.confidence_threshold if p.HasField("confidence_threshold")
                 else np.finfo(np.float32).min)
        index = np.flatnonzero(scores > np.float32(least))
        index = index[_best_first(scores[index])]
        return index[:p.nms_param.top_k] if p.nms_param.HasField("top_k") \
            and p.nms_param.top_k > -1 else index


def _best_first(scores: np.ndarray) -> np.ndarray:
    return np.argsort(-scores, kind="stable")


def decoded(code_type: int, prior: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """The boxes that result if those of `prior`, (..., 4), are moved.

    CORNER adds the values to the ends, CORNER_SIZE their products with width and height.
    CENTER_SIZE moves the centre by shares of width and height, and these grow by a power of e.
    """
    size, centre = prior[..., 2:] - prior[..., :2], (prior[..., :2] + prior[..., 2:]) / 2
    if code_type == PriorBoxParameter.CORNER:
        return prior + moved
    if code_type == PriorBoxParameter.CORNER_SIZE:
        return prior + moved * np.concatenate([size, size], -1)
    centre = moved[..., :2] * size + centre
    growth = np.exp(moved[..., 2:].astype(np.float64)).astype(np.float32)   # rounded once, as in C
    half = growth * size / 2
    return np.concatenate([centre - half, centre + half], -1)


def not_overlapping(boxes: np.ndarray, threshold: float, eta: float) -> list[int]:
    """Which of the boxes (n, 4) overlap none that was taken before them by more than threshold.
    Each that is taken makes the threshold smaller by eta, as long as it is above a half."""
    limit, taken = np.float32(threshold), list[int]()
    for begin in range(0, len(boxes), BLOCK):
        block = boxes[begin:begin + BLOCK]
        among = overlaps(block, block)
        # how far each overlaps one that was taken
        most = overlaps(boxes[taken], block).max(0, initial=0)
        for i in range(len(block)):
            if most[i] <= limit:
                taken.append(begin + i)
                np.maximum(most, among[i], out=most)
                if eta < 1 and limit > 0.5:
                    limit *= np.float32(eta)
    return taken


def overlaps(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The share that each of ours (m, 4) and each of theirs (n, 4) have in common of what both
    cover, (m, n)."""
    wide, high = (np.minimum(ours[:, None, axis + 2], theirs[:, axis + 2])
                  - np.maximum(ours[:, None, axis], theirs[:, axis]) for axis in (0, 1))
    common = wide * high
    with np.errstate(all="ignore"):
        return np.divide(common, _areas(ours)[:, None] + _areas(theirs) - common,
                         out=np.zeros_like(common), where=(wide > 0) & (high > 0))


def _areas(boxes: np.ndarray) -> np.ndarray:
    """Of (n, 4); 0 of a box that ends before it begins."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.where((sides < 0).any(1), np.float32(0), sides.prod(1))
