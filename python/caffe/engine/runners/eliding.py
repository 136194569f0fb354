"""ElidingRunner: leaves out rows that padding makes all alike, while all blobs look whole."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, cast

import torch

from ... import context
from ...errors import LayerError
from ...log import logger
from .. import precision
from ..blob import Blob
from ..elision import region
from ..elision.core_frame import CoreFramePlan
from ..elision.plan import plan
from ..elision.reduced import ReducedCoreFrame, ReducedLayer
from ..layers import TensorLayer
from ..memory import DATA, DIFF, Memory
from ..program import Program, Step
from .observer import NOBODY, Observer
from .plain import PlainRunner

KEPT_PLANS = 1024       # by the sizes of the data; a data set has fewer
# what is computed again may differ by this share of the largest value, on a GPU or if neither data
# nor weights can have changed; otherwise by so many roundings
TOLERANCE, ROUNDINGS = 1e-3, 100


class ElidingRunner(PlainRunner):
    """Runs the layers of a program, those of its padded trunk without the rows that repeat.

    After a layer ran without some rows, its tops are filled when somebody reads them. It keeps
    its smaller blobs for its backward pass. Gradients by blobs cannot be had from the smaller
    ones, in which they are sums: when somebody asks, before the next forward pass, the layers
    run again as they are, and from then on nothing is left out. After the next forward pass these
    gradients are gone, and reading them is an error.

    Attributes
    ----------
    enabled : whether rows are left out (Net.elide_padding)
    """

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.enabled = True
        self._region = region.find(program)
        self._begins = [node.number for node in self._region if not node.sources]
        self._plans: dict = {}      # by the sizes of the data
        self._sizes: tuple | None = None
        self._runs: dict[int, ReducedLayer | ReducedCoreFrame] = {}     # by layer number
        # of these, those whose layers ran so in their last forward pass
        self._ran: dict[int, ReducedLayer | ReducedCoreFrame] = {}
        self._elides = False    # in the forward pass that goes on
        self._pass = 0          # the number of that
        self._last_passes: dict[int, int] = {}      # in which layers ran last, by their numbers
        # what the pass began with, with its revisions; None while somebody held a NumPy view
        self._read: dict[Memory, int | None] = {}
        self._is_updated = False        # parameters, by a solver, since the backward pass
        # values that the backward pass read, of those of which somebody had an array since
        self._kept: dict[Memory, torch.Tensor] = {}
        self._watched: list[Memory] = []        # what is copied there then
        self._promised: set[Blob] = set()       # blobs whose gradients are computed if asked for
        self._guarded: set[Blob] = set()        # those from whose gradients they are computed

    def computed(self) -> dict[str, list[tuple]]:
        """{layer: [(rows, columns), ...]} of the maps that the layers which left rows out in the
        last pass computed instead of their tops: a smaller one, or a core and a frame."""
        return {self.program.steps[number].name: run.sizes for number, run in self._ran.items()}

    # forward

    def forward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False,
                validate: bool = True) -> torch.Tensor | float:
        begins_before = bool(self._begins) and bool(numbers) and numbers[0] <= self._begins[0]
        self._elides = self.enabled and begins_before and not observer.watches
        self._pass += 1
        return super().forward(numbers, observer, release, validate)

    def forward_step(self, step: Step) -> None:
        self._discard_gradients()
        self._ran.pop(step.number, None)
        self._last_passes[step.number] = self._pass
        if self._elides and step.number == self._begins[0]:
            self._prepare()
        if not self._elides or step.number not in self._runs:
            super().forward_step(step)
            return
        self._ran[step.number] = self._runs[step.number]
        self._ran[step.number].forward()
        entry = step.bottom if step.number in self._begins else ()
        self._read.update((blob.memories[DATA],
                           None if blob.is_viewed else blob.memories[DATA].revision)
                          for blob in (*entry, *step.layer.blobs))

    def release(self) -> None:
        super().release()
        for run in self._runs.values():
            run.release()

    def _prepare(self) -> None:
        """Have a ReducedLayer for each layer that leaves rows out, for the data's present sizes."""
        sizes = tuple(self.program.steps[number].bottom[0].shape[2:] for number in self._begins)
        if sizes == self._sizes:
            return
        if sizes not in self._plans:
            if len(self._plans) == KEPT_PLANS:
                self._plans.clear()
            self._plans[sizes] = plan(self._region, dict(zip(self._begins, sizes)))
        self._sizes, self._runs, self._ran = sizes, self._build(self._plans[sizes]), {}

    def _build(self, plans: Mapping[int, Any]) -> dict[int, ReducedLayer | ReducedCoreFrame]:
        """What runs the layers of a plan, by their numbers.

        A layer may leave out rows of a blob that the layer below computes whole. The gradients of
        the rows that it reads would then hold the sums of those of equal rows that it does not
        read, and users can see them. So a layer that runs backward and reads such a blob runs as
        it is, and so do the layers above it.
        """
        nodes = {node.number: node for node in self._region}
        runs: dict[int, Any] = {}
        for number, each in plans.items():
            node, step = nodes[number], self.program.steps[number]
            whole = {source.layer for source in node.sources} - set(runs)
            if whole and (step.runs_backward or not whole.isdisjoint(plans)):
                continue
            below = [runs[source.layer].top[source.top] if source.layer in runs else None
                     for source in node.sources]
            kind = ReducedCoreFrame if isinstance(each, CoreFramePlan) else ReducedLayer
            # a top without a reader that sets its gradient keeps what somebody wrote there
            readers = tuple(
                reader if reader is not None and self.program.steps[reader].passes_down(blob)
                else None for reader, blob in zip(node.readers, step.top))
            runs[number] = kind(step, replace(node, readers=readers), each, below)
        return runs

    # passes that are recorded

    def inner_blobs(self) -> list[Blob]:
        """The blobs that it computes with and that are not the net's."""
        return [blob for run in self._runs.values() for blob in run.inner_blobs()]

    def inner_layers(self) -> list:
        """The layers that it runs and that are not the program's."""
        return [layer for run in self._runs.values() for layer in run.inner_layers()]

    def note_revisions(self) -> None:
        """Know that what autograd recorded in the last pass belongs to the present values."""
        for step in self.program.steps:
            run = self._ran.get(step.number)
            if run:
                run.note_revisions()
            elif step.bottom and isinstance(step.layer, TensorLayer):
                step.layer.note_revisions(step.bottom)

    def overwritten(self) -> list[TensorLayer]:
        """The layers whose bottoms a later layer has overwritten in the last pass."""
        found = []
        for step in self.program.steps:
            run = self._ran.get(step.number)
            if run:
                found += run.overwritten()
            elif (step.bottom and isinstance(step.layer, TensorLayer)
                  and step.layer.is_overwritten(step.bottom)):
                found.append(step.layer)
        return found

    def snapshot(self) -> tuple:
        """What the last pass left in Python, for `restore`."""
        return (self.enabled, self._sizes, self._runs, dict(self._ran), set(self._promised),
                set(self._guarded), dict(self._last_passes))

    def restore(self, snapshot: tuple) -> None:
        """Be as after the pass that left this."""
        self._discard_gradients()
        self.enabled, self._sizes, self._runs, ran, promised, guarded, last = snapshot
        self._last_passes = dict(last)
        self._ran, self._promised, self._guarded = dict(ran), set(promised), set(guarded)

    @property
    def was_seen(self) -> bool:
        """Whether somebody had values that were left out, and may have written to them."""
        return any(blob.data_was_seen for run in self._ran.values() for blob, _ in run.whole())

    # backward

    def backward(self, numbers: Sequence[int], observer: Observer = NOBODY, release: bool = False
                 ) -> None:
        """Only a pass through all layers, which nobody watches, can do without the rows that were
        left out, and only if nobody wrote into the blobs since, nor ran a part of the layers
        again, nor holds an array of a gradient inside. Who runs a part of them backward looks into
        the net, and wants it whole."""
        if self._ran and numbers:
            whole = len(numbers) == len(self.program.steps)
            if (observer.watches or not whole or self._is_of_several_passes or self._has_changed()
                    or self._shows_diffs or self._written(by_users=True)):
                if self._promised:
                    self._fill_diffs()
                else:
                    with self._as_in_the_pass():
                        self._run_plainly()
        self._lift_guards()
        self._stop_keeping()
        self._kept.clear()
        super().backward(numbers, observer, release)
        if self._is_updated:
            self._break_promises(_raise_updated)
        elif self._promised:
            self._guard()
            self._keep_values()

    def backward_step(self, step: Step) -> None:
        run = self._ran.get(step.number)
        if run is None:
            super().backward_step(step)
            return
        run.backward(step.passed_down, self._ran)
        for blob in run.derived:
            if blob is not None and step.passes_down(blob):
                self._promised.add(blob)
                blob.set_diff_lazily(partial(_fill_diffs, weakref.ref(self)))

    def release_step(self, step: Step) -> None:
        if step.number in self._ran:
            self._ran[step.number].release_copies()
        super().release_step(step)

    def weights_updated(self) -> None:
        self._is_updated = True
        self._stop_keeping()

    # when somebody wants more

    def _written(self, by_users: bool = False) -> dict[Blob, torch.Tensor]:
        """{blob: values} of the blobs that somebody wrote to after they were filled: layers in
        place, or users, or `by_users` alone."""
        found = {}
        for run in self._ran.values():
            for blob, compute in run.whole():
                touched = (blob.data_was_seen if by_users
                           else not blob.memories[DATA].is_promised)
                if touched and not _same(blob.data_to_read, compute()):
                    found[blob] = blob.data_to_read.clone()
        return found

    @property
    def _is_of_several_passes(self) -> bool:
        """Whether a layer has run again without one that read its top, and has a copy of that."""
        last = self._last_passes
        return any(last[source.layer] != last[node.number] for node in self._region
                   if node.number in self._ran for source in node.sources)

    @property
    def _shows_diffs(self) -> bool:
        """Whether somebody holds an array of a gradient that would be left out. It would have to be
        computed at once, in the midst of the pass."""
        return any(blob.memories[DIFF].live_view() is not None for run in self._ran.values()
                   for blob in run.derived if blob is not None)

    def _written_later(self) -> dict[Blob, torch.Tensor]:
        """{blob: values} of the blobs to which users wrote after the backward pass. Had they done
        so before it, it would have run whole layers; so what was written, and not by a layer that
        overwrites its bottom, was written later. Of blobs with such a layer, copies are kept."""
        overwritten = {blob.memories[DATA] for blob in self._overwritten}
        return {blob: values for blob, values in self._written(by_users=True).items()
                if blob.memories[DATA] not in overwritten}

    def _run_plainly(self, later: Container[Blob] = ()) -> list[int]:
        """Run the layers again as they are, and leave nothing out any more; returns their
        numbers. What somebody wrote stays, but for the blobs in `later`. Raises LayerError if that
        gives something else; the values of all blobs are then as before, and the layers know of no
        forward pass."""
        numbers, written, tolerance = sorted(self._ran), self._written(), self._tolerance()
        steps = self.program.steps
        logger.info("%s: padding is no longer elided, layers are wanted whole",
                    self.program.source)
        whole = dict(pair for run in self._ran.values() for pair in run.whole())
        self._ran, self.enabled = {}, False
        for number in numbers:
            steps[number].layer.reshape(steps[number].bottom, steps[number].top)
            steps[number].layer.forward(steps[number].bottom, steps[number].top)
        if not numbers or not all(_same(blob.data_to_read, compute(), tolerance)
                                  for blob, compute in whole.items()):
            for blob, compute in whole.items():
                blob.set_data(written[blob] if blob in written else compute())
            for number in numbers:
                cast(TensorLayer, steps[number].layer).forget_forward()
            raise LayerError(f"{self.program.source}: data or weights have changed since the "
                             "forward pass; set net.elide_padding = False before it to have "
                             "gradients of all blobs")
        for blob, compute in whole.items():
            if blob not in written:     # to the last digit what users may have seen
                blob.set_data(compute())
            elif blob not in later:
                blob.data_tensor.copy_(written[blob])
        return numbers

    def _tolerance(self) -> float:
        """By which values may differ that are computed again. Where data or weights may have
        changed, only by roundings: a script may have changed them by a little."""
        is_exact = context.device().type == "cpu" and precision.chosen() != "bf16"
        if not is_exact or all(memory.revision == revision and memory.live_view() is None
                               for memory, revision in self._read.items()):
            return TOLERANCE
        return ROUNDINGS * torch.finfo(torch.get_default_dtype()).eps

    def _fill_diffs(self) -> None:
        """Compute the gradients by all blobs of the region, after a backward pass."""
        steps = self.program.steps
        diffs = {blob: blob.diff_tensor.clone()
                 for number in self._ran for blob in steps[number].layer.blobs}
        # the backward pass has computed these already, and somebody may have written to them
        entries = {blob: blob.diff_tensor.clone() for number in self._ran
                   for blob in steps[number].bottom if blob not in self._promised
                   and not blob.memories[DIFF].is_promised}
        later = self._written_later()
        try:
            with self._as_in_the_pass():
                numbers = self._run_plainly(later)
                self._take_promises_back()
                for number in reversed(numbers):
                    if steps[number].runs_backward:
                        super().backward_step(steps[number])
        finally:
            for blob, diff in [*diffs.items(), *entries.items()]:
                blob.set_diff(diff)
            for blob, values in later.items():
                blob.data_tensor.copy_(values)

    @contextmanager
    def _as_in_the_pass(self) -> Iterator[None]:
        """With the data and parameters that the passes had: somebody may have changed them since,
        and layers change parameters that run again."""
        # by their memories: layers that share a parameter have it once
        params = {blob.memories[DATA]: blob for number in self._ran
                  for blob in self.program.steps[number].layer.blobs}
        others = {blob.memories[DATA]: blob for blob in (*self._entries, *self._overwritten)
                  if blob.memories[DATA] in self._kept}
        present = [(memory, blob, blob.data_to_read.clone())
                   for memory, blob in {**others, **params}.items()]
        for memory, blob, _ in present:
            kept = self._kept.get(memory)
            if kept is not None and kept.numel() == blob.count:
                blob.data_tensor.copy_(kept.reshape(blob.shape))
            elif self._is_updated and memory in params:
                blob.data_tensor.add_(blob.diff_tensor)
        try:
            yield
        finally:
            for _, blob, data in present:
                blob.data_tensor.copy_(data)

    @property
    def _entries(self) -> list[Blob]:
        """The blobs that the region begins with."""
        return [blob for number in self._begins for blob in self.program.steps[number].bottom]

    @property
    def _overwritten(self) -> list[Blob]:
        """The blobs inside that layers in place overwrite which leave nothing out."""
        steps = self.program.steps
        inside = {blob.memories[DATA] for number in self._ran for blob in steps[number].top}
        return [blob for step in steps if step.number not in self._ran
                for blob in step.top if blob in step.bottom and blob.memories[DATA] in inside]

    def _keep_values(self) -> None:
        """Have the values of this pass that gradients are computed from, and that layers which ran
        without some rows cannot compute again, whatever a script writes later."""
        self._watched = [*self._read, *(blob.memories[DATA] for blob in self._overwritten)]
        for memory in self._watched:
            memory.keep_in(self._kept)

    def _has_changed(self) -> bool:
        """Whether a script has written other data or parameters since the last backward pass."""
        return any(memory.settled is None
                   or not torch.equal(memory.settled.reshape(-1).to(kept.device), kept.reshape(-1))
                   for memory, kept in self._kept.items())

    def _stop_keeping(self) -> None:
        for memory in self._watched:
            memory.stop_keeping_in(self._kept)
        self._watched.clear()

    def _guard(self) -> None:
        """Have the gradients that were left out computed as soon as somebody asks for those that
        they are computed from, and before these can be written to."""
        self._guarded = {blob for number in self._ran for blob in self.program.steps[number].top
                         if blob not in self._promised}
        for blob in list(self._guarded):
            blob.set_diff_lazily(partial(_fill_diffs, weakref.ref(self)))

    def _lift_guards(self) -> None:
        for blob in self._guarded:
            blob.set_diff_lazily(None)
        self._guarded.clear()

    def _take_promises_back(self) -> None:
        self._is_updated = False
        self._break_promises(None)

    def _discard_gradients(self) -> None:
        """Have an error where somebody reads gradients that can no longer be computed."""
        self._is_updated = False
        self._break_promises(_raise_discarded)

    def _break_promises(self, instead: Callable[[], None] | None) -> None:
        """Have `instead` called where somebody reads gradients that were to be computed."""
        self._lift_guards()
        self._stop_keeping()
        self._kept.clear()
        for blob in self._promised:
            blob.set_diff_lazily(instead)
        self._promised.clear()


def _fill_diffs(runner: weakref.ref[ElidingRunner]) -> None:
    cast(ElidingRunner, runner())._fill_diffs()


def _raise_discarded() -> None:
    raise LayerError("the gradient of this blob was left out with the padding of the net, and a "
                     "forward pass has since discarded what it would be computed from; read it "
                     "before the next forward pass, or set net.elide_padding = False before "
                     "backward")


def _raise_updated() -> None:
    raise LayerError("the gradient of this blob was left out with the padding of the net, and "
                     "cannot be computed any more, because a solver changed the weights between "
                     "the forward and this backward pass; set net.elide_padding = False before "
                     "the forward pass")


def _same(values: torch.Tensor, others: torch.Tensor, tolerance: float = 0.0) -> bool:
    """Whether tensors agree, up to a share of the largest value; NaN agrees with NaN."""
    if values.shape != others.shape:        # a user has reshaped the blob
        return False
    finite = others[others.isfinite()].abs()
    limit = tolerance * float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(values, others, rtol=0, atol=limit, equal_nan=True)
