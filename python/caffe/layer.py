"""caffe.Layer: the protocol that every layer follows, built in or written in Python."""

from __future__ import annotations

import copy
import enum
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from .errors import LayerError
from .formats.text import printable
from .vectors import BlobVec

if TYPE_CHECKING:
    from .engine.blob import Blob
    from .proto import caffe_pb2


Own = TypeVar("Own", bound="Layer")


class Phase(enum.IntEnum):
    """A layer's phase: the number caffe.TRAIN or caffe.TEST, and as a text its name, by which
    the Python layers of Faster R-CNN look for their settings."""
    TRAIN, TEST = 0, 1

    def __str__(self) -> str:
        return self.name

    def __format__(self, form: str) -> str:
        return format(int(self), form) if form else self.name


class Layer:
    """One step of a net. Subclass it for a Python layer (pycaffe's `caffe.Layer`).

    A layer gets its bottom and top blobs in lists; `blob.data` and `blob.diff` are NumPy arrays.

    Attributes
    ----------
    layer_param : the LayerParameter of the prototxt
    param_str : str, a Python layer's own parameters; data, never evaluated by the engine
    param_str_ : the same, by its name before 2015
    phase : caffe.TRAIN or caffe.TEST; as a text "TRAIN" or "TEST"
    blobs : the layer's parameters, a list of Blob with `add_blob(*shape)`; cannot be set
    """

    def __init__(self, layer_param: caffe_pb2.LayerParameter) -> None:
        self.layer_param = layer_param
        self.name = layer_param.name
        self.phase: int = Phase(layer_param.phase)
        self.param_str = self.param_str_ = layer_param.python_param.param_str
        # Python layers may use any other name for their own purposes, so that what the engine
        # needs of every layer is kept under names that no subclass can have by chance.
        self.__type = layer_param.type
        self.__blobs: Any = BlobVec()

    @property
    def type(self) -> str:
        """The layer's type in the prototxt, e.g. 'Convolution'."""
        return self.__type

    @property
    def blobs(self) -> BlobVec:
        """The layer's parameters."""
        return self.__blobs

    def __repr__(self) -> str:
        own = f" {type(self).__name__}" if self.__type == "Python" else ""
        shapes = ", ".join(str(blob.shape) for blob in self.__blobs)
        return printable(f"Layer '{self.layer_param.name}' ({self.__type}{own})"
                         + (f", parameters {shapes}" if shapes else ""))

    def copy_without_blobs(self: Own) -> Own:
        """A shallow copy of the layer, whose list of parameters is its own, and empty; it takes
        anything."""
        other = copy.copy(self)
        other.__blobs = []
        return other

    def setup(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Called once, before the first reshape: check parameters, create `blobs`."""

    def reshape(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Called before every forward: give each top its shape."""

    def forward(self, bottom: Sequence[Blob], top: Sequence[Blob]) -> None:
        """Fill `top[i].data` from `bottom[i].data`."""
        raise LayerError(f"layer '{self.name}' ({type(self).__name__}) defines no forward()")

    def backward(self, top: Sequence[Blob], propagate_down: Sequence[bool], bottom: Sequence[Blob]
                ) -> None:
        """Fill `bottom[i].diff` where `propagate_down[i]`, and add to the diffs of `blobs`."""
        raise LayerError(f"layer '{self.name}' ({type(self).__name__}) defines no backward()")
