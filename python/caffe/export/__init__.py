"""Nets for other runtimes: a torch.nn.Module, an ONNX file, weights as safetensors."""

from importlib import import_module
from typing import Any

from ..errors import CaffeError

_FROM = {"to_torch": "torch_module", "to_onnx": "onnx_file",
         "save_safetensors": "safetensors_file", "load_safetensors": "safetensors_file"}

__all__ = list(_FROM)


def __getattr__(name: str) -> Any:
    if name not in _FROM:
        raise AttributeError(f"module 'caffe.export' has no attribute '{name}'")
    try:
        return getattr(import_module("." + _FROM[name], __name__), name)
    except ModuleNotFoundError as error:
        raise CaffeError(f"{name} needs the package {error.name}, which is not installed; "
                         f"it comes with the extra [export]") from error
