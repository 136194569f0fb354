"""Data and MemoryData: batches from an LMDB, and from arrays in memory."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch

from ....errors import LayerError
from ....formats.text import encode
from ....images.database import open_database
from ....images.datum import decode
from ....proto import caffe_pb2
from ..registry import register
from ..types import Blobs, Shape
from .prefetch import Prefetch
from .sources import SourceLayer
from .transform import Transform

Place = dict[str, Any]


class Sample(NamedTuple):
    """One of a layer's samples, which is read where it is needed.

    make : make(transform) gives its arrays, an image and a label
    name : what errors call it
    number : its number in the sequence of the layer's samples, which its random numbers follow
    place : the place after it
    """

    make: Callable[[Transform], tuple]
    name: str
    number: tuple[int, ...]
    place: Place


class Batches(SourceLayer):
    """A layer whose tops are images and labels, made of `samples` in a thread of its own.

    Top 0 is (batch_size, channels, height, width), the optional top 1 labels (batch_size,).
    data_param.prefetch, of all these layers, says how many batches are made ahead, 4 by default.

    Where several solvers train together, all go through the same samples, and each makes every
    solver_count()-th. What is random of a sample follows from the layer's `seed` and the sample's
    number alone, whoever makes it. Where the layer stands is the `place`, a dict: that of the last
    sample that any of them was given.
    """

    tops: tuple[int, int | None] = (1, 2)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self.seed = int(torch.randint(2 ** 62, ()).item())
        self.transform = Transform(self.layer_param.transform_param, self.phase, self.draw(0))
        self.prefetch: Prefetch | None = None
        p = self.settings()
        if not p.batch_size:
            raise self.error("expected a batch_size of at least 1")
        if not self.layer_param.data_param.prefetch:
            raise self.error("expected a prefetch of at least 1")
        if not p.source:
            raise self.error("expected a source")
        self.open(p)
        self.place = self.first_place()
        top[0].reshape(p.batch_size, *self.image_shape())
        for blob in top[1:]:
            blob.reshape(p.batch_size)

    settings: Callable[[], Any]     # the layer's own part of its prototxt entry
    open: Callable[[Any], None]     # given that part: open, and check, what it names
    image_shape: Callable[[], Shape]
    samples: Callable[[Place], Iterator[Sample]]    # endless, from a place

    def draw(self, *number: int) -> np.random.Generator:
        """The random numbers that belong to a number."""
        return np.random.default_rng([self.seed, *number])

    def first_place(self) -> Place:
        """The place before the first sample."""
        return {}

    def files(self) -> str:
        """What the files of the layer hold, in a text: a place in others means nothing."""
        raise self.error(f"layer type '{self.type}' defines no files()")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        arrays, self.place = self.next_batch()
        for blob, array in zip(top, arrays):
            blob.set_data(torch.from_numpy(array))

    def next_batch(self) -> tuple[Any, Place]:
        """An array for each top, and the place behind them."""
        if self.prefetch is None:
            # the thread has a layer of its own, so that this one can come to its end
            other: Any = self.copy_without_blobs()
            self.prefetch = Prefetch(other._batches, self.place,
                                     self.layer_param.data_param.prefetch)
        return self.prefetch.next(), self.prefetch.place

    def _batches(self, place: Place) -> Iterator[tuple[Any, Place]]:
        """Endless ((images, labels), place)."""
        samples, size = self.samples(place), self.settings().batch_size
        while True:
            batch, names = [], []
            for i, sample in enumerate(itertools.islice(samples, size * self.solvers)):
                if i % self.solvers == self.solver:
                    batch.append(sample.make(self.transform.drawing_from(
                        self.draw(*sample.number))))
                    names.append(sample.name)
                place = sample.place
            yield _stacked(batch, names), place

    def resume_state(self) -> dict:
        """Where the net stands in the samples, whatever was made ahead."""
        return {"files": self.files(), "place": self.place, "seed": self.seed}

    def resume_from(self, state: dict) -> None:
        """Go on from what `resume_state` gave. Raises LayerError where the files are others."""
        if state["files"] != self.files():
            raise self.error(f"{self.settings().source}: it, or what it lists, has changed")
        place, seed = state["place"], state["seed"]
        if set(place) != set(self.first_place()) or not all(
                type(value) is int and value >= 0 for name, value in place.items()
                if name != "key") or type(seed) is not int or seed < 0:
            raise self.error(f"it cannot stand at {place}, with the seed {seed}")
        self.check_place(place)
        self.place, self.seed, self.prefetch = place, seed, None

    def check_place(self, place: Place) -> None:
        """Raise an exception where the layer's own entries of a place mean nothing."""


def _stacked(batch: Sequence[tuple], names: Sequence[str]) -> tuple[np.ndarray, ...]:
    """The arrays of the samples of a batch, put together."""
    images, *others = zip(*batch)
    for image, name in zip(images, names):
        if image.shape != images[0].shape:
            remedy = "crop_size makes them equal" if len(image) == len(images[0]) else \
                "of encoded images force_color or force_gray makes the channels equal"
            raise LayerError(f"{name}: an image of shape {image.shape} in one batch with "
                             f"{images[0].shape} of {names[0]}; {remedy}")
    return np.stack(images), *(np.array(each, np.float32) for each in others)


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Add the record, or the line of the list, to what is wrong with a sample."""
    try:
        yield
    except Exception as error:
        raise LayerError(f"{name}: {error}") from None


@register("Data")
class Data(Batches):
    """The records of an LMDB in the order of their keys, again and again. Where several solvers
    train together, each takes its share; rand_skip, which was for that, does nothing in Caffe 1.0
    either."""

    def settings(self) -> caffe_pb2.DataParameter:
        return self.layer_param.data_param

    def open(self, p: caffe_pb2.DataParameter) -> None:
        if p.backend != caffe_pb2.DataParameter.LMDB:
            raise self.error(f"{p.source}: expected backend: LMDB; LevelDB, the default, is not "
                             "supported. Write the images anew with `caffe convert_imageset`")
        self.database = open_database(p.source)
        if next(iter(self.database), None) is None:
            raise self.error(f"{p.source}: it holds no records")
        self.check_share(len(self.database), "records", p.source)

    def image_shape(self) -> Shape:
        key, value = next(iter(self.database))
        with naming(f"{self.database.path}, key {key}"):
            image, _ = _decoded(value, self.transform.color)
        return self.transform.shape(image.shape)

    def first_place(self) -> Place:
        return {"passed": 0, "key": None}

    def check_place(self, place: Place) -> None:
        if place["key"] is not None:
            encode(place["key"])

    def files(self) -> str:
        first, _ = next(iter(self.database))
        return f"{len(self.database)} records, first key {first}"

    def samples(self, place: Place) -> Iterator[Sample]:
        """The place says how many records were passed, and the key of the last one."""
        passed, last = place["passed"], place["key"]
        while True:
            for key, value in self.database.after(last):
                name = f"{self.database.path}, key {key}"
                yield Sample(partial(self._made, name, value), name, (passed,),
                             {"passed": passed + 1, "key": key})
                passed += 1
            last = None

    @staticmethod
    def _made(name: str, value: bytes, transform: Transform) -> tuple[np.ndarray, int]:
        with naming(name):
            image, label = _decoded(value, transform.color)
            return transform(image), label


def _decoded(value: bytes, color: bool | None) -> tuple[np.ndarray, int]:
    """(image, label) of a serialised Datum."""
    datum = caffe_pb2.Datum.FromString(value)
    return decode(datum, color), datum.label


@register("MemoryData")
class MemoryData(SourceLayer):
    """Batches of arrays in memory, which `Net.set_input_arrays` gives, again and again.

    As in Caffe, labels have the shape (batch_size,) before the first forward pass, and (batch_size,
    1, 1, 1) from then on.
    """

    tops = (2, 2)
    arrays: tuple[np.ndarray, np.ndarray] | None = None

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.memory_data_param
        self.size, self.item = p.batch_size, (p.channels, p.height, p.width)
        if min(self.size, *self.item) < 1:
            raise self.error("expected batch_size, channels, height and width of at least 1, got "
                             f"{self.size} and {self.item}")
        top[0].reshape(self.size, *self.item)
        top[1].reshape(self.size)
        self.resumed = 0, 0

    def resume_state(self) -> list:
        """[position, number of items]: where the net stands in the arrays."""
        return [self.position, len(self.arrays[0])] if self.arrays else [0, 0]

    def resume_from(self, state: list) -> None:
        """Go on from what `resume_state` gave, once there are arrays of as many items."""
        position, count = map(int, state)
        if position < 0 or position % self.size or position >= max(count, 1):
            raise self.error(f"no batch begins at the position {position} of {count}")
        if self.arrays and count not in (0, len(self.arrays[0])):
            raise self.error(f"has changed: {len(self.arrays[0])} items, when the snapshot was "
                             f"taken {count}")
        self.resumed = position, count
        if self.arrays:
            self.reset(*self.arrays)

    def reset(self, data: np.ndarray, labels: np.ndarray) -> None:
        """Go through these arrays from now on, from their beginning (for the first ones after a
        snapshot was restored: from where it was taken); they are not copied.

        data : float32 (N, channels, height, width), C-contiguous, N a multiple of batch_size
        labels : float32 (N,) or (N, 1, 1, 1)
        """
        for name, array in (("data", data), ("labels", labels)):
            kind = getattr(array, "dtype", type(array).__name__)
            if kind != np.float32:
                raise self.error(f"expected {name} as a float32 array, got {kind}")
            if not array.flags.c_contiguous:
                raise self.error(f"expected {name} as a C-contiguous array, got the strides "
                                 f"{array.strides} of the shape {array.shape}")
        if data.shape[1:] != self.item or labels.shape not in ((len(data),), (len(data), 1, 1, 1)):
            shape = ", ".join(map(str, self.item))
            raise self.error(f"expected data (N, {shape}) and labels (N,), got {data.shape} and "
                             f"{labels.shape}")
        if not len(data) or len(data) % self.size:
            raise self.error(f"expected a multiple of the batch_size {self.size}, got {len(data)}")
        position, count = self.resumed
        self.arrays, self.resumed = (data, labels.reshape(-1, 1, 1, 1)), (0, 0)
        self.position = position if count == len(data) else 0

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        if self.arrays is None:
            raise self.error("has no arrays yet; give them with Net.set_input_arrays")
        part = slice(self.position, self.position + self.size)
        for blob, array in zip(top, self.arrays):
            blob.set_data(torch.tensor(array[part]))
        self.position = part.stop % len(self.arrays[0])
