"""Data and MemoryData: batches from an LMDB, and from arrays in memory."""

import itertools
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from google.protobuf.message import DecodeError

from .... import context
from ....context import TEST
from ....errors import CaffeError, LayerError
from ....images.database import open_database
from ....images.datum import decode
from ....proto import caffe_pb2
from ..base import register
from .prefetch import Prefetch
from .sources import Source
from .transform import Transform


class Batches(Source):
    """A layer whose tops are images and labels, made by `samples` in a thread of its own.

    Top 0 is (batch_size, channels, height, width), the optional top 1 labels (batch_size,).
    data_param.prefetch, of all these layers, says how many batches are made ahead, 4 by default.
    """

    tops: tuple[int, int | None] = (1, 2)

    def settings(self) -> Any:
        """The message with batch_size and source."""
        raise self.error(f"layer type '{self.type}' defines no settings()")

    def setup(self, bottom, top):
        self.random = np.random.default_rng(int(torch.randint(2 ** 62, ()).item()))
        self.transform = Transform(self.layer_param.transform_param, self.phase, self.random)
        self.prefetch = None
        p = self.settings()
        if not p.batch_size:
            raise self.error("expected a batch_size of at least 1")
        if not self.layer_param.data_param.prefetch:
            raise self.error("expected a prefetch of at least 1")
        if not p.source:
            raise self.error("expected a source")
        self.open(p)
        top[0].reshape(p.batch_size, *self.image_shape())
        for blob in top[1:]:
            blob.reshape(p.batch_size)

    def forward(self, bottom, top):
        for blob, array in zip(top, self.next_batch()):
            blob.set_data(torch.from_numpy(array))

    def next_batch(self):
        """An array for each top."""
        if self.prefetch is None:
            self.prefetch = Prefetch(_batches(self.samples(), self.settings().batch_size),
                                     self.layer_param.data_param.prefetch)
        return self.prefetch.next()


def _batches(samples, size):
    """Arrays of `size` samples each, from an endless iterator of (image, ..., name)."""
    while True:
        images, *others, names = zip(*itertools.islice(samples, size))
        for image, name in zip(images, names):
            if image.shape != images[0].shape:
                raise LayerError(f"{name}: an image of shape {image.shape} in one batch with "
                                 f"{images[0].shape} of {names[0]}; crop_size makes them equal")
        yield np.stack(images), *(np.array(each, np.float32) for each in others)


@contextmanager
def naming(name):
    """Add the record, or the line of the list, to what is wrong with a sample."""
    try:
        yield
    except (CaffeError, DecodeError) as error:
        raise LayerError(f"{name}: {error}") from None


@register("Data")
class Data(Batches):
    """The records of an LMDB in the order of their keys, again and again. Where several solvers
    train together, each takes its share; rand_skip, which was for that, does nothing in Caffe 1.0
    either."""

    def settings(self):
        return self.layer_param.data_param

    def open(self, p):
        if p.backend != caffe_pb2.DataParameter.LMDB:
            raise self.error(f"{p.source}: expected backend: LMDB; LevelDB, the default, is not "
                             "supported. Write the images anew with `caffe convert_imageset`")
        self.database = open_database(p.source)
        if not len(self.database):
            raise self.error(f"{p.source}: it holds no records")

    def image_shape(self):
        key, value = next(iter(self.database))
        with naming(f"{self.database.path}, key {key}"):
            image, _ = _decoded(value, self.transform.color)
        return self.transform.shape(image.shape)

    def samples(self):
        share = (0, 1) if self.phase == TEST else (context.solver_rank(), context.solver_count())
        return _records(self.database, self.transform, *share)


def _records(database, transform, rank, count):
    """Endless (transformed image, label, name of the record), of every `count` the one `rank`."""
    place = itertools.count()
    while True:
        for key, value in database:
            if next(place) % count == rank:
                name = f"{database.path}, key {key}"
                with naming(name):
                    image, label = _decoded(value, transform.color)
                    image = transform(image)
                yield image, label, name


def _decoded(value, color):
    """(image, label) of a serialised Datum."""
    datum = caffe_pb2.Datum.FromString(value)
    return decode(datum, color), datum.label


@register("MemoryData")
class MemoryData(Source):
    """Batches of arrays in memory, which `Net.set_input_arrays` gives, again and again."""

    tops = (2, 2)

    def setup(self, bottom, top):
        p = self.layer_param.memory_data_param
        self.size, self.item = p.batch_size, (p.channels, p.height, p.width)
        if min(self.size, *self.item) < 1:
            raise self.error("expected batch_size, channels, height and width of at least 1, got "
                             f"{self.size} and {self.item}")
        top[0].reshape(self.size, *self.item)
        top[1].reshape(self.size)
        self.arrays = None

    def reset(self, data, labels):
        """Go through these arrays from now on, from their beginning; they are not copied.

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
        self.arrays, self.position = (data, labels.reshape(-1)), 0

    def forward(self, bottom, top):
        if self.arrays is None:
            raise self.error("has no arrays yet; give them with Net.set_input_arrays")
        part = slice(self.position, self.position + self.size)
        for blob, array in zip(top, self.arrays):
            blob.set_data(torch.tensor(array[part]))
        self.position = part.stop % len(self.arrays[0])
