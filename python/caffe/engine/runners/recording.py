"""A pass over a net that is recorded in a graph, and whatever it leaves in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..blob import Blob
from ..layers.formulas import KeepingLayer
from ..memory import DATA, DIFF, Memory
from ..program import Program
from .cuda_graphs import CudaGraph
from .eliding import ElidingRunner


def recorded_forward(program: Program, runner: ElidingRunner, graph: CudaGraph,
                     inputs: Sequence[Blob], others: Sequence[int], run: Callable) -> Recording:
    """The Recording of run(), a forward pass over the layers `others`, which are all but those
    whose tops are `inputs`."""
    steps = program.steps
    params = [(blob, DATA) for step in steps for blob in step.layer.blobs]
    losses = [(blob, DIFF) for step in steps for blob, weight in zip(step.top, step.loss_weights)
              if weight]
    return Recording(program, runner, graph, inputs, params + losses, DATA, others, run)


def recorded_backward(program: Program, runner: ElidingRunner, graph: CudaGraph,
                      others: Sequence[int], run: Callable) -> Recording:
    """The Recording of run(), a backward pass, before which parameters have no gradients."""
    return Recording(program, runner, graph, [], read_gradients(program), DIFF, others, run)


class Recording:
    """A pass that was recorded: its graph, where that reads, and what the pass left in Python,
    which is the same after every replay.

    Attributes
    ----------
    ends : of a backward pass, the number of the last layer in each piece of the graph
    spent : of a backward pass, the layers that keep something else after it, as Caffe's Scale in
        place does; after a replay, nobody has what they would keep
    """

    ends: Sequence[int] = (0,)
    spent: Sequence[KeepingLayer] = ()

    def __init__(self, program: Program, runner: ElidingRunner, graph: CudaGraph,
                 inputs: Sequence[Blob], reads: Sequence[tuple[Blob, int]], sets: int,
                 others: Sequence[int], run: Callable[[], Any]) -> None:
        """Record run() in `graph`.

        inputs : Blobs whose data it reads, and that others write on the host
        reads : (Blob, DATA or DIFF) of all else that it reads, or changes, and does not make
        sets : DATA or DIFF of all blobs, that it sets
        others : the numbers of the layers that it runs
        """
        self._graph = graph
        self._inputs = [(blob, blob.data_to_read) for blob in inputs]
        self._reads = [(blob, kind, blob.diff_tensor if kind else blob.data_tensor)
                       for blob, kind in reads]
        layers = [program.steps[number].layer for number in others] + runner.inner_layers()
        kept = [(layer, layer.kept) for layer in layers if isinstance(layer, KeepingLayer)]
        before = Snapshot(program, runner, others)
        try:
            with self._graph.recording():
                self._loss = run()
            self._left = Snapshot(program, runner, others, sets, before)
            if sets == DIFF:
                self.spent = [layer for layer, values in kept if layer.kept is not values]
        finally:
            before.restore()        # nothing was computed

    @property
    def made(self) -> dict:
        """{Memory: the tensor that every replay writes}."""
        return {memory: tensor for memory, (tensor, _) in self._left.memories.items()
                if tensor is not None}

    def reshape(self) -> None:
        """Give the blobs the shapes that they have in this pass."""
        self._left.reshape()

    def replay(self, after: Callable[[int], None] = lambda piece: None) -> torch.Tensor:
        """Compute the pass anew; returns its loss, which the next replay overwrites. after(number)
        is called behind each piece of the graph."""
        self.reshape()
        for blob, place in self._inputs:
            blob.memories[DATA].copy_into(place)
        for blob, kind, place in self._reads:
            blob.memories[kind].move_into(place)
        self._graph.replay(after)
        self._left.restore()
        return self._loss


class Snapshot:
    """What there is in Python between two passes: the shapes of the blobs, the tensors in their
    memories, and whatever the layers and the runner keep."""

    def __init__(self, program: Program, runner: ElidingRunner, others: Sequence[int],
                 kind: int | None = None, other: Snapshot | None = None) -> None:
        """Of the memories those of `kind`, DATA or DIFF (None: both), that are not as in the
        Snapshot `other`."""
        self._runner, blobs = runner, [*program.blobs.values(), *runner.inner_blobs()]
        self._shapes = [(blob, blob.shape) for blob in blobs]
        params = [blob for step in program.steps for blob in step.layer.blobs]
        memories = [blob.memories[DATA] for blob in blobs if kind != DIFF]
        memories += [blob.memories[DIFF] for blob in (*blobs, *params) if kind != DATA]
        known = other.memories if other else {}
        self.memories: dict[Memory, tuple] = {memory: memory.snapshot for memory in memories
                         if not _are(memory.snapshot, known.get(memory, ()))}
        # a backward pass that only guards a gradient leaves there what somebody may have written
        self._guarded = {memory for memory, (tensor, _) in self.memories.items()
                         if kind == DIFF and memory in known and known[memory][0] is tensor}
        layers = [program.steps[number].layer for number in others] + runner.inner_layers()
        # a backward pass leaves the layers as they are, but for those that are spent
        self._layers = [] if kind == DIFF else [(layer, dict(vars(layer))) for layer in layers]
        self._kind, self._runner_snapshot = kind, runner.snapshot()
        self._overwritten = runner.overwritten() if kind == DATA else []

    def reshape(self) -> None:
        """Give the blobs their shapes, and what does not fit these is gone."""
        for blob, shape in self._shapes:
            blob.reshape(*shape)

    def restore(self) -> None:
        self.reshape()
        self._runner.restore(self._runner_snapshot)
        for layer, values in self._layers:
            layer.__dict__.update(values)
        changed = {memory: saved for memory, saved in self.memories.items()
                   if self._kind is not None or not _are(memory.snapshot, saved)}
        for memory, (tensor, _) in changed.items():
            if memory not in self._guarded:
                memory.restore(tensor)
        for memory, (_, promise) in changed.items():    # these are made of the tensors
            memory.set_lazily(promise)
        if self._kind == DATA:
            self._runner.note_revisions()
            for layer in self._overwritten:
                layer.forget_revisions()


def _are(snapshot: tuple, others: tuple) -> bool:
    return len(others) == 2 and all(mine is other for mine, other in zip(snapshot, others))


def read_gradients(program: Program) -> list[tuple[Blob, int]]:
    """(Blob, DIFF) of where a backward pass begins: gradients that it reads before it sets them."""
    found: list[tuple[Blob, int]] = []
    known: set[Memory] = set()
    for step in reversed(program.steps):
        if step.runs_backward:
            found += [(blob, DIFF) for blob in step.top if blob.memories[DIFF] not in known]
            known.update(blob.memories[DIFF] for blob in step.top)
            known.update(blob.memories[DIFF] for blob, wanted
                         in zip(step.bottom, step.passed_down) if wanted)
    return found
