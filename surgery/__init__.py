"""Net surgery: weights from one net into another of a different shape.

Works on any pycaffe net: `net.params` maps layer names to blobs with NumPy `data`.
"""

import numpy as np

from .files import load_hdf5, save_hdf5

__all__ = ["SurgeryError", "bilinear", "expand_score", "interp", "load_hdf5", "save_hdf5",
           "transplant"]


class SurgeryError(RuntimeError):
    """Parameters that do not fit where they are to go."""


def transplant(new_net, net, suffix=""):
    """Copy the parameters of `net` into the layers of `new_net` with the same names.

    An InnerProduct layer becomes a convolution by reshaping (paper, section 3.1): equal element
    counts are coerced, anything else is an error, raised before the first copy.

    Parameters
    ----------
    suffix : str; layer L of `net` goes to layer L + suffix of `new_net`

    Returns the report, a list of lines, one per parameter copied or coerced and per layer
    dropped or kept; it is printed too. Raises SurgeryError for a misfit, or if no name matches.
    """
    copies, report = [], []
    for name, blobs in net.params.items():
        new_name = name + suffix
        if new_name not in new_net.params:
            report.append(f"dropped {name}: no layer {new_name} in the new net")
            continue
        new_blobs = new_net.params[new_name]
        if len(new_blobs) > len(blobs):
            raise SurgeryError(f"{name} has {len(blobs)} parameters, {new_name} needs "
                               f"{len(new_blobs)}")
        for i, blob in enumerate(blobs):
            if i >= len(new_blobs):
                report.append(f"dropped {name}[{i}]: {new_name} has {len(new_blobs)} parameters")
                continue
            line = _fit(f"{name}[{i}]", tuple(blob.data.shape),
                        f"{new_name}[{i}]", tuple(new_blobs[i].data.shape))
            report.append(line)
            copies.append((new_blobs[i], blob))
    if not copies:
        raise SurgeryError(f"nothing to transplant: of the layers {', '.join(net.params)} none is "
                           f"in the new net with suffix '{suffix}': {', '.join(new_net.params)}")
    filled = {name + suffix for name in net.params}
    report += [f"kept {name}: no layer of that name in the source"
               for name in new_net.params if name not in filled]
    for new, old in copies:
        new.data[...] = old.data.reshape(new.data.shape)
    print("\n".join(report))
    return report


def _fit(name, shape, new_name, new_shape):
    if shape == new_shape:
        return f"copied {name} -> {new_name} {shape}"
    if np.prod(shape) == np.prod(new_shape):
        return f"coerced {name} {shape} -> {new_name} {new_shape}"
    raise SurgeryError(f"{name} of shape {shape} does not fit {new_name} of shape {new_shape}")


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
