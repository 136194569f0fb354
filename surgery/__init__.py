"""Net surgery: weights from one net into another of a different shape.

Works on any pycaffe net: `net.params` maps layer names to blobs with NumPy `data`.
"""

from typing import NamedTuple

import numpy as np

__all__ = ["SurgeryError", "Step", "bilinear", "expand_image", "expand_score", "interp",
           "transplant"]


class SurgeryError(RuntimeError):
    """Parameters that do not fit where they are to go."""


class Step(NamedTuple):
    """What became of a parameter, or of all those of a layer.

    kind : 'copied', 'coerced' (to another shape of as many elements), 'dropped' (not in the new
        net) or 'kept' (not in the old one)
    name : of the layer, or LAYER[i] for a single parameter; that of the new net if it was kept
    detail : where it went, or why it did not
    """
    kind: str
    name: str
    detail: str

    def __str__(self):
        return f"{self.kind} {self.name}{self.detail}"


def transplant(new_net, net, suffix="", verbose=False):
    """Copy the parameters of `net` into the layers of `new_net` with the same names.

    An InnerProduct layer becomes a convolution by reshaping (paper, section 3.1): equal element
    counts are coerced, anything else is an error, raised before the first copy.

    Parameters
    ----------
    suffix : str; layer L of `net` goes to layer L + suffix of `new_net`
    verbose : print every step, not one line in all

    Returns the report: a list of Steps. Raises SurgeryError for a misfit, or if no name matches.
    """
    copies, report = [], []
    for name, blobs in net.params.items():
        if name + suffix in new_net.params:
            pairs, steps = _match(name, blobs, name + suffix, new_net.params[name + suffix])
            copies += pairs
            report += steps
        else:
            report.append(Step("dropped", name, f": no layer {name + suffix} in the new net"))
    if not copies:
        raise SurgeryError(f"nothing to transplant: of the layers {', '.join(net.params)} none is "
                           f"in the new net with suffix '{suffix}': {', '.join(new_net.params)}")
    filled = {name + suffix for name in net.params}
    report += [Step("kept", name, ": no layer of that name in the source")
               for name in new_net.params if name not in filled]
    for new, old in copies:
        new.data[...] = old.data.reshape(new.data.shape)
    print("\n".join(map(str, report)) if verbose else _summary(report))
    return report


def _match(name, blobs, new_name, new_blobs):
    """[(new blob, blob)] and the Steps for two layers of one name."""
    if len(new_blobs) > len(blobs):
        raise SurgeryError(f"{name} has {len(blobs)} parameters, {new_name} needs "
                           f"{len(new_blobs)}")
    steps = [_fit(f"{name}[{i}]", tuple(old.data.shape), f"{new_name}[{i}]",
                  tuple(new.data.shape)) for i, (new, old) in enumerate(zip(new_blobs, blobs))]
    steps += [Step("dropped", f"{name}[{i}]", f": {new_name} has {len(new_blobs)} parameters")
              for i in range(len(new_blobs), len(blobs))]
    return list(zip(new_blobs, blobs)), steps


def _fit(name, shape, new_name, new_shape):
    if shape == new_shape:
        return Step("copied", name, f" -> {new_name} {shape}")
    if np.prod(shape) == np.prod(new_shape):
        return Step("coerced", name, f" {shape} -> {new_name} {new_shape}")
    raise SurgeryError(f"{name} of shape {shape} does not fit {new_name} of shape {new_shape}")


def _summary(report):
    """A line: how many steps of each kind, and the names of what was coerced or dropped."""
    parts = []
    for kind in ("copied", "coerced", "dropped", "kept"):
        names = [step.name for step in report if step.kind == kind]
        named = f" ({', '.join(names)})" if names and kind in ("coerced", "dropped") else ""
        parts.append(f"{len(names)} {kind}{named}")
    return "transplant: " + ", ".join(parts)


def bilinear(size):
    """The (size, size) kernel of bilinear upsampling by f = ⌊(size + 1) / 2⌋.

    w(i, j) = (1 − |i − c| / f)(1 − |j − c| / f), centre c = f − 1 for odd sizes, else f − ½.
    """
    factor = (size + 1) // 2
    centre = factor - 1 if size % 2 else factor - 0.5
    line = 1 - np.abs(np.arange(size) - centre) / factor
    return np.outer(line, line)


def interp(net, layers):
    """Make each of the named deconvolutions interpolate bilinearly, channel by channel.

    Kernels go to the diagonal channel pairs, the others become zero. Raises SurgeryError, before
    any is filled, unless kernels are square and as many channels come out as go in (or one, which
    is also how the kernels of a fully grouped deconvolution look).
    """
    kernels = [_interpolating(net, name) for name in layers]
    for weights in kernels:
        channels, outputs, size, _ = weights.shape
        diagonal = np.arange(channels)
        weights[...] = 0
        weights[diagonal, diagonal if outputs == channels else 0] = bilinear(size)


def _interpolating(net, name):
    weights = _params(net, name)[0].data
    if weights.ndim != 4 or weights.shape[2] != weights.shape[3]:
        raise SurgeryError(f"{name}: interpolation needs square kernels, not {weights.shape}")
    if weights.shape[1] not in (weights.shape[0], 1):
        raise SurgeryError(f"{name}: interpolation needs equal channels, not {weights.shape}")
    return weights


def _params(net, name):
    if name not in net.params:
        raise SurgeryError(f"no layer {name} with parameters in the net; "
                           f"there are {', '.join(net.params)}")
    return net.params[name]


def expand_score(new_net, new_layer, net, layer):
    """Copy a score layer into one with more classes: the old classes come first.

    The parameters of the new classes stay as they are. Raises SurgeryError, before anything is
    copied, if a layer is unknown, or `new_layer` has fewer classes or differs in more than that.
    """
    new_blobs, blobs = _params(new_net, new_layer), _params(net, layer)
    if len(new_blobs) != len(blobs):
        raise SurgeryError(f"{layer} has {len(blobs)} parameters, {new_layer} {len(new_blobs)}")
    for i, (new, old) in enumerate(zip(new_blobs, blobs)):
        have, want = tuple(old.data.shape), tuple(new.data.shape)
        if have[1:] != want[1:] or have[0] > want[0]:
            raise SurgeryError(f"{layer}[{i}] of shape {have} does not expand to {new_layer}[{i}] "
                               f"of shape {want}")
    for new, old in zip(new_blobs, blobs):
        new.data[:old.data.shape[0]] = old.data


def expand_image(new_net, new_layer, net, layer):
    """Copy the first convolution into one that sees more channels: those of old come first.

    The planes of the new channels are the mean of the old ones (the paper's four-channel RGB-D
    net, section 5, NYUDv2). Raises SurgeryError, before anything is copied, if a layer is
    unknown, or `new_layer` sees fewer channels or differs in more than that.
    """
    new_blobs, blobs = _params(new_net, new_layer), _params(net, layer)
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
