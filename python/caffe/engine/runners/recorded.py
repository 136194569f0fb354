"""RecordedRunner: passes over a net are recorded once for each size of its data, and replayed.

To issue the thousand small operations of a pass takes Python and PyTorch longer than a GPU to
compute them. A CUDA graph issues them all at once, on the very memory for which they were recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch

from ... import context
from ...context import TRAIN
from ...errors import OutOfMemoryError
from ...log import logger
from .. import precision
from ..blob import Blob
from ..layers import TensorLayer
from ..memory import DATA, DIFF, Memory
from ..program import Program, Step
from .cuda_graphs import CudaGraph
from .eliding import ElidingRunner
from .gradients import Gradients, Tensors, restore
from .observer import NOBODY, Observer
from .recording import Recording, read_gradients, recorded_backward, recorded_forward
from .repeatable import Repeatable
from .runner import Runner

GRAPHS = {"cuda": CudaGraph}     # by the type of the device
NO_ROOM = "the memory suffices for a pass, but not for what is recorded beside it"
SEARCHES = 32       # sizes of a net that learns for which cuDNN tries all its algorithms
TOLERANCE = {"fp32": 1e-4, "tf32": 5e-3, "bf16": 5e-2}  # by which a replay may differ from the
                                                        # pass itself, of the largest value


class RecordedRunner(Runner):
    """Has another runner run the passes, records them on a GPU, and replays what it has recorded.

    A pass over data of a new size runs as it is, and so does the first backward pass: libraries
    set themselves up. The next one of this size is recorded, and from then on replayed. What
    layers do on the host is not recorded: data layers run before, and labels are validated.

    The first replay of each size is held against the pass as it is. Where they differ, the log
    says so, the results are those of the pass, and nothing is replayed any more.

    Attributes
    ----------
    enabled : whether passes are recorded at all (Net.cuda_graphs)
    is_full : whether memory sufficed for no more of them
    """

    def __init__(self, program: Program, inner: ElidingRunner) -> None:
        self.enabled = True
        self._program, self._inner = program, inner
        steps = program.steps
        self._sources = [step.number for step in steps if not step.bottom and not step.layer.blobs]
        self._others = [step.number for step in steps if step.number not in self._sources]
        self._inputs = [blob for number in self._sources for blob in steps[number].top]
        self._is_able = bool(self._others) and all(
            self._can_record(steps[number]) for number in self._others)
        # by the size of the data, {"forward": Recording, "backward": ...}
        self._passes: dict[tuple, dict[str, Recording]] = {}
        # those of the last forward pass, if that was replayed
        self._now: dict[str, Recording] | None = None
        self._revisions: object = None      # of what a backward pass reads, after that pass
        self._searches = False  # whether the last forward pass was the first of its size
        self.is_full = False
        self._is_first = False      # whether a backward pass would be the first since that one
        self._has_run_back = False      # and libraries are set up in autograd's own threads

    def _can_record(self, step: Step) -> bool:
        layer = step.layer
        return isinstance(layer, TensorLayer) and layer.recordable and (
            not step.validated_bottoms or layer.validated_bottom is None
            or self._is_given(step.validated_bottoms[layer.validated_bottom]))

    def _is_given(self, blob: Blob) -> bool:
        """Whether what a layer sees in the blob is there before all that is recorded."""
        return blob in self._inputs and not any(blob in self._program.steps[number].top
                                                for number in self._others)

    @property
    def _is_wanted(self) -> bool:
        return self._is_able and self.enabled and context.device().type in GRAPHS

    @property
    def sizes(self) -> int:
        """Of how many sizes of the data backward passes are recorded."""
        return sum("backward" in passes for passes in self._passes.values())

    def weights_updated(self) -> None:
        self._inner.weights_updated()

    # forward

    def forward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False
                ) -> torch.Tensor | float:
        if not (release and self._is_wanted):
            return self._run(numbers, observer, release)
        return self._run(self._sources) + self._forward()

    def _run(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False,
             validate: bool = True) -> torch.Tensor | float:
        """Run layers as they are."""
        self._now, self._searches = None, False
        return self._inner.forward(numbers, observer, release, validate)

    def _forward(self) -> torch.Tensor | float:
        """What follows on the sources."""
        size = self._size
        if size not in self._passes:
            return self._first(size)
        if any(blob.is_viewed for blob in self._inputs):    # and may be written at any time
            return self._run(self._others, release=True)
        passes = self._passes[size]
        if "forward" in passes:
            passes["forward"].reshape()
        else:
            self._inner.release()
            self._program.reshape(self._others)
        self._validate()
        loss = (passes["forward"].replay() if "forward" in passes
                else self._record_forward(passes))
        if "forward" in passes:
            self._now, self._revisions = passes, self._read_backward()
            self._is_first = True
        return loss

    def _validate(self) -> None:
        for step in self._program.steps:
            if step.validated_bottoms:
                with self._program.locating_errors(step):
                    cast(TensorLayer, step.layer).validate(step.validated_bottoms)

    @property
    def _size(self) -> tuple:
        """Of the data, and whatever else passes differ by."""
        return (context.device(), precision.chosen(), self._inner.enabled,
                *(blob.shape for blob in self._inputs))

    def _first(self, size: tuple) -> torch.Tensor | float:
        searches = self._program.param.state.phase == TRAIN and len(self._passes) < SEARCHES
        with _search(searches):
            loss = self._with_room(lambda: self._run(self._others, release=True),
                                   Repeatable(self._program, self._inputs))
        self._passes[size], self._searches = {}, searches
        return loss

    def _with_room(self, run: Callable[[], torch.Tensor | float], before: Repeatable
                   ) -> torch.Tensor | float:
        """What run(), a pass, gives; where memory does not suffice for it beside recordings,
        without them."""
        try:
            return run()
        except OutOfMemoryError:
            if not any(self._passes.values()):
                raise
        self._give_up(NO_ROOM)
        self._inner.release()
        before.restore()
        return run()

    def _record_forward(self, passes: dict[str, Recording]) -> torch.Tensor | float:
        """Record a pass, and replay it for the first time, held against the pass itself."""
        recorded = self._record(passes, "forward", lambda graph: recorded_forward(
            self._program, self._inner, graph, self._inputs, self._others,
            lambda: self._inner.forward(self._others, validate=False)))
        if not recorded:
            return self._run(self._others, validate=False)
        before = Repeatable(self._program, self._inputs)
        loss = self._with_room(lambda: self._inner.forward(self._others, validate=False), before)
        if not self._is_able:
            return loss
        expected = [torch.as_tensor(loss).clone(), *self._outputs()]
        before.restore()
        loss = passes["forward"].replay()
        if self._agrees([torch.as_tensor(loss), *self._outputs()], expected):
            return loss
        before.restore()
        return self._run(self._others, validate=False)

    def _outputs(self) -> list[torch.Tensor]:
        """The values of the tops that no layer reads."""
        steps = self._program.steps
        read = {blob for step in steps for blob in step.bottom}
        return [blob.data_to_read.clone() for step in steps for blob in step.top
                if blob not in read]

    # backward

    def backward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False
                 ) -> None:
        whole = len(numbers) == len(self._program.steps)
        # another one may find what a layer has kept changed, as a Scale in place does
        is_first, self._is_first = self._is_first, False
        if whole and is_first and not observer.watches and self._has_run_back and self._follows \
                and self._replay_back(observer):
            return
        with _search(self._searches and whole):
            self._inner.backward(numbers, observer, release)
        self._has_run_back = self._has_run_back or whole and context.device().type in GRAPHS

    @property
    def _follows(self) -> bool:
        """Whether all is as the last forward pass, a replay, left it."""
        return (self._now is not None and self._now is self._passes.get(self._size)
                and not self._inner.was_seen and self._revisions == self._read_backward())

    def _read_backward(self) -> object:
        """What a backward pass reads, with its revisions; nothing equals it while somebody holds
        a NumPy view, and may write to it at any time."""
        steps = [self._program.steps[number] for number in self._others]
        blobs = {blob for step in steps for blob in (*step.bottom, *step.layer.blobs)}
        blobs.update(blob for step in steps for blob in step.top if step.bottom
                     and not any(step.loss_weights))
        if any(blob.is_viewed for blob in blobs):
            return object()
        return {(memory, memory.revision) for memory in (blob.memories[DATA] for blob in blobs)}

    def _replay_back(self, observer: Observer) -> bool:
        """Replay the backward pass, recorded if need be; returns whether that was possible."""
        passes, steps = self._now or {}, self._program.steps
        diffs = [blob.memories[DIFF] for step in steps for blob in step.layer.blobs]
        before = {diff: diff.settled for diff in diffs if not diff.is_clear}
        is_viewed = any(diff.live_view() is not None for diff in diffs)
        if "backward" not in passes:
            return not is_viewed and self._record_backward(passes, diffs, before, observer)
        recording = passes["backward"]
        gradients = Gradients(self._program, recording.made, before)

        def hand_over(piece: int) -> None:
            if not is_viewed:
                gradients.put(recording.ends[piece])
                observer.notice("after_backward", steps[recording.ends[piece]])
        recording.replay(hand_over)
        if is_viewed:
            gradients.put(0)
            observer.notice("after_backward", steps[0])
        else:
            gradients.settle()
        for layer in recording.spent:
            layer.spend()
        return True

    def _record_backward(self, passes: dict[str, Recording], diffs: Sequence[Memory],
                         before: Tensors, observer: Observer) -> bool:
        """Record a backward pass, replay it for the first time, and hold that against the pass
        itself, whose results stay; returns whether that was possible.

        diffs : of all parameters; before : {Memory: tensor} of those that have gradients
        """
        numbers = self._all_back
        ends = [*sorted(set(observer.cuts) - {0}, reverse=True), 0]
        for diff in before:
            diff.clear()        # it is recorded how gradients are set, not added
        # what a pass begins with, and may overwrite in place
        given = {blob.memories[DIFF]: blob.diff_tensor.clone()
                 for blob, _ in read_gradients(self._program)}
        expected = None
        if self._record(passes, "backward", lambda graph: recorded_backward(
                self._program, self._inner, graph, self._others,
                lambda: self._inner.backward(numbers, _Cutter(graph, ends[:-1])))):
            passes["backward"].ends = ends
            expected = self._held_against_replay(passes["backward"], diffs, given)
        if expected is None:
            restore(given)
            for diff in diffs:
                diff.restore(before.get(diff))
            return False
        restore({diff: before[diff] for diff in before if diff not in expected})
        Gradients(self._program, expected, before).put(0)
        observer.notice("after_backward", self._program.steps[0])
        return True

    def _held_against_replay(self, recording: Recording, diffs: Sequence[Memory], given: Tensors
                             ) -> Tensors | None:
        """The gradients of parameters that the pass itself gives, {Memory: tensor}, after a replay
        of it; None if memory does not suffice for both."""
        recording.replay()
        found = {diff: tensor.clone() for diff, tensor in recording.made.items() if diff in diffs}
        for diff in diffs:
            diff.clear()
        restore({diff: tensor.clone() for diff, tensor in given.items()})
        kept = [(layer, layer.kept) for layer in recording.spent]
        try:
            self._inner.backward(self._all_back)
        except OutOfMemoryError:
            for layer, values in kept:
                layer.kept = values
            self._give_up(NO_ROOM)
            return None
        expected = {diff: diff.settled.reshape(tensor.shape) for diff, tensor in found.items()}
        self._agrees(list(found.values()), list(expected.values()))
        return expected

    @property
    def _all_back(self) -> range:
        return range(len(self._program.steps) - 1, -1, -1)

    # recording

    def _record(self, passes: dict[str, Recording], kind: str,
                record: Callable[[CudaGraph], Recording]) -> bool:
        """Have record(graph) record a pass, and return whether that was possible; the log tells if
        it never is."""
        device = context.device()
        graph = GRAPHS[device.type]
        self.is_full = self.is_full or not graph.has_room(device)
        if self.is_full:
            return False
        try:
            passes[kind] = record(graph(device))
        except OutOfMemoryError:
            self.is_full = True
        except RuntimeError as error:
            self._give_up(str(error))
        return kind in passes

    def _agrees(self, found: Sequence[torch.Tensor], expected: Sequence[torch.Tensor]) -> bool:
        """Whether the tensors of a replay are those of the pass itself; if not, nothing is
        replayed any more."""
        worst = max((_difference(*pair) for pair in zip(found, expected)), default=0.0)
        if worst <= TOLERANCE[precision.chosen()]:
            return True
        self._give_up(f"a replay differed from the pass itself by {worst:.1e} of the largest value")
        return False

    def _give_up(self, reason: str) -> None:
        for passes in self._passes.values():
            passes.clear()
        self._is_able, self._passes, self._now = False, {}, None
        logger.warning("%s: without CUDA graphs: %s", self._program.source, reason)


class _Cutter(Observer):
    """Cuts a graph that is recorded after certain layers."""

    def __init__(self, graph: CudaGraph, numbers: Sequence[int]) -> None:
        self._graph, self._numbers = graph, numbers

    def notice(self, event: str, step: Step) -> None:
        if event == "after_backward" and step.number in self._numbers:
            self._graph.cut()


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The largest difference of two tensors, of the largest value; NaN equals NaN."""
    if found.shape != expected.shape:
        return float("inf")
    same = (found == expected) | (found.isnan() & expected.isnan())
    differences = (found - expected).abs().masked_fill(same, 0)
    finite = expected[expected.isfinite()].abs()
    if not differences.isfinite().all():
        return float("inf")
    scale = float(finite.max()) if finite.numel() else 1.0
    return float(differences.max()) / max(scale, 1e-30) if differences.numel() else 0.0


@contextmanager
def _search(wanted: bool) -> Iterator[None]:
    """Where cuDNN tries all algorithms for a convolution that is new to it, and keeps the fastest.

    What PyTorch takes for a size at first it keeps, searched for or not.
    """
    backend = torch.backends.cudnn
    before = backend.benchmark
    backend.benchmark = before or wanted and precision.chosen() != "fp32"
    try:
        yield
    finally:
        backend.benchmark = before
