"""Random nets of one layer: any type of the original, with random settings of its own schema,
shapes of the bottoms and values. Many are refused; then both sides have to refuse.

Values are finite: docs/fidelity.md says what the engine does otherwise with those that are not.
"""

import json
from typing import NamedTuple

import numpy as np

from fcn.nets.source import ROOT

SCHEMA = json.loads((ROOT / "tests/golden/caffe_schema.json").read_text())
ALIKE, ONE_LESS = "as many tops as bottoms", "one top less than bottoms"


class Kind(NamedTuple):
    """A type of layers: the message of its settings, and from how many to how many bottoms and tops
    it has."""

    message: str | None
    bottoms: tuple
    tops: tuple | str


ONE = (1, 1)
KINDS = {
    **{name: Kind(None, ONE, ONE) for name in ("AbsVal", "BNLL", "Sigmoid", "TanH")},
    **{name: Kind(name, ONE, ONE) for name in (
        "BatchNorm", "Clip", "Dropout", "ELU", "Embed", "Exp", "Flatten", "InnerProduct", "LRN",
        "Log", "MVN", "PReLU", "Power", "ReLU", "Reduction", "Reshape", "SPP", "Softmax", "Swish",
        "Threshold", "Tile")},
    "Accuracy": Kind("Accuracy", (2, 2), (1, 2)),
    "ArgMax": Kind("ArgMax", ONE, ONE),
    "BatchReindex": Kind(None, (2, 2), ONE),
    "Bias": Kind("Bias", (1, 2), ONE),
    "Concat": Kind("Concat", (1, 3), ONE),
    "ContrastiveLoss": Kind("ContrastiveLoss", (3, 3), ONE),
    "Convolution": Kind("Convolution", (1, 2), ALIKE),
    "Crop": Kind("Crop", (2, 2), ONE),
    "Deconvolution": Kind("Convolution", (1, 2), ALIKE),
    "Eltwise": Kind("Eltwise", (1, 3), ONE),
    "EuclideanLoss": Kind(None, (2, 2), ONE),
    "Filter": Kind(None, (2, 3), ONE_LESS),
    "HingeLoss": Kind("HingeLoss", (2, 2), ONE),
    "Im2col": Kind("Convolution", ONE, ONE),
    "InfogainLoss": Kind("InfogainLoss", (3, 3), (1, 2)),
    "LSTM": Kind("Recurrent", (2, 3), (1, 3)),
    "MultinomialLogisticLoss": Kind(None, (2, 2), ONE),
    "Parameter": Kind("Parameter", (0, 0), ONE),
    "Pooling": Kind("Pooling", ONE, (1, 2)),
    "RNN": Kind("Recurrent", (2, 3), (1, 2)),
    "Scale": Kind("Scale", (1, 2), ONE),
    "SigmoidCrossEntropyLoss": Kind("Loss", (2, 2), ONE),
    "Silence": Kind(None, (1, 2), (0, 0)),
    "Slice": Kind("Slice", ONE, (1, 3)),
    "SoftmaxWithLoss": Kind("Loss", (2, 2), (1, 2)),
    "Split": Kind(None, ONE, (1, 3)),
}
# settings that need files, name another library, or are for debugging
UNDRAWN = {"debug_info", "engine", "force_nd_im2col", "moving_average_fraction", "source"}
# {setting: how often it is absent}, of those without which a layer is refused
RARELY_ABSENT = {"num_output": 0.03, "input_dim": 0.03, "pyramid_height": 0.03, "min": 0.03,
                 "max": 0.03, "shape": 0.1, "kernel_size": 0.2, "local_size": 0.4}
OFTEN_ABSENT = {f"{field}_{axis}" for field in ("kernel", "pad", "stride") for axis in "hw"}
INTEGERS = {
    "axis": [0, 1, 2, 3, -1, -2], "concat_dim": [0, 1, 2, 3], "dilation": [1, 2, 3],
    "end_axis": [-1, 1, 2, 3], "group": [1, 1, 2, 3], "ignore_label": [0, 1, 2, -1, 255],
    "input_dim": [3, 5], "kernel_h": [1, 2, 3], "kernel_size": [1, 2, 3, 4],
    "kernel_w": [1, 2, 3], "local_size": [1, 3, 5, 2], "num_axes": [0, 1, 2, -1],
    "num_output": [1, 2, 3, 4, 6], "offset": [0, 1, 2], "pyramid_height": [1, 2, 3],
    "slice_dim": [0, 1, 2], "slice_point": [1, 2, 3], "stride": [1, 2, 3, 4],
    "stride_h": [1, 2, 3], "stride_w": [1, 2], "tiles": [1, 2, 3, 0], "top_k": [1, 2, 3, 5]}
FLOATS = [0, 1, 0.5, -1, 2, -0.3, 0.75, 3, 1.5]
POSITIVE = {"k": [1, 2, 0.5]}           # LRN has a power of what is at least k
SIZES = [0, -1, 1, 2, 3, 4, 6, 8]       # of a shape in a setting; Reshape knows 0 and -1
CLASSIFYING = {"Accuracy", "HingeLoss", "InfogainLoss", "MultinomialLogisticLoss",
               "SoftmaxWithLoss"}
INDICES = {"BatchReindex": 1, "ContrastiveLoss": 2, "Embed": 0, "SigmoidCrossEntropyLoss": 1,
           **dict.fromkeys(CLASSIFYING, 1)}     # {type: which of its bottoms are indices}
NO_GRADIENT = {"Accuracy", "ArgMax", "BatchReindex", "Embed", "Filter", "InfogainLoss", "Silence",
               "Threshold"}     # backward, the original ends its process


def layer_case(seed, kind):
    """The arguments of plays.play_net: a layer of this type, forward and backward."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    least, most = KINDS[kind].bottoms
    shapes = bottom_shapes(rng, kind, int(rng.integers(least, most + 1)))
    # Dropout draws numbers of its own in TRAIN
    phase = 1 if kind == "Dropout" else int(rng.integers(2))
    inputs = [f'layer {{ name: "in{i}" type: "Input" top: "b{i}" input_param {{ shape {{ '
              + " ".join(f"dim: {size}" for size in shape) + " } } }"
              for i, shape in enumerate(shapes)]
    force = [] if kind in NO_GRADIENT else ["force_backward: true"]
    return {"text": "\n".join([*force, *inputs, layer(rng, kind, len(shapes))]), "phase": phase,
            "operations": [
                ("fill_params", seed),
                *(("write", f"b{i}", "data", filling(kind, i, shapes), seed + i)
                  for i in range(len(shapes))),
                ("forward",), ("read_all", "data"), ("write_output_diffs", seed), ("backward",),
                ("read_all", "data", "diff")]}


def some_shape(rng):
    axes = rng.choice([4, 4, 4, 4, 3, 2, 2, 1, 5, 0])
    return [int(rng.integers(1, most + 1)) for most in (4, 5, 8, 8, 4)[:axes]]


def bottom_shapes(rng, kind, count):
    """A shape for each bottom; as a rule they fit together."""
    first = some_shape(rng)
    if kind in ("LSTM", "RNN"):
        first = (first + [1, 2, 3])[:max(3, len(first))]
    elif kind == "ContrastiveLoss":
        first = (first + [1, 1])[:2] + [1, 1] * int(rng.integers(2))
    return [first, *(later_shape(rng, kind, i, count, first) if rng.random() > 0.03
                     else some_shape(rng) for i in range(1, count))][:count]


def later_shape(rng, kind, i, count, first):
    """The shape of the bottom with number i of `count`, beside that of the first."""
    if kind in CLASSIFYING and i == 1:
        return [[*first[:1], *([1] * (len(first) > 1)), *first[2:]], first[:1] + first[2:],
                first[:1], first][rng.choice(4, p=[0.5, 0.25, 0.15, 0.1])]
    if kind == "InfogainLoss":
        return [1, 1, *(first[1:2] or [1]) * 2]
    if kind == "BatchReindex":
        return [int(rng.integers(1, 5))]
    if kind == "ContrastiveLoss" and i == 2:
        return first[:1]
    if kind in ("Scale", "Bias"):
        axis = int(rng.integers(len(first) + 1))
        return first[axis:axis + int(rng.integers(3))]
    if kind == "Crop":
        return [int(rng.integers(1, size + 1)) for size in first]
    if kind in ("LSTM", "RNN"):
        return first[:2] if i == 1 else [first[1], 3]
    if kind == "Concat" and first and rng.random() < 0.3:
        axis = int(rng.integers(len(first)))
        return [*first[:axis], int(rng.integers(1, 5)), *first[axis + 1:]]
    if kind == "Filter" and i == count - 1:
        return first[:1] + [1, 1, 1] * int(rng.integers(2))
    return first


def filling(kind, i, shapes):
    """What the values of a bottom are, for plays.drawn."""
    first = shapes[0]
    if kind == "Filter" and i == len(shapes) - 1 or kind in ("LSTM", "RNN") and i == 1:
        return ("choice",)
    if i == INDICES.get(kind):
        classes = {"Embed": 3, "ContrastiveLoss": 2, "SigmoidCrossEntropyLoss": 2,
                   "BatchReindex": (first or [1])[0]}
        return "classes", classes.get(kind, first[1] if len(first) > 1 else 2)
    if kind == "Log" or (kind, i) in (("MultinomialLogisticLoss", 0), ("InfogainLoss", 2)):
        return ("positive",)
    return ("normal",)


def layer(rng, kind, bottoms):
    """The text of the layer."""
    tops = KINDS[kind].tops
    if tops in (ALIKE, ONE_LESS):
        tops = bottoms - (tops == ONE_LESS)
    else:
        tops = int(rng.integers(tops[0], tops[1] + 1))
    # MVN's gradient in place is on purpose another one
    in_place = bottoms == tops == 1 and rng.random() < 0.15 and kind != "MVN"
    parts = [f'name: "L" type: "{kind}"', *(f'bottom: "b{i}"' for i in range(bottoms)),
             *(f'top: "{"b" if in_place else "t"}{i}"' for i in range(tops))]
    messages = {KINDS[kind].message} - {None}
    if kind in ("InfogainLoss", "MultinomialLogisticLoss") and rng.random() < 0.5:
        messages.add("Loss")
    elif kind == "SoftmaxWithLoss" and rng.random() < 0.4:
        messages.add("Softmax")
    for message in sorted(messages):
        field = next(field["name"] for field in SCHEMA["messages"]["caffe.LayerParameter"]
                     if field["type"] == f"caffe.{message}Parameter")
        parts.append(f"{field} {{ {settings(rng, f'caffe.{message}Parameter', kind)} }}")
    if rng.random() < 0.15 and kind != "MVN":       # its gradient would be 0, but for rounding
        parts += [f"loss_weight: {rng.choice([0, 0.5, 2, 1])}" for _ in range(tops)]
    return f"layer {{ {' '.join(parts + propagated(kind, bottoms))} }}"


def propagated(kind, bottoms):
    """No gradient is asked for by what has none: labels, indices, choices."""
    if kind == "Filter":
        without = [bottoms - 1]
    elif kind == "InfogainLoss":
        without = [1, 2]
    elif kind == "ContrastiveLoss" or kind not in INDICES:
        return []
    else:
        without = [INDICES[kind]]
    return [f"propagate_down: {'false' if i in without else 'true'}" for i in range(bottoms)]


def settings(rng, message, kind):
    """Random fields of a message of the original."""
    absent, parts = rng.choice([0.5, 0.7, 0.85, 0.95]), []
    for field in SCHEMA["messages"][message]:
        name = field["name"]
        if name in UNDRAWN or rng.random() < RARELY_ABSENT.get(name, absent) \
                or name in OFTEN_ABSENT and rng.random() < 0.8 \
                or kind == "SPP" and name == "kernel_size":
            continue
        count = rng.choice([1, 1, 1, 1, 2, 2, 3]) if field["label"] == "repeated" else 1
        parts += [value for _ in range(count) if (value := setting(rng, name, field["type"], kind))]
    return " ".join(parts)


def setting(rng, name, type, kind):
    """The text of one field, or None."""
    if type in SCHEMA["enums"]:
        return f"{name}: {rng.choice(list(SCHEMA['enums'][type]))}"
    if type == "caffe.FillerParameter":
        return f'{name} {{ type: "gaussian" std: 0.4 }}'
    if type == "caffe.BlobShape":
        sizes = rng.choice(SIZES[2 * (kind == "Parameter"):], int(rng.integers(4)))
        return f"{name} {{ {' '.join(f'dim: {size}' for size in sizes)} }}"
    if type.startswith("caffe."):
        return f"{name} {{ {settings(rng, type, kind)} }}"
    if type == "string":
        return None
    values = POSITIVE.get(name) or {"bool": ["true", "false"], "float": FLOATS}.get(
        type, INTEGERS.get(name, [0, 1, 2, 3]))
    return f"{name}: {rng.choice(values)}"
