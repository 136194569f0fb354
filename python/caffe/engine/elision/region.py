"""Which layers of a net may leave rows out, and how each slides over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ...layer import Layer
from ...proto.caffe_pb2 import LRNParameter, PoolingParameter
from ..blob import Blob
from ..layers import activation, arithmetic, convolution, normalization, pooling, shape
from ..layers.forks import batch_norm, small
from ..layers.formulas import FormulaLayer
from ..program import Program, Step
from .rows import Slide

POINTWISE = (activation.ReLU, activation.PReLU, activation.ELU, activation.AbsVal,
             activation.BNLL, activation.Clip, activation.Sigmoid, activation.Swish,
             activation.TanH, small.ReLU6, arithmetic.Eltwise, arithmetic.Power, arithmetic.Exp,
             arithmetic.Log, shape.Split)

# what it takes to read and write a value, or to read one in a window of pooling, in the time of
# that many multiplications of a convolution; measured on a CPU, forward
PASS, POOLED = 8, 400

class Source(NamedTuple):
    """A blob, by the layer that produces it."""
    layer: int
    top: int


@dataclass(frozen=True)
class Node:
    """A layer of the region.

    number : of the layer
    slides : its Slide along rows and along columns
    sources : the Source of each bottom; empty where the padding of this layer is what is
        left out, and the region begins
    in_place : whether its top is its bottom
    readers : for each top the number of the layer in the region that reads it, or None
    channels : of a top
    work : what a value of a top costs, in multiplications
    """

    number: int
    slides: tuple[Slide, ...]
    sources: tuple[Source, ...]
    in_place: bool
    readers: tuple
    channels: int
    work: int


def find(program: Program) -> list[Node]:
    """The Nodes of a Program, in order; none if it has no convolution with a wide padding.

    The first of them begins the region, and the sizes of all that begin it are known by then.
    """
    memories = _shared_memories(program)
    left_whole = {memories[name] for name in _outputs_in_place(program)}
    while True:
        nodes = _find(program, memories, left_whole)
        overwritten = _overwritten(program, memories, nodes) - left_whole
        if not overwritten:
            return nodes
        left_whole |= overwritten


def _find(program: Program, memories: Mapping[str, str], left_whole: set[str]) -> list[Node]:
    """The Nodes, without the layers that fill the memories `left_whole`."""
    latest: dict[str, Source] = {}
    inside: set[int] = set()
    found: list[tuple[int, tuple[Slide, ...], tuple[Source, ...]]] = []
    for number, step in enumerate(program.steps):
        is_left = any(memories[name] in left_whole for name in step.spec.top)
        slides = None if is_left else _slides(step)
        sources = [latest.get(name) for name in step.spec.bottom]
        if slides:
            begun = found[0][0] if found else number
            known = all(source is not None and source.layer < begun for source in sources)
            if all(source and source.layer in inside for source in sources):
                found.append((number, slides, tuple(filter(None, sources))))
                inside.add(number)
            elif known and _is_wide(step.layer, slides):
                found.append((number, slides, ()))
                inside.add(number)
        latest.update((name, Source(number, i)) for i, name in enumerate(step.spec.top))
    readers = {source: number for number, _, sources in found for source in sources}
    return [_node(program.steps[number], slides, sources, readers)
            for number, slides, sources in found]


def _shared_memories(program: Program) -> dict[str, str]:
    """{name of a blob: name of the first blob with which it shares its values}."""
    first: dict[str, str] = {}
    for step in program.steps:
        bottom, top = step.spec.bottom, step.spec.top
        shares = isinstance(step.layer, shape.SharedMemoryLayer) or (
            isinstance(step.layer, shape.JoiningLayer) and len(bottom) == len(top))
        for name in top:
            first.setdefault(name, first[bottom[0]] if shares else name)
    return first


def _outputs_in_place(program: Program) -> set[str]:
    """The names of the net's outputs that a layer writes in place: users set their gradients,
    which that layer's backward pass replaces."""
    return {name for step in program.steps for name in step.spec.top
            if name in step.spec.bottom and name in program.outputs}


def _overwritten(program: Program, memories: Mapping[str, str], nodes: Sequence[Node]) -> set[str]:
    """The memories of the region that a layer outside of it overwrites in place.

    What a layer of the region has computed is gone then, and in Caffe its gradient is that of
    what is there instead. A Dropout may do so where that gradient is the same: the value that it
    drops has none, and all others keep their sign.
    """
    inside = {node.number for node in nodes}
    by_number = [(step, memories[name]) for step in program.steps for name in step.spec.top]
    formulas = {memory for step, memory in by_number if step.number in inside
                and isinstance(step.layer, FormulaLayer)
                and type(step.layer) is not activation.ReLU}
    filled = {memory for step, memory in by_number if step.number in inside}
    return {memory for step, memory in by_number
            if memory in filled and step.number not in inside and step.top[0] in step.bottom
            and (type(step.layer) is not activation.Dropout or memory in formulas)}


def _node(step: Step, slides: tuple[Slide, ...], sources: tuple[Source, ...],
          readers: Mapping[Source, int]) -> Node:
    read = tuple(readers.get(Source(step.number, i)) for i in range(len(step.top)))
    return Node(step.number, slides, sources, step.top[0] in step.bottom, read,
                step.top[0].shape[1], _work(step.layer))


def _is_wide(layer: Layer, slides: tuple[Slide, ...]) -> bool:
    """Whether windows of a convolution lie in its padding, more than one."""
    return type(layer) is convolution.Convolution and any(
        slide.pad >= slide.extent + slide.stride for slide in slides)


def _slides(step: Step) -> tuple[Slide, ...] | None:
    """The layer's Slide along rows and along columns, None if it must see all of them.

    Types are compared exactly: what a subclass computes is not known here.
    """
    layer, bottom = step.layer, step.bottom
    if any(step.loss_weights) or any(len(blob.shape) != 4 for blob in bottom):
        return None
    if type(layer) is convolution.Convolution:
        return _of_convolution(layer, bottom)
    if type(layer) is pooling.Pooling:
        return _of_pooling(layer)
    return (Slide(), Slide()) if bottom and _is_pointwise(layer, bottom) else None


def _of_convolution(layer: convolution.Convolution, bottom: Sequence[Blob]
                   ) -> tuple[Slide, ...] | None:
    if len(bottom) != 1 or layer.axis != 1 or layer.is_in_place:
        return None
    return tuple(map(Slide, layer.kernel, layer.stride, layer.pad, layer.dilation))


def _of_pooling(layer: pooling.Pooling) -> tuple[Slide, ...] | None:
    p = layer.layer_param.pooling_param
    if (p.global_pooling or p.pool == PoolingParameter.STOCHASTIC
            or len(layer.layer_param.top) != 1):
        return None
    windows = layer.windows
    return tuple(Slide(kernel, stride, pad, up=windows.up, inside=any(windows.pad))
                 for kernel, stride, pad in zip(windows.kernel, windows.stride, windows.pad))


def _is_pointwise(layer: Layer, bottom: Sequence[Blob]) -> bool:
    """Whether a value of a top depends on those at the same place alone, everywhere alike, and
    its gradient on theirs."""
    p = layer.layer_param
    if isinstance(layer, (arithmetic.Power, arithmetic.Log, arithmetic.Eltwise)) \
            and layer.is_in_place:
        return False    # in place their gradient does not depend on that by the top
    if type(layer) is normalization.LRN:
        return p.lrn_param.norm_region == LRNParameter.ACROSS_CHANNELS
    if type(layer) is normalization.BatchNorm:
        return layer.use_global_stats
    if type(layer) is batch_norm.PSPNetBN:
        return layer.layer_param.bn_param.frozen    # else its gradient is that of the batch
    if type(layer) is arithmetic.Scale and any(layer.param_propagate_down[:1]):
        return False    # its gradient is not added up over the parts of a batch of 1
    if type(layer) is arithmetic.Scale or type(layer) is arithmetic.Bias:
        return len(bottom) == 1 and layer.axis % 4 + len(layer.blobs[0].shape) <= 2
    if type(layer) is shape.Concat:
        return layer.axis == 1 and len(bottom) > 1
    return type(layer) in POINTWISE


def _work(layer: Layer) -> int:
    if type(layer) is shape.Split:
        return 0        # its tops are its bottom's memory
    if type(layer) is convolution.Convolution:
        return PASS + layer.blobs[0].count // layer.outputs
    if type(layer) is pooling.Pooling:
        return PASS + POOLED * math.prod(layer.windows.kernel)
    return PASS
