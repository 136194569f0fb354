"""A net that leaves rows out, while its blobs look whole."""

import weakref
from functools import partial

import torch

from ...errors import LayerError
from ...log import logger
from . import region
from .apart import Apart
from .plan import plan
from .runs import Run, RunApart

KEPT_PLANS = 1024       # by the sizes of the data; a data set has fewer
TOLERANCE = 1e-3        # by which what is computed again may differ, of the largest value


class Elision:
    """What a net leaves out.

    After a layer ran without some rows, its tops are filled when somebody reads them. It keeps
    its smaller blobs for its backward pass. Gradients by blobs cannot be had from the smaller
    ones, in which they are sums: when somebody asks, before the next forward pass, the layers
    run again as they are, and from then on the net leaves nothing out.
    """

    def __init__(self, net):
        self._net = weakref.proxy(net)      # no cycle: nets go when nobody holds them
        self._region = region.find(net)
        self._begins = [node.number for node in self._region if not node.sources]
        self._plans = {}
        self._sizes, self._runs = None, {}      # a Run by the number of its layer
        self._ran = {}      # of these, those whose layers ran so in their last forward pass
        self._is_updated = False        # parameters, by a solver, since the backward pass
        self._promised = set()      # blobs whose gradients are computed if somebody asks

    def computed(self):
        """{layer: [(rows, columns), ...]} of the maps that the layers which left rows out in the
        last pass computed instead of their tops: a smaller one, or a core and a frame."""
        return {self._net._layer_names[number]: run.sizes for number, run in self._ran.items()}

    # forward

    def covers(self, numbers):
        """Whether a forward pass over these layers begins before those that leave rows out."""
        return bool(self._begins) and bool(numbers) and numbers[0] <= self._begins[0]

    def forward(self, number, wanted):
        """Run a layer without the rows that can be left out, and return True; return False if
        it is to run as it is, because there are none or they are not `wanted`."""
        self._take_back()
        self._ran.pop(number, None)
        if wanted and number == self._begins[0]:
            self._prepare()
        if not wanted or number not in self._runs:
            return False
        self._ran[number] = self._runs[number]
        self._ran[number].forward()
        return True

    def release(self):
        """Let go of what the last pass left in the smaller blobs."""
        for run in self._runs.values():
            run.release()

    def _prepare(self):
        """Have a Run for each layer that leaves rows out, for the data's present sizes."""
        sizes = tuple(self._net._bottoms[number][0].shape[2:] for number in self._begins)
        if sizes == self._sizes:
            return
        if sizes not in self._plans:
            if len(self._plans) == KEPT_PLANS:
                self._plans.clear()
            self._plans[sizes] = plan(self._region, dict(zip(self._begins, sizes)))
        self._sizes, self._runs, self._ran = sizes, self._build(self._plans[sizes]), {}

    def _build(self, steps):
        nodes = {node.number: node for node in self._region}
        runs = {}
        for number, step in steps.items():
            below = [runs[source.layer].top[source.top] if source.layer in runs else None
                     for source in nodes[number].sources]
            kind = RunApart if isinstance(step, Apart) else Run
            runs[number] = kind(self._net, nodes[number], step, below)
        return runs

    # passes that are recorded

    def inner(self):
        """(blobs, layers) that are not the net's own."""
        inner = [run.inner() for run in self._runs.values()]
        return sum((blobs for blobs, _ in inner), []), sum((layers for _, layers in inner), [])

    @property
    def held(self):
        """What a pass left, for `hold`."""
        return self._sizes, self._runs, dict(self._ran), set(self._promised)

    def hold(self, held):
        """Be as after the pass that left this."""
        self._take_back()
        self._sizes, self._runs, ran, promised = held
        self._ran, self._promised = dict(ran), set(promised)

    @property
    def was_seen(self):
        """Whether somebody had values that were left out, and may have written to them."""
        return any(blob.data_was_seen for run in self._ran.values() for blob, _ in run.whole())

    # backward

    def check(self, first, last, watched):
        """Prepare for a backward pass through layers last..first.

        Only a pass through all that ran without rows, which nobody watches, can do without
        them, and only if nobody wrote into their blobs since.
        """
        if not self._ran:
            return
        whole = first <= min(self._ran) and max(self._ran) <= last
        if watched or not whole or self._written():
            if self._promised:
                self.fill_diffs()
            else:
                self._run_plainly()

    def backward(self, number, down):
        """Run a layer's backward pass if it ran here, and return whether it did."""
        run = self._ran.get(number)
        if run is None:
            return False
        run.backward(down, self._ran)
        for blob, wanted in zip(run.derived, down):
            if blob is not None and wanted:
                blob.diff_later(partial(_fill_diffs, weakref.ref(self)))
                self._promised.add(blob)
        return True

    # when somebody wants more

    def _written(self):
        """{blob: values} of the blobs that somebody wrote to after they were filled."""
        found = {}
        for run in self._ran.values():
            for blob, compute in run.whole():
                if blob.data_was_seen and not _same(blob.data_tensor, compute()):
                    found[blob] = blob.data_tensor.clone()
        return found

    def _run_plainly(self):
        """Run the layers again as they are, and leave nothing out any more; returns their
        numbers. Raises LayerError if that gives something else."""
        net, numbers, written = self._net, sorted(self._ran), self._written()
        logger.info("%s: padding is no longer elided, layers are wanted whole", net._source)
        whole = dict(pair for run in self._ran.values() for pair in run.whole())
        self._ran, net.elide_padding = {}, False
        net._graphs.leave()
        for number in numbers:
            bottom, top = net._bottoms[number], net._tops[number]
            net.layers[number].reshape(bottom, top)
            net.layers[number].forward(bottom, top)
        if not numbers or not all(_same(blob.data_tensor, compute(), TOLERANCE)
                                  for blob, compute in whole.items()):
            raise LayerError(f"{net._source}: data or weights have changed since the forward pass; "
                             "set net.elide_padding = False before it to have gradients of all "
                             "blobs")
        for blob, values in written.items():
            blob.data_tensor.data.copy_(values)     # as NumPy does, unseen by autograd
        return numbers

    def updated(self):
        """Know that a solver has subtracted from each parameter what its `diff` holds."""
        self._is_updated = True

    def fill_diffs(self):
        """Compute the gradients by all blobs of the region, after a backward pass."""
        net = self._net
        params = {blob: (blob.data_tensor.clone(), blob.diff_tensor.clone())
                  for number in self._ran for blob in net.layers[number].blobs}
        try:
            if self._is_updated:
                for blob, (data, diff) in params.items():
                    blob.data_tensor.data.copy_(data + diff)
            numbers = self._run_plainly()
            self._take_back()
            for number in reversed(numbers):
                runs, down = net._backward_plan[number]
                if runs:
                    net.layers[number].backward(net._tops[number], down, net._bottoms[number])
        finally:
            for blob, (data, diff) in params.items():
                blob.data_tensor.data.copy_(data)
                blob.set_diff(diff)

    def _take_back(self):
        self._is_updated = False
        for blob in self._promised:
            blob.diff_later(None)
        self._promised.clear()


def _fill_diffs(elision):
    elision().fill_diffs()


def _same(values, others, tolerance=0.0):
    """Whether tensors agree, up to a share of the largest value; NaN agrees with NaN."""
    finite = others[others.isfinite()].abs()
    limit = tolerance * float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(values, others, rtol=0, atol=limit, equal_nan=True)
