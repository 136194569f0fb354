"""The name under which the original keeps its C++; see pycaffe."""

from .pycaffe import *  # noqa: F403
