"""What a CUDA graph does, on a CPU."""

from contextlib import contextmanager

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = torch.ops.aten
WAITS = {aten._local_scalar_dense, aten.nonzero, aten.equal, aten.masked_select, aten.is_nonzero}


class GraphStandIn:
    """Operations that are recorded, and then repeated on the very memory that they had; whatever
    they wrote while they were recorded is undone, or becomes NaN.

    Who waits for a value meanwhile gets a RuntimeError.
    """

    replays = 0         # of all GraphStandIns

    def __init__(self, device):
        assert device.type == "cpu"
        self._calls = []
        self._ends = []     # of the pieces but for the last

    @contextmanager
    def recording(self):
        random = torch.get_rng_state()
        recorder = _Recorder(self._calls)
        try:
            with recorder:
                yield
        finally:
            recorder.undo()
            torch.set_rng_state(random)

    def cut(self):
        self._ends.append(len(self._calls))

    def replay(self, after=lambda piece: None):
        GraphStandIn.replays += 1
        ends = [*self._ends, len(self._calls)]
        for piece, (begin, end) in enumerate(zip([0, *ends], ends)):
            self._issue(self._calls[begin:end])
            after(piece)

    def _issue(self, calls):
        for function, args, kwargs, results in calls:
            for old, new in zip(results, tree_leaves(function(*args, **kwargs))):
                if torch.is_tensor(new) and _place(old) != _place(new):
                    old.copy_(new)

    @staticmethod
    def has_room(device):
        return True


class _Recorder(TorchDispatchMode):

    def __init__(self, calls):
        super().__init__()
        self._calls, self._before, self._new = calls, {}, {}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        masks = [leaf for leaf in tree_leaves(args) if torch.is_tensor(leaf)
                 and leaf.dtype == torch.bool]
        if function.overloadpacket in WAITS or function.overloadpacket == aten.index and masks:
            raise RuntimeError(f"{function} waits for a value")
        args, kwargs = tree_map_only(torch.Tensor, _alias, (args, kwargs))
        for tensor in tree_leaves((args, kwargs)):
            if torch.is_tensor(tensor) and _place(tensor) not in {**self._before, **self._new}:
                self._before[_place(tensor)] = tensor, tensor.untyped_storage().clone()
        results = function(*args, **kwargs)
        kept = tree_map_only(torch.Tensor, _alias, tree_leaves(results))
        self._calls.append((function, args, kwargs, kept))
        for tensor in kept:
            if torch.is_tensor(tensor) and _place(tensor) not in self._before:
                self._new[_place(tensor)] = tensor
        return results

    def undo(self):
        for tensor, storage in self._before.values():
            tensor.untyped_storage().copy_(storage)
        for tensor in self._new.values():
            values = torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage())
            values.fill_(torch.nan if tensor.is_floating_point() else 1)


def _alias(tensor):
    """`tensor`, which stays on its memory, whatever becomes of the other."""
    return aten.detach.default(tensor)


def _place(tensor):
    return tensor.untyped_storage().data_ptr()
