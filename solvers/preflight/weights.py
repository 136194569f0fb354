"""What the net starts from: parameters that cannot learn, and weights that did not arrive."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fcn import surgery
from fcn.nets.heads import HEADS
from segdata.download import catalog
from segdata.lists import some

from .findings import Finding

if TYPE_CHECKING:
    import caffe
    from caffe.proto import caffe_pb2

WEIGHTED = ("Convolution", "Deconvolution", "InnerProduct", "Scale", "Embed")
# layers that give zeros for zeros, where they have no parameters
KEEP_ZERO = ("ReLU", "Pooling", "Dropout", "LRN", "Crop", "Eltwise", "Concat", "Flatten", "Reshape",
             "Slice", "Split", "TanH", "AbsVal")


def findings(net: caffe.Net, param: caffe_pb2.NetParameter) -> Iterator[Finding]:
    """The findings about a net's parameters; `param` is what it was built from."""
    broken = [name for name in net.params if not all(
        np.isfinite(blob.data).all() for blob in surgery.layer_parameters(net, name))]
    if broken:
        yield Finding(f"the weights of {some(broken)} are not finite",
                      "take other weights: from these every loss is NaN")
    if stuck := zero_for_ever(net, param):
        yield Finding(f"the weights of {some(stuck)} are all zero and would stay so: between them "
                      "and the loss, or the image, everything is zero as well, and so is their "
                      "gradient", "fill all but one of them: give them a weight_filler, copy "
                      "weights, or, for deconvolutions, surgery.interp(net, [names])")
    if flat := not_interpolating(net, param):
        yield Finding(f"the deconvolutions {some(flat)} do not interpolate: their weights are not "
                      "those of bilinear upsampling", "surgery.interp(net, [names])")


def zero_for_ever(net: caffe.Net, param: caffe_pb2.NetParameter) -> list[str]:
    """The layers whose weights are all zero and have no gradient however long they are trained.

    A score layer of zeros learns from its input. Two such layers in a row do not: the first has no
    gradient, the second no input. Weights are followed from what learns to what learns then.
    """
    layers = [layer for layer in param.layer if layer.name in net.params or not _weighted(layer)]
    zero = {(layer.name, i): not blob.data.any() for layer in layers if _weighted(layer)
            for i, blob in enumerate(surgery.layer_parameters(net, layer.name))}
    reached = _gradients(layers, dict.fromkeys(zero, False), {})
    while True:
        silent = _silent_inputs(layers, zero)
        alive = _gradients(layers, zero, silent)
        learning = [key for key, is_zero in zero.items() if is_zero
                    and alive[key[0]] and (key[1] > 0 or not silent[key[0]])
                    and _rate(layers, key)]
        if not learning:
            return [name for (name, i), is_zero in zero.items()
                    if is_zero and i == 0 and reached[name]]
        zero.update(dict.fromkeys(learning, False))


def _weighted(layer: caffe_pb2.LayerParameter) -> bool:
    return layer.type in WEIGHTED


def _rate(layers: list, key: tuple[str, int]) -> float:
    layer = next(layer for layer in layers if layer.name == key[0])
    return layer.param[key[1]].lr_mult if key[1] < len(layer.param) else 1


def _silent_inputs(layers: list, zero: dict) -> dict[str, bool]:
    """{layer: whether its bottoms are zero for every image}."""
    blobs: dict[str, bool] = {}
    silent = {}
    for layer in layers:
        silent[layer.name] = inputs = bool(layer.bottom) and all(
            blobs.get(name, False) for name in layer.bottom)
        if _weighted(layer):
            gives_zero = (zero[layer.name, 0] or inputs) and zero.get((layer.name, 1), True)
        else:
            gives_zero = inputs and (layer.type in KEEP_ZERO or layer.type == "Power"
                                     and not layer.power_param.shift)
        blobs.update(dict.fromkeys(layer.top, gives_zero))
    return silent


def _gradients(layers: list, zero: dict, silent: dict) -> dict[str, bool]:
    """{layer: whether a gradient that is not zero comes to its top}."""
    alive: dict[str, bool] = defaultdict(bool)
    reached = {}
    for layer in reversed(layers):
        is_loss = layer.type.endswith("Loss") or any(layer.loss_weight)
        here = reached[layer.name] = is_loss or any(alive[name] for name in layer.top)
        passes = here and not zero.get((layer.name, 0), False) \
            and not (layer.type == "ReLU" and silent.get(layer.name, False))
        for name in layer.bottom:
            alive[name] = passes or (alive[name] and name not in layer.top)
    return reached


def not_interpolating(net: caffe.Net, param: caffe_pb2.NetParameter) -> list[str]:
    """The deconvolutions named upscore... whose weights are not bilinear; those all zero aside."""
    found = []
    for layer in param.layer:
        if layer.type != "Deconvolution" or not layer.name.startswith("upscore"):
            continue
        weights = np.asarray(surgery.layer_parameters(net, layer.name)[0].data)
        channels, outputs, height, width = weights.shape
        expected = np.zeros_like(weights)
        diagonal = np.arange(channels)
        if height == width and outputs in (channels, 1):
            expected[diagonal, diagonal if outputs == channels else 0] = surgery.bilinear(height)
        if weights.any() and not np.allclose(weights, expected, atol=1e-4):
            found.append(layer.name)
    return found


def unplaced(head: str, reports: list[list[surgery.Outcome]], param: caffe_pb2.NetParameter
             ) -> Iterator[Finding]:
    """What of the weights did not arrive, by the reports of the transplants that filled the net of
    `param`. Layers that do not learn, such as fixed scales, need none, and those with a
    weight_filler, or of types that begin by themselves, start anew."""
    if not reports:
        return
    kept = set.intersection(*({outcome.name for outcome in report if outcome.kind == "kept"}
                              for report in reports))
    before = _learnt_before(head, param)
    early = [name for name in sorted(kept) if name.startswith(before)] if before else []
    if early:
        stage = f"FCN-{64 >> HEADS[head].skips}s"
        yield Finding(f"a net of head {head} starts from weights without {some(early)}, as if from "
                      f"the classifier", f"train {stage} first and start from its weights "
                      "(`fcn solve EXPERIMENT --chain`), or take the head fcn8s-atonce")
    fixed = {layer.name for layer in param.layer
             if layer.param and not any(spec.lr_mult for spec in layer.param)}
    anew = {layer.name for layer in param.layer
            if layer.convolution_param.HasField("weight_filler") or not _weighted(layer)}
    empty = [name for name in sorted(kept - fixed - anew)
             if not name.startswith(("score", "upscore"))]
    if empty:
        yield Finding(f"the weights filled no {some(empty)}: there are no layers of these names in "
                      "what the net starts from", "give the layers the names that they have there, "
                      "or take the weights of the same trunk")
    lost = [outcome.name for report in reports for outcome in report if outcome.kind == "dropped"
            and "[" not in outcome.name and not outcome.name.startswith(("score", "upscore"))]
    if lost:
        yield Finding(f"no layer of the net took the weights of {some(lost)}",
                      "give the layers the names that they have in the weights")


def _learnt_before(head: str, param: caffe_pb2.NetParameter) -> tuple[str, ...]:
    """How the names begin of the score layers that the stage before has learnt, those of all but
    the finest skip of each label; () for a head that is trained in one stage."""
    parts = HEADS.get(head)
    if not parts or not parts.skips or parts.scales:
        return ()
    fused = [layer.name.removeprefix("fuse_") for layer in param.layer
             if layer.name.startswith("fuse_")]
    return ("score_fr", *(f"score_{name}" for number, name in enumerate(fused, 1)
                          if number % parts.skips))


# {name: checksum} of the weights whose checksum is published
KNOWN = {name: item.checksum for name, item in catalog.ITEMS.items()
         if item.path.endswith(".caffemodel") and item.checksum and not item.package}


def not_what_its_name_says(name: str, path: Path) -> Iterator[Finding]:
    """A finding if the file of a catalog entry does not have the published checksum."""
    if name not in KNOWN:
        return
    item, kinds = catalog.ITEMS[name], {checksum.partition(":")[0] for checksum in KNOWN.values()}
    found = [f"{kind}:{_hash(path, kind)}" for kind in sorted(kinds)]
    if KNOWN[name] in found:
        return
    owner = next((other for other, checksum in KNOWN.items() if checksum in found), None)
    remedy = f"download it anew: remove it, then make {item.target}"
    if owner:
        yield Finding(f"{path} should be {item.title}, but is {catalog.ITEMS[owner].title}", remedy)
    else:
        yield Finding(f"{path} is not {item.title} as published: expected {KNOWN[name]}, got "
                      f"{found[0]}", f"{remedy}; converted copies have other checksums and may be "
                      "right", stops=False)


def _hash(path: Path, kind: str) -> str:
    with open(path, "rb") as file:
        digest = hashlib.new(kind)
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
