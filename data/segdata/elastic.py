"""Elastic deformation: random displacements on a coarse grid, smooth between (arXiv 1505.04597)."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

GRID = 3            # displacements along each axis


def draw_grid(seed: int, position: int, deviation: float) -> np.ndarray:
    """The displacements (2, GRID, GRID), down and right, normal with that deviation in pixels, of
    the sample at a position of a run; they depend on the arguments alone."""
    return np.random.default_rng((seed % 2 ** 32, position)).normal(0, deviation, (2, GRID, GRID))


def displacements(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The displacement of each pixel, float64 (2, height, width), by bicubic interpolation of a
    grid (2, rows, columns) whose outer nodes lie on the outermost pixels."""
    rows, columns = (cubic(side, nodes) for side, nodes in zip(size, grid.shape[1:]))
    return rows @ grid @ columns.T


def cubic(size: int, nodes: int) -> np.ndarray:
    """The shares (size, nodes) of nodes at pixels: cubic convolution (Keys, 1981), which gives back
    what is linear. Beyond the outer nodes lie those that continue them on a straight line."""
    at = np.linspace(0, nodes - 1, size)[:, None]
    away = np.abs(at - np.arange(-1, nodes + 1))
    shares = np.where(away < 1, (1.5 * away - 2.5) * away ** 2 + 1, np.where(
        away < 2, ((-0.5 * away + 2.5) * away - 4) * away + 2, 0))
    inner = shares[:, 1:-1].copy()
    for outside, end, before in ((shares[:, 0], 0, 1), (shares[:, -1], -1, -2)):
        inner[:, end] += 2 * outside                    # the node outside is 2 · end − before
        inner[:, before] -= outside
    return inner


def deform(array: np.ndarray, shift: np.ndarray, nearest: bool = False) -> np.ndarray:
    """The array (channels, height, width) with each pixel taken from where `shift` (2, height,
    width) says, in pixels down and right of it; beyond the border from its mirror image.

    nearest : take the nearest pixel, of labels; else interpolate between four
    """
    places = np.indices(array.shape[-2:]) + shift
    out = np.empty_like(array)
    for plane, moved in zip(array, out):
        ndimage.map_coordinates(plane, places, moved, order=0 if nearest else 1, mode="mirror")
    return out
