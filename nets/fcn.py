"""An FCN: data, trunk, head and loss, for training, validation and deployment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import NetSpec, Top
from caffe.proto import caffe_pb2

from . import caffenet, crfrnn, deeplab, dilated, googlenet, segnet, unet, vgg16, weighted
from .heads import HEADS, Head, predict
from .layers import Features, score
from .source import Source, voc

SPLITS = ("train", "val", "deploy")
TRUNKS = {"vgg16": vgg16, "caffenet": caffenet, "googlenet": googlenet}
# {head with a trunk of its own: its module}, which has `HEADS`, their names,
# `fitting(source, head, options)`, the Source with images of sizes that the net takes, and
# `predict(n, image, head, split, source, **options)`, which adds its layers to the NetSpec, up to
# `n.score` and `n.loss`
OWN_TRUNKS: dict[str, ModuleType] = {
    head: module for module in (deeplab, dilated, segnet, unet) for head in module.HEADS}


def fcn(head: str, split: str, source: Source | None = None, trunk: str = "vgg16",
        fusion: str | None = None, normalize: bool = False, learned: bool = False,
        scale: float | None = None, skip_scales: tuple | None = None, start: int = 0,
        **options: Any) -> caffe_pb2.NetParameter:
    """The NetParameter of an FCN.

    Parameters
    ----------
    head : 'fcn32s', 'fcn16s', 'fcn8s', 'fcn8s-atonce' or 'fcn32s-fixed'; 'crfrnn', FCN-8s with a
        CRF, which takes options of crfrnn.refine too; or one of OWN_TRUNKS, which take of what
        follows scale, start and options alone
    split : 'train', 'val' or 'deploy' (Input blobs; no label, no loss)
    source : nets.source.Source, default PASCAL VOC; of several labels each has scores of its own
    trunk : 'vgg16', 'caffenet' or 'googlenet'
    fusion : of a source with several images: 'early', one trunk on all their channels, or 'late',
        a trunk for each and their scores averaged
    normalize : whether the loss is the mean over pixels, not their sum
    learned : whether the interpolation between stages learns
    scale : factor on the mean-subtracted image; default: none
    skip_scales : the fixed factors of 'fcn8s-atonce' on its skips, the coarser first; default: the
        published ones, for features as large as those of the ILSVRC nets
    start : samples that the data layer skips, to continue a training run
    options : of the trunk: width, the fraction of its channels, rounded to whole ones, at least 1;
        filler of its weights, e.g. 'msra' to train from scratch, default: zero, to be copied;
        fc6_kernel, the side of fc6 where there is one

    Raises ValueError for an unknown name, for a fusion that does not fit the source or head, and
    for what a head of OWN_TRUNKS does not take.
    """
    _check("head", head, (*HEADS, "crfrnn", *OWN_TRUNKS))
    _check("split", split, SPLITS)
    _check("trunk", trunk, TRUNKS)
    source = fitting(source or voc(), head, options)
    n = caffe.NetSpec()
    _data(n, source, split, start)
    if head not in HEADS and max(len(source.images), len(source.labels)) > 1:
        raise ValueError(f"head '{head}' takes one image and one label, not "
                         f"{', '.join((*source.images, *source.labels))}")
    if head in OWN_TRUNKS:
        given = {"trunk": trunk != "vgg16", "fusion": fusion, "normalize": normalize,
                 "learned": learned, "skip_scales": skip_scales}
        if ignored := [name for name, value in given.items() if value]:
            raise ValueError(f"head '{head}' has a trunk and scores of its own and does not take "
                             f"{', '.join(ignored)}; leave it out")
        OWN_TRUNKS[head].predict(n, _scaled(n, n.data, scale), head, split, source, **options)
    else:
        _fcn(n, head, split, source, TRUNKS[trunk].trunk, fusion, normalize, learned, scale,
             skip_scales, options)
    net = n.to_proto()
    if split == "train" and source.has_weights:
        weighted.weigh_pixels(net, "weight")
    return _deployed(net) if split == "deploy" else net


def fitting(source: Source, head: str, options: Mapping[str, Any]) -> Source:
    """The source with images of the sizes that the head takes, with these options of `fcn`.

    Raises layers.FitError, with the nearest sizes that do, for training crops that do not fit.
    """
    return OWN_TRUNKS[head].fitting(source, head, options) if head in OWN_TRUNKS else source


def _fcn(n: NetSpec, head: str, split: str, source: Source, trunk: Callable[..., Features],
         fusion: str | None, normalize: bool, learned: bool, scale: float | None,
         skip_scales: tuple | None, options: dict[str, Any]) -> None:
    """The scores and losses of the paper's heads, and of CRF-RNN behind one of them."""
    refining = {key: options.pop(key) for key in ("thetas",) if key in options}
    parts = HEADS[crfrnn.BASE if head == "crfrnn" else head]
    parts = replace(parts, scales=skip_scales or parts.scales)
    features = _features(n, source, parts, trunk, fusion, scale, dict(options, fixed=parts.fixed))
    for i, (label, classes) in enumerate(source.labels.items()):
        task = f"_{label}" if len(source.labels) > 1 else ""
        predict(n, features, parts, classes, task, learned)
        if head == "crfrnn":
            n.coarse = n.score
            crfrnn.refine(n, n.coarse, n.data, split, **refining)
        if split != "deploy":
            n["loss" + (task if i else "")] = L.SoftmaxWithLoss(
                n["score" + task], n[label],
                loss_param=dict(normalize=normalize, ignore_label=255))


def _deployed(net: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """The net as it is published for deployment: without dropout that does nothing there, and
    with a single image in a layer named 'input'."""
    layers = [layer for layer in net.layer if layer.type != "Dropout"
              or getattr(layer.dropout_param, "sample_weights_test", False)]
    inputs = [layer for layer in layers if layer.type == "Input"]
    if len(inputs) == 1:
        inputs[0].name = "input"
    return type(net)(layer=layers)


def _data(n: NetSpec, source: Source, split: str, start: int) -> None:
    if split == "deploy":
        for image, channels in source.images.items():
            side = -(-500 // source.multiple) * source.multiple + 2 * source.margin
            n[image] = L.Input(shape=dict(dim=[1, channels, side, side]))
    else:
        for name, top in source.tops(split, **({"start": start} if start else {})).items():
            n[name] = top


def _features(n: NetSpec, source: Source, head: Head, trunk: Callable[..., Features],
              fusion: str | None, scale: float | None, options: dict[str, Any]) -> Features:
    """The Features of one trunk, or of one for each image."""
    images = {name: n[name] for name in source.images}
    expected = (None,) if len(images) == 1 else ("early", "late")
    if fusion not in expected:
        raise ValueError(f"fusion is {fusion!r}; with the images {', '.join(images)} it can be "
                         f"{' or '.join(map(repr, expected))}")
    if fusion == "late":
        if len(source.labels) > 1 or head.scales:
            raise ValueError("fusion 'late' takes one label, and skips without factors")
        return _late(n, images, trunk, source.classes, head.skips, scale, options)
    if fusion == "early":
        n.data = L.Concat(*images.values())
        return trunk(n, _scaled(n, n.data, scale), first_conv_suffix="_bgrd", **options)
    image, = images.values()
    return trunk(n, _scaled(n, image, scale), **options)


def _late(n: NetSpec, images: dict[str, Top], trunk: Callable[..., Features], classes: int,
          skips: int, scale: float | None, options: dict[str, Any]) -> Features:
    """A trunk and scores for each image, those of the first `skips` too; they are averaged."""
    branches = []
    for suffix, image in images.items():
        branches.append(trunk(n, _scaled(n, image, scale, suffix), suffix=suffix, **options))
        tops = {"fr": branches[-1].top, **dict(list(branches[-1].skips.items())[:skips])}
        for name, top in tops.items():
            n[f"score_{name}{suffix}"] = score(top, classes)
    scores = {name: L.Eltwise(*(n[f"score_{name}{suffix}"] for suffix in images),
                              operation=P.Eltwise.SUM, coeff=[1 / len(images)] * len(images))
              for name in tops}
    n.score_fused = scores["fr"]
    return replace(branches[0], scores=scores)


def _scaled(n: NetSpec, image: Top, scale: float | None, suffix: str = "") -> Top:
    if scale is None:
        return image
    n["scaled" + suffix] = L.Power(image, scale=scale)
    return n["scaled" + suffix]


def classifier(trunk: str = "vgg16", size: int | None = None, batch: int | None = None,
               classes: int = 1000, scale: float | None = None, **options: Any
               ) -> caffe_pb2.NetParameter:
    """The NetParameter of a trunk's ILSVRC classifier, of images of `size` × `size`.

    `size` is by default the published one. `options` are width and filler, as of `fcn`. With
    `batch`, the inputs are data and label, and the tops loss and accuracy; without, data is a
    single image and the top is prob. Raises ValueError for an unknown trunk.
    """
    _check("trunk", trunk, TRUNKS)
    module = TRUNKS[trunk]
    size = size or module.SIZE
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[batch or 1, 3, size, size]))
    if batch:
        n.label = L.Input(shape=dict(dim=[batch]))
    scores = module.classifier(n, _scaled(n, n.data, scale), classes, size=size, **options)
    if batch:
        n.loss = L.SoftmaxWithLoss(scores, n.label)
        n.accuracy = L.Accuracy(scores, n.label)
    else:
        n.prob = L.Softmax(scores)
    return n.to_proto()


def _check(what: str, value: str, known: Collection[str]) -> None:
    if value not in known:
        raise ValueError(f"unknown {what} '{value}'; known are {', '.join(known)}")
