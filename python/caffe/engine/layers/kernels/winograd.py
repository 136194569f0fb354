"""Convolution of images with kernels of 3x3 by Winograd's method, with 4 times fewer products.

A tile of 4x4 values of the top depends on a window of 6x6 values of the image. Both the window and
the kernel are brought to 36 values, and the sums of their products over the channels are brought
to the tile: 36 products for 144 (Lavin and Gray, "Fast algorithms for convolutional neural
networks", 2016, F(4x4, 3x3)). As polynomials, they are evaluated at points, multiplied there, and
interpolated. The sums over channels are matrix products, one for each of the 36.

Rounding depends on the points. With those below, errors are about a millionth of the typical value
in the windows (tests/caffe/engine/layers/kernels/test_winograd.py), up to five times those of plain
sums. A value that is far larger than the others, or not finite, reaches all of the tiles whose
windows hold it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

KERNEL, TILE = 3, 4             # values along an axis
WINDOW = TILE + KERNEL - 1
POINTS = 0.0, 0.75, -0.75, 1.5, -1.5        # and infinity
DENSE = (0, 0), (1, 1)          # no padding, and no dilation
MEMORY = 64 << 20               # bytes of the values of the tiles that are computed at a time


class _Transforms(NamedTuple):
    """Matrices that bring windows (36), kernels (9) and tiles (16) to values at the 36 points."""

    window: Tensor
    kernel: Tensor
    tile: Tensor        # of a gradient; transposed it brings values at the points to a tile


@cache
def _transforms() -> _Transforms:
    points = torch.tensor(POINTS, dtype=torch.float64)
    window, kernel, tile = (torch.zeros(WINDOW, values, dtype=torch.float64)
                            for values in (WINDOW, KERNEL, TILE))
    for row, point in enumerate(points):
        others = points[points != point]
        window[row, :-1] = _coefficients(others)
        kernel[row] = point ** torch.arange(KERNEL) / (point - others).prod()
        tile[row] = point ** torch.arange(TILE)
    window[-1] = _coefficients(points)
    kernel[-1, -1] = tile[-1, -1] = 1       # at infinity the highest power alone counts
    return _Transforms(*(torch.kron(axis, axis).float() for axis in (window, kernel, tile)))


def _coefficients(roots: Tensor) -> Tensor:
    """Of the polynomial that has these roots, from the lowest power to the highest, which is 1."""
    polynomial = torch.ones(1, dtype=roots.dtype)
    for root in roots:
        polynomial = F.pad(polynomial, (1, 0)) - root * F.pad(polynomial, (0, 1))
    return polynomial


def correlation(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...],
                dilation: tuple[int, ...], groups: int) -> Tensor:
    """What F.conv2d gives of x (N, C, H, W) and weight (K, C / groups, 3, 3), with stride 1.

    Windows of zeros give the bias exactly, as padding and images that are smaller than the blob
    have them: a ReLU behind would else pass gradients where rounding leaves more than 0.
    """
    y = _correlation(x, weight, bias, padding, dilation, groups)
    channels = x.unflatten(1, (groups, -1))
    largest = F.pad(torch.maximum(channels.amax(2), -channels.amin(2)),
                    (padding[1], padding[1], padding[0], padding[0]))
    is_empty = F.max_pool2d(largest, KERNEL, stride=1, dilation=dilation)[:, :, None] == 0
    if is_empty.any():
        tops = y.unflatten(1, (groups, -1))
        of_none = y.new_zeros(()) if bias is None else bias.view(groups, -1, 1, 1)
        tops.copy_(torch.where(is_empty, of_none, tops))
    return y


def _correlation(x: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, ...],
                 dilation: tuple[int, ...], groups: int) -> Tensor:
    size = [n + 2 * p - d * (KERNEL - 1) for n, p, d in zip(x.shape[2:], padding, dilation)]
    if max(dilation) > 1:
        phases = _split_phases(x, size, padding, dilation)
        y = _correlation(phases, weight, bias, *DENSE, groups)
        return _merge_phases(y, size, dilation)
    values = (_transforms().kernel @ weight.reshape(-1, KERNEL ** 2).t()).view(
        -1, *weight.shape[:2])
    y = x.new_empty(len(x), len(weight), *size)
    for rows, windows in _windows(x, size, padding, len(weight)):
        products = [torch.bmm(*pair) for pair in zip(values.chunk(groups, 1),
                                                     windows.chunk(groups, 1))]
        tiles = _transforms().tile.t() @ (torch.cat(products, 1) if groups > 1
                                          else products[0]).flatten(1)
        if bias is not None:
            tiles.view(TILE ** 2, len(bias), -1).add_(bias[:, None])
        _put(tiles, y[:, :, rows])
    return y


def gradient_by_image(weight: Tensor, gradient: Tensor, padding: tuple[int, ...],
                      dilation: tuple[int, ...], groups: int) -> Tensor:
    """The gradient by x, from that by what correlation() gives: a correlation with the adjoint."""
    inputs = weight.shape[1]
    adjoint = weight.view(groups, -1, *weight.shape[1:]).transpose(1, 2).flip(3, 4).reshape(
        groups * inputs, -1, KERNEL, KERNEL)
    around = tuple(d * (KERNEL - 1) - p for p, d in zip(padding, dilation))
    return _correlation(gradient, adjoint, None, around, dilation, groups)


def gradient_by_weights(x: Tensor, gradient: Tensor, padding: tuple[int, ...],
                        dilation: tuple[int, ...], groups: int) -> Tensor:
    """The gradient by the weights, from that by what correlation() gives."""
    size = gradient.shape[2:]
    if max(dilation) > 1:
        phases = _split_phases(x, size, padding, dilation)
        of_top = _split_phases(gradient, size, (0, 0), dilation, more=0)
        return gradient_by_weights(phases, of_top, *DENSE, groups)
    outputs, inputs = gradient.shape[1], x.shape[1] // groups
    values = x.new_zeros(WINDOW ** 2, outputs, inputs)
    for rows, windows in _windows(x, size, padding, outputs):
        part = gradient[:, :, rows]
        whole = [-(-n // TILE) * TILE for n in part.shape[2:]]
        tiles = _transformed(_cut(part, (0, 0), whole), _transforms().tile)
        for own, *pair in zip(*(each.chunk(groups, 1) for each in (values, tiles, windows))):
            own.baddbmm_(pair[0], pair[1].transpose(1, 2))
    kernels = _transforms().kernel.t() @ values.flatten(1)
    return kernels.t().contiguous().view(outputs, inputs, KERNEL, KERNEL)


def _windows(x: Tensor, size: Sequence[int], padding: Sequence[int],
             outputs: int) -> Iterator[tuple[slice, Tensor]]:
    """Some rows of a top of `size`, after the others, and their windows, transformed: (36, C, N
    tiles)."""
    rows, columns = (-(-n // TILE) for n in size)
    row_of_tiles = 4 * WINDOW ** 2 * len(x) * columns * (x.shape[1] + outputs)
    at_a_time = max(1, MEMORY // row_of_tiles)
    for row in range(0, rows, at_a_time):
        count = min(at_a_time, rows - row)
        window = _cut(x, (TILE * row - padding[0], -padding[1]),
                      (TILE * count + KERNEL - 1, TILE * columns + KERNEL - 1))
        yield (slice(TILE * row, TILE * (row + count)), _transformed(window, _transforms().window))


def _split_phases(planes: Tensor, size: Sequence[int], padding: Sequence[int],
                  dilation: Sequence[int], more: int = KERNEL - 1) -> Tensor:
    """Planes (N, C, H, W) as (N d d, C, rows, columns): an image for each remainder of row and
    column modulo the dilation d, on which a dilated kernel is a dense one. They hold what a top of
    `size` needs: its rows and columns divided by d, rounded up, and `more`."""
    rows, columns = (-(-n // d) + more for n, d in zip(size, dilation))
    whole = _cut(planes, [-p for p in padding], (rows * dilation[0], columns * dilation[1]))
    return whole.unflatten(3, (columns, -1)).unflatten(2, (rows, -1)).permute(
        0, 3, 5, 1, 2, 4).flatten(0, 2)


def _merge_phases(split: Tensor, size: Sequence[int], dilation: Sequence[int]) -> Tensor:
    """The planes (N, C, *size) of which `split` are the phases."""
    whole = split.unflatten(0, (-1, *dilation)).permute(0, 3, 4, 1, 5, 2)
    return whole.flatten(4).flatten(2, 3)[:, :, :size[0], :size[1]].contiguous()


def _cut(planes: Tensor, first: Sequence[int], size: Sequence[int]) -> Tensor:
    """The rectangle of `size` from `first` on, row and column, with zeros beyond the planes."""
    (row, column), (rows, columns) = first, size
    inside = planes[:, :, max(row, 0):max(row + rows, 0), max(column, 0):max(column + columns, 0)]
    above, left = min(max(-row, 0), rows), min(max(-column, 0), columns)
    height, width = inside.shape[2:]
    return F.pad(inside, (left, columns - left - width, above, rows - above - height))


def _transformed(planes: Tensor, transform: Tensor) -> Tensor:
    """The values (36, C, N tiles) of all windows, or tiles, of planes (N, C, height, width)."""
    images, channels, *size = planes.shape
    window = math.isqrt(transform.shape[1])
    values = F.conv2d(planes.reshape(images * channels, 1, *size),
                      transform.view(-1, 1, window, window), stride=TILE)
    return values.view(images, channels, WINDOW ** 2, -1).permute(2, 1, 0, 3).flatten(2)


def _put(tiles: Tensor, part: Tensor) -> None:
    """Tiles (16, C N tiles) into their places on a part (N, C, height, width) of a top; what is
    beyond it goes."""
    images, channels, height, width = part.shape
    rows, columns = -(-height // TILE), -(-width // TILE)
    whole = tiles.view(TILE, TILE, channels, images, rows, columns).permute(3, 2, 4, 0, 5, 1)
    if (height, width) == (TILE * rows, TILE * columns):
        part.unflatten(3, (columns, TILE)).unflatten(2, (rows, TILE)).copy_(whole)
    else:
        part.copy_(whole.reshape(images, channels, TILE * rows, TILE * columns)[
            :, :, :height, :width])
