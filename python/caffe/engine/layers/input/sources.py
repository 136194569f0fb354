"""Input, DummyData and Parameter: where values come from."""

from collections.abc import Iterable, Sequence

from torch import Tensor

from .... import context
from ....context import TEST
from ....proto.caffe_pb2 import DummyDataParameter, FillerParameter
from ...fillers import fill
from ..base import TensorLayer
from ..registry import register
from ..shape import share_memory
from ..types import Blobs, Flags, Shapes


class SourceLayer(TensorLayer):
    """A layer without bottoms. Its tops get a shape once, and keep what users make of it."""

    bottoms = (0, 0)
    tops: tuple[int, int | None] = (1, None)
    is_function = False

    @property
    def solvers(self) -> int:
        """How many solvers share the layer's samples: those that train together, and none in
        testing, which is for one of them alone."""
        return 1 if self.phase == TEST else context.solver_count()

    @property
    def solver(self) -> int:
        """Which of these solvers this is."""
        return 0 if self.phase == TEST else context.solver_rank()

    def check_share(self, count: int, what: str, source: str) -> None:
        """Raise the layer's error where there are fewer samples than solvers."""
        if count < self.solvers:
            raise self.error(f"{source}: {self.solvers} solvers cannot share {count} {what}: "
                             f"train with at most {count} of them")

    def each_top(self, what: str, values: Sequence, top: Blobs) -> Sequence:
        """`values`, given once for all tops or once for each, as one for each."""
        if len(values) not in (1, len(top)):
            raise self.error(f"expected {what} once or once for each of {len(top)} tops, "
                             f"got {len(values)}")
        return list(values) * (len(top) if len(values) == 1 else 1)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """The shapes are set already."""

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        """There is nothing below."""


@register("Input")
class Input(SourceLayer):
    """Tops of given shapes, which users fill."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        shapes = self.layer_param.input_param.shape
        if shapes:
            for blob, shape in zip(top, self.each_top("shape", shapes, top)):
                blob.reshape(*shape.dim)

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        """The values are there already."""


@register("DummyData")
class DummyData(SourceLayer):
    """Tops that fillers fill: constants once, everything else again for each forward."""

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        p = self.layer_param.dummy_data_param
        fillers = p.data_filler or [FillerParameter()]
        self.fillers = self.each_top("data_filler", fillers, top)
        for blob, shape, filler in zip(top, self._shapes(p, top), self.fillers):
            blob.reshape(*shape)
            if filler.type == "constant":
                fill(blob.data_tensor, filler)

    def _shapes(self, p: DummyDataParameter, top: Blobs) -> Iterable[Sequence[int]]:
        legacy = [p.num, p.channels, p.height, p.width]
        if not any(legacy):
            return [shape.dim for shape in self.each_top("shape", p.shape, top)]
        if p.shape:
            raise self.error("expected shape or num, channels, height and width, got both")
        names = "num", "channels", "height", "width"
        return zip(*(self.each_top(name, dims, top) for name, dims in zip(names, legacy)))

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        for blob, filler in zip(top, self.fillers):
            if filler.type != "constant":
                fill(blob.data_tensor, filler)


@register("Parameter")
class Parameter(TensorLayer):
    """A top that is itself a parameter, of the given shape and at first 0.

    Both share values and gradient from the first forward pass on. As in Caffe, each backward pass
    replaces that gradient: with iter_size the last pass alone counts.
    """

    bottoms = (0, 0)

    def setup(self, bottom: Blobs, top: Blobs) -> None:
        self.blobs.add_blob(*self.layer_param.parameter_param.shape.dim)
        top[0].reshape(*self.blobs[0].shape)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        """The shape is set already."""

    def shapes(self, bottom: Shapes) -> Shapes:
        return [self.blobs[0].shape]

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        share_memory(self.blobs[0], top[0])

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        """The gradient is there already."""

    def replaced_gradients(self, bottom: Blobs) -> Blobs:
        return list(self.blobs)

    def release(self, bottom: Blobs, top: Blobs) -> None:
        """The top is the parameter."""

    def compute(self) -> Tensor:
        return self.weights[0]
