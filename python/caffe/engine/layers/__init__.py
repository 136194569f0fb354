"""The built-in layers, one file per family, found by their type through a registry."""

from . import (
    activation,
    arithmetic,
    class_losses,
    convolution,
    distance,
    forks,
    inner_product,
    loss,
    normalization,
    pooling,
    python,
    recurrent,
    reduction,
    shape,
)
from .base import TensorLayer
from .input import data, hdf5_data, image_data, segmentation_data, sources
from .registry import create, layer_type_list, register

__all__ = ["TensorLayer", "create", "layer_type_list", "register"]
