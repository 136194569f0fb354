"""An FCN: data, trunk, head and loss, for training, validation and deployment."""

import caffe
from caffe import layers as L

from . import vgg16
from .heads import HEADS
from .source import voc

SPLITS = ("train", "val", "deploy")


def fcn(head, split, source=None, width=1.0, filler=None, scale=None, fc6_kernel=7, start=0):
    """The NetParameter of an FCN on VGG-16.

    Parameters
    ----------
    head : 'fcn32s', 'fcn16s', 'fcn8s' or 'fcn8s-atonce'
    split : 'train', 'val' or 'deploy' (an Input blob; no label, no loss)
    source : nets.source.Source, default PASCAL VOC
    width : fraction of VGG-16's channels, rounded to whole ones, at least 1
    filler : of the trunk's weights, e.g. 'msra' to train from scratch; default: zero, to be copied
    scale : factor on the mean-subtracted image; default: none
    fc6_kernel : side of fc6
    start : samples that the data layer skips, to continue a training run

    Raises ValueError for an unknown head or split.
    """
    if head not in HEADS:
        raise ValueError(f"unknown head '{head}'; known are {', '.join(HEADS)}")
    if split not in SPLITS:
        raise ValueError(f"unknown split '{split}'; known are {', '.join(SPLITS)}")
    source = source or voc()
    n = caffe.NetSpec()
    if split == "deploy":
        n.data = L.Input(shape=dict(dim=[1, 3, 500, 500]))
    else:
        n.data, n.label = source.tops(split, **({"start": start} if start else {}))
    image = n.data
    if scale is not None:
        n.scaled = image = L.Power(n.data, scale=scale)
    HEADS[head](n, vgg16.trunk(n, image, width, filler, fc6_kernel), source.classes)
    if split != "deploy":
        n.loss = L.SoftmaxWithLoss(n.score, n.label,
                                   loss_param=dict(normalize=False, ignore_label=255))
    return n.to_proto()


def classifier(size=224, batch=None, classes=1000, width=1.0, filler=None, scale=None):
    """The NetParameter of VGG-16 as a classifier of images of `size` × `size`.

    With `batch`, the inputs are data and label, and the tops loss and accuracy; without, data is
    a single image and the top is prob.
    """
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[batch or 1, 3, size, size]))
    if batch:
        n.label = L.Input(shape=dict(dim=[batch]))
    image = n.data
    if scale is not None:
        n.scaled = image = L.Power(n.data, scale=scale)
    fc8 = vgg16.classifier(n, image, classes, width, filler)
    if batch:
        n.loss = L.SoftmaxWithLoss(fc8, n.label)
        n.accuracy = L.Accuracy(fc8, n.label)
    else:
        n.prob = L.Softmax(fc8)
    return n.to_proto()
