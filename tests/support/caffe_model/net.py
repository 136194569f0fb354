"""The net: its layers with splits between them, what runs backward, and passes."""

from collections import Counter
from dataclasses import dataclass

from google.protobuf import text_format

from caffe.proto import caffe_pb2

from .blob import Blob
from .layer import TYPES, Layer, Refused

TRAIN, TEST = 0, 1


@dataclass
class Step:
    """A layer with its blobs. `runs` and `down` say whether it runs backward, and to which
    bottoms it passes a gradient."""

    spec: caffe_pb2.LayerParameter
    layer: Layer
    bottom: list
    top: list
    weights: list       # of the loss, one for each top
    runs: bool = False
    down: tuple = ()

    @property
    def name(self):
        return self.spec.name


class Net:
    """A net from the text of its prototxt.

    Attributes
    ----------
    steps : list of Step
    blobs : {name: Blob}
    params : {layer: [Blob, ...]}
    learnable : [(Blob, lr_mult, decay_mult), ...], each parameter once
    loss_weights : {blob: loss weight}
    outputs : names of the blobs that no layer reads
    """

    def __init__(self, text, phase):
        self.param = text_format.Parse(text, caffe_pb2.NetParameter())
        self.blobs, self.params, self.steps, self.loss_weights = {}, {}, [], {}
        self.owners, self.learnable = {}, []
        for spec in with_splits(self.param.layer):
            self._add(spec, phase)
        plan_backward(self.steps, self.param.force_backward)
        unread = set()
        for step in self.steps:
            unread.difference_update(step.spec.bottom)
            unread.update(step.spec.top)
        self.outputs = sorted(unread)

    def _add(self, spec, phase):
        layer = TYPES[spec.type](spec, phase)
        bottom = [self.blobs[name] for name in spec.bottom]
        top = [self.blobs[name] if name in spec.bottom else Blob(0) for name in spec.top]
        self.blobs.update(zip(spec.top, top))
        layer.build(bottom)
        layer.reshape(bottom, top)
        self._share(spec, layer)
        if layer.params:
            self.params[spec.name] = layer.params
        weights = list(spec.loss_weight) or [float(layer.loss)] * len(top)
        if len(weights) != len(top) or layer.loss and not spec.loss_weight and len(top) > 1:
            raise Refused("loss_weight once for each top")
        for name, blob, weight in zip(spec.top, top, weights):
            self.loss_weights[name] = weight
            if weight:
                blob.diff[...] = weight
        self.steps.append(Step(spec, layer, bottom, top, weights))

    def _share(self, spec, layer):
        """Parameters of one name are one."""
        for i, blob in enumerate(layer.params):
            given = spec.param[i] if i < len(spec.param) else caffe_pb2.ParamSpec()
            layer.params_down.append(given.lr_mult != 0)
            if given.name in self.owners:
                blob.share_data(self.owners[given.name])
                blob.share_diff(self.owners[given.name])
                continue
            if given.name:
                self.owners[given.name] = blob
            self.learnable.append((blob, layer.rate(given.lr_mult), given.decay_mult))

    def reshape(self):
        for step in self.steps:
            step.layer.reshape(step.bottom, step.top)

    def forward(self, start=None, end=None):
        """From one layer to another, names. Returns the loss: over all tops with a weight the sum
        of data times diff."""
        loss = 0
        for step in self._between(start, end):
            step.layer.reshape(step.bottom, step.top)
            step.layer.forward(step.bottom, step.top)
            loss += sum((blob.data * blob.diff).sum()
                        for blob, weight in zip(step.top, step.weights) if weight)
        return loss

    def backward(self, start=None, end=None):
        for step in reversed(self._between(end, start)):
            if not step.runs:
                continue
            if any(step.down[i] for i in step.layer.no_gradient if i < len(step.down)):
                raise Refused(f"{step.name} has no gradient to pass down")
            step.layer.backward(step.top, step.down, step.bottom)

    def _between(self, first, last):
        names = [step.name for step in self.steps]
        return self.steps[names.index(first) if first else 0:
                          names.index(last) + 1 if last else len(names)]

    def clear_param_diffs(self):
        for blob, _, _ in self.learnable:
            blob.diff[...] = 0


def with_splits(layers):
    """The layers, with a Split behind each top that has several readers. A loss weight reads, too,
    the first branch; the layer then has no loss weights left."""
    readers, source, sources = Counter(), {}, {}
    for number, layer in enumerate(layers):
        for i, name in enumerate(layer.bottom):
            sources[number, i] = source[name]
            readers[source[name]] += 1
        for i, name in enumerate(layer.top):
            source[name] = number, i
            readers[number, i] += i < len(layer.loss_weight) and layer.loss_weight[i] != 0
    taken, found = Counter(), []
    for number, layer in enumerate(layers):
        new = caffe_pb2.LayerParameter()
        new.CopyFrom(layer)
        found.append(new)
        for i in range(len(layer.bottom)):
            place = sources[number, i]
            if readers[place] > 1:
                new.bottom[i] = f"{_split_name(layers, place)}_{taken[place]}"
                taken[place] += 1
        for i in range(len(layer.top)):
            if readers[number, i] < 2:
                continue
            name = _split_name(layers, (number, i))
            split = caffe_pb2.LayerParameter(
                name=name, type="Split", bottom=[layer.top[i]],
                top=[f"{name}_{k}" for k in range(readers[number, i])])
            if i < len(layer.loss_weight) and layer.loss_weight[i]:
                split.loss_weight.extend([layer.loss_weight[i], *[0] * (len(split.top) - 1)])
                del new.loss_weight[:]
                taken[number, i] += 1
            found.append(split)
    return found


def _split_name(layers, place):
    number, i = place
    return f"{layers[number].top[i]}_{layers[number].name}_{i}_split"


def plan_backward(steps, force):
    """A layer runs backward if something that learns is in it or below it, and a loss above it to
    which gradients come. Each blob is here a name, which layers in place share."""
    learns = set()      # blobs at or below which something learns
    for step in steps:
        below = [name in learns for name in step.spec.bottom]
        step.runs = any(below) or any(step.layer.params_down)
        step.down = list(step.spec.propagate_down) or below
        if step.runs:
            learns.update(step.spec.top)
    under_loss, without = set(), set()
    for step in reversed(steps):
        counts = any(weight or name in under_loss
                     for name, weight in zip(step.spec.top, step.weights))
        if not counts or step.runs and without.issuperset(step.spec.top):
            step.runs, step.down = False, [False] * len(step.bottom)
        if counts:
            under_loss.update(step.spec.bottom)
        without.update(name for name, down in zip(step.spec.bottom, step.down) if not down)
    if force:
        for step in steps:
            step.runs = True
            step.layer.params_down = [True] * len(step.layer.params)
            step.down = [down or i != step.layer.never_forced and i not in step.layer.no_gradient
                         for i, down in enumerate(step.down)]
