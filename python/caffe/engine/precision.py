"""How exactly convolutions and matrix products are computed.

Weights, blobs, sums, losses and updates are float32 in any case.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

import torch

from .. import context
from ..errors import CaffeError
from ..log import logger

NAMES = ("fp32", "tf32", "bf16")
CHANNELS_LAST = {"cuda"}    # the devices
_chosen = NAMES[1]


def set_precision(name: str) -> str:
    """Compute convolutions and matrix products in 'fp32', 'tf32' (the default: fp32 where the
    device does not have it) or 'bf16'; everything else stays float32, in bf16 deconvolutions, too.
    On a CPU 'fp32' keeps convolutions to plain sums, where 'tf32' takes Winograd's method if that
    is faster, whose results differ in the last bits. 'auto' is 'bf16' if the device in use has
    instructions for it, else 'tf32': for inference, which loses nothing by it. Returns the
    precision now in use, never 'auto'.

    BVLC's pycaffe has no such function. Raises CaffeError for another name.
    """
    taken = best_for_inference(context.device()) if name == "auto" else name
    choose(taken)
    return taken


def choose(name: str) -> None:
    """'fp32': plain sums; 'tf32', the default: factors of 10 bits on GPUs that have it, on CPUs of
    24 as in fp32, with convolutions by Winograd's method where it is faster; 'bf16': factors and
    results of 8 bits. Raises CaffeError for another name."""
    global _chosen
    if name not in NAMES:
        raise CaffeError(f"unknown precision '{name}'; known are {', '.join(NAMES)} and auto")
    _chosen = name
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = name != "fp32"


def best_for_inference(device: torch.device) -> str:
    """'bf16' if the device has instructions for it, else 'tf32'."""
    if device.type == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bf16 = any(has for name, has in capabilities().items() if name.endswith("bf16"))
    return "bf16" if has_bf16 else "tf32"


def capabilities() -> dict[str, Any]:
    """What this processor can do, by PyTorch's names; nothing where PyTorch does not tell."""
    return getattr(torch.cpu, "get_capabilities", dict)()


def chosen() -> str:
    return _chosen


def of_factors() -> torch.dtype | None:
    """The type that factors are converted to before they are multiplied; None if to none."""
    return torch.bfloat16 if _chosen == "bf16" else None


@lru_cache
def warn_of_emulation(device: torch.device) -> None:
    """Have the log say, once, that a device computes in bf16 without instructions for it.

    It is said of the device that computes, at the first product: when the precision is chosen, a
    script may not yet have chosen its device.
    """
    is_known = device.type != "cpu" or capabilities()
    if is_known and best_for_inference(device) != "bf16":
        where, longer = ("CPU", "many times as long as") if device.type == "cpu" else (
            f"GPU {device.index}", "longer than")
        logger.warning("precision bf16: the %s has no instructions for it and emulates it: the "
                       "numbers are those of bf16, but take %s in tf32, the default",
                       where, longer)


def laid_out(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor as it is best laid out where it is: images and kernels on a GPU with their
    channels last, as its tensor cores, which all but 'fp32' is for, read them."""
    last = tensor.dim() == 4 and tensor.device.type in CHANNELS_LAST and _chosen != "fp32"
    return tensor.contiguous(
        memory_format=torch.channels_last if last else torch.contiguous_format)


def laid_out_as(tensor: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """The tensor where `other`, of its shape, is, and laid out in memory as that is."""
    if tensor.device == other.device:
        if tensor.stride() == other.stride():
            return tensor
        if tensor.is_contiguous() and other.is_contiguous():    # axes of 1 have any stride
            return tensor.as_strided(other.shape, other.stride())
    return torch.empty_like(other, dtype=tensor.dtype).copy_(tensor)


def autocast_products(device: torch.device) -> AbstractContextManager:
    """Where convolutions and matrix products are computed as chosen, forward and, later, back."""
    dtype = of_factors()
    if dtype:
        warn_of_emulation(device)
    return torch.autocast(device.type, dtype, cache_enabled=False) if dtype else nullcontext()

