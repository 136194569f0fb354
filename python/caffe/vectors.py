"""The vectors of pycaffe: lists of one kind of thing, with the original's names in caffe._caffe."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .engine.blob import Blob

__all__ = ["BlobVec", "BoolVec", "DtypeVec", "IntVec", "LayerVec", "NetVec", "RawBlobVec",
           "StringVec"]


class Vector(list):
    """A list that takes items of one kind alone, and raises TypeError for others."""

    __instance_size__ = 0       # Boost.Python's vectors have such a number
    of: Any = object            # the type of its items, or the name of one that is loaded late

    def __init__(self, items: Iterable = ()) -> None:
        super().__init__(map(self._taken, items))

    def append(self, item: Any) -> None:
        super().append(self._taken(item))

    def extend(self, items: Iterable) -> None:
        super().extend([self._taken(item) for item in items])

    def __setitem__(self, index: Any, value: Any) -> None:
        several = isinstance(index, slice)
        super().__setitem__(index, [self._taken(item) for item in value] if several
                            else self._taken(value))

    @classmethod
    def kind(cls) -> Any:
        """The type, or the types, of its items."""
        if isinstance(cls.of, str):
            module, _, name = cls.of.rpartition(".")
            return getattr(import_module("." + module, __package__), name)
        return cls.of

    @classmethod
    def _taken(cls, item: Any) -> Any:
        if not isinstance(item, cls.kind()):
            raise TypeError(f"{cls.__name__} does not take {item!r}")
        return item


class RawBlobVec(Vector):
    """Blobs, as a layer's bottom and top are."""
    of = "engine.blob.Blob"


class BlobVec(RawBlobVec):
    """Blobs, as a layer's parameters are."""

    def add_blob(self, *shape: int) -> Blob:
        """Append a blob of that shape, filled with zeros, and return it."""
        self.append(self.kind()(shape))
        return self[-1]


class LayerVec(Vector):
    """Layers, as a net's are."""
    of = "layer.Layer"


class NetVec(Vector):
    """Nets, as a solver's test nets are."""
    of = "engine.net.Net"


class StringVec(Vector):
    """Names."""
    of = str


class BoolVec(Vector):
    """Yes or no."""
    of = bool


class IntVec(Vector):
    """Whole numbers, as shapes are."""
    of = Integral


class DtypeVec(Vector):
    """Numbers, as loss weights are."""
    of = Real
