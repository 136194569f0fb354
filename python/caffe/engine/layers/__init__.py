"""The built-in layers, one file per family, found by their type through a registry."""

from .base import TensorLayer, create, layer_type_list, register
from . import (activation, arithmetic, class_losses, convolution, data, distance, hdf5_data,
               image_data, input, inner_product, loss, normalization, pooling, python, recurrent,
               reduction, shape)

__all__ = ["TensorLayer", "create", "layer_type_list", "register"]
