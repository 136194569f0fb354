"""Python: a layer that the user wrote, a subclass of caffe.Layer in a module of theirs."""

from __future__ import annotations

import importlib

from ...errors import LayerError, did_you_mean
from ...layer import Layer
from ...proto import caffe_pb2
from .registry import register


@register("Python")
def python_layer(layer_param: caffe_pb2.LayerParameter) -> Layer:
    """An instance of the class that `python_param { module layer }` names."""
    param = layer_param.python_param
    if not (param.module and param.layer):
        raise LayerError("expected python_param with a module and a layer, "
                         f"got module '{param.module}', layer '{param.layer}'")
    if not all(map(str.isidentifier, param.module.split("."))):
        raise LayerError(f"'{param.module}' is no name of a Python module")
    try:
        module = importlib.import_module(param.module)
    except ModuleNotFoundError as error:
        if error.name != param.module.split(".")[0] and error.name != param.module:
            raise
        raise LayerError(f"no Python module '{param.module}' on sys.path / PYTHONPATH") from error
    layer = getattr(module, param.layer, None)
    if layer is None:
        raise LayerError(f"module '{param.module}' ({module.__file__}) has no class "
                         f"'{param.layer}'" + did_you_mean(param.layer, vars(module)))
    if not (isinstance(layer, type) and issubclass(layer, Layer)):
        raise LayerError(f"'{param.module}.{param.layer}' is not a subclass of caffe.Layer")
    return layer(layer_param)
