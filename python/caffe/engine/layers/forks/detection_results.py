"""The files that DetectionOutput writes: what is found in images, for VOC, COCO and ILSVRC."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ....errors import LayerError
from ....formats import text as texts
from ....formats.atomic import replacing
from ....formats.prototxt import parse
from ....formats.reading import reading
from ....images.lists import read_lines
from ....log import logger
from ....proto.caffe_pb2 import LabelMap, ResizeParameter, SaveOutputParameter

FORMATS = "VOC", "COCO", "ILSVRC"


class Found(NamedTuple):
    """A box in an image."""

    image: str
    label: int
    score: float            # a float32
    box: list[float]        # left, top, width, height in pixels, to a hundredth


class Results:
    """Collects what is found in the images of name_size_file, pass after pass, and writes it into
    output_directory when num_test_image of them are through, or all; then it begins anew.

    VOC: a file PREFIX + NAME + .txt for each label, with lines `image score left top right bottom`.
    ILSVRC: a file PREFIX.txt with lines `image label score left top right bottom`. COCO: PREFIX +
    .json with a list of image_id, category_id (the label's name), bbox and score.
    """

    def __init__(self, p: SaveOutputParameter, labels: Sequence[int]) -> None:
        missing = [name for name in ("label_map_file", "name_size_file") if not getattr(p, name)]
        if missing or p.output_format not in FORMATS:
            raise LayerError(
                f"files of the result (output_directory: '{p.output_directory}') need a "
                f"label_map_file, a name_size_file and an output_format of {', '.join(FORMATS)}; "
                + (f"there is no {' and no '.join(missing)}" if missing
                   else f"got '{p.output_format}'")
                + "; without output_directory none are written")
        self.param, self.labels = p, labels
        self.names = self._names(p.label_map_file)
        self.images = self._images(p.name_size_file)
        if not self.images:
            raise LayerError(f"{p.name_size_file}: names no image")
        self.count = p.num_test_image if p.HasField("num_test_image") else len(self.images)
        if not 1 <= self.count <= len(self.images):
            raise LayerError(f"expected num_test_image of 1 to {len(self.images)}, the images in "
                             f"{p.name_size_file}, got {self.count}")
        if p.HasField("resize_param") and not (p.resize_param.height and p.resize_param.width):
            raise LayerError("expected height and width above 0 in resize_param, got "
                             f"{p.resize_param.height} and {p.resize_param.width}")
        try:
            os.makedirs(os.path.dirname(texts.file_name(self._path("."))), exist_ok=True)
        except OSError as problem:
            raise LayerError(f"output_directory {p.output_directory} cannot be made: "
                             f"{problem.strerror}") from problem
        self.through, self.found = 0, list[Found]()
        logger.info("What is found in %d images goes to %s when all of them are through",
                    self.count, p.output_directory)

    def _names(self, path: str) -> dict[int, str]:
        """The name of each label."""
        with reading(path, "label map", LayerError):
            items = parse(texts.read_text(path), LabelMap(), path).item
        names = {item.label: item.name for item in items}
        missing = [label for label in self.labels if label not in names]
        if len(names) < len(items) or missing:
            raise LayerError(f"{path}: expected each label once, and all of the net's, "
                             + (f"without a name are {missing}" if missing else "one is repeated"))
        for label in self.labels:
            if self.param.output_format == "VOC" and os.path.basename(names[label]) != names[label]:
                raise LayerError(f"{path}: for VOC there is a file for each label, and none can "
                                 f"have the name of label {label}, '{names[label]}'")
        return names

    @staticmethod
    def _images(path: str) -> list[tuple[str, int, int]]:
        """(name, height, width) of each image."""
        images = []
        for number, line in enumerate(read_lines(path), 1):
            words = line.split()
            if words and (len(words) != 3 or not all(
                    re.fullmatch("0*[1-9][0-9]{,8}", word) for word in words[1:])):
                raise LayerError(f"{path}:{number}: expected `name height width`, whole numbers "
                                 f"above 0 of at most 9 digits, got '{line}'")
            if words:
                images.append((words[0], int(words[1]), int(words[2])))
        return images

    def add(self, rows: np.ndarray, items: int) -> None:
        """Take what a pass over as many items has found, (found, 7)."""
        for item in range(items):
            self._finish()      # again, if a file could not be written
            name, height, width = self.images[self.through]
            for _, label, score, *box in rows[(rows[:, 0] == item) & (rows[:, 1] >= 0)]:
                left, top, right, bottom = in_pixels(np.array(box), height, width, self.param)
                sides = (left, top, right - left, bottom - top)
                self.found.append(Found(name, int(label), score, [*map(_hundredths, sides)]))
            self.through += 1
        self._finish()

    def _finish(self) -> None:
        """Write what is found, and begin anew, if all images are through."""
        if self.through == self.count:
            self._write()
            self.through, self.found = 0, []

    def _write(self) -> None:
        p, found = self.param, self.found
        if p.output_format == "VOC":
            for name in dict.fromkeys(map(self.names.get, self.labels)):
                self._file(f"{name}.txt", [f"{each.image} {_numbers(each)}" for each in found
                                           if self.names[each.label] == name])
        elif p.output_format == "ILSVRC":
            self._file(".txt", [f"{each.image} {each.label} {_numbers(each)}" for each in found])
        else:
            entries = [json.dumps({
                "image_id": _number(each.image), "category_id": _number(self.names[each.label]),
                "bbox": each.box, "score": float(str(each.score))}) for each in found]
            self._file(".json", ["[", ",\n".join(entries), "]"])

    def _file(self, name: str, lines: list[str]) -> None:
        with replacing(self._path(name)) as file:
            file.write(texts.encode("".join(line + "\n" for line in lines)))

    def _path(self, name: str) -> str:
        return os.path.join(self.param.output_directory, self.param.output_name_prefix + name)


def _hundredths(value: np.float32) -> float:
    """To hundredths; halves go away from 0, as in C."""
    return math.trunc(float(value * np.float32(100)) + math.copysign(0.5, value)) / 100


def _numbers(found: Found) -> str:
    """Its score and ends, as whole pixels: what is left of left, top, width and height."""
    left, top, width, height = map(int, found.box)
    return f"{found.score:g} {left} {top} {left + width} {top + height}"


def _number(name: str) -> int | str:
    """A name as the number that it is, if it is one."""
    return int(name) if re.fullmatch("-?(0|[1-9][0-9]*)", name) else name


def in_pixels(box: np.ndarray, height: int, width: int, p: SaveOutputParameter) -> np.ndarray:
    """A box, shares of what the net saw, in pixels of an image of that size.

    Without resize_param, and for WARP, the net saw the image. For FIT_LARGE_SIZE_AND_PAD it saw
    the image in the middle of resize_param's height and width; for FIT_SMALL_SIZE one of
    height_scale and width_scale, or the image if these are 0.
    """
    size, resize = np.array([width, height] * 2, np.float32), p.resize_param
    if p.HasField("resize_param") and resize.resize_mode == ResizeParameter.FIT_LARGE_SIZE_AND_PAD:
        seen = np.array([resize.width, resize.height], np.float32)
        shrunk = size[:2] * (seen / size[:2]).min()
        before = np.tile((1 - shrunk / seen) / 2, 2)
        box = (box - before) / (1 - 2 * before)
    elif p.HasField("resize_param") and resize.resize_mode == ResizeParameter.FIT_SMALL_SIZE \
            and resize.height_scale and resize.width_scale:
        scale = np.array([resize.width_scale, resize.height_scale] * 2, np.float32)
        return (box * scale).clip(0, size)
    return box.clip(0, 1) * size
