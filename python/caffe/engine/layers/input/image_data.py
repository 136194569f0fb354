"""ImageData and WindowData: batches from lists of image files."""

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np

from ....errors import LayerError
from ....images.lists import check_paths, read_lines, read_list
from ....images.planes import read_planes, resized
from ....log import logger
from ....proto import caffe_pb2
from ..registry import register
from ..types import Shape
from .data import Batches, Place, Sample, naming
from .transform import Transform


@register("ImageData")
class ImageData(Batches):
    """The images of a list, `path label` on each line, again and again; shuffled before each
    round with `shuffle`. With new_height and new_width all get that size."""

    tops = (2, 2)

    def settings(self) -> caffe_pb2.ImageDataParameter:
        return self.layer_param.image_data_param

    def open(self, p: caffe_pb2.ImageDataParameter) -> None:
        if bool(p.new_height) != bool(p.new_width):
            raise self.error("expected both new_height and new_width, or neither, got "
                             f"{p.new_height} and {p.new_width}")
        self.lines = self.listed(p)
        self.check_share(len(self.lines), "images", p.source)
        self.order = self._order(0)
        count = len(self.lines)     # below which the numbers of samples are
        self.skip = int(self.draw(0, count + 1).integers(p.rand_skip)) if p.rand_skip else 0
        if self.skip >= count:
            raise self.error(f"{p.source}: skips {self.skip} of {count} lines")

    def listed(self, p: Any) -> list:
        """The lines of the list."""
        # empty lines are passed over; the original fails when it comes to one
        lines = [line for line in read_list(p.source, p.root_folder) if line.path]
        check_paths(lines)
        return lines

    def sample(self, line: Any, transform: Transform) -> tuple:
        """What the tops get for one line."""
        image = _read(line.path, line.place, self.settings())
        with naming(line.place):
            return transform(image), line.label

    def _order(self, number: int) -> np.ndarray:
        """The numbers of the lines in the order of a round."""
        count = len(self.lines)
        return (self.draw(number, count).permutation(count) if self.settings().shuffle
                else np.arange(count))

    def image_shape(self) -> Shape:
        path, _, name = self.lines[self.order[self.skip]]
        return self.transform.shape(_read(path, name, self.settings()).shape)

    def first_place(self) -> Place:
        return {"round": 0, "passed": self.skip}

    def files(self) -> str:
        return hashlib.sha256(repr([line[:2] for line in self.lines]).encode(
            errors="surrogateescape")).hexdigest()

    def samples(self, place: Place) -> Iterator[Sample]:
        """The place says in which round through the list it is, and how many lines of that were
        passed. Each round is shuffled anew."""
        number, passed = place["round"], place["passed"]
        while True:
            order = self._order(number)
            while passed < len(order):
                line = self.lines[order[passed]]
                yield Sample(partial(self.sample, line), line.place, (number, passed),
                             {"round": number, "passed": passed + 1})
                passed += 1
            number, passed = number + 1, 0


def _read(path: str, name: str, p: caffe_pb2.ImageDataParameter) -> np.ndarray:
    with naming(name):
        return read_planes(path, p.is_color, (p.new_height, p.new_width) if p.new_height else None)


@dataclass
class Window:
    """A box of an image, its last row and column included, of a class, 0 the background."""

    path: str
    name: str
    label: int
    box: np.ndarray     # left, top, right, bottom


@register("WindowData")
class WindowData(Batches):
    """Windows of images, warped to crop_size squares, as R-CNN trains on (Girshick et al. 2014).

    A batch holds a share of fg_fraction windows whose overlap with an object is at least
    fg_threshold, after others, of class 0, whose overlap is below bg_threshold; all are drawn at
    random. context_pad is the surroundings in the crop on each side; what lies beyond the image
    is 0 after the mean was subtracted. crop_mode "square" takes the smallest square around a
    window. What is left is multiplied by window_data_param's scale; as in the original, that of
    transform_param, to which old prototxts are upgraded, has no effect.
    """

    tops = (2, 2)

    def settings(self) -> caffe_pb2.WindowDataParameter:
        return self.layer_param.window_data_param

    def open(self, p: caffe_pb2.WindowDataParameter) -> None:
        self._check_options(p)
        self.foreground, self.background, self.channels = read_windows(p)
        self._check_mean()
        self.drawn = int(np.float32(p.batch_size) * np.float32(p.fg_fraction))
        for kind, windows, needed in (
                ("foreground", self.foreground, self.drawn),
                ("background", self.background, p.batch_size - self.drawn)):
            if needed and not windows:
                raise self.error(f"{p.source}: it lists no {kind} windows")

    def _check_options(self, p: caffe_pb2.WindowDataParameter) -> None:
        crop = self.layer_param.transform_param.crop_size
        if not crop:
            raise self.error("expected transform_param with a crop_size")
        if p.crop_mode not in ("warp", "square"):
            raise self.error(f"expected crop_mode warp or square, got '{p.crop_mode}'")
        if 2 * p.context_pad >= crop:
            raise self.error(f"a context_pad of {p.context_pad} on each side leaves nothing of a "
                             f"crop_size of {crop}")
        if not 0 <= p.fg_fraction <= 1:
            raise self.error(f"expected a fg_fraction between 0 and 1, got {p.fg_fraction:g}")
        if self.layer_param.transform_param.scale != 1:
            logger.warning(
                "layer '%s' (WindowData): as in the original, the scale of %g in transform_param "
                "has no effect; window_data_param { scale: %g } has", self.layer_param.name,
                *[self.layer_param.transform_param.scale] * 2)

    def _check_mean(self) -> None:
        crop, mean = self.layer_param.transform_param.crop_size, self.transform.mean
        if mean is not None and not self.layer_param.transform_param.mean_file:
            if len(mean) not in (1, self.channels):
                raise self.error(f"expected one mean_value, or one for each of {self.channels} "
                                 f"channels, got {len(mean)}")
        elif mean is not None and (len(mean) != self.channels or mean.shape[2] < crop
                                   or mean.shape[1] < (mean.shape[2] + crop) // 2):
            raise self.error(f"expected a square mean_file of {self.channels} channels and at "
                             f"least {crop}x{crop}, got {mean.shape}")

    def image_shape(self) -> Shape:
        crop = self.layer_param.transform_param.crop_size
        return self.channels, crop, crop

    def files(self) -> str:
        windows = [(window.path, window.label, window.box.tolist())
                   for window in (*self.foreground, *self.background)]
        return hashlib.sha256(repr(windows).encode(errors="surrogateescape")).hexdigest()

    def first_place(self) -> Place:
        return {"passed": 0}

    def samples(self, place: Place) -> Iterator[Sample]:
        """Of each batch first those of the background, then those of the foreground; the place
        says how many were passed."""
        p, color = self.settings(), self.channels == 3
        read = lru_cache(None if p.cache_images else 1)(lambda path: read_planes(path, color))
        for passed in itertools.count(place["passed"]):
            position = passed // self.solvers % p.batch_size
            windows = self.foreground if position >= p.batch_size - self.drawn else self.background
            yield Sample(partial(_drawn, windows, p, read), p.source, (passed,),
                         {"passed": passed + 1})


def _drawn(windows: Sequence[Window], p: caffe_pb2.WindowDataParameter,
           read: Callable[[str], np.ndarray], transform: Transform) -> tuple[np.ndarray, int]:
    """One of the windows, cut out, and its class."""
    window = windows[int(transform.random.integers(len(windows)))]
    with naming(window.name):
        return warped(read(window.path), window.box, p, transform), window.label


def warped(image: np.ndarray, box: np.ndarray, p: caffe_pb2.WindowDataParameter,
           transform: Transform) -> np.ndarray:
    """A window of an image as a square of crop_size, less the mean, scaled, perhaps mirrored.

    Places are computed in float32, as in Caffe; in double some come out a pixel beside.
    """
    size, limits = transform.param.crop_size, np.array(image.shape[:0:-1])      # width, height
    box = np.array(box, np.float32)
    if p.context_pad or p.crop_mode == "square":
        box = _grown(box, size / (size - 2 * p.context_pad), p.crop_mode == "square")
    first, last = box[:2], box[2:]
    scale = size / (last - first + 1)
    before = np.maximum(0, -first)
    after = np.maximum(0, last - limits.astype(np.float32) + 1)
    start, stop = first + before, last - after + 1
    mirror = transform.mirrors()
    corner = _rounded(np.array([(after if mirror else before)[0], before[1]]) * scale)
    extent = np.minimum(_rounded((stop - start) * scale), size - corner)
    if extent.min() < 1:
        raise LayerError(f"the window {box.astype(int).tolist()} has no part in the image of "
                         f"{image.shape}, or less than a pixel of the crop")
    (left, top), (right, bottom) = start.astype(int), stop.astype(int)
    (x, y), (width, height) = corner.astype(int), extent.astype(int)
    part = resized(image[:, top:bottom, left:right], height, width).astype(np.float32)
    place = slice(None), slice(y, y + height), slice(x, x + width)
    crop = np.zeros((len(image), size, size), np.float32)
    crop[place] = ((part[:, :, ::-1] if mirror else part) - _mean(transform, size, place)) \
        * np.float32(p.scale)
    return crop


def _grown(box: np.ndarray, factor: float, square: bool) -> np.ndarray:
    half = (box[2:] - box[:2] + 1) / 2
    centre = box[:2] + half
    if square:
        half = np.full_like(half, half.max())
    return _rounded(np.concatenate([centre - half * factor, centre + half * factor]))


def _rounded(values: np.ndarray) -> np.ndarray:
    """Halves go away from 0, as those of C."""
    return np.trunc(values + np.copysign(0.5, values.astype(float))).astype(np.float32)


def _mean(transform: Transform, size: int, place: tuple[slice, ...]) -> np.ndarray | float:
    """The part of the mean image's centre that lies at `place`, or the mean values."""
    if transform.mean is None:
        return 0
    if not transform.param.mean_file:
        return transform.mean
    offset = (transform.mean.shape[2] - size) // 2
    return transform.mean[:, offset:offset + size, offset:offset + size][place]


def read_windows(p: caffe_pb2.WindowDataParameter) -> tuple[list[Window], list[Window], int]:
    """(foreground windows, background windows, channels) of a window file.

    For each image: `# index`, path, channels, height, width, number of windows, and for each
    window `class overlap left top right bottom`.
    """
    lines = _NumberedLines(p.source)
    foreground, background, channels = [], [], None
    try:
        for line in lines:
            if not line:
                continue
            if not line.startswith("#"):
                raise ValueError(f"expected `# index`, got '{line}'")
            path = p.root_folder + next(lines)
            channels, _, _, count = [int(next(lines)) for _ in range(4)]
            for _ in range(count):
                label, overlap, box = _parsed(next(lines))
                window = Window(path, f"{p.source}:{lines.number}", label, box)
                if overlap >= np.float32(p.fg_threshold):
                    foreground.append(_of_a_class(window))
                elif overlap < np.float32(p.bg_threshold):
                    window.label = 0
                    background.append(window)
    except (ValueError, StopIteration) as error:
        what = str(error) or "the file ends within an entry"
        raise LayerError(f"{p.source}:{lines.number}: {what}") from None
    if channels is None:
        raise LayerError(f"{p.source}: it lists no images")
    return foreground, background, channels


class _NumberedLines:
    """The lines of a file without the blanks around them; `number` is that of the last one."""

    def __init__(self, path: str) -> None:
        self._lines = iter(read_lines(path))
        self.number = 0

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        return line.strip()


def _of_a_class(window: Window) -> Window:
    if window.label <= 0:
        raise ValueError(f"expected the class of a foreground window above 0, got {window.label}")
    return window


def _parsed(line: str) -> tuple[int, np.float32, np.ndarray]:
    words = line.split()
    if len(words) != 6:
        raise ValueError(f"expected `class overlap left top right bottom`, got '{line}'")
    box = np.array([int(float(word)) for word in words[2:]])
    if box[2] < box[0] or box[3] < box[1]:
        raise ValueError(f"expected left <= right and top <= bottom, got '{line}'")
    return int(float(words[0])), np.float32(words[1]), box
