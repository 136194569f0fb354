"""Mean field inference in a fully connected CRF with Potts compatibility (Krähenbühl and Koltun
2011). Its filters are lattices over the places of an image, in rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .lattice import Lattice


def inferred(scores: Tensor, filters: Sequence[tuple[float, Lattice]], iterations: int) -> Tensor:
    """What the scores of the classes, (classes, height, width), become: their softmax has the
    probabilities. An iteration: q = softmax(result), result = scores + sum of w * mean(q) over the
    filters, pairs of w and lattice. It records no gradient."""
    unary = as_rows(scores)
    result = unary
    with torch.no_grad():
        for _ in range(iterations):
            q, result = result.softmax(1), unary
            for w, lattice in filters:
                mean = lattice.mean(q)
                result = torch.add(result, mean, alpha=w, out=mean)
    return result.t().reshape(scores.shape)


def as_rows(x: Tensor) -> Tensor:
    """(channels, height, width) as (places, channels), contiguous."""
    return x.flatten(1).t().contiguous()


def over_places(height: int, width: int, deviation: float, device: torch.device) -> Lattice:
    """The filter over the places of an image, with a deviation in pixels."""
    return Lattice(_places(height, width, device) / deviation)


def over_colours(image: Tensor, places: float, colours: float) -> Lattice:
    """The filter over places and colours of an image (channels, height, width), with a deviation
    in pixels and one in the image's units."""
    own = _places(image.shape[1], image.shape[2], image.device) / places
    return Lattice(torch.cat([own, as_rows(image.detach()) / colours], 1))


def _places(height: int, width: int, device: torch.device) -> Tensor:
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    return torch.stack([columns.repeat(height), rows.repeat_interleave(width)], 1).float()
