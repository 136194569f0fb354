"""What is done to gradients before a rule makes updates of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from ..blob import Blob

PIECE = 1 << 17     # values of an array that are updated before the next ones, all in the cache


def clip(blobs: Sequence[Blob], limit: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Scale the gradients of parameters, at least one, so that the L2 norm of all together is
    `limit` at most. Returns (that norm before, what they were multiplied by), tensors."""
    diffs = [blob.diff_tensor for blob in blobs]
    norm = torch.stack([diff.square().sum() for diff in diffs]).sum().sqrt()
    scale = torch.where(norm > limit, limit / norm, torch.ones_like(norm))
    for diff in diffs:
        diff.mul_(scale)
    return norm, scale


def regularize(data: torch.Tensor, diff: torch.Tensor, decay: float, kind: str) -> None:
    """Add to the gradient that of the decay: of half the squares (`kind` "L2"), or of the
    magnitudes ("L1"), of the weights."""
    if decay:
        diff.add_(data if kind == "L2" else data.sign(), alpha=decay)


def pieces(blob: Blob, histories: Sequence[torch.Tensor], piece: int
           ) -> Iterable[tuple[torch.Tensor, ...]]:
    """(data, diff, each history) of a parameter; on a CPU by rows of about `piece` values."""
    whole = blob.data_tensor, blob.diff_tensor, *histories
    if blob.count <= piece or blob.data_tensor.device.type != "cpu":
        return [whole]
    rows = max(1, piece * blob.shape[0] // blob.count)
    return zip(*(array.split(rows) for array in whole))
