"""Layers that grow: scores of more classes, first convolutions of more channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import caffe

from .parameters import SurgeryError, Weights, layer_parameters


def expand_score(new_net: caffe.Net, new_layer: str, net: caffe.Net | Weights, layer: str,
                 new_classes: Sequence[str] = (), classes: Sequence[str] = ()) -> None:
    """Copy a score layer into one with more classes: the old classes come first.

    With the names of both layers' classes, in order, each class is copied to where the new layer
    has that of the same name, wherever that is; old classes that the new layer lacks are left out.

    The parameters of the new classes stay as they are. Raises SurgeryError, before anything is
    copied, if a layer is unknown, or `new_layer` has fewer classes or differs in more than that;
    with names, if there are not as many as classes, or none is of both layers.
    """
    new_blobs, blobs = layer_parameters(new_net, new_layer), layer_parameters(net, layer)
    if len(new_blobs) != len(blobs):
        raise SurgeryError(f"{layer} has {len(blobs)} parameters, {new_layer} {len(new_blobs)}")
    for i, (new, old) in enumerate(zip(new_blobs, blobs)):
        have, want = tuple(old.data.shape), tuple(new.data.shape)
        too_many = not classes and have[0] > want[0]
        if np.prod(have[1:]) != np.prod(want[1:]) or too_many:
            raise SurgeryError(f"{layer}[{i}] of shape {have} does not expand to {new_layer}[{i}] "
                               f"of shape {want}")
    count = blobs[0].data.shape[0]
    places: tuple[Sequence[int], Sequence[int]] = range(count), range(count)
    if classes or new_classes:
        places = _places(layer, classes, count, new_layer, new_classes,
                         new_blobs[0].data.shape[0])
    for new, old in zip(new_blobs, blobs):
        source = np.asarray(old.data).reshape(-1, *new.data.shape[1:])
        for to, of in zip(*places):
            new.data[to] = source[of]


def _places(layer: str, classes: Sequence[str], count: int, new_layer: str,
            new_classes: Sequence[str], new_count: int) -> tuple[Sequence[int], Sequence[int]]:
    """(numbers in the new layer, numbers in the old one) of the classes that both have."""
    for name, names, number in ((layer, classes, count), (new_layer, new_classes, new_count)):
        if len(set(names)) != number or len(names) != number:
            raise SurgeryError(f"{name} has {number} classes, but {len(names)} names are given, "
                               f"{len(set(names))} of them different: {', '.join(names)}")
    shared = [name for name in new_classes if name in classes]
    if not shared:
        raise SurgeryError(f"no class of {layer} is one of {new_layer}: {', '.join(classes)}; "
                           f"{', '.join(new_classes)}")
    return ([list(new_classes).index(name) for name in shared],
            [list(classes).index(name) for name in shared])


def expand_image(new_net: caffe.Net, new_layer: str, net: caffe.Net | Weights, layer: str) -> None:
    """Copy the first convolution into one that sees more channels: those of old come first.

    The planes of the new channels are the mean of the old ones (the paper's four-channel RGB-D
    net, section 5, NYUDv2). Raises SurgeryError, before anything is copied, if a layer is
    unknown, or `new_layer` sees fewer channels or differs in more than that.
    """
    new_blobs, blobs = layer_parameters(new_net, new_layer), layer_parameters(net, layer)
    have, want = ([tuple(blob.data.shape) for blob in pair] for pair in (blobs, new_blobs))
    fits = (len(have) == len(want) and have[1:] == want[1:] and len(have[0]) == len(want[0]) == 4
            and have[0][0] == want[0][0] and have[0][2:] == want[0][2:]
            and have[0][1] <= want[0][1])
    if not fits:
        raise SurgeryError(f"{layer} of shapes {have} does not expand to {new_layer} of shapes "
                           f"{want}")
    channels = have[0][1]
    weights, old = new_blobs[0].data, blobs[0].data
    weights[:, :channels] = old
    weights[:, channels:] = old.mean(axis=1, keepdims=True)
    for new, old in zip(new_blobs[1:], blobs[1:]):
        new.data[...] = old.data


def expand_grey(new_net: caffe.Net, new_layer: str, net: caffe.Net | Weights, layer: str) -> None:
    """Copy the first convolution of a net for grey images into one that sees colours: each has a
    third of the weights, so that a grey image, in three equal channels, gives what it gave.

    Raises SurgeryError, before anything is copied, if a layer is unknown, sees more than one
    channel, or differs in more than that.
    """
    new_blobs, blobs = layer_parameters(new_net, new_layer), layer_parameters(net, layer)
    have, want = ([tuple(blob.data.shape) for blob in pair] for pair in (blobs, new_blobs))
    if (have[1:] != want[1:] or len(have[0]) != 4 or have[0][1] != 1
            or want[0][:1] + want[0][2:] != have[0][:1] + have[0][2:]):
        raise SurgeryError(f"{layer} of shapes {have} does not expand to {new_layer} of shapes "
                           f"{want}: it should see one channel, and be alike otherwise")
    new_blobs[0].data[...] = np.asarray(blobs[0].data) / want[0][1]
    for new, old in zip(new_blobs[1:], blobs[1:]):
        new.data[...] = old.data
