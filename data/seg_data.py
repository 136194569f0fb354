"""The base of the Python data layers: which sample comes next, decoding, and checks.

A layer gives two tops, one sample at a time, in the size of the image:

    data   float32 (1, 3, height, width): BGR, the mean subtracted, not scaled
    label  uint8 values (1, 1, height, width): class numbers, 255 for void

A subclass says where split lists, images and labels lie (`VOCSegDataLayer` is an example), with

    split_file(split)   the path of the list of a split, one name a line
    paths(entry)        the paths of the image and the label of an Entry
"""

import ast
import itertools
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import caffe
import numpy as np
from palette import VOID
from PIL import Image


class DataError(RuntimeError):
    """Data that is missing, does not fit, or is asked for wrongly."""


class Entry(NamedTuple):
    """One line of a split list."""
    name: str
    source: str     # "LIST:LINE", for messages


class SegDataLayer(caffe.Layer):
    """Images and label maps, one at a time.

    `param_str` is a dictionary literal with the keys

        (directory)  str, the root of the data set; the subclass names the key
        split        str, the list to read; training splits have 'train' in their name
        mean         3 numbers B, G, R that are subtracted from every pixel
        randomize    bool, default True: draw training samples at random with replacement;
                     other splits are always read in order
        seed         int, default None: a different order every time
        start        int, default 0: skip that many samples, to continue a training run

    The order depends on seed and start only. reshape() loads the next sample and shapes the
    tops for it, forward() hands it over and moves on, as in the published layers. The sample
    after it is decoded in the background; what is wrong with it is raised when its turn comes.
    """

    directory_key = None                # the name of the directory key
    classes = 21                        # label values 0 .. classes-1 and 255 are allowed
    defaults = {"randomize": True, "seed": None, "start": 0}

    def setup(self, bottom, top):
        if len(bottom) != 0 or len(top) != 2:
            raise self.error("expected no bottoms and the two tops data and label, got "
                             f"{len(bottom)} bottoms and {len(top)} tops")
        self.open()
        self.prefetch()

    def open(self):
        """Read the parameters and the split list, and put the samples in order."""
        self.params = self.read_params()
        split, seed, start = (self.params[key] for key in ("split", "seed", "start"))
        if not isinstance(start, int) or start < 0:
            raise self.error(f"param_str key 'start' is {start!r}, expected 0 or more samples")
        self.mean = self.read_mean(self.params["mean"])
        self.directory = self.existing(Path(self.params[self.directory_key]))
        self.entries = self.read_split(self.existing(self.split_file(split)))
        self.training = "train" in split
        self.seed = random.SystemRandom().getrandbits(32) if seed is None else seed
        shuffled = self.training and self.params["randomize"]
        order = sample_order(len(self.entries), self.seed if shuffled else None)
        self.queue = enumerate(itertools.islice(order, start, None), start)
        self.worker = ThreadPoolExecutor(1)

    def reshape(self, bottom, top):
        for blob, array in zip(top, self.sample.result()):
            blob.reshape(1, *array.shape)

    def forward(self, bottom, top):
        for blob, array in zip(top, self.sample.result()):
            blob.data[...] = array
        self.prefetch()

    def backward(self, top, propagate_down, bottom):
        pass

    def prefetch(self):
        """Start to load the next sample."""
        position, index = next(self.queue)
        self.sample = self.worker.submit(self.load, self.entries[index], position)

    def load(self, entry, position):
        """data float32 (3, height, width), label uint8 (1, height, width) of an entry.

        `position` counts the samples of this run, `start` included.
        """
        image_path, label_path = self.paths(entry)
        image = self.read(self.read_image, "image", image_path, entry)
        label = self.read(self.read_label, "label", label_path, entry)
        if image.shape[:2] != label.shape:
            raise self.error(f"image {image_path} is {size(image)}, but its label {label_path} "
                             f"is {size(label)} (width x height), {entry.source}")
        self.check_values(label, image_path, label_path, entry)
        return subtract_mean(image, self.mean), label[None]

    def read(self, reader, kind, path, entry):
        """reader(path), with errors that say which line of which list asked for the file."""
        try:
            return reader(path)
        except FileNotFoundError:
            raise self.error(f"{kind} {path} does not exist, {entry.source}") from None
        except Exception as error:      # what Pillow and SciPy raise on a broken file has no base
            raise self.error(f"{kind} {path} cannot be read: {type(error).__name__}: {error}, "
                             f"{entry.source}") from error

    def check_values(self, label, image_path, label_path, entry):
        counts = np.bincount(label.ravel(), minlength=256)
        wrong = np.flatnonzero(counts[self.classes:VOID]) + self.classes
        if wrong.size:
            raise self.error(
                f"image {image_path} has label values {', '.join(map(str, wrong))} in "
                f"{label_path}, allowed are 0 to {self.classes - 1} and {VOID}, {entry.source}")

    # What a subclass may define anew.

    def read_image(self, path):
        """The image, uint8 (height, width, 3) in RGB order."""
        return read_rgb(path)

    def read_label(self, path):
        """The label, uint8 (height, width)."""
        return read_label_image(path)

    # Parameters.

    def read_params(self):
        required = {self.directory_key, "split", "mean"}
        allowed = f"allowed are {', '.join(sorted(required))}, {', '.join(self.defaults)}"
        try:
            given = dict(ast.literal_eval(self.param_str))
        except (ValueError, SyntaxError, TypeError):
            raise self.error("param_str is not a dictionary literal: "
                             f"{self.param_str!r}; {allowed}") from None
        if unknown := given.keys() - required - self.defaults.keys():
            raise self.error(f"param_str has unknown {key_list(unknown)}; {allowed}")
        if missing := required - given.keys():
            raise self.error(f"param_str lacks {key_list(missing)}; {allowed}")
        return {**self.defaults, **given}

    def read_mean(self, mean):
        if np.shape(mean) != (3,):
            raise self.error(f"param_str key 'mean' is {mean!r}, expected three numbers B, G, R")
        return np.array(mean, float).reshape(3, 1, 1)

    def read_split(self, path):
        entries = [Entry(line.strip(), f"{path}:{number}")
                   for number, line in enumerate(path.read_text().splitlines(), 1)
                   if line.strip()]
        if not entries:
            raise self.error(f"split list {path} is empty")
        return entries

    def existing(self, path):
        if not path.exists():
            raise self.error(f"{path} does not exist (looked in {Path.cwd()})")
        return path

    def error(self, message):
        """A DataError that names this layer (BVLC's Python layers do not know their name)."""
        return DataError(f"layer '{getattr(self, 'name', '?')}' ({type(self).__name__}): {message}")


def sample_order(count, seed=None):
    """An endless iterator of sample indices: 0, 1, ... in turn, or drawn with replacement.

    For a given seed the draws are those of the published layers.
    """
    if seed is None:
        return itertools.cycle(range(count))
    draws = random.Random(seed)
    return (draws.randint(0, count - 1) for _ in itertools.count())


def read_rgb(path):
    """An image file as uint8 (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def read_label_image(path):
    """A palette or grey image file as uint8 (height, width); the values are class numbers."""
    with Image.open(path) as image:
        if image.mode not in ("P", "L", "1"):
            raise ValueError(f"its mode is {image.mode}, expected a palette or 8-bit grey image "
                             "with class numbers as values")
        return np.asarray(image).astype(np.uint8, copy=False)


def subtract_mean(image, mean):
    """RGB uint8 (height, width, 3) -> BGR minus `mean`, float32 (3, height, width).

    The difference is taken in double precision and rounded once, as NumPy does it in the
    published layers.
    """
    bgr = image[:, :, ::-1].transpose(2, 0, 1)
    out = np.empty(bgr.shape, np.float32)
    return np.subtract(bgr, mean, out=out, casting="same_kind")


def size(array):
    return f"{array.shape[1]}x{array.shape[0]}"


def key_list(keys):
    return f"key{'s' * (len(keys) > 1)} {', '.join(map(repr, sorted(keys)))}"
