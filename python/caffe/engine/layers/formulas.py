"""FormulaLayer and KeepingLayer: bases of layers whose gradient is a formula, as in Caffe."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...errors import LayerError
from .base import TensorLayer, revisions, storage
from .types import Blobs, Flags, Gradients, Shapes, Tensors, Tops


class FormulaLayer(TensorLayer):
    """A layer of one bottom, one top and no parameters, whose gradient is a formula of the values
    that both have when it runs backward, as in Caffe; autograd is not needed."""

    needs_overwritten = False

    def gradient(self, x: Tensor, y: Tensor, dy: Tensor) -> Tensor:
        """The gradient by the bottom: x is the bottom's value, y the top's, which in place are
        the same, and dy the gradient by the top. It may change neither."""
        raise LayerError(f"layer type '{self.type}' defines no gradient()")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        with torch.no_grad():
            y: Any = self.compute(bottom[0].data_to_read)
            if top[0] is not bottom[0] and storage(y) == storage(bottom[0].data_to_read):
                y = y.clone()
        top[0].set_data(y)

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        if propagate_down[0]:
            dy = top[0].diff_tensor
            with torch.no_grad():
                dx = self.gradient(bottom[0].data_to_read, top[0].data_to_read, dy)
            bottom[0].set_diff(dx.clone() if storage(dx) == storage(dy) else dx)


class KeepingLayer(TensorLayer):
    """A layer whose gradient is a formula, as in Caffe: of what its forward pass kept, and of the
    values that bottoms, tops and parameters have when it runs backward.

    Where `keeps_state` is False, the gradient needs no forward pass.
    """

    kept: Any = None
    _is_spent = False
    _kept_shapes: Shapes | None = None
    _kept_revision: object = None

    @property
    def keeps_state(self) -> bool:
        return True

    def run(self, *bottom: Any, **named: Any) -> tuple[Tops, object]:
        """The tops, and what to keep for `gradients`, which may share memory with neither bottoms
        nor tops; with parameters in `self.weights`."""
        raise LayerError(f"layer type '{self.type}' defines no run()")

    def gradients(self, bottom: Tensors, top: Tensors, diffs: Tensors, wanted: Flags) -> Gradients:
        """The gradients by the bottoms and then by the parameters, None for those to be left as
        they are, given the values of bottoms and tops, the tops' gradients, and which are wanted.

        `self.kept` is what `run` kept, `self.weights` are the parameters. It may change none of
        these tensors."""
        raise LayerError(f"layer type '{self.type}' defines no gradients()")

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        inputs = [blob.data_to_read.clone() if blob in top and blob.is_viewed
                  else blob.data_to_read for blob in bottom]
        with torch.no_grad():
            self.weights = tuple(blob.data_to_read for blob in self.blobs)
            outputs, self.kept = self.run(*inputs)
        self.weights, self._is_spent = (), False
        self._kept_shapes = [blob.shape for blob in bottom]
        self._kept_revision = self._validated_revision(bottom)
        taken = {storage(tensor) for tensor in inputs}
        for blob, tensor in zip(top, outputs):
            blob.set_data(tensor.clone() if storage(tensor) in taken else tensor)
            taken.add(storage(tensor))

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        self._check_kept(bottom)
        wanted = tuple(propagate_down) + tuple(self.param_propagate_down)
        diffs = [blob.diff_tensor for blob in top]
        with torch.no_grad():
            self.weights = tuple(blob.data_to_read for blob in self.blobs)
            found = self.gradients([blob.data_to_read for blob in bottom],
                                   [blob.data_to_read for blob in top], diffs, wanted)
        self.weights = ()
        taken = {storage(diff) for diff in diffs}
        stores = [blob.set_diff for blob in bottom] + [blob.add_diff for blob in self.blobs]
        for store, gradient in zip(stores, found):
            if gradient is not None:
                store(gradient.clone() if storage(gradient) in taken else gradient)
                taken.add(storage(gradient))

    def spend(self) -> None:
        """Know that a backward pass was replayed. Run as it is, it would have replaced what this
        layer keeps, as Caffe's Scale in place does; a replay leaves no such value for another
        backward pass."""
        self.kept, self._is_spent = None, True

    def _check_kept(self, bottom: Blobs) -> None:
        if self._is_spent:
            raise self.error("a second backward pass needs another forward pass first: the first "
                             f"one, which was replayed, has used up what {self.type} keeps; or "
                             "set net.cuda_graphs = False before both")
        if self.keeps_state:
            self._check_passed(self._kept_shapes is not None)
            self._check_shapes([blob.shape for blob in bottom] == self._kept_shapes,
                               self._kept_shapes or [])
        if self.validated_bottom is not None \
                and self._kept_revision != self._validated_revision(bottom):
            self.validate(bottom)

    def _validated_revision(self, bottom: Blobs) -> object:
        """Of the bottom that `validate` looks at; nothing equals it while somebody holds a NumPy
        view, and may write to it at any time."""
        if self.validated_bottom is None:
            return None
        blob = bottom[self.validated_bottom]
        return object() if blob.is_viewed else revisions([blob])

    def forget_forward(self) -> None:
        super().forget_forward()
        self.kept = self._kept_shapes = self._kept_revision = None
