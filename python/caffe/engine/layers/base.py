"""TensorLayer: the base of layers that are said in torch operations, and what autograd keeps."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, get_gradient_edge

from ...errors import LayerError
from ...layer import Layer
from ...proto import caffe_pb2
from .. import precision
from ..blob import Blob
from ..fillers import fill
from ..in_place import check_shape
from ..memory import DATA, Memory
from .types import Blobs, Flags, Gradients, Shape, Shapes, Tensors, Tops

LARGE_WINDOW = 1 << 16      # pixels
MOST_WORK = 10 ** 12        # products, of a layer with such windows


class TensorLayer(Layer):
    """A layer given by `compute`, a function of tensors; autograd supplies its gradient.

    Subclasses say `setup` (read `layer_param`, create parameters), `shapes` (the tops' shapes
    from the bottoms') and `compute`. Where Caffe's gradient is not the mathematical one,
    `compute` calls a torch.autograd.Function.

    As in Caffe, a backward pass uses the values that bottoms and parameters have when it runs.
    What autograd kept of the last forward pass serves as long as these are unchanged; otherwise
    the layer is computed again from the values that are there. A layer that keeps something from
    its forward pass (`keeps_state`) cannot be computed again: its backward pass follows its last
    forward pass, and there has to be one.

    Class attributes
    ----------------
    bottoms, tops : (min, max) number of blobs; max None is any
    no_gradient : indices of bottoms that never receive a gradient (labels)
    shape_bottoms : indices of bottoms that give their shape alone, whose gradient stays as it is
    loss : whether top 0 counts towards the loss without a loss_weight in the prototxt
    needs_overwritten : whether its gradient in place needs the values that it overwrites, which it
        keeps then; False where it needs none, or where Caffe takes those that it has written
    keeps_state : whether backward needs what the last forward pass kept, such as the places of
        maxima, the values that dropout has dropped, or those that were overwritten
    autocast_products : whether it is a convolution or matrix product, which a lower precision is
        for
    validated_bottom : the index of the bottom whose values `validate` looks at, None if there is
        none
    recordable : whether it does the same operations in each forward pass, keeps nothing in Python
        from one to the next, and waits for no GPU; who derives a layer has to say so
    is_function : whether `compute` alone says what the layer does, so that it can be taken out of
        the net (caffe.to_torch); where a derived layer replaces `forward`, it has to say so
    always_passes_down : whether a backward pass sets the gradient of the bottom whatever
        `propagate_down` says, as in the original
    use_plain_torch_ops : whether `compute` is to keep to torch's own operations, which can be
        traced, mapped and differentiated in every way, where those of the engine are faster
    """

    bottoms: tuple[int, int | None] = (1, 1)
    tops: tuple[int, int | None] = (1, 1)
    no_gradient: tuple[int, ...] = ()
    shape_bottoms: tuple[int, ...] = ()
    loss = False
    needs_overwritten = True
    autocast_products = False
    validated_bottom: int | None = None
    recordable = True
    is_function = True
    use_plain_torch_ops = False

    # set by the builder once it knows what needs a gradient
    propagate_down: Flags = ()
    param_propagate_down: Flags = ()

    def __init_subclass__(cls) -> None:
        """A class of somebody else decides for itself what follows from its own methods."""
        own = vars(cls)
        if cls.__module__.startswith(__package__):
            return
        if "recordable" not in own:
            cls.recordable = False
        if "forward" in own and "is_function" not in own:
            cls.is_function = False
        if "compute" in own and "needs_overwritten" not in own and not hasattr(cls, "gradient"):
            cls.needs_overwritten = True

    _bottom_shapes: Shapes | None = None
    weights: Tensors = ()
    _inputs: Tops = ()
    _edges: Sequence[GradientEdge | None] = ()
    _revisions: tuple[tuple[Memory, int], ...] = ()
    _was_viewed = False     # when these were noted: somebody may have written since
    # the revisions of the parameters that were converted to bf16, and what came of it
    _converted: tuple[Any, Tensors] = None, ()

    @property
    def keeps_state(self) -> bool:
        return self.needs_overwritten and self.is_in_place

    @property
    def always_passes_down(self) -> bool:
        return False

    def add_param(self, shape: Sequence[int], filler: caffe_pb2.FillerParameter) -> None:
        """Append a parameter of `shape`, with the values of a FillerParameter."""
        blob = Blob(shape)
        fill(blob.data_tensor, filler)
        blob.set_data(precision.laid_out(blob.data_tensor))
        self.blobs.append(blob)

    def shapes(self, bottom: Shapes) -> Shapes:
        """The tops' shapes, given the list of the bottoms'. Default: a top each like bottom 0."""
        return [bottom[0]] * len(self.layer_param.top)

    def validate(self, bottom: Blobs) -> None:
        """Raises the layer's error for values that `compute` cannot use. Called if there is a
        `validated_bottom`: before each forward pass, with the blobs as they were before a Split,
        and before a backward pass that computes the layer again."""

    def compute(self, *bottom: Any, **named: Any) -> Tensor | Tops:
        """The top tensor, or a tuple of them, from the bottom tensors and `self.weights`, none of
        which it may change in place."""
        raise LayerError(f"layer type '{self.type}' defines no compute()")

    def error(self, message: str) -> LayerError:
        """A LayerError to raise; the net adds the layer's name, type and bottoms."""
        return LayerError(message)

    def check_work(self, window: Sequence[int], count: int) -> None:
        """Raises the layer's error where a window of unusual size is to be computed so often that
        it would take hours; `count` : how often, over all places, inputs and outputs."""
        if not all(isinstance(size, int) for size in window):       # torch traces the layer
            return
        size, given = math.prod(window), os.environ.get("FCN_MAX_PRODUCTS", "")
        most = int(given) if given.isdecimal() else MOST_WORK
        if size > LARGE_WINDOW and size * count > most:
            raise self.error(f"a window of {tuple(window)} would take {size * count:,} products in "
                             f"each pass, at most {most:,} are computed for windows of more "
                             f"than {LARGE_WINDOW:,} pixels; make it smaller, or its stride "
                             "larger, or set FCN_MAX_PRODUCTS to a number that it does not exceed")

    @cached_property
    def is_in_place(self) -> bool:
        """Whether a top is a bottom."""
        return not set(self.layer_param.bottom).isdisjoint(self.layer_param.top)

    def reshape(self, bottom: Blobs, top: Blobs) -> None:
        shapes = [blob.shape for blob in bottom]
        if shapes != self._bottom_shapes:
            tops = self.shapes(shapes)
            check_shape(bottom, top, tops)
            for blob, shape in zip(top, tops):
                blob.reshape(*shape)
            self._bottom_shapes = shapes

    def forget_shapes(self) -> None:
        """Have the next `reshape` reshape the tops, whatever the bottoms."""
        self._bottom_shapes = None

    # forward

    def forward(self, bottom: Blobs, top: Blobs) -> None:
        # in place, the top is written into the bottom's memory if a NumPy view holds on to it
        outputs = self._record([blob.data_to_read.clone() if blob in top and blob.is_viewed
                                else blob.data_to_read for blob in bottom])
        given = {storage(tensor) for tensor in self._inputs}
        if self.is_in_place and not self.keeps_state:
            self._inputs = ()       # overwritten now, and nothing needs what was there
        for blob, tensor in zip(top, outputs):
            copied = storage(tensor) in given and blob not in bottom
            blob.set_data(tensor.detach().clone() if copied else tensor.data)
        self.note_revisions(bottom)

    def _record(self, inputs: Iterable[Tensor], always: bool = False) -> Tops:
        """The tops' tensors, for those of the bottoms; autograd records how they come about.

        Unless `always`, nothing is recorded of a layer in place that keeps no state, for it
        overwrites its input, and in Caffe its gradient is that of the values that are there
        afterwards.
        """
        self._inputs = _leaves(inputs, self.propagate_down)
        self.weights = _leaves((blob.data_to_read for blob in self.blobs),
                               self.param_propagate_down)
        is_of_use = always or self.keeps_state or not self.is_in_place
        learns = any(tensor.requires_grad for tensor in (*self._inputs, *self.weights))
        if self.autocast_products and not learns:
            self.weights = self._in_chosen_precision(self.weights)
        with torch.set_grad_enabled(is_of_use and learns):
            outputs = self._outputs()
        # edges, not tensors: what a layer in place overwrites, and no gradient needs, is freed
        self._edges = [get_gradient_edge(tensor) if tensor.requires_grad else None
                       for tensor in outputs]
        return outputs

    def _outputs(self) -> Tops:
        """What `compute` gives, a tuple of float32 tensors."""
        if not self.autocast_products:
            outputs = self.compute(*self._inputs)
            return outputs if isinstance(outputs, tuple) else (outputs,)
        with precision.autocast_products(self._inputs[0].device):
            outputs = self.compute(*self._inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(tensor.to(self._inputs[0].dtype) for tensor in outputs)

    def _in_chosen_precision(self, weights: Tensors) -> Tensors:
        """The parameters, on a CPU in bf16 if that is chosen. They are converted again only after
        somebody has written to them.

        On a GPU they stay as they are: a replay of a recorded pass runs no Python, so the pass
        itself has to convert them.
        """
        dtype = precision.of_factors()
        if dtype is None or not weights or weights[0].device.type != "cpu":
            self._converted = None, ()
            return weights
        present = revisions(self.blobs)
        if self._converted[0] != present:
            self._converted = None, ()        # the old ones go before the new ones come
            is_viewed = any(blob.is_viewed for blob in self.blobs)
            self._converted = (None if is_viewed else present,
                               tuple(tensor.to(dtype) for tensor in weights))
        return self._converted[1]

    def release(self, bottom: Blobs, top: Blobs) -> None:
        """Let go of what the last forward pass left, before the next one makes it anew."""
        self.forget_forward()
        for blob in top:
            if blob not in bottom and not blob.is_viewed:
                blob.discard_data()

    def forget_forward(self) -> None:
        """Hold nothing of the last forward pass."""
        self._inputs, self._edges, self.weights, self._revisions = (), (), (), ()

    # backward

    def note_revisions(self, bottom: Blobs) -> None:
        """Know that what autograd recorded belongs to the present values of these bottoms, and
        of the parameters."""
        blobs = [*bottom, *self.blobs]
        self._revisions = revisions(blobs)
        self._was_viewed = any(blob.is_viewed for blob in blobs)

    def forget_revisions(self) -> None:
        """Know that what autograd recorded belongs to other values than the present ones."""
        self._revisions = ()

    def is_overwritten(self, bottom: Blobs) -> bool:
        """Whether bottoms or parameters have changed since the forward pass in which autograd
        recorded what belongs to their values."""
        return (not self.keeps_state and self._revisions != ()
                and self._revisions != revisions([*bottom, *self.blobs]))

    def _is_recorded(self, bottom: Blobs) -> bool:
        """Whether what autograd recorded belongs to the values that are there now. A NumPy view
        that somebody held then may have been written to, and be gone by now; one that was taken
        later is another revision."""
        return not self._was_viewed and self._revisions == revisions([*bottom, *self.blobs])

    def backward(self, top: Blobs, propagate_down: Flags, bottom: Blobs) -> None:
        self._prepare_backward(top, bottom)
        wanted = [(blob.set_diff, leaf) for blob, leaf, wants
                  in zip(bottom, self._inputs, propagate_down) if wants]
        wanted += [(blob.add_diff, leaf) for blob, leaf in zip(self.blobs, self.weights)
                   if leaf.requires_grad]
        taken = {storage(blob.diff_tensor) for blob in top}
        for (store, leaf), gradient in zip(wanted, self._gradients(top, [w[1] for w in wanted])):
            if gradient is None:
                gradient = torch.zeros_like(leaf)
            elif storage(gradient) in taken:
                gradient = gradient.clone()     # a sum passes on the gradient of its top itself
            taken.add(storage(gradient))
            store(gradient)

    def _prepare_backward(self, top: Blobs, bottom: Blobs) -> None:
        """Have a record of the forward pass that the gradients are to be those of."""
        if self.keeps_state:
            self._check_passed(self._revisions != ())
            self._check_shapes(all(blob.shape == leaf.shape or blob in top
                                   for blob, leaf in zip(bottom, self._inputs)),
                               [tuple(leaf.shape) for leaf in self._inputs])
        elif self.is_in_place or not self._is_recorded(bottom):
            if self.validated_bottom is not None:
                self.validate(bottom)
            outputs = self._record([blob.data_to_read for blob in bottom], always=True)
            fits = all(blob.shape == tensor.shape for blob, tensor in zip(top, outputs))
            self._check_shapes(fits, [blob.shape for blob in top], "its tops")
            self.note_revisions(bottom)

    def _check_passed(self, has_passed: bool) -> None:
        """Raise the layer's error unless a forward pass has left what backward needs."""
        if not has_passed:
            raise self.error("backward needs a forward pass of this layer first: the gradient "
                             f"of {self.type} depends on what that pass keeps")

    def _check_shapes(self, fits: bool, shapes: Sequence[Shape], of: str = "its bottoms") -> None:
        """Raise the layer's error unless the bottoms have the shapes of the forward pass, which
        `fits` says. shapes : in the forward pass, of the blobs that `of` names"""
        if not fits:
            given = " and ".join(map(str, shapes))
            raise self.error("a bottom was reshaped after the forward pass, in which the shapes of "
                             f"{of} were {given}; backward needs another forward pass")

    def replaced_gradients(self, bottom: Blobs) -> Blobs:
        """The parameters whose gradient is that of the last backward pass alone, where those of
        others add up."""
        return []

    def gradient_place(self) -> Tensor | None:
        """Memory for the gradient of parameter 0; None if two gradients are to be added up."""
        return self.blobs[0].diff_room() if len(self.layer_param.bottom) == 1 else None

    def _gradients(self, top: Blobs, leaves: Tensors) -> Gradients:
        tracked = [(edge, blob.diff_tensor) for edge, blob in zip(self._edges, top) if edge]
        if not tracked or not leaves:
            return [None] * len(leaves)
        edges, diffs = zip(*tracked)
        return [*torch.autograd.grad(edges, leaves, diffs, retain_graph=True, allow_unused=True)]


def _leaves(tensors: Iterable[Tensor], wants_gradient: Iterable[bool]) -> tuple[Tensor, ...]:
    """`tensors` as new leaves of autograd."""
    tensors = list(tensors)
    wants = list(wants_gradient) or [False] * len(tensors)
    return tuple(tensor.data.requires_grad_(w) for tensor, w in zip(tensors, wants))


def revisions(blobs: Iterable[Blob]) -> tuple[tuple[Memory, int], ...]:
    """(memory, revision) of the values of each blob: equal as long as none has changed."""
    memories = [blob.memories[DATA] for blob in blobs]
    return tuple((memory, memory.revision) for memory in memories)


def storage(tensor: Tensor) -> int:
    """A number that tensors have in common if and only if they share memory."""
    return tensor.untyped_storage().data_ptr()
