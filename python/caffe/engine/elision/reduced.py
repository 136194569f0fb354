"""Running one layer on smaller blobs than the net's own."""

from __future__ import annotations

import copy
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, cast

from torch import Tensor

from ..blob import Blob
from ..layers import TensorLayer
from ..layers.shape import Split
from ..memory import DIFF
from ..program import Step
from .core_frame import AxisPartition, CoreFramePlan
from .plan import RowPlan
from .region import Node
from .rows import Run
from .spread import Spreads, cut, gather, paste, spread, surround, unsurround


class ReducedLayer:
    """One layer that leaves rows out of its runs.

    Attributes
    ----------
    top : its smaller tops
    derived : for each bottom the net's own blob, whose gradient is not computed; or None, where
        the layer reads that blob itself
    """

    def __init__(self, step: Step, node: Node, plan: RowPlan,
                 below: Sequence[Blob | None]) -> None:
        self.layer = cast(TensorLayer, step.layer)
        self._plan, self._readers = plan, node.readers
        self._public_bottom, self._public = step.bottom, step.top
        self._shares = isinstance(self.layer, Split)
        # a backward pass reads the copies again, and the tops of a Split are its bottom itself
        self._keeps_copies = step.runs_backward or self._shares
        self._spreads, self.bottom, self.derived = [], [], []
        for i, public in enumerate(self._public_bottom):
            small = below[i] if below else None
            self.derived.append(public if small else None)
            blob = small or public
            if below and plan.bottoms[i]:
                self._spreads.append((blob, Blob(), plan.bottoms[i]))
                blob = self._spreads[-1][1]
            self.bottom.append(blob)
        self.top = self.bottom[:1] if node.in_place else [Blob() for _ in self._public]

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """(rows, columns) of the tops, in a list."""
        return [self.top[0].shape[2:]]

    def forward(self) -> None:
        for source, target, axes in self._spreads:
            target.set_data(_spread_data(source, axes))
        with _padded(self.layer, self._plan.pad):
            self.layer.reshape(self.bottom, self.top)
            self.layer.forward(self.bottom, self.top)
        if not self._keeps_copies:
            self.layer.forget_forward()
            self._clear_copies()
        if self._shares:
            self.layer.forward(self._public_bottom, self._public)
        for blob, compute in self.whole():
            blob.set_data_lazily(compute)

    def release(self) -> None:
        """Let go of the values that the last forward pass left."""
        for blob in self.top:
            blob.clear_data()
        self._clear_copies()

    def release_copies(self) -> None:
        """Let go of the copies of bottoms after the backward pass; if that runs again, they are
        made again."""
        if not self.layer.keeps_state:
            for source, target, axes in self._spreads:
                if target is not self.top[0]:       # in place, the copy is the top
                    target.set_data_lazily(partial(_spread_data, source, axes))

    def _clear_copies(self) -> None:
        for _, target, _ in self._spreads:
            if target is not self.top[0]:
                target.clear_data()

    def inner_blobs(self) -> list[Blob]:
        """The blobs that are not the net's own, and perhaps some that are."""
        return [*self.top, *self.bottom, *(source for source, _, _ in self._spreads)]

    def inner_layers(self) -> list[TensorLayer]:
        """The layers that are not the net's own."""
        return []

    def note_revisions(self) -> None:
        """Know that what autograd recorded belongs to the present values."""
        self.layer.note_revisions(self.bottom)

    def overwritten(self) -> list[TensorLayer]:
        """The layers whose bottoms have changed since its forward pass."""
        return [self.layer] * self.layer.is_overwritten(self.bottom)

    def whole(self) -> list[tuple[Blob, Callable[[], Tensor]]]:
        """(blob, function that computes its values) for each of the net's own tops; none for a
        Split, whose tops are the memory of a bottom that is filled already."""
        return [] if self._shares else [(blob, partial(_spread_data, small, self._plan.top))
                                        for blob, small in zip(self._public, self.top)]

    def backward(self, down: Sequence[bool], ran: Container[int | None]) -> None:
        for blob, small, reader in zip(self._public, self.top, self._readers):
            if reader not in ran:
                small.clear_diff()
                if not blob.memories[DIFF].is_clear:
                    small.set_diff(gather(blob.diff_tensor, *self._plan.top))
        with _padded(self.layer, self._plan.pad):
            self.layer.backward(self.top, down, self.bottom)
        for source, target, axes in self._spreads:
            source.set_diff(gather(target.diff_tensor, *axes))
            target.clear_diff()
        if self.top[0] is not self.bottom[0]:
            _free(self.top)


class Pieces(NamedTuple):
    """The two blobs of a map that is divided."""
    frame: Blob
    core: Blob


class ReducedCoreFrame:
    """One layer on the frame and on the core of its bottoms; attributes are ReducedLayer's."""

    def __init__(self, step: Step, node: Node, plan: CoreFramePlan,
                 below: Sequence[Any]) -> None:
        self.layer = cast(TensorLayer, step.layer)
        self._plan, self._readers = plan, node.readers
        self._other = copy.copy(self.layer)         # with the same parameters, for the frames
        self._public, bottom = step.top, step.bottom
        self._public_bottom, self._shares = bottom, isinstance(self.layer, Split)
        self._keeps_copies = step.runs_backward or self._shares
        self.derived = [public if small else None for small, public in zip(below, bottom)]
        self._bottoms = [Divided(small or public, spreads) if spreads
                         else Surrounded(small, plan.reads, parts) for small, public, spreads, parts
                         in zip(below, bottom, plan.bottoms, plan.below)]
        self.top = ([self._bottoms[0].pieces] if node.in_place
                    else [Pieces(Blob(), Blob()) for _ in self._public])

    @property
    def sizes(self) -> list[tuple[int, ...]]:
        """(rows, columns) of the core and of the frame."""
        return [self.top[0].core.shape[2:], self.top[0].frame.shape[2:]]

    def forward(self) -> None:
        for part in self._bottoms:
            part.forward()
        with _padded(self.layer, (0, 0)):
            for layer, bottom, top in self._twice():
                layer.reshape(bottom, top)
                layer.forward(bottom, top)
                if not self._keeps_copies:
                    layer.forget_forward()
        if not self._keeps_copies:
            for part in self._bottoms:
                if part.pieces is not self.top[0]:
                    part.clear_copies()
        if self._shares:
            self.layer.forward(self._public_bottom, self._public)
        for blob, compute in self.whole():
            blob.set_data_lazily(compute)

    def release(self) -> None:
        for layer, bottom, top in self._twice():
            layer.release(bottom, top)
        for part in self._bottoms:
            for blob in part.pieces:
                blob.clear_data()

    def release_copies(self) -> None:
        """As ReducedLayer's."""
        if not self.layer.keeps_state:
            self._other.forget_forward()
            for part in self._bottoms:
                if part.pieces is not self.top[0]:      # in place, the copy is the top
                    part.make_copies_lazily()

    def inner_blobs(self) -> list[Blob]:
        bottoms = [bottom.pieces for bottom in self._bottoms]
        return [blob for pieces in (*self.top, *bottoms) for blob in pieces]

    def inner_layers(self) -> list[TensorLayer]:
        return [self._other]

    def note_revisions(self) -> None:
        for layer, bottom, _ in self._twice():
            layer.note_revisions(bottom)

    def overwritten(self) -> list[TensorLayer]:
        """As ReducedLayer's."""
        return [layer for layer, bottom, _ in self._twice() if layer.is_overwritten(bottom)]

    def whole(self) -> list[tuple[Blob, Callable[[], Tensor]]]:
        return [] if self._shares else [(blob, partial(_paste_data, pieces, self._plan))
                                        for blob, pieces in zip(self._public, self.top)]

    def backward(self, down: Sequence[bool], ran: Container[int | None]) -> None:
        for blob, pieces, reader in zip(self._public, self.top, self._readers):
            if reader in ran:
                continue
            _free(pieces)
            if not blob.memories[DIFF].is_clear:
                parts = cut(blob.diff_tensor, self._plan.frame, self._plan.core)
                for piece, diff in zip(pieces, parts):
                    piece.set_diff(diff)
        with _padded(self.layer, (0, 0)):
            for layer, bottom, top in self._twice():
                layer.backward(top, down, bottom)
        for part in self._bottoms:
            part.backward()
        if self.top[0] is not self._bottoms[0].pieces:
            for pieces in self.top:
                _free(pieces)

    def _twice(self) -> Iterator[tuple[TensorLayer, list[Blob], list[Blob]]]:
        """(layer, bottom, top) for the frame and for the core."""
        for i, layer in enumerate((self._other, self.layer)):
            yield (layer, [bottom.pieces[i] for bottom in self._bottoms],
                   [pieces[i] for pieces in self.top])


class Divided:
    """The `pieces` that a layer reads of a bottom that is not divided."""

    def __init__(self, blob: Blob, spreads: Sequence[Spreads]) -> None:
        self._blob, self._spreads = blob, spreads
        self.pieces = Pieces(Blob(), Blob())

    def forward(self) -> None:
        for piece, axes in zip(self.pieces, self._spreads):
            piece.set_data(_spread_data(self._blob, axes))

    def make_copies_lazily(self) -> None:
        """Let go of the values, which are copies, until somebody wants them."""
        for piece, axes in zip(self.pieces, self._spreads):
            piece.set_data_lazily(partial(_spread_data, self._blob, axes))

    def clear_copies(self) -> None:
        """Let go of the values, which are copies."""
        for piece in self.pieces:
            piece.clear_data()

    def backward(self) -> None:
        frame, core = (gather(piece.diff_tensor, *axes)
                       for piece, axes in zip(self.pieces, self._spreads))
        self._blob.set_diff(frame.add_(core))
        _free(self.pieces)


class Surrounded:
    """The `pieces` that a layer reads of a bottom that is divided: its frame, and its core with as
    much around it as the windows see.

    below : the Pieces of the bottom
    reads : pair of (start, stop), what the windows see
    parts : pair of the bottom's AxisPartition
    """

    def __init__(self, below: Pieces, reads: tuple[Run, ...], parts: Sequence[AxisPartition]
                ) -> None:
        self._below = below
        self._between = [part.first for part in parts]
        self._place = [(part.start - start, part.stop - start)
                       for part, (start, _) in zip(parts, reads)]
        self._size = [stop - start for start, stop in reads]
        self._alone = reads == tuple(part.core for part in parts)
        self.pieces = below if self._alone else Pieces(below.frame, Blob())

    def forward(self) -> None:
        if not self._alone:
            self.pieces.core.set_data(self._surrounded())

    def make_copies_lazily(self) -> None:
        """Let go of the values that are copies until somebody wants them."""
        if not self._alone:
            self.pieces.core.set_data_lazily(self._surrounded)

    def _surrounded(self) -> Tensor:
        frame, core = (piece.data_to_read for piece in self._below)
        return surround(core, frame, self._between, self._place, self._size)

    def clear_copies(self) -> None:
        """Let go of the values that are copies."""
        if not self._alone:
            self.pieces.core.clear_data()

    def backward(self) -> None:
        if not self._alone:
            core, around = unsurround(self.pieces.core.diff_tensor, self._place)
            self._below.core.set_diff(core)
            row, column = self._between
            self._below.frame.diff_tensor[:, :, row, column] += around
            self.pieces.core.clear_diff()


def _paste_data(pieces: Pieces, plan: CoreFramePlan) -> Tensor:
    return paste(pieces.frame.data_tensor, pieces.core.data_tensor, plan.frame, plan.core)


@contextmanager
def _padded(layer: TensorLayer, pad: tuple[int, int] | None) -> Iterator[None]:
    """A layer with another padding; with None, or if it has none, as it is. It forgets the shapes
    of the net's blobs, which another time may be those of smaller ones."""
    own, values = dict(vars(layer)), vars(layer)
    layer.forget_shapes()
    if pad is not None and "pad" in own:
        values["pad"] = pad
    if pad is not None and "windows" in own:
        values["windows"] = replace(own["windows"], pad=pad)
    try:
        yield
    finally:
        values.update({name: own[name] for name in ("pad", "windows") if name in own})
        layer.forget_shapes()


def _free(blobs: Iterable[Blob]) -> None:
    """Let go of gradients that have been passed on, and that nobody can ask for."""
    for blob in blobs:
        blob.clear_diff()


def _spread_data(blob: Blob, axes: Spreads) -> Tensor:
    return spread(blob.data_to_read, *axes)
