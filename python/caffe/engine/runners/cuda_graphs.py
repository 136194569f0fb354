"""CUDA graphs: passes over a net are recorded once for each size of its data, and replayed.

To issue the thousand small operations of a pass takes Python and PyTorch longer than a GPU to
compute them. A CUDA graph issues them all at once, on the very memory for which they were recorded.
"""

import warnings
import weakref
from contextlib import contextmanager
from functools import lru_cache

import torch

from ... import context
from ...context import TRAIN
from ...log import logger
from .. import precision
from ..blob import DIFF
from ..layers import TensorLayer
from .recording import recorded_backward, recorded_forward

SEARCHES = 32       # sizes of a net that learns for which cuDNN tries all its algorithms
ROOM = 0.5          # of a GPU's memory that has to be free to record one more pass


class CudaGraph:
    """Operations on a GPU, recorded to be issued together."""

    def __init__(self, device):
        self._device, self._graph = device, torch.cuda.CUDAGraph()

    @contextmanager
    def recording(self):
        """What is issued meanwhile is recorded, not computed. Raises RuntimeError for what cannot
        be, such as waiting for a value."""
        torch.cuda.synchronize(self._device)
        with torch.cuda.stream(_stream(self._device)), _no_waiting():
            # threads that read data may do what would spoil a recording in this one
            self._graph.capture_begin(capture_error_mode="thread_local")
            try:
                yield
            finally:
                self._graph.capture_end()

    def replay(self):
        with torch.cuda.device(self._device):
            self._graph.replay()

    @staticmethod
    def has_room(device):
        """Whether there is memory for one more; what PyTorch keeps, but does not use, is freed."""
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(device)
        return free > ROOM * total


@lru_cache
def _stream(device):
    """The one stream on which everything is recorded: autograd runs a backward pass on the stream
    of the forward pass, and cuBLAS keeps a workspace for each."""
    return torch.cuda.Stream(device)


@contextmanager
def _no_waiting():
    """Where PyTorch raises a RuntimeError before it waits for a value. To wait spoils a recording,
    and PyTorch's allocator does not get over one that ended so."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # that this does not find every wait
        torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


KINDS = {"cuda": CudaGraph}     # by the type of the device


class Graphs:
    """The recorded passes of a net, a forward and a backward one for each size of its data.

    A pass over data of a new size runs as it is, and so does the first backward pass: libraries
    set themselves up. The next one of this size is recorded, and from then on replayed. What
    layers do on the host is not recorded: data layers run before, and labels are checked.
    """

    def __init__(self, net):
        self._net = weakref.proxy(net)
        self._sources = [number for number, layer in enumerate(net.layers)
                         if not net._bottoms[number] and not layer.blobs]
        self.others = [number for number in range(len(net.layers)) if number not in self._sources]
        self._inputs = [blob for number in self._sources for blob in net._tops[number]]
        self._able = bool(self.others) and all(map(self._can_record, self.others))
        self._passes = {}       # by the size of the data, {"forward": Recording, "backward": ...}
        self._now = None        # those of the last forward pass, if that went by them
        self._searches = False  # whether the last forward pass was the first of its size
        self._is_full = False   # whether memory sufficed for no more of them
        self._has_run_back = False      # and libraries are set up in autograd's own threads

    def _can_record(self, number):
        layer, looked_at = self._net.layers[number], self._net._looked_at.get(number)
        return isinstance(layer, TensorLayer) and layer.recordable and (
            not looked_at or self._is_given(looked_at[layer.looks_at]))

    def _is_given(self, blob):
        """Whether what a layer sees in the blob is there before all that is recorded."""
        return blob in self._inputs and not any(blob in self._net._tops[number]
                                                for number in self.others)

    @property
    def wanted(self):
        """Whether a pass over all layers is to go by `forward`."""
        return self._able and self._net.cuda_graphs and context.device().type in KINDS

    def leave(self):
        """Know that layers run as they are."""
        self._now, self._searches = None, False

    def forward(self):
        """A forward pass over all layers; returns the loss."""
        return self._net._run(self._sources) + self._forward()

    def _forward(self):
        """What follows on the sources."""
        net, size = self._net, self._size
        if size not in self._passes:
            return self._first(size)
        if any(blob.is_viewed for blob in self._inputs):    # who knows when they are written?
            return net._run(self.others, release=True)
        passes = self._passes[size]
        if "forward" in passes:
            passes["forward"].reshape()
        else:
            net._release()
            net._reshape(self.others)
        for number, looked_at in net._looked_at.items():
            with net._located(net._param.layer[number], net._bottoms[number]):
                net.layers[number].check(looked_at)
        if "forward" not in passes and not self._record(passes, "forward", self._recorded_forward):
            return net._run(self.others, check=False)
        self._now = passes
        return passes["forward"].replay()

    @property
    def _size(self):
        """Of the data, and whatever else passes differ by."""
        return (context.device(), precision.chosen(), self._net.elide_padding,
                *(blob.shape for blob in self._inputs))

    def _first(self, size):
        searches = self._net._param.state.phase == TRAIN and len(self._passes) < SEARCHES
        with _search(searches):
            loss = self._net._run(self.others, release=True)
        self._passes[size], self._searches = {}, searches
        return loss

    def backward(self):
        """A backward pass over all layers."""
        if self._has_run_back and self._follows and self._replay_back():
            return
        with _search(self._searches):
            self._run_back()
        self._has_run_back = True

    @property
    def _follows(self):
        """Whether all is as the last forward pass, a replay, left it."""
        return (self._now is not None and self._now is self._passes.get(self._size)
                and not self._net._elision.was_seen)

    def _run_back(self):
        self._net._run_back(len(self._net.layers) - 1, 0)

    def _replay_back(self):
        """Replay the backward pass, recorded if need be; returns whether that was possible."""
        passes = self._now
        diffs = [blob.memories[DIFF] for layer in self._net.layers for blob in layer.blobs]
        before = {diff: diff.settled for diff in diffs if not diff.is_clear}
        if "backward" not in passes and not any(diff.live_view() is not None for diff in diffs):
            for diff in before:
                diff.clear()        # it is recorded how gradients are set, not added
            self._record(passes, "backward", self._recorded_backward)
            for diff, tensor in before.items():
                diff.hold(tensor)
        if "backward" in passes:
            self._accumulate(passes["backward"], before)
        return "backward" in passes

    @staticmethod
    def _accumulate(recording, before):
        """Replay a backward pass, which sets the gradients of parameters, and add those before."""
        new = recording.made
        before = {diff: tensor.clone() if tensor is new[diff] else tensor.to(new[diff].device)
                  for diff, tensor in before.items() if diff in new}
        recording.replay()
        for diff, tensor in before.items():
            diff.hold(tensor.view(new[diff].shape).add_(new[diff]))

    def _record(self, passes, kind, record):
        """Have record(graph) record a pass, and return whether that was possible; the log tells if
        it never is."""
        device = context.device()
        graph = KINDS[device.type]
        self._is_full = self._is_full or not graph.has_room(device)
        if self._is_full:
            return False
        try:
            passes[kind] = record(graph(device))
        except RuntimeError as error:
            self._able, self._passes = False, {}
            logger.warning("%s: without CUDA graphs: %s", self._net._source, error)
        return kind in passes

    def _recorded_forward(self, graph):
        return recorded_forward(self._net, graph, self._inputs,
                                lambda: self._net._run(self.others, check=False))

    def _recorded_backward(self, graph):
        return recorded_backward(self._net, graph, self._run_back)


@contextmanager
def _search(wanted):
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
