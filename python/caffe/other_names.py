"""Names that modules of the original have by accident, from their imports, and that scripts use.

A module that imports `__getattr__` from here has them all; they are looked up when asked for.
"""

from importlib import import_module
from typing import Any

from .errors import CaffeError

# where each is: a module, or module:name
_PLACES = {
    "caffe": "caffe", "division": "__future__:division", "os": "os",
    "protobuf": "google.protobuf", "pydot": "pydot", "resize": "skimage.transform:resize",
    "six": "six", "skimage": "skimage", "zoom": "scipy.ndimage:zoom",
}


class Missing:
    """In place of what is not installed. Raises CaffeError, which says so, when it is used."""

    def __init__(self, name: str, package: str) -> None:
        self._message = f"'{name}' needs the package {package}, which is not installed"

    def __getattr__(self, attribute: str) -> Any:
        raise CaffeError(self._message)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise CaffeError(self._message)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"there is no '{name}' in this module of caffe")
    module, _, attribute = _PLACES[name].partition(":")
    try:
        found = import_module(module)
    except ImportError:
        return Missing(name, module.split(".")[0])
    return getattr(found, attribute) if attribute else found
