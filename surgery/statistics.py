"""The BN of SegNet's fork, made ready for testing as SegNet's and DeconvNet's releases do it.

In training it normalizes by the statistics of the batch. For testing they are measured in passes
over training data and folded into its two parameters: y = scale · x + shift.

    param = surgery.with_statistics(train_net_parameter)        # to be written as a prototxt
    net = caffe.Net(prototxt, weights, caffe.TEST)
    surgery.fold_statistics(net, surgery.statistics(net, passes))
    net.save(path)                                              # for bn_mode: INFERENCE
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

import caffe
from caffe.proto import caffe_pb2

from .parameters import SurgeryError, layer_parameters

EPS = 1e-9      # of the fork's BN, added to variances
Statistics = Mapping[str, tuple[np.ndarray, np.ndarray]]


def learns_statistics(layer: caffe_pb2.LayerParameter) -> bool:
    """Whether a layer is a BN of SegNet's fork that normalizes by the statistics of the batch."""
    if layer.type != "BN" or not hasattr(layer, "bn_param"):
        return False
    p = layer.bn_param
    return p.bn_mode != p.INFERENCE and any(
        map(p.HasField, ("scale_filler", "shift_filler", "bn_mode")))


def with_statistics(param: caffe_pb2.NetParameter) -> caffe_pb2.NetParameter:
    """A copy of a train net whose BN layers give their mean and variance as further tops,
    LAYER-mean and LAYER-var, and which has no losses, nor fillers of weights: to make it draws no
    random numbers, which are those of the training.

    Raises SurgeryError where no BN learns.
    """
    net = type(param)()
    net.CopyFrom(param)
    learning = [layer for layer in net.layer if learns_statistics(layer)]
    if not learning:
        raise SurgeryError("the net has no BN of SegNet's fork in bn_mode: LEARN, of which there "
                           "would be statistics")
    for layer in learning:
        layer.top[1:] = [f"{layer.name}-mean", f"{layer.name}-var"]
    kept = [layer for layer in net.layer if "Loss" not in layer.type]
    for layer in kept:
        for name in ("convolution_param", "inner_product_param"):
            if layer.HasField(name):
                getattr(layer, name).ClearField("weight_filler")
    del net.layer[:]
    net.layer.extend(kept)
    return net


def statistics(net: caffe.Net, passes: int,
               progress: Callable[[Iterable[int]], Iterable[int]] = iter
               ) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """{BN layer: (mean, variance) of its channels}, each the mean over `passes` forward passes of
    the statistics of a batch. Variances are biased, divided by the number of values.

    net : of a prototxt as `with_statistics` makes it, in phase TEST, with data of its own;
    progress : the numbers of the passes go through it, to be counted

    Raises SurgeryError for no pass, for a net without such tops, and for statistics that are not
    finite, with the layer.
    """
    tops = {name: net.top_names[name][1:] for name, layer in net.layer_dict.items()
            if layer.type == "BN" and len(net.top_names[name]) == 3}
    if not tops or passes < 1:
        raise SurgeryError(f"statistics in {passes} passes of a net with {len(tops)} BN layers "
                           "that give theirs as tops; it takes 1 pass or more, and the prototxt "
                           "that surgery.with_statistics makes")
    sums: dict[str, list[np.ndarray]] = {name: [np.zeros(()), np.zeros(())] for name in tops}
    for _ in progress(range(passes)):
        net.forward()
        for name, blobs in tops.items():
            for i, blob in enumerate(blobs):
                sums[name][i] = sums[name][i] + net.blobs[blob].data.ravel().astype(np.float64)
    for name, found in sums.items():
        if not all(np.isfinite(each).all() for each in found):
            raise SurgeryError(f"the statistics of layer '{name}' are not finite: the weights have "
                               "diverged, or an image holds numbers that are not finite")
    return {name: (mean / passes, variance / passes) for name, (mean, variance) in sums.items()}


def fold_statistics(net: caffe.Net, found: Statistics) -> None:
    """Turn the parameters of BN layers, in place, from those of LEARN into those of INFERENCE.

    found : what `statistics` gave

    Raises SurgeryError, and changes nothing, where they are not those of the net.
    """
    for name, (mean, _) in found.items():
        count = layer_parameters(net, name)[0].data.size
        if mean.size != count:
            raise SurgeryError(f"layer '{name}' has {count} channels, the statistics {mean.size}")
    for name, (mean, variance) in found.items():
        scale, shift = layer_parameters(net, name)
        factor = scale.data.ravel() / np.sqrt(variance + EPS)
        shift.data[...] = (shift.data.ravel() - factor * mean).reshape(shift.data.shape)
        scale.data[...] = factor.reshape(scale.data.shape)
