"""The command `fcn`: importing labelled images, training, scoring and inference.

`from fcn import Segmenter` segments images from Python; its docstring has an example.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fcn.solvers.inference.segmenter import Segmenter

__all__ = ["Segmenter"]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is: the command's help takes no time."""
    if name in __all__:
        from fcn.solvers.inference import segmenter
        return getattr(segmenter, name)
    raise AttributeError(f"module 'fcn' has no attribute '{name}'")
