"""Layers that grow: scores of more classes, first convolutions of more channels."""

from __future__ import annotations

import caffe

from .parameters import SurgeryError, layer_parameters


def expand_score(new_net: caffe.Net, new_layer: str, net: caffe.Net, layer: str) -> None:
    """Copy a score layer into one with more classes: the old classes come first.

    The parameters of the new classes stay as they are. Raises SurgeryError, before anything is
    copied, if a layer is unknown, or `new_layer` has fewer classes or differs in more than that.
    """
    new_blobs, blobs = layer_parameters(new_net, new_layer), layer_parameters(net, layer)
    if len(new_blobs) != len(blobs):
        raise SurgeryError(f"{layer} has {len(blobs)} parameters, {new_layer} {len(new_blobs)}")
    for i, (new, old) in enumerate(zip(new_blobs, blobs)):
        have, want = tuple(old.data.shape), tuple(new.data.shape)
        if have[1:] != want[1:] or have[0] > want[0]:
            raise SurgeryError(f"{layer}[{i}] of shape {have} does not expand to {new_layer}[{i}] "
                               f"of shape {want}")
    for new, old in zip(new_blobs, blobs):
        new.data[:old.data.shape[0]] = old.data


def expand_image(new_net: caffe.Net, new_layer: str, net: caffe.Net, layer: str) -> None:
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
