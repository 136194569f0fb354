"""HHA: depth as horizontal disparity, height above ground, and angle with gravity.

    python -m segdata.hha DEPTH.png... -o DIR [--camera FX FY CX CY]

DEPTH.png are 16-bit images of the depth in millimetres, 0 where it is missing; for each,
DIR/DEPTH.png gets the three channels in 8 bits. The camera defaults to that of NYUDv2.

Gupta et al., Learning Rich Features from RGB-D Images (ECCV 2014), with gravity as in Perceptual
Organization and Recognition of Indoor Scenes from RGB-D Images (CVPR 2013). Coordinates are those
of the camera, in metres: x to the right, y down, z forward.
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from scipy.ndimage import distance_transform_edt, uniform_filter

from segdata.arguments import ArgumentParser
from segdata.files import WriteError, make_folder, replacing
from segdata.readers import read_depth

NORMAL_RADIUS, GRAVITY_RADIUS = 3, 10       # px, half the windows in which planes are fitted
GRAVITY_STEPS = (45,) * 5 + (15,) * 5       # degrees: what counts as floor or wall, in each step
DISPARITY = 310             # encoded disparity at 1 m, nearer depths are taken for 1 m
ANGLE_OFFSET = 38           # encoded angle of a floor; walls have 128, ceilings 218
LEAST_DROP = 0.9            # m: with no point that far below the camera, no floor is in sight
CAMERA_HEIGHT = 1.3         # m above ground, assumed where no floor is in sight


class Camera(NamedTuple):
    """Focal lengths and principal point in pixels; the first pixel's centre is 0."""
    fx: float
    fy: float
    cx: float
    cy: float


# NYUDv2's colour camera by (height, width): the whole frame, and without its white border as
# Gupta et al. cut it (from row 45 and column 40 on). The calibration counts pixels from 1.
NYUD = {(480, 640): Camera(518.85790, 519.46961, 325.58245 - 1, 253.73617 - 1),
        (425, 560): Camera(518.85790, 519.46961, 325.58245 - 41, 253.73617 - 46)}


def hha(depth: np.ndarray, camera: Camera, measured: np.ndarray | bool = True) -> np.ndarray:
    """uint8 (height, width, 3) from a depth (height, width) in metres.

    measured : bool (height, width), where the depth was measured and not filled in: planes are
        fitted to that alone, as Gupta et al. do it. Default: all of it

    Channels: 310 / depth; centimetres above the lowest point; degrees between gravity and the
    local normal that points away from the camera, plus 38. All are rounded and cut to 0..255.

    Where the depth is missing (not finite, or not above 0) planes are fitted to what there is
    around it, and what is still unknown is taken from the nearest pixel where it is known. Raises
    ValueError where no plane can be fitted at all.
    """
    depth = np.where(np.isfinite(depth) & (depth > 0), depth, np.nan)
    seen = np.where(measured, depth, np.nan)
    normal = normals(seen, camera, NORMAL_RADIUS)
    if np.isnan(normal).all():
        raise ValueError("the depth is missing almost everywhere")
    gravity = gravity_direction(normals(seen, camera, GRAVITY_RADIUS))
    angle = np.degrees(np.arccos(np.clip(normal @ gravity, -1, 1)))
    height = height_above_ground(points(depth, camera), gravity)
    channels = (DISPARITY / np.maximum(depth, 1), 100 * height, angle + ANGLE_OFFSET)
    complete = np.stack([fill(channel) for channel in channels], axis=-1)
    return np.clip(np.rint(complete), 0, 255).astype(np.uint8)


def rays(shape: tuple, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """What points at depth 1 have as x and y: (height, 1) and (1, width) arrays, x first."""
    y, x = np.ogrid[:shape[0], :shape[1]]
    return (x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy


def points(depth: np.ndarray, camera: Camera) -> np.ndarray:
    """The points (height, width, 3) at a depth (height, width)."""
    x, y = rays(depth.shape, camera)
    return np.stack([x * depth, y * depth, depth], axis=-1)


def normals(depth: np.ndarray, camera: Camera, radius: int) -> np.ndarray:
    """Unit normals (height, width, 3) that point away from the camera; nan where no plane fits.

    A plane n·(X, Y, Z) = 1 has the inverse depth 1/Z = n·(x, y, 1) along the ray (x, y, 1). So n
    is the regression of 1/Z on (x, y), by least squares over the window around each pixel.
    """
    known = ~np.isnan(depth)
    mean = window_mean(known, radius)
    x, y = (np.where(known, ray, 0) for ray in rays(depth.shape, camera))
    inverse = 1 / np.where(known, depth, np.inf)
    mean_x, mean_y, mean_inverse = mean(x), mean(y), mean(inverse)
    xx, xy, yy = mean(x * x) - mean_x ** 2, mean(x * y) - mean_x * mean_y, mean(y * y) - mean_y ** 2
    xi, yi = mean(x * inverse) - mean_x * mean_inverse, mean(y * inverse) - mean_y * mean_inverse
    spread = xx * yy - xy ** 2
    spread[spread * (camera.fx * camera.fy) ** 2 < 0.01] = np.nan       # px⁴: they are in line
    nx, ny = (xi * yy - yi * xy) / spread, (yi * xx - xi * xy) / spread
    normal = np.stack([nx, ny, mean_inverse - nx * mean_x - ny * mean_y], axis=-1)
    return normal / np.linalg.norm(normal, axis=-1, keepdims=True)


def window_mean(known: np.ndarray, radius: int) -> Callable[[np.ndarray], np.ndarray]:
    """A function: the mean of an array over the known pixels of the window around each pixel."""
    def total(array: np.ndarray) -> np.ndarray:
        return uniform_filter(array.astype(float), 2 * radius + 1, mode="constant")
    share = total(known)
    share[share < 0.5 / (2 * radius + 1) ** 2] = np.nan
    return lambda array: total(array) / share


def gravity_direction(normal: np.ndarray) -> np.ndarray:
    """The unit vector along which gravity acts, from normals (height, width, 3), nan unknown.

    It starts as the y axis of the camera. In each step, surfaces with normals within a threshold
    of it, up or down, are floors, those with normals within the threshold of a right angle walls.
    """
    normal = normal[~np.isnan(normal[..., 0])]
    gravity = np.array([0., 1, 0])
    for degrees in GRAVITY_STEPS:
        gravity = refined(gravity, normal, np.radians(degrees))
    return gravity


def refined(gravity: np.ndarray, normal: np.ndarray, threshold: float) -> np.ndarray:
    """The g that is most along the floors' normals f and across the walls' normals w.

    That is the minimum of Σ (w·g)² − Σ (f·g)². What the surfaces leave open (a single wall leaves
    all directions along it) is decided by a small weight for the old direction.
    """
    along = abs(normal @ gravity)
    floors, walls = normal[along > np.cos(threshold)], normal[along < np.sin(threshold)]
    old = 1e-6 * max(len(normal), 1) * np.outer(gravity, gravity)
    _, vectors = np.linalg.eigh(walls.T @ walls - floors.T @ floors - old)
    return vectors[:, 0] * np.copysign(1, vectors[:, 0] @ gravity)


def height_above_ground(points: np.ndarray, gravity: np.ndarray) -> np.ndarray:
    """Metres above the lowest point, or above an assumed floor where none is in sight."""
    height = -points @ gravity
    lowest = np.nanmin(height)
    return height - (lowest if lowest <= -LEAST_DROP else -CAMERA_HEIGHT)


def fill(array: np.ndarray) -> np.ndarray:
    """The array (height, width) with nan replaced by the value of the nearest pixel with one."""
    nearest = distance_transform_edt(np.isnan(array), return_distances=False, return_indices=True)
    return array[tuple(nearest)]


# The command.

def convert(path: Path, camera: Camera | None = None) -> np.ndarray:
    """The HHA, as of `hha`, of a depth image in millimetres, by default of NYUDv2's camera.

    Raises ValueError where that camera is not known, or the file is no such image.
    """
    depth = read_depth(path) / 1000
    camera = camera or NYUD.get(depth.shape)
    if camera is None:
        raise ValueError(f"it has {depth.shape[1]}x{depth.shape[0]} pixels, NYUDv2's images "
                         "640x480 or 560x425: `python -m segdata.hha --camera` takes any")
    return hha(depth, camera)


def write(array: np.ndarray, target: Path) -> None:
    """Save as PNG, whole or not at all."""
    with replacing(target) as part:
        Image.fromarray(array).save(part, "PNG")


def parse_arguments() -> argparse.Namespace:
    parser = ArgumentParser(description="Compute HHA images from depth images.")
    parser.add_argument("depth", nargs="+", type=Path, metavar="DEPTH.png",
                        help="16-bit, millimetres, 0 = missing")
    parser.add_argument("-o", dest="directory", required=True, type=Path, metavar="DIR")
    parser.add_argument("--camera", nargs=4, type=float, metavar=("FX", "FY", "CX", "CY"),
                        help="focal lengths and principal point, px (NYUDv2's colour camera)")
    options = parser.parse_args()
    if options.camera and min(options.camera[:2]) <= 0:
        parser.error("--camera: focal lengths are above 0")
    for path in options.depth:
        if path.resolve().parent == options.directory.resolve():
            parser.error(f"-o {options.directory}: {path} would be overwritten")
    return options


def main() -> None:
    options = parse_arguments()
    camera = Camera(*options.camera) if options.camera else None
    try:
        make_folder(options.directory)
    except WriteError as error:
        sys.exit(f"error: {error}")
    from tqdm import tqdm  # the command alone needs it
    for path in tqdm(options.depth, desc="HHA", unit="image", disable=None):
        try:
            write(convert(path, camera), options.directory / path.with_suffix(".png").name)
        except (OSError, ValueError) as error:
            sys.exit(f"error: {path}: {error}")


if __name__ == "__main__":
    main()
