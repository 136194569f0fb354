"""Running layers on blobs without the rows left out, while the net's own blobs look whole."""

import copy
import weakref
from collections import namedtuple
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import torch

from ...errors import LayerError
from ...log import logger
from ..blob import Blob
from . import region
from .apart import Apart
from .plan import plan
from .spread import cut, gather, paste, spread, surround, unsurround

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
        self._promised = set()      # blobs whose gradients are computed if somebody asks

    def left_out(self):
        """{layer: (rows, columns)} that the last pass left out at each end."""
        return {self._net._layer_names[number]: run.left for number, run in self._ran.items()}

    # forward

    def covers(self, first):
        """Whether a forward pass from layer `first` on runs all layers that leave rows out."""
        return bool(self._begins) and first <= self._begins[0]

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

    def fill_diffs(self):
        """Compute the gradients by all blobs of the region, after a backward pass."""
        net, numbers = self._net, self._run_plainly()
        self._take_back()
        params = {blob: blob.diff_tensor.clone() for number in numbers
                  for blob in net.layers[number].blobs}
        for number in reversed(numbers):
            runs, down = net._backward_plan[number]
            if runs:
                net.layers[number].backward(net._tops[number], down, net._bottoms[number])
        for blob, diff in params.items():
            blob.set_diff(diff)

    def _take_back(self):
        for blob in self._promised:
            blob.diff_later(None)
        self._promised.clear()


class Run:
    """One layer on smaller blobs.

    Attributes
    ----------
    left : how many rows and columns it leaves out at each end
    top : its smaller tops
    derived : for each bottom the net's own blob, whose gradient is not computed; or None, where
        the layer reads that blob itself
    """

    def __init__(self, net, node, step, below):
        self.left = step.left
        self.layer, self._step, self._readers = net.layers[node.number], step, node.readers
        self._public_bottom, self._public = net._bottoms[node.number], net._tops[node.number]
        self._spreads, self.bottom, self.derived = [], [], []
        for i, public in enumerate(self._public_bottom):
            small = below[i] if below else None
            self.derived.append(public if small else None)
            blob = small or public
            if below and step.bottoms[i]:
                self._spreads.append((blob, Blob(), step.bottoms[i]))
                blob = self._spreads[-1][1]
            self.bottom.append(blob)
        self.top = self.bottom[:1] if node.in_place else [Blob() for _ in self._public]

    def forward(self):
        for source, target, axes in self._spreads:
            target.set_data(spread(source.data_tensor, *axes))
        with _padded(self.layer, self._step.pad):
            self.layer.reshape(self.bottom, self.top)
            self.layer.forward(self.bottom, self.top)
        for blob, compute in self.whole():
            blob.data_later(compute)

    def whole(self):
        """(blob, function that computes its values) for each of the net's own tops."""
        return [(blob, partial(_spread_data, small, self._step.top))
                for blob, small in zip(self._public, self.top)]

    def backward(self, down, ran):
        for blob, small, reader in zip(self._public, self.top, self._readers):
            if reader not in ran:
                small.set_diff(gather(blob.diff_tensor, *self._step.top))
        self.layer.backward(self.top, down, self.bottom)
        for source, target, axes in self._spreads:
            source.set_diff(gather(target.diff_tensor, *axes))


Pieces = namedtuple("Pieces", "frame core")      # the two Blobs of a top that is apart


class RunApart:
    """One layer on the frame and on the core of its bottoms; attributes are those of Run."""

    def __init__(self, net, node, step, below):
        self.layer, self._step, self._readers = net.layers[node.number], step, node.readers
        self._other = copy.copy(self.layer)         # with the same parameters, for the frames
        self._public = net._tops[node.number]
        self._below = [small or public for small, public in zip(below, net._bottoms[node.number])]
        self.derived = [public if small else None
                        for small, public in zip(below, net._bottoms[node.number])]
        self._bottom = [self._pieces(i, blob) for i, blob in enumerate(self._below)]
        self.top = self._bottom[:1] if node.in_place else [Pieces(Blob(), Blob())
                                                           for _ in self._public]
        self.left = tuple(n.sizes[1] - (stop - start)
                          for n, (start, stop) in zip(step.frame, step.core))

    def _pieces(self, i, blob):
        if self._step.bottoms[i]:
            return Pieces(Blob(), Blob())
        same = self._step.reads == tuple(part.core for part in self._step.below[i])
        return blob if same else Pieces(blob.frame, Blob())

    def forward(self):
        for i, (blob, pieces) in enumerate(zip(self._below, self._bottom)):
            if self._step.bottoms[i]:
                for piece, axes in zip(pieces, self._step.bottoms[i]):
                    piece.set_data(spread(blob.data_tensor, *axes))
            elif pieces is not blob:
                place, size, between = self._around(i)
                pieces.core.set_data(surround(blob.core.data_tensor, blob.frame.data_tensor,
                                              between, place, size))
        self._run(self._other, 0)
        with _padded(self.layer, (0, 0)):
            self._run(self.layer, 1)
        for blob, compute in self.whole():
            blob.data_later(compute)

    def _run(self, layer, piece):
        bottom, top = ([pieces[piece] for pieces in side] for side in (self._bottom, self.top))
        layer.reshape(bottom, top)
        layer.forward(bottom, top)

    def _around(self, i):
        """Where the core of a bottom is in what the windows read, the size of that, and where the
        frame has the value around it."""
        starts = [start for start, _ in self._step.reads]
        below = self._step.below[i]
        return ([(part.start - start, part.stop - start) for part, start in zip(below, starts)],
                [stop - start for start, stop in self._step.reads],
                [part.first for part in below])

    def whole(self):
        return [(blob, partial(_paste_data, pieces, self._step))
                for blob, pieces in zip(self._public, self.top)]

    def backward(self, down, ran):
        for blob, pieces, reader in zip(self._public, self.top, self._readers):
            if reader not in ran:
                parts = cut(blob.diff_tensor, self._step.frame, self._step.core)
                for piece, diff in zip(pieces, parts):
                    piece.set_diff(diff)
        for layer, piece in ((self._other, 0), (self.layer, 1)):
            bottom, top = ([pieces[piece] for pieces in side] for side in (self._bottom, self.top))
            layer.backward(top, down, bottom)
        for i, (blob, pieces) in enumerate(zip(self._below, self._bottom)):
            if self._step.bottoms[i]:
                blob.set_diff(sum(gather(piece.diff_tensor, *axes) for piece, axes
                                  in zip(pieces, self._step.bottoms[i])))
            elif pieces is not blob:
                place, _, (row, column) = self._around(i)
                core, around = unsurround(pieces.core.diff_tensor, place)
                blob.core.set_diff(core)
                blob.frame.diff_tensor[:, :, row, column] += around


def _paste_data(pieces, step):
    return paste(pieces.frame.data_tensor, pieces.core.data_tensor, step.frame, step.core)


@contextmanager
def _padded(layer, pad):
    """A layer with another padding; with None, or if it has none, as it is."""
    own = dict(vars(layer))
    if pad is not None and "pad" in own:
        layer.pad = pad
    if pad is not None and "windows" in own:
        layer.windows = replace(layer.windows, pad=pad)
    try:
        yield
    finally:
        vars(layer).update({name: own[name] for name in ("pad", "windows") if name in own})


def _fill_diffs(elision):
    elision().fill_diffs()


def _spread_data(blob, axes):
    return spread(blob.data_tensor, *axes)


def _same(values, others, tolerance=0.0):
    """Whether tensors agree, up to a share of the largest value; NaN agrees with NaN."""
    finite = others[others.isfinite()].abs()
    limit = tolerance * float(finite.max()) if finite.numel() else 0.0
    return torch.allclose(values, others, rtol=0, atol=limit, equal_nan=True)
