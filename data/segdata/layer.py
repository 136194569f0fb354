"""The base of the Python data layers: samples read ahead, made ready and given to the net.

A layer gives one sample at a time, in the size of the image, or a batch of N. Tops are of two
kinds:

    images   float32 (N, channels, height, width), the mean subtracted, not scaled;
             colour images are BGR
    labels   uint8 values (N, 1, height, width): class numbers, 255 for void

and, where it is asked for, weights of the pixels, float32 (N, 1, height, width).

A subclass says which tops there are, where split lists and files lie, and how they are decoded
where they are not colour images and label images (`VOCSegDataLayer` is an example):

    split_file(split)   the path of the list of a split, one name a line
    paths(name)         {top: path} of the files of a sample
"""

import hashlib
import itertools
import math
import os
import random
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

import caffe
from segdata import param_str
from segdata.augment import (
    apply_move,
    draw_move,
    draw_scale,
    draw_window,
    pad,
    reflected,
    resize_bilinear,
    resize_nearest,
    stacked,
    to_multiple,
)
from segdata.classes import VOID
from segdata.errors import DataError, Doubt
from segdata.lists import (
    Entry,
    KnownFiles,
    as_on_disk,
    first_there,
    read_list,
)
from segdata.memory import available_memory
from segdata.order import sample_order
from segdata.readers import (
    class_numbers,
    doubts_of,
    read_label_image,
    read_rgb,
    read_weights,
    subtract_mean,
)
from segdata.sample_files import absent, check_sizes, check_values, read_file

WEIGHT = "weight"           # the top with weights of the pixels
WEIGHT_SUFFIXES = ".npy", ".png"        # of its files
MOST_THREADS = 32           # that decode


class Coming(NamedTuple):
    """A batch that is decoded ahead. samples : the position of each, which counts from the start
    of the order, and the index of its entry; arrays : the Future of them, one a top"""
    samples: list[tuple[int, int]]
    arrays: Future[list[np.ndarray]]


class SegDataLayer(caffe.Layer):
    """Images and label maps, one sample at a time, or a batch.

    `param_str` is a dictionary literal with the keys

        (directory)  str, a root of the data set; the subclass names the key
        split        str, the list to read; training splits have 'train' in their name
        mean         3 numbers B, G, R that are subtracted from every pixel; data sets with a mean
                     of their own have no such key
        randomize    bool, default True: draw training samples at random with replacement;
                     other splits are always read in order
        seed         int, default None: a different order every time; several workers need one
        start        int, default 0: skip that many samples, to continue a training run
        mirror       bool, default False: mirror every second training sample, at random
        jitter       int, default 0: move training samples by up to that many pixels in each
                     direction; what comes in from outside has the mean, and the label void
        scale        (low, high), default None: resize training samples by a random factor, the
                     image bilinearly, the label to the nearest pixel
        crop         a side or (height, width), default None: give a window of that size, drawn at
                     random in training and else the middle one; where a sample is smaller it is
                     padded below and right, the image with the mean, the label with void
        margin       int, default 0: give so many pixels of the image more on each side than the
                     label has, beyond the image its reflection: for nets that pad nothing
        multiple     int, default 1: pad images and labels below and right to sides that are
                     multiples of it, an image with its reflection, its label with void: for nets
                     that halve and double the size again
        batch        int, default 1: the samples that are given together; each is padded below and
                     right, as for crop, to the largest of them
        weights      str, default None: a folder with NAME.npy or NAME.png of every sample, weights
                     of its pixels from 0 on (in a PNG 255 is 1); they are a further top, weight,
                     with 0 where a sample is padded
        prefetch     int, default 4: the samples that are decoded ahead, by as many threads, at
                     least the next batch; more of them for files that are far away

    Samples are resized, mirrored, moved, given a margin, cropped and padded, in this order.
    Everything random depends on the seed and the position of the sample only, which start counts
    from; it counts samples, not batches. reshape() loads what comes next and shapes the tops for
    it, forward() hands it over and moves on, as in the published layers. What comes after it is
    decoded in the background, in order; what is wrong with it is raised when its turn comes. That
    a file is missing is said at set-up.

    Of several solvers that train together each takes every count-th batch of the one order: the
    first the first, the second the second and so on. `share` has another net do the same.
    """

    # What a subclass defines anew.
    directory_keys: tuple[str, ...] = ()
    required: tuple[str, ...] = ("split", "mean")       # keys beside the directories
    defaults: dict[str, object] = {"randomize": True, "seed": None, "start": 0, "mirror": False,
                                   "jitter": 0, "scale": None, "crop": None, "margin": 0,
                                   "multiple": 1, "batch": 1, "weights": None, "prefetch": 4}
    tops: tuple[str, ...] = ("data", "label")           # in order
    classes = {"label": 21}             # the tops with labels: values 0 .. classes-1 and 255
    first_class = 0                     # the value that is stored for class 0
    void_values: tuple[int, ...] = ()   # values that are stored for void, beside 255
    mean: np.ndarray                    # (3, 1, 1): B, G, R, where it is not in param_str

    process = 0                         # the one that the threads are in
    rank, workers = 0, 1                # which batches come to this process, of how many

    def setup(self, bottom: Sequence, top: Sequence) -> None:
        self.open()
        if len(bottom) != 0 or len(top) != len(self.tops):
            raise self.error(f"expected no bottoms and the tops {' and '.join(self.tops)}, got "
                             f"{len(bottom)} bottoms and {len(top)} tops")
        self.check_memory()
        self.read_ahead()

    def open(self) -> None:
        """Read the parameters and the split list, and put the samples in order."""
        self.ahead: deque[Coming] = deque()
        self.params = self.read_params()
        if "mean" in self.required:
            self.mean = np.reshape(self.params["mean"], (3, 1, 1))
        self.roots = {key: self.existing(Path(self.params[key])) for key in self.directory_keys}
        self.known_files = KnownFiles()
        self.configure()
        if self.params["weights"] is not None:
            self.existing(Path(self.params["weights"]))
            self.tops = (*self.tops, WEIGHT)
        self.entries = self.find_files(self.read_split(self.params["split"]))
        self.training = "train" in self.params["split"]
        if getattr(self, "phase", caffe.TEST) == caffe.TRAIN and hasattr(caffe, "solver_count"):
            self.rank, self.workers = caffe.solver_rank(), caffe.solver_count()
            self.check_workers()
        seed = self.params["seed"]
        self.go_to(self.params["start"],
                   random.SystemRandom().getrandbits(32) if seed is None else seed)

    def check_workers(self) -> None:
        """Raise DataError where several solvers cannot share the samples."""
        if self.workers > len(self.entries):
            raise self.error(f"{self.workers} workers train together on {len(self.entries)} "
                             f"samples, the split '{self.params['split']}': take at most "
                             f"{len(self.entries)} workers")
        self.check_order()

    def check_order(self) -> None:
        """Raise DataError where each of several solvers would have an order of its own."""
        if self.workers > 1 and self.is_shuffled and self.params["seed"] is None:
            raise self.error(f"{self.workers} workers would each go through the samples in an "
                             "order of its own, for param_str has no seed: give 'seed', a whole "
                             "number, or 'randomize': False")

    @property
    def is_shuffled(self) -> bool:
        return self.training and bool(self.params["randomize"])

    def go_to(self, position: int, seed: int) -> None:
        """Have the sample at that position of the order that the seed gives come next, or with
        several solvers the batch from there on that is this one's."""
        place = position + self.rank * self.params["batch"]
        order = sample_order(len(self.entries), seed if self.is_shuffled else None, place)
        self.seed = seed
        self.queue: Iterator[tuple[int, int]] = enumerate(order, place)
        for coming in self.ahead:
            coming.arrays.cancel()
        self.ahead.clear()

    def share(self, rank: int, workers: int) -> None:
        """Have every `workers`-th batch of the order come to this process, beginning with the one
        of the number `rank`."""
        self.rank, self.workers = rank, workers
        self.check_order()
        self.go_to(0, self.seed)
        self.read_ahead()

    def reshape(self, bottom: Sequence, top: Sequence) -> None:
        for i, array in enumerate(self.arrays()):   # BVLC's vectors cannot be iterated
            top[i].reshape(*array.shape)

    def forward(self, bottom: Sequence, top: Sequence) -> None:
        for i, array in enumerate(self.arrays()):
            top[i].data[...] = array
        self.ahead.popleft()
        self.read_ahead()

    def arrays(self) -> list[np.ndarray]:
        """Those of the next batch, one a top. A process that was forked has no threads that decode
        it, and makes its own."""
        if self.process != os.getpid():
            self.ahead = deque(self.submitted(coming.samples) for coming in self.ahead)
        return self.ahead[0].arrays.result()

    def backward(self, top: Sequence, propagate_down: Sequence, bottom: Sequence) -> None:
        pass

    def split_file(self, split: str) -> Path:
        """The list of a split's samples; a subclass says which."""
        raise self.error("defines no split_file(split)")

    def paths(self, name: str) -> dict[str, Path]:
        """{top: file} of a sample; a subclass says which."""
        raise self.error("defines no paths(name)")

    def files(self, name: str) -> dict[str, Path]:
        """{top: file} of a sample, that of the weights too."""
        paths = self.paths(name)
        if WEIGHT in self.tops:
            paths[WEIGHT] = first_there([Path(self.params["weights"]) / f"{name}{suffix}"
                                         for suffix in WEIGHT_SUFFIXES], self.known_files)
        return paths

    def doubts(self, top: str, path: Path) -> list[Doubt]:
        """What is odd of a file that can be used."""
        return doubts_of(path) if self.kind(top) == "image" else []

    def suffixes(self, kind: str) -> tuple[str, ...]:
        """Those that files of a kind ("image", ...) may have; none where there is one alone."""
        return WEIGHT_SUFFIXES if kind == "weights" else ()

    def kind(self, top: str) -> str:
        """What a top is, for messages."""
        return "weights" if top == WEIGHT else "label" if top in self.classes else "image"

    def read_ahead(self) -> None:
        """Start to load what comes next, until as many samples as `prefetch` says are loaded."""
        batch = self.params["batch"]
        while len(self.ahead) < math.ceil(self.params["prefetch"] / batch):
            samples = list(itertools.islice(self.queue, batch))
            others = (self.workers - 1) * batch
            next(itertools.islice(self.queue, others, others), None)
            self.ahead.append(self.submitted(samples))

    def submitted(self, samples: list[tuple[int, int]]) -> Coming:
        """The batch of these samples, which threads of this process load, and another one puts
        together."""
        if self.process != os.getpid():
            self.process = os.getpid()
            self.loaders = ThreadPoolExecutor(min(self.params["prefetch"], MOST_THREADS))
            self.packer = ThreadPoolExecutor(1)
        loading = [self.loaders.submit(self.load, self.entries[index], position, self.seed)
                   for position, index in samples]
        return Coming(samples, self.packer.submit(self.batch_of, loading))

    def resume_state(self) -> dict:
        """Which sample comes next, to the first of several solvers, for a snapshot; whatever is
        decoded ahead."""
        position = self.ahead[0].samples[0][0] - self.rank * self.params["batch"]
        return {"position": position, "seed": self.seed, "of": self.identity()}

    def resume_from(self, state: dict) -> None:
        """Go on from what `resume_state` gave. Raises DataError where the order is of other
        samples, or param_str has other settings."""
        if state["of"] != self.identity():
            raise self.error("the list of samples, or param_str, has changed")
        position, seed = state["position"], state["seed"]
        if not (type(position) is type(seed) is int and 0 <= position <= param_str.MOST_PASSED):
            raise self.error(f"it cannot stand at the sample {position} of the order {seed}")
        self.go_to(position, seed)
        self.read_ahead()

    def identity(self) -> str:
        """What the order of the samples depends on, and what is made of them, in a text."""
        params = {key: value for key, value in self.params.items()
                  if key not in ("start", "prefetch", *self.directory_keys)
                  and (key not in param_str.OPTIONS or value != self.defaults[key])}
        names = hashlib.sha256(repr([entry.name for entry in self.entries]).encode(
            errors="surrogateescape")).hexdigest()
        return f"{sorted(params.items())} {names}"

    def batch_of(self, loading: Sequence[Future[dict[str, np.ndarray]]]) -> list[np.ndarray]:
        """The arrays (number, channels, height, width) of samples that are being loaded, one a
        top."""
        samples = [sample.result() for sample in loading]
        return [stacked([sample[top] for sample in samples], self.fill(top)) for top in self.tops]

    def check_memory(self) -> None:
        """Raise DataError where a batch, of samples as large as the first, cannot fit into
        memory."""
        batch, memory = self.params["batch"], available_memory()
        if batch == 1:
            return
        position, index = next(self.queue)
        self.queue = itertools.chain([(position, index)], self.queue)
        first = self.load(self.entries[index], position, self.seed)
        size = sum(array.nbytes for array in first.values())
        if 2 * batch * size > memory:       # the samples, and the batch of them
            raise self.error(f"a batch of {batch:,} samples takes about "
                             f"{2 * batch * size / 2 ** 30:,.1f} GiB, free for this process are "
                             f"{memory / 2 ** 30:,.1f} GiB: take a smaller batch, or a crop")

    def load(self, entry: Entry, position: int, seed: int) -> dict[str, np.ndarray]:
        """{top: array (channels, height, width)} of an entry at that position of the order."""
        paths = self.files(entry.name)
        try:
            arrays = {top: self.read_top(top, paths[top], entry.source) for top in self.tops}
            check_sizes([(paths[top], array.shape) for top, array in arrays.items()], entry.source)
        except DataError as error:
            raise self.error(error) from error
        if self.training:
            arrays = self.augmented(arrays, position, seed)
        if self.params["crop"]:
            arrays = self.cropped(arrays, position, seed)
        else:
            arrays = {top: reflected(array, self.margin(top)) for top, array in arrays.items()}
        return {top: to_multiple(array, self.params["multiple"],
                                 None if self.kind(top) == "image" else self.fill(top))
                for top, array in arrays.items()}

    def augmented(self, arrays: dict[str, np.ndarray], position: int, seed: int
                  ) -> dict[str, np.ndarray]:
        """The arrays of a training sample resized, mirrored and moved."""
        if self.params["scale"]:
            factor = draw_scale(seed, position, *self.params["scale"])
            arrays = {top: self.resized(top, array, factor) for top, array in arrays.items()}
        move = draw_move(seed, position, self.params["mirror"], self.params["jitter"])
        return {top: apply_move(array, move, self.fill(top)) for top, array in arrays.items()}

    def resized(self, top: str, array: np.ndarray, factor: float) -> np.ndarray:
        height, width = (max(1, round(side * factor)) for side in array.shape[-2:])
        return (resize_nearest if top in self.classes else resize_bilinear)(array, height, width)

    def cropped(self, arrays: dict[str, np.ndarray], position: int, seed: int
                ) -> dict[str, np.ndarray]:
        """The window of a sample that `crop` says, of all arrays the same; that of an image has
        the margin."""
        crop = self.params["crop"]
        height, width = (crop, crop) if isinstance(crop, int) else crop
        arrays = {top: pad(array, height, width, self.fill(top)) for top, array in arrays.items()}
        rows, columns = next(iter(arrays.values())).shape[-2:]
        arrays = {top: reflected(array, self.margin(top)) for top, array in arrays.items()}
        row, column = (rows - height) // 2, (columns - width) // 2
        if self.training:
            row, column = draw_window(seed, position, (rows, columns), (height, width))
        return {top: array[..., row:row + height + 2 * self.margin(top),
                           column:column + width + 2 * self.margin(top)]
                for top, array in arrays.items()}

    def margin(self, top: str) -> int:
        """The pixels on each side that a top has beyond the label."""
        return self.params["margin"] if self.kind(top) == "image" else 0

    def fill(self, top: str) -> int:
        """What lies outside a sample: void in a label, the mean in an image, no weight."""
        return VOID if top in self.classes else 0

    def read_top(self, top: str, path: Path, source: str) -> np.ndarray:
        """The array of a top: float32 of an image or of weights, uint8 (1, height, width) of a
        label."""
        kind = self.kind(top)
        suffixes = self.suffixes(kind)
        if top == WEIGHT:
            return read_file(read_weights, kind, path, source, suffixes)[None]
        if top not in self.classes:
            return read_file(lambda path: self.decode_image(top, path), kind, path, source,
                             suffixes)
        numbers = read_file(self.decode_label, kind, path, source, suffixes)
        check_values(numbers, self.classes[top], path, source)
        return numbers[None].astype(np.uint8, copy=False)

    def decode_label(self, path: Path) -> np.ndarray:
        return class_numbers(self.read_label(path), self.first_class, self.void_values)

    # What a subclass may define anew.

    def configure(self) -> None:
        """Act on `params` and `roots`, before the samples are looked for."""

    def decode_image(self, top: str, path: Path) -> np.ndarray:
        """The image of a top, float32 (channels, height, width), the mean subtracted."""
        return subtract_mean(self.read_image(path), self.mean)

    def read_image(self, path: Path) -> np.ndarray:
        """The image, uint8 (height, width, 3) in RGB order."""
        return read_rgb(path)

    def read_label(self, path: Path) -> np.ndarray:
        """The label as it is stored, (height, width)."""
        return read_label_image(path)

    def read_params(self) -> dict:
        """What param_str says, with the defaults of the keys that it has not."""
        try:
            return param_str.parsed(self.param_str, self.directory_keys, self.required,
                                    self.defaults)
        except DataError as error:
            raise self.error(error) from None

    def read_split(self, split: str) -> list[Entry]:
        try:
            return read_list(self.split_file(split))
        except DataError as error:
            raise self.error(error) from error

    def find_files(self, entries: list[Entry]) -> list[Entry]:
        """The entries, of which every file must be there; their names as the files have them."""
        entries = [as_on_disk(entry, lambda name: not self.missing_files(name))
                   for entry in entries]
        missing = [(kind, path, entry) for entry in entries
                   for kind, path in self.missing_files(entry.name)]
        if missing:
            kind, path, entry = missing[0]
            raise self.error(f"{absent(kind, path, self.suffixes(kind))}, {entry.source}"
                             + self.advice(entry.name)
                             + f"; so it is with {len(missing)} files" * (len(missing) > 1))
        return entries

    def missing_files(self, name: str) -> list[tuple[str, Path]]:
        """[("image", "label" or "weights", path)] of the files of a sample that are not there."""
        paths = self.files(name)
        return [(self.kind(top), paths[top]) for top in self.tops
                if paths[top] not in self.known_files and not paths[top].exists()]

    def advice(self, name: str) -> str:
        """Where the list has a suffix or a second column too many: what the name would be."""
        for shorter in (Path(name).stem, name.split()[0]):
            if shorter != name and not self.missing_files(shorter):
                return f"; the name in the list should be '{shorter}' alone"
        return ""

    def existing(self, path: Path) -> Path:
        if not path.exists():
            raise self.error(f"{path} does not exist (looked in {Path.cwd()})")
        return path

    def error(self, message: object) -> DataError:
        """A DataError that names this layer (BVLC's Python layers do not know their name)."""
        return DataError(f"layer '{getattr(self, 'name', '?')}' ({type(self).__name__}): {message}")
