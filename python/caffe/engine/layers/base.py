"""The registry of layer types, and the base of layers that are said in torch operations."""

import torch
from torch.autograd.graph import get_gradient_edge

from ...errors import LayerError, nearest
from ...layer import Layer
from .. import precision
from ..blob import Blob
from ..fillers import fill
from ..in_place import check_shape

_registry = {}


def register(layer_type):
    """Class decorator: prototxts reach the class by `type: "<layer_type>"`."""
    def enter(cls):
        _registry[layer_type] = cls
        return cls
    return enter


def create(layer_param):
    """The layer that a LayerParameter describes, not yet set up."""
    if layer_param.type not in _registry:
        raise LayerError(f"unknown layer type '{layer_param.type}'"
                         + nearest(layer_param.type, _registry))
    return _registry[layer_param.type](layer_param)


def layer_type_list():
    """The names of all registered layer types, sorted."""
    return sorted(_registry)


class TensorLayer(Layer):
    """A layer given by `compute`, a function of tensors; autograd supplies its gradient.

    Subclasses say `setup` (read `layer_param`, create parameters), `shapes` (the tops' shapes
    from the bottoms') and `compute`. Where Caffe's gradient is not the mathematical one,
    `compute` calls a torch.autograd.Function.

    Class attributes
    ----------------
    bottoms, tops : (min, max) number of blobs; max None is any
    no_gradient : indices of bottoms that never receive a gradient (labels)
    loss : whether top 0 counts towards the loss without a loss_weight in the prototxt
    products : whether it is a convolution or matrix product, which a lower precision is for
    overwrites : in place, whether backward can do without the bottom's values
    looks_at : the index of the bottom whose values `check` looks at, None if there is none
    recordable : whether it does the same operations in each forward pass, keeps nothing in Python
        from one to the next, and waits for no GPU; who derives a layer has to say so
    shares : whether a top may be the bottom's own memory, as in Caffe; else it is copied
    portable : whether `compute` is to keep to torch's own operations, which can be traced, mapped
        and differentiated in every way, where those of the engine are faster
    """

    bottoms, tops = (1, 1), (1, 1)
    no_gradient = ()
    loss = False
    products = False
    overwrites = False
    looks_at = None
    recordable = True
    shares = False
    portable = False

    # set by the net once it knows what needs a gradient
    propagate_down = ()
    param_propagate_down = ()

    def __init_subclass__(cls):
        if "recordable" not in vars(cls) and not cls.__module__.startswith(__package__):
            cls.recordable = False

    _bottom_shapes = None
    weights = _inputs = _edges = ()

    def add_param(self, shape, filler):
        """Append a parameter of `shape`, with the values of a FillerParameter."""
        blob = Blob(shape)
        fill(blob.data_tensor, filler)
        blob.set_data(precision.laid_out(blob.data_tensor))
        self.blobs.append(blob)

    def shapes(self, bottom):
        """The tops' shapes, given the list of the bottoms'. Default: a top each like bottom 0."""
        return [bottom[0]] * len(self.layer_param.top)

    def check(self, bottom):
        """Raises the layer's error for values that `compute` cannot use. Called before each,
        where there is `looks_at`; the blobs are those before a Split."""

    def compute(self, *bottom):
        """The top tensor, or a tuple of them, from the bottom tensors and `self.weights`, none of
        which it may change in place."""
        raise LayerError(f"layer type '{self.type}' defines no compute()")

    def error(self, message):
        """A LayerError to raise; the net adds the layer's name, type and bottoms."""
        return LayerError(message)

    def reshape(self, bottom, top):
        shapes = [blob.shape for blob in bottom]
        if shapes != self._bottom_shapes:
            tops = self.shapes(shapes)
            check_shape(bottom, top, tops)
            for blob, shape in zip(top, tops):
                blob.reshape(*shape)
            self._bottom_shapes = shapes

    def forget_shapes(self):
        """Have the next `reshape` reshape the tops, whatever the bottoms."""
        self._bottom_shapes = None

    def forward(self, bottom, top):
        # in place, the top is written into the bottom's memory if a NumPy view holds on to it
        self._inputs = _leaves((blob.data_to_read.clone() if blob in top and blob.is_viewed
                                else blob.data_to_read for blob in bottom), self.propagate_down)
        self.weights = _leaves((blob.data_tensor for blob in self.blobs),
                               self.param_propagate_down)
        with torch.set_grad_enabled(any(t.requires_grad for t in self._inputs + self.weights)):
            outputs = self._outputs()
        # edges, not tensors: what a layer in place overwrites, and no gradient needs, is freed
        self._edges = [get_gradient_edge(tensor) if tensor.requires_grad else None
                       for tensor in outputs]
        given = set() if self.shares else {_storage(tensor) for tensor in self._inputs}
        if self.overwrites:
            for blob, leaf in zip(bottom, self._inputs):
                if blob in top:
                    leaf.data = leaf.new_empty(()).expand(leaf.shape)   # its memory goes
        for blob, tensor in zip(top, outputs):
            copied = _storage(tensor) in given and blob not in bottom
            blob.set_data(tensor.detach().clone() if copied else tensor.data)

    def release(self, bottom, top):
        """Let go of what the last forward pass left, before the next one makes it anew."""
        self._inputs = self._edges = self.weights = ()
        for blob in top:
            if blob not in bottom and not blob.is_viewed:
                blob.clear_data()

    def _outputs(self):
        """What `compute` gives, a tuple of float32 tensors."""
        if not self.products:
            outputs = self.compute(*self._inputs)
            return outputs if isinstance(outputs, tuple) else (outputs,)
        with precision.products(self._inputs[0].device):
            outputs = self.compute(*self._inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        return tuple(tensor.to(self._inputs[0].dtype) for tensor in outputs)

    def backward(self, top, propagate_down, bottom):
        for blob, leaf in zip(bottom, self._inputs):
            if blob.shape != leaf.shape and blob not in top:
                raise self.error(f"a bottom was reshaped from {tuple(leaf.shape)} after the "
                                 "forward pass; backward needs another one")
        wanted = [(blob.set_diff, leaf) for blob, leaf, wants
                  in zip(bottom, self._inputs, propagate_down) if wants]
        wanted += [(blob.add_diff, leaf) for blob, leaf in zip(self.blobs, self.weights)
                   if leaf.requires_grad]
        taken = {_storage(blob.diff_tensor) for blob in top}
        for (store, leaf), gradient in zip(wanted, self._gradients(top, [w[1] for w in wanted])):
            if gradient is None:
                gradient = torch.zeros_like(leaf)
            elif _storage(gradient) in taken:
                gradient = gradient.clone()     # a sum passes on the gradient of its top itself
            taken.add(_storage(gradient))
            store(gradient)

    def room(self):
        """Memory for the gradient of parameter 0; None if two gradients are to be added up."""
        return self.blobs[0].diff_room() if len(self.layer_param.bottom) == 1 else None

    def _gradients(self, top, leaves):
        tracked = [(edge, blob.diff_tensor) for edge, blob in zip(self._edges, top) if edge]
        if not tracked or not leaves:
            return [None] * len(leaves)
        edges, diffs = zip(*tracked)
        return torch.autograd.grad(edges, leaves, diffs, retain_graph=True, allow_unused=True)


def _leaves(tensors, wants_gradient):
    """`tensors` as new leaves of autograd.

    `.data`, not `.detach()`: like Caffe, backward works with whatever the blob holds by then.
    """
    tensors = list(tensors)
    wants = list(wants_gradient) or [False] * len(tensors)
    return [tensor.data.requires_grad_(w) for tensor, w in zip(tensors, wants)]


def _storage(tensor):
    return tensor.untyped_storage().data_ptr()
