"""ImageSegData (DeepLab, PSPNet), WindowSegData (DeconvNet) and DenseImageData (SegNet, ENet):
images with a label for each pixel, from a list of files."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ....context import TRAIN
from ....errors import LayerError
from ....formats.reading import check_memory
from ....images.lists import read_lines
from ....images.planes import read_indices, read_planes, resized
from ....proto.caffe_pb2 import ImageDataParameter
from ..registry import register
from ..types import Blobs
from .data import naming
from .image_data import ImageData
from .transform import Transform

NONE, IMAGE = ImageDataParameter.NONE, ImageDataParameter.IMAGE


class Line(NamedTuple):
    """A line of a list."""

    path: str
    label: str      # the rest of the line, '' without any
    place: str      # 'source:line'
    window: tuple[int, ...] = ()        # left, top, right, bottom


class SegmentationData(ImageData):
    """What both layers share. Top 0 is the images (N, channels, H, W), top 1 the labels
    (N, 1, H, W); of a list `image label` on each line, again and again, shuffled before each round
    with `shuffle`.

    With new_height and new_width images are resized, and labels to the nearest. With a batch of
    one and no size, the tops get the size of each image.
    """

    def crop(self) -> tuple[int, int] | None:
        """The height and width that are cut out, None for the whole image."""
        raise self.error(f"layer type '{self.type}' defines no crop()")

    def both(self, p: Any, height: str, width: str) -> tuple[int, int] | None:
        """Two fields that go together; None if neither is given."""
        size = getattr(p, height), getattr(p, width)
        if bool(size[0]) != bool(size[1]):
            raise self.error(f"expected both {height} and {width}, or neither, got {size[0]} and "
                             f"{size[1]}")
        return size if all(size) else None

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self.crop()
        super().setup(bottom, top)
        # a batch whose shapes the tops have already, with the place behind it
        self.waiting: tuple[Any, dict] | None = None
        self.varies = self.settings().batch_size == 1 and not self.size and not self.crop()
        self.is_new = True
        for blob, array in zip(top, self._first()):
            blob.reshape(self.settings().batch_size, *array.shape)

    def _first(self) -> tuple[np.ndarray, ...]:
        return self.sample(self.lines[self.order[self.skip]], self.transform)

    def image_shape(self) -> tuple[int, ...]:
        return self._first()[0].shape

    def listed(self, p: Any) -> list[Line]:
        self.size = self.both(p, "new_height", "new_width")
        lines = [Line(p.root_folder + words[0], " ".join(words[1:]), f"{p.source}:{number}")
                 for number, line in enumerate(read_lines(p.source), 1)
                 for words in [line.split()] if words]
        if not lines:
            raise self.error(f"{p.source}: it lists no images")
        return lines

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        if self.varies and not self.is_new:     # the net was built with the shapes of the first
            self.waiting = self.waiting or super().next_batch()
            for blob, array in zip(top, self.waiting[0]):
                blob.reshape(*array.shape)
        self.is_new = False

    def next_batch(self) -> tuple[Any, dict]:
        batch, self.waiting = self.waiting or super().next_batch(), None
        return batch

    def resume_from(self, state: dict) -> None:
        super().resume_from(state)
        self.waiting = None

    def sample(self, line: Line, transform: Transform) -> tuple[np.ndarray, ...]:
        with naming(line.place):
            return self.arrays(line, transform)

    def arrays(self, line: Line, transform: Transform) -> tuple[np.ndarray, ...]:
        """What the tops get for one line."""
        raise self.error(f"layer type '{self.type}' defines no arrays()")

    def read(self, line: Line, is_color: bool) -> np.ndarray:
        """The image, in its size."""
        return read_planes(line.path, is_color, self.size)

    def read_label(self, line: Line, image: np.ndarray, factor: int = 1,
                   resizes: bool = False) -> np.ndarray:
        """The labels of the pixels of an image, (1, H, W), or of every `factor` of them; with
        `resizes` they may be of another size."""
        if not line.label:
            raise LayerError("the line has no label behind the image; expected `image label`")
        label = read_indices(self.settings().root_folder + line.label)
        if resizes or factor > 1:
            return nearest(label, *(n // factor for n in image.shape[1:]))
        if label.shape[1:] != image.shape[1:]:
            raise LayerError(f"expected a label of the image's size, {image.shape[1:]}, got "
                             f"{label.shape[1:]} in {line.label}")
        return label


def nearest(planes: np.ndarray, height: int, width: int) -> np.ndarray:
    """Planes (C, H, W) in another size, each value one that is there, by OpenCV's choice: its
    quotient of sizes is rounded twice."""
    rows, columns = (np.minimum(np.arange(new) * (1 / (new / old)), old - 1).astype(int)
                     for new, old in zip((height, width), planes.shape[1:]))
    return planes[:, rows[:, None], columns]


@register("ImageSegData")
class ImageSegData(SegmentationData):
    """label_type PIXEL: the label is an image file. IMAGE: it is a number, that of all pixels.
    NONE: all labels are ignore_label.

    transform_param: an image is resized by one of the scale_factors, drawn at random, padded below
    and to the right to the size of the crop (crop_size, or crop_height and crop_width) with the
    mean, and labels with ignore_label; the crop lies anywhere in TRAIN and in the centre in TEST.
    Mean, scale, and mirror by chance, are as elsewhere.

    Top 2 is the height and width of each image, (N, 1, 1, 2), at most those of top 0.
    """

    tops = (1, 3)

    def settings(self) -> Any:
        return self.layer_param.image_data_param

    def crop(self) -> tuple[int, int] | None:
        p = self.layer_param.transform_param
        size = self.both(p, "crop_height", "crop_width")
        if size and p.crop_size:
            raise self.error("expected either crop_size or both crop_height and crop_width")
        return (p.crop_size, p.crop_size) if p.crop_size else size

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.transform_param
        if p.mean_file:
            raise self.error("expected mean_value, as this layer knows no mean_file")
        if any(factor <= 0 for factor in p.scale_factors):
            raise self.error(f"expected scale_factors above 0, got {list(p.scale_factors)}")
        super().setup(bottom, top)

    def arrays(self, line: Line, transform: Transform) -> tuple[np.ndarray, ...]:
        p, random = self.settings(), transform.random
        image, label, there = self.pair(line)
        if transform.param.scale_factors:
            factor = random.choice(transform.param.scale_factors)
            image, label = self._scaled(image, label, factor)
            there = image.shape[1:]
        mean = transform.mean
        if mean is not None and len(mean) not in (1, len(image)):
            raise LayerError(f"expected one mean_value, or one for each of {len(image)} channels, "
                             f"got {len(mean)}")
        height, width = self.crop() or image.shape[1:]
        size = np.array([[[min(height, there[0]), min(width, there[1])]]], np.float32)
        image = image.astype(np.float32) - (0 if mean is None else mean)
        below, right = max(0, height - image.shape[1]), max(0, width - image.shape[2])
        beyond = (0, 0), (0, below), (0, right)
        image = np.pad(image, beyond) * np.float32(transform.param.scale)
        label = np.pad(label, beyond, constant_values=p.ignore_label)
        down, across = self._corner(image.shape[1] - height, image.shape[2] - width, random)
        columns = slice(None, None, -1 if transform.mirrors() else 1)
        image, label = (planes[:, down:down + height, across:across + width][:, :, columns]
                        for planes in (image, label))
        return np.ascontiguousarray(image), label.astype(np.float32), size

    def pair(self, line: Line) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        """The image, the labels of its pixels, and the size for top 2."""
        image = self.read(line, self.settings().is_color)
        return image, self.labels(line, image, bool(self.size)), image.shape[1:]

    def labels(self, line: Line, image: np.ndarray, resizes: bool) -> np.ndarray:
        """The labels of the pixels of an image, as label_type says; see `read_label`."""
        p = self.settings()
        shape = 1, *image.shape[1:]
        if p.label_type == NONE or not p.has_label:
            return np.full(shape, p.ignore_label)
        if p.label_type == IMAGE:
            try:
                return np.full(shape, int(line.label))
            except ValueError:
                raise LayerError(f"expected `image label` with a whole number as label, got "
                                 f"'{line.label}'; for label images, give label_type: PIXEL"
                                 ) from None
        return self.read_label(line, image, resizes=resizes).astype(int)

    @staticmethod
    def _scaled(image: np.ndarray, label: np.ndarray, factor: float
                ) -> tuple[np.ndarray, np.ndarray]:
        height, width = (int(n * np.float32(factor)) for n in image.shape[1:])
        return resized(image, height, width), nearest(label, height, width)

    def _corner(self, down: int, right: int, random: np.random.Generator) -> tuple[int, int]:
        if self.phase == TRAIN:
            return int(random.integers(down + 1)), int(random.integers(right + 1))
        return down // 2, right // 2


@register("WindowSegData")
class WindowSegData(ImageSegData):
    """ImageSegData of windows: behind image and label (with label_type NONE, behind the image) a
    line has left, top, right, bottom, the last column and row included. What of a window lies
    outside the image is 0, before the mean is subtracted, and has the ignore_label. new_height and
    new_width are the window's; top 2 has the sizes of the images.
    """

    def listed(self, p: Any) -> list[Line]:
        return [self._windowed(line) for line in super().listed(p)]

    def _windowed(self, line: Line) -> Line:
        words = line.label.split()
        named = words[:self.settings().label_type != NONE]
        try:
            window = tuple(map(int, words[len(named):]))
            if len(window) != 4 or window[2] < window[0] or window[3] < window[1]:
                raise ValueError
        except ValueError:
            expected = " ".join(["image", *["label"] * len(named), "left top right bottom"])
            raise self.error(f"{line.place}: expected `{expected}`, with left <= right and top <= "
                             f"bottom, got `image {line.label}`") from None
        return line._replace(label="".join(named), window=window)

    def pair(self, line: Line) -> tuple[np.ndarray, np.ndarray, tuple[int, ...]]:
        p = self.settings()
        whole = read_planes(line.path, p.is_color)
        label = windowed(self.labels(line, whole, resizes=False), line.window, p.ignore_label)
        image = windowed(whole, line.window, 0)
        if self.size:
            image, label = resized(image, *self.size), nearest(label, *self.size)
        return image, label, whole.shape[1:]


def windowed(planes: np.ndarray, window: tuple[int, ...], beyond: int) -> np.ndarray:
    """A window (left, top, right, bottom) of planes (C, H, W); `beyond` is what lies outside."""
    left, top, right, bottom = window
    height, width = planes.shape[1:]
    check_memory(8 * len(planes) * (bottom + 1 - top) * (right + 1 - left), f"the window {window}")
    out = np.full((len(planes), bottom + 1 - top, right + 1 - left), beyond, planes.dtype)
    x, y = slice(max(0, left), min(width, right + 1)), slice(max(0, top), min(height, bottom + 1))
    if x.start < x.stop and y.start < y.stop:
        out[:, y.start - top:y.stop - top, x.start - left:x.stop - left] = planes[:, y, x]
    return out


@register("DenseImageData")
class DenseImageData(SegmentationData):
    """Its own parameters mirror, by chance, and crop_height and crop_width, anywhere in both
    phases, go for image and label; mean and scale of transform_param for the image alone. With a
    label_divide_factor (ENet) labels have a size smaller by it."""

    def settings(self) -> Any:
        return self.layer_param.dense_image_data_param

    def crop(self) -> tuple[int, int] | None:
        return self.both(self.settings(), "crop_height", "crop_width")

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        factor = self.settings().label_divide_factor
        if not factor or factor > 1 and self.crop():
            raise self.error("expected a label_divide_factor of at least 1, and without a crop, "
                             f"got {factor}")
        p = self.layer_param.transform_param
        if p.mirror or p.crop_size:
            raise self.error("mirror and crop_size of transform_param would change the image "
                             "without its label: give mirror, crop_height and crop_width in "
                             "dense_image_data_param")
        super().setup(bottom, top)

    def arrays(self, line: Line, transform: Transform) -> tuple[np.ndarray, ...]:
        p, random = self.settings(), transform.random
        image = self.read(line, p.is_color)
        label = self.read_label(line, image, p.label_divide_factor, bool(self.size))
        columns = slice(None, None, -1 if p.mirror and random.integers(2) else 1)
        if p.label_divide_factor > 1:
            return transform(image[:, :, columns]), label[:, :, columns].astype(np.float32)
        height, width = self.crop() or image.shape[1:]
        if height > image.shape[1] or width > image.shape[2]:
            raise LayerError(f"a crop of {height} x {width} does not fit into an image of "
                             f"{image.shape[1:]}")
        down, right = (random.integers(there - wanted + 1) for there, wanted
                       in zip(image.shape[1:], (height, width)))
        image, label = (planes[:, :, columns][:, down:down + height, right:right + width]
                        for planes in (image, label))
        return np.ascontiguousarray(transform(image)), label.astype(np.float32)
