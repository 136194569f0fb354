"""From a NetParameter to the layers that run: inclusion, splits, and what needs gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..errors import LayerError, did_you_mean
from ..layer import Layer
from ..log import logger
from ..proto import caffe_pb2
from .layers import TensorLayer
from .layers.normalization import BatchNorm

Place = tuple[int, int]         # of a top: the number of its layer, and its own

AUTOMATIC = "(automatic)"       # the original's name for the top of a loss that names none
TAKING_LABELS = ("Accuracy", "EltwiseAccuracy", "HingeLoss", "InfogainLoss",
                 "MultinomialLogisticLoss", "SegAccuracy", "SoftmaxWithLoss")
"""Types of layers whose bottom 1 is labels."""
GIVING_LABELS = "DenseImageData", "ImageSegData", "WindowSegData"
"""Types of layers whose top 1 is labels of pixels."""
PASSING_ON = ("Concat", "Crop", "Flatten", "Interp", "Padding", "Permute", "Reshape", "Slice",
              "Split")
"""Types of layers whose tops are labels if their bottoms are."""


def filter_layers(net_param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of `net_param` with the layers that its state (phase, level, stages) includes."""
    filtered = caffe_pb2.NetParameter()
    filtered.CopyFrom(net_param)
    del filtered.layer[:]
    for layer in net_param.layer:
        if layer.include and layer.exclude:
            raise LayerError(f"layer '{layer.name}' has both include and exclude rules: "
                             "Specify either include rules or exclude rules; not both")
        met = any(_meets(net_param.state, rule, layer.name)
                  for rule in layer.include or layer.exclude)
        if met == bool(layer.include):
            filtered.layer.add().CopyFrom(layer)
    return filtered


def _meets(state: caffe_pb2.NetState, rule: caffe_pb2.NetStateRule, layer_name: str) -> bool:
    """Whether a rule holds; the log says why not, in the original's words."""
    for broken, reason in (
            (rule.HasField("phase") and rule.phase != state.phase,
             f"phase ({state.phase}) differed from the phase ({rule.phase})"),
            (rule.HasField("min_level") and state.level < rule.min_level,
             f"level ({state.level}) is above the min_level ({rule.min_level})"),
            (rule.HasField("max_level") and state.level > rule.max_level,
             f"level ({state.level}) is above the max_level ({rule.max_level})"),
            *((stage not in state.stage, f"did not contain stage '{stage}'")
              for stage in rule.stage),
            *((stage in state.stage, f"contained a not_stage '{stage}'")
              for stage in rule.not_stage)):
        if broken:
            logger.info("The NetState %s specified by a rule in layer %s", reason, layer_name)
            return False
    return True


def insert_splits(net_param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of `net_param` in which a Split layer serves each blob with several readers.

    A top with a loss weight counts the loss as one more reader, which takes the first branch; as in
    the original, the layer then has no loss weights of its own left, for none of its tops. Names
    are the original's: blob_layer_index_split and blob_layer_index_split_branch.
    """
    sources, uses = _readers(net_param)
    split = caffe_pb2.NetParameter()
    split.CopyFrom(net_param)
    del split.layer[:]
    taken: Counter = Counter()
    for number, layer in enumerate(net_param.layer):
        new = split.layer.add()
        new.CopyFrom(layer)
        for i in range(len(layer.bottom)):
            source = sources[number, i]
            if uses[source] > 1:
                new.bottom[i] = _branch(net_param, source, taken[source])
                taken[source] += 1
        for i, blob in enumerate(layer.top):
            if uses[number, i] <= 1:
                continue
            branches = split.layer.add(type="Split", bottom=[blob])
            branches.name = _split_name(net_param, (number, i))
            branches.top.extend(_branch(net_param, (number, i), k)
                                for k in range(uses[number, i]))
            if i < len(layer.loss_weight) and layer.loss_weight[i]:
                branches.loss_weight.extend([layer.loss_weight[i]]
                                            + [0] * (uses[number, i] - 1))
                del new.loss_weight[:]
                taken[number, i] += 1
    return split


def carriers_of_labels(net_param: caffe_pb2.NetParameter) -> set[int]:
    """The numbers of the layers whose bottoms are labels. There are two ways to know it: a loss or
    an accuracy takes for labels what the layer makes; or the layer reads the labels of pixels that
    a data layer gives, perhaps through other layers. The net is one with splits."""
    producers: dict[str, int] = {}
    below: list[list[int | None]] = []
    labels: set[str] = set()        # tops that are such by their source
    carriers = set()
    for number, layer in enumerate(net_param.layer):
        below.append([producers.get(name) for name in layer.bottom])
        if layer.type in TAKING_LABELS and len(layer.bottom) > 1:
            pending = [below[number][1]]
            while pending:
                if (source := pending.pop()) is not None and source not in carriers:
                    carriers.add(source)
                    pending += below[source][:_bottoms_with_values(net_param.layer[source])]
        has_labels = not labels.isdisjoint(layer.bottom[:_bottoms_with_values(layer)])
        carriers.update([number] * has_labels)
        labels.difference_update(layer.top)
        if layer.type in GIVING_LABELS:
            labels.update(layer.top[1:2])
        elif has_labels and layer.type in PASSING_ON:
            labels.update(layer.top)
        producers.update(dict.fromkeys(layer.top, number))
    return carriers


def _bottoms_with_values(layer: caffe_pb2.LayerParameter) -> int:
    """How many bottoms, from the first, have their values passed on to the tops; of the others a
    layer takes the size. 0 where it is not known."""
    if layer.type in ("Concat", "Eltwise"):
        return len(layer.bottom)
    return 1 if layer.type in ("Crop", "Interp") or len(layer.bottom) == 1 else 0


def _readers(net_param: caffe_pb2.NetParameter) -> tuple[dict[tuple[int, int], Place], Counter]:
    """Where each bottom comes from, and how often each top is read; tops are (layer, index)."""
    sources: dict[Place, Place] = {}
    latest: dict[str, Place] = {}
    uses: Counter[Place] = Counter()
    for number, layer in enumerate(net_param.layer):
        for i, blob in enumerate(layer.bottom):
            if blob not in latest:
                raise LayerError(f"Unknown bottom blob '{blob}' (layer '{layer.name}', bottom "
                                 f"index {i}): no layer above produces what this {layer.type} "
                                 "layer reads" + did_you_mean(blob, latest) + "; correct the name, "
                                 "or the include rules of the layer that produces it")
            sources[number, i] = latest[blob]
            uses[latest[blob]] += 1
        for i, blob in enumerate(layer.top):
            if blob in latest and blob not in layer.bottom[i:i + 1]:
                raise LayerError(f"layer '{layer.name}' ({layer.type}) "
                                 + _produced_twice(net_param, layer, i, latest[blob][0]))
            latest[blob] = number, i
            if i < len(layer.loss_weight) and layer.loss_weight[i]:
                uses[number, i] += 1
    for (number, i), source in sources.items():
        layer = net_param.layer[number]
        if layer.bottom[i] in layer.top and uses[source] > 1:
            raise LayerError(f"layer '{layer.name}' ({layer.type}) writes in place the blob "
                             f"'{layer.bottom[i]}', which is read elsewhere too; name its top "
                             "otherwise")
    return sources, uses


def _produced_twice(net_param: caffe_pb2.NetParameter, layer: caffe_pb2.LayerParameter, index: int,
                    producer: int) -> str:
    """What is wrong with a top that is a blob already, and not the bottom of the same index."""
    blob = layer.top[index]
    if blob in layer.bottom:
        bottom = list(layer.bottom).index(blob)
        return (f"has the blob '{blob}' as top {index} and as bottom {bottom}: in place, both have "
                "the same index; reorder them, or name the top otherwise")
    return (f"produces the blob '{blob}', which layer '{net_param.layer[producer].name}' produces "
            f"already: Top blob '{blob}' produced by multiple sources; name one of them otherwise, "
            "or give layers of one phase an include rule")


def _split_name(net_param: caffe_pb2.NetParameter, source: Place) -> str:
    layer = net_param.layer[source[0]]
    return f"{layer.top[source[1]]}_{layer.name}_{source[1]}_split"


def _branch(net_param: caffe_pb2.NetParameter, source: Place, branch: int) -> str:
    return f"{_split_name(net_param, source)}_{branch}"


def outputs(net_param: caffe_pb2.NetParameter) -> list[str]:
    """The names of the blobs that no layer reads, sorted as in the original."""
    unread: set[str] = set()
    for layer in net_param.layer:
        unread.difference_update(layer.bottom)
        unread.update(set(layer.top) - {AUTOMATIC})
    return sorted(unread)


def check_names(net_param: caffe_pb2.NetParameter, layers: Sequence[Layer]) -> None:
    """Raise LayerError if two layers with parameters have one name: a file of weights, in which
    parameters go by the names of their layers, could not tell them apart."""
    named = Counter(spec.name for spec, layer in zip(net_param.layer, layers) if layer.blobs)
    for name, count in named.items():
        if count > 1:
            raise LayerError(f"{count} layers with parameters have the name '{name}': saved "
                             "weights could not be told apart; give each its own name")


def loss_weights(spec: caffe_pb2.LayerParameter, is_loss: bool) -> list[float]:
    """The loss weight of each top of a layer, a list of floats.

    spec : LayerParameter, its tops complete
    is_loss : whether the first top counts towards the loss where no loss_weight is given

    Raises LayerError where there are as many loss_weight as tops neither given nor, for a loss of
    several tops, left to the default, which is for one top alone.
    """
    given = list(spec.loss_weight) or ([1.0] if is_loss else [])
    if given and len(given) != len(spec.top):
        described = f"{len(given)} loss_weight" + ("" if spec.loss_weight else ", the default")
        raise LayerError("loss_weight must be unspecified or specified once per top blob: has "
                         f"{len(spec.top)} tops but {described}; give one for each top, 0 "
                         "where a top is no loss")
    return given or [0.0] * len(spec.top)


# bottoms to which force_backward asks for no gradient: labels, and where sequences begin
NEVER_FORCED = {"ContrastiveLoss": 2, "HingeLoss": 1, "InfogainLoss": 1, "LSTM": 1,
                "MultinomialLogisticLoss": 1, "RNN": 1, "SigmoidCrossEntropyLoss": 1,
                "SoftmaxWithLoss": 1}


def plan_backward(net_param: caffe_pb2.NetParameter, layers: Sequence[Layer],
                  loss_weights: Sequence[Sequence[float]], force: bool) -> list[list]:
    """Which layers run backward, to which bottoms and parameters.

    Parameters
    ----------
    net_param : NetParameter with splits
    layers : the layers, after set-up
    loss_weights : per layer, the loss weight of each top
    force : the net's force_backward

    Returns a list of [runs, propagate_down, param_propagate_down], one per layer. As in Caffe, a
    layer runs backward where something below it learns and a loss lies above it, and not where
    nothing above passes a gradient down to it; `force` asks for every gradient that exists, but not
    for those of labels. Where something that learns lies below a bottom without a gradient, the
    plan still asks for it, and `check_gradients` refuses that when it is run.
    """
    wanted: set[str] = set()
    plan: list[list] = []
    for spec, layer in zip(net_param.layer, layers):
        given = list(spec.propagate_down)
        if given and len(given) != len(spec.bottom):
            raise LayerError(f"layer '{spec.name}' has {len(spec.bottom)} bottoms but "
                             f"{len(given)} propagate_down")
        below = [blob in wanted for blob in spec.bottom]
        learns = learning(spec, layer)
        runs = any(below) or any(learns)
        wanted |= set(spec.top) if runs else set()
        plan.append([runs, given or below, learns])
    _drop_without_loss(net_param, plan, loss_weights)
    if force:
        for spec, layer, step in zip(net_param.layer, layers, plan):
            kept = {NEVER_FORCED.get(spec.type), *_without_gradient(layer)}
            # in place, the gradient of the top would pass for that of the bottom
            kept -= {i for i, name in enumerate(spec.bottom) if name in spec.top}
            step[0] = True
            step[1] = [down or i not in kept for i, down in enumerate(step[1])]
            step[2] = [True] * len(step[2])
    return plan


def check_gradients(spec: caffe_pb2.LayerParameter, layer: Layer, down: Sequence[bool]) -> None:
    """Raise LayerError if the backward of a layer is to give a gradient that it cannot give.

    spec, layer : the layer's LayerParameter and the layer itself
    down : for each bottom, whether a gradient is asked for
    """
    refused = [i for i in _without_gradient(layer) if i < len(down) and down[i]]
    if refused:
        raise LayerError(f"cannot propagate a gradient to bottom {refused[0]}, "
                         f"'{spec.bottom[refused[0]]}', below which something learns or a gradient "
                         "is asked for; propagate_down: false for that bottom stops it there")


def possible_gradients(layer: Layer, down: Sequence[bool]) -> list[bool]:
    """Of the bottoms to which a gradient is asked for, those to which the layer can give one."""
    return [wants and i not in _without_gradient(layer) for i, wants in enumerate(down)]


def _without_gradient(layer: Layer) -> Sequence[int]:
    """The indices of the bottoms to which a layer gives no gradient. A user's may have anything."""
    return layer.no_gradient if isinstance(layer, TensorLayer) else ()


def _drop_without_loss(net_param: caffe_pb2.NetParameter, plan: list[list],
                       loss_weights: Sequence[Sequence[float]]) -> None:
    """Stop backward where no loss lies above, or where nothing above passes a gradient down."""
    under_loss: set[str] = set()
    skipped: set[str] = set()
    for spec, step, weights in reversed(list(zip(net_param.layer, plan, loss_weights))):
        contributes = any(w or blob in under_loss for blob, w in zip(spec.top, weights))
        if step[0] and all(blob in skipped for blob in spec.top):
            step[0], step[1] = False, [False] * len(spec.bottom)
        if contributes:
            under_loss.update(spec.bottom)
        else:
            step[0], step[1] = False, [False] * len(spec.bottom)
        skipped.update(blob for blob, down in zip(spec.bottom, step[1]) if not down)
        logger.info("%s %s backward computation.", spec.name,
                    "needs" if step[0] else "does not need")


def learning(spec: caffe_pb2.LayerParameter, layer: Layer) -> list[bool]:
    """For each parameter of a layer, whether its lr_mult, 1 where the prototxt gives none, is not
    zero."""
    count = layer.given_params if isinstance(layer, BatchNorm) else len(spec.param)
    return [i >= count or spec.param[i].lr_mult != 0 for i in range(len(layer.blobs))]
