"""The types of layers: by which name a prototxt reaches which class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ...errors import LayerError, did_you_mean
from ...formats.forks import whose
from ...layer import Layer
from ...proto import caffe_pb2

LayerMaker = TypeVar("LayerMaker", bound=Callable[..., Layer])

known: dict[str, Callable[..., Layer]] = {}       # what makes a layer, by its type


def register(layer_type: str) -> Callable[[LayerMaker], LayerMaker]:
    """Class decorator: prototxts reach the class by `type: "<layer_type>"`."""
    def enter(cls: LayerMaker) -> LayerMaker:
        known[layer_type] = cls
        return cls
    return enter


def create(layer_param: caffe_pb2.LayerParameter) -> Layer:
    """The layer that a LayerParameter describes, not yet set up."""
    if layer_param.type not in known:
        raise LayerError(f"Unknown layer type: '{layer_param.type}'"
                         + (whose(layer_param.type) or did_you_mean(layer_param.type, known))
                         + "; write a Python layer for what is not in caffe.layer_type_list()")
    return known[layer_param.type](layer_param)


def layer_type_list() -> list[str]:
    """The names of all registered layer types, sorted."""
    return sorted(known)
