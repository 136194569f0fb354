"""The name under which the original keeps its C++; see pycaffe."""

from . import __version__  # noqa: F401
from .pycaffe import *  # noqa: F403
