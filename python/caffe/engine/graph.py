"""From a NetParameter to the layers that run: rules of inclusion, splits, and what needs gradients.

Everything here works on protobuf messages alone.
"""

from collections import Counter

from ..errors import LayerError, nearest
from ..proto import caffe_pb2


def filter_layers(net_param):
    """A copy of `net_param` with the layers that its state (phase, level, stages) includes."""
    filtered = caffe_pb2.NetParameter()
    filtered.CopyFrom(net_param)
    del filtered.layer[:]
    for layer in net_param.layer:
        if layer.include and layer.exclude:
            raise LayerError(f"layer '{layer.name}' has both include and exclude rules")
        if layer.include:
            kept = any(_meets(net_param.state, rule) for rule in layer.include)
        else:
            kept = not any(_meets(net_param.state, rule) for rule in layer.exclude)
        if kept:
            filtered.layer.add().CopyFrom(layer)
    return filtered


def _meets(state, rule):
    return ((not rule.HasField("phase") or rule.phase == state.phase)
            and (not rule.HasField("min_level") or state.level >= rule.min_level)
            and (not rule.HasField("max_level") or state.level <= rule.max_level)
            and all(stage in state.stage for stage in rule.stage)
            and not any(stage in state.stage for stage in rule.not_stage))


def insert_splits(net_param):
    """A copy of `net_param` in which a Split layer serves each blob with several readers.

    A top with a loss weight counts the loss as one more reader, which takes the first branch.
    Names are the original's: blob_layer_index_split and blob_layer_index_split_branch.
    """
    sources, uses = _readers(net_param)
    split = caffe_pb2.NetParameter()
    split.CopyFrom(net_param)
    del split.layer[:]
    taken = Counter()
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
                new.loss_weight[i] = 0
                taken[number, i] += 1
    return split


def _readers(net_param):
    """Where each bottom comes from, and how often each top is read; tops are (layer, index)."""
    sources, uses, latest = {}, Counter(), {}
    for number, layer in enumerate(net_param.layer):
        for i, blob in enumerate(layer.bottom):
            if blob not in latest:
                raise LayerError(f"layer '{layer.name}' ({layer.type}) reads the blob '{blob}', "
                                 f"which no layer above it produces" + nearest(blob, latest))
            sources[number, i] = latest[blob]
            uses[latest[blob]] += 1
        for i, blob in enumerate(layer.top):
            if blob in latest and blob not in layer.bottom:
                first = net_param.layer[latest[blob][0]].name
                raise LayerError(f"layer '{layer.name}' ({layer.type}) produces the blob "
                                 f"'{blob}', which layer '{first}' produces already")
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


def _split_name(net_param, source):
    layer = net_param.layer[source[0]]
    return f"{layer.top[source[1]]}_{layer.name}_{source[1]}_split"


def _branch(net_param, source, branch):
    return f"{_split_name(net_param, source)}_{branch}"


def plan_backward(net_param, layers, loss_weights, force):
    """Which layers run backward, to which bottoms and parameters.

    Parameters
    ----------
    net_param : NetParameter with splits
    layers : the layers, after set-up
    loss_weights : per layer, the loss weight of each top
    force : the net's force_backward

    Returns a list of (runs, propagate_down, param_propagate_down), one per layer. As in Caffe, a
    layer runs backward where something below it learns and a loss lies above it; `force` asks
    for every gradient that exists.
    """
    wanted, plan = set(), []
    for spec, layer in zip(net_param.layer, layers):
        forbidden = getattr(layer, "no_gradient", ())
        given = list(spec.propagate_down)
        if given and len(given) != len(spec.bottom):
            raise LayerError(f"layer '{spec.name}' has {len(spec.bottom)} bottoms but "
                             f"{len(given)} propagate_down")
        down = given or [blob in wanted for blob in spec.bottom]
        params = [_multiplier(spec, i) != 0 for i in range(len(layer.blobs))]
        runs = any(down) or any(params)
        wanted = (wanted | set(spec.top)) if runs else (wanted - set(spec.top))
        plan.append([runs, down, params, forbidden])
    _drop_without_loss(net_param, plan, loss_weights)
    if force:
        for step in plan:
            step[0] = True
            step[1] = [i not in step[3] for i in range(len(step[1]))]
            step[2] = [True] * len(step[2])
    for spec, (runs, down, _, forbidden) in zip(net_param.layer, plan):
        for i in forbidden:
            if runs and i < len(down) and down[i]:
                raise LayerError(f"layer '{spec.name}' ({spec.type}) cannot propagate a gradient "
                                 f"to its bottom {i}, '{spec.bottom[i]}'")
    return [step[:3] for step in plan]


def _drop_without_loss(net_param, plan, loss_weights):
    """Stop backward where no loss lies above, or where nothing above passes a gradient down."""
    under_loss, skipped = set(), set()
    for spec, step, weights in reversed(list(zip(net_param.layer, plan, loss_weights))):
        contributes = any(w or blob in under_loss for blob, w in zip(spec.top, weights))
        if spec.top and all(blob in skipped for blob in spec.top):
            step[0], step[1] = False, [False] * len(spec.bottom)
        if not contributes:
            step[0], step[1] = False, [False] * len(spec.bottom)
        for blob, down in zip(spec.bottom, step[1]):
            if contributes:
                under_loss.add(blob)
            if not down:
                skipped.add(blob)


def _multiplier(spec, index):
    return spec.param[index].lr_mult if index < len(spec.param) else 1.0
