"""Names for the types in the signatures of layers."""

from collections.abc import Sequence

from torch import Tensor

from ..blob import Blob

Blobs = Sequence[Blob]
Flags = Sequence[bool]          # for each of several blobs
Shape = tuple[int, ...]
Shapes = list[Shape]
Tensors = Sequence[Tensor]
Tops = tuple[Tensor, ...]
Gradients = list[Tensor | None]     # None for those to be left as they are
