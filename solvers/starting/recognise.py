"""What net a source is whose head has layers of its own: a SegNet, a DeepLab or a U-Net."""

from __future__ import annotations

from fcn import nets
from fcn.nets import deeplab, segnet, unet
from fcn.nets.layers import FC, scaled
from fcn.solvers.experiments.families import family_of
from fcn.solvers.starting.shapes import convolutions, scale_of, width_of
from fcn.solvers.starting.source import Start

OWN = (*segnet.HEADS, *deeplab.HEADS, *unet.HEADS)
# {head: (a layer of its decoder, one of its encoder, the channels of that at full width)}
SEGNETS = {"segnet": ("conv1_2_D", "conv5_3", 512),
           "segnet-basic": ("conv_decode1", "conv1", segnet.BASIC[1])}


def settings_of(start: Start) -> dict:
    """Head and options of nets.fcn of a source whose head has layers of its own: as its run has
    them, or else as names and shapes of its layers say; {} of another source."""
    settings = start.home.settings() if start.home else {}
    if settings.get("head") in OWN and "width" in settings:
        return settings
    found = _of_a_segnet(start) or _of_a_deeplab(start) or _of_a_unet(start)
    return dict(found, filler="msra", **scale_of(start)) if found else {}


def is_related(head: str, other: str) -> bool:
    """Whether two heads take the same options of nets.fcn; those of a SegNet are those of an
    FCN."""
    families = family_of(head), family_of(other)
    return families[0] is families[1] or not any(each.has_own_options for each in families)


def _of_a_segnet(start: Start) -> dict:
    for head, (decoder, encoder, channels) in SEGNETS.items():
        if decoder in start.weights.params:
            draws = any(layer.name.startswith("encdrop") for layer in start.definition().layer)
            return dict(head=head + "-bayesian" * draws, width=start.outputs(encoder) / channels)
    return {}


def _of_a_deeplab(start: Start) -> dict:
    """With fc6 of as many taps as that of several variants, it is the one whose pooling and hole
    the file has, which HDF5 does not."""
    params = start.weights.params
    scores = [name for name in params if name.startswith("fc8_voc12")]
    first = "fc6" if len(scores) == 1 else "fc6_1"
    if not scores or first not in params:
        return {}
    full = convolutions(nets.fcn("fcn32s", "deploy"))
    width = width_of(start, "vgg16", full, {
        name: start.outputs(name) for name in full if name in params and name[:4] == "conv"}, None)
    taps = params[first][0].data.shape[-1]
    layers = {layer.name: layer for layer in start.definition().layer}
    hole = (list(layers[first].convolution_param.dilation) or [1])[0] if first in layers else 0

    def differences(head: str) -> tuple[bool, ...]:
        variant = deeplab.VARIANTS[head]
        return (variant.multiscale != ("data_ms1" in params),
                len(variant.holes) != len(scores), variant.kernel != taps,
                variant.averaged != ("pool5a" in layers), variant.holes[0] != hole)
    head = min(deeplab.VARIANTS, key=differences)
    side = next((side for side in deeplab.SIDES[::-1]
                 if min(side, deeplab.VARIANTS[head].kernel) == taps), deeplab.CLASSIFIER_SIDE)
    has_all = start.outputs(first) == scaled(FC, width) and deeplab.VARIANTS[head].channels < FC
    return dict(head=head, width=width, fc6_kernel=side,
                **({"all_filters": True} if has_all else {}))


def _of_a_unet(start: Start) -> dict:
    params = start.weights.params
    if not (depth := unet.depth_of(params)):
        return {}
    last = f"upconv_{'u1d' if depth > 1 else 'd1c'}_u0a"
    doubled = last in params and params[last][0].data.shape[1] > start.outputs("conv_d0a-b")
    return dict(head=unet.HEAD, depth=depth, **({"released": True} if doubled else {}),
                width=start.outputs(f"conv_d{depth}a-b") / (unet.WIDTH * 2 ** depth))
