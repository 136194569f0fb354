"""Weights of the pixels from instances, as U-Net is trained with (arXiv 1505.04597, section 3).

    python -m segdata.weight_map INSTANCES -o WEIGHTS [--components]

    w(x) = w_c(x) + 10 exp(-(d1(x) + d2(x))² / (2 · 5²))

w_c balances the classes; d1 and d2 are the distances in pixels to the nearest and the second
nearest cell, 0 inside one: what lies between two cells counts most, so that a net learns to part
them. Cells that touch are parted by a line of background before.

INSTANCES is a folder of images with a number for each cell; WEIGHTS gets NAME.npy for each, which
`--pixel-weights` of `fcn solve` takes, and the key `weights` of the data layers. What is there
already is computed again only if its instances have changed.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from segdata.arguments import ArgumentParser
from segdata.errors import DataError, UserError
from segdata.files import make_folder, replacing
from segdata.instances import (
    UNREADABLE,
    checked_instances,
    components,
    doubts,
    load_instances,
    parted,
    read_numbers,
)
from segdata.lists import some

BORDER, DEVIATION = 10.0, 5.0       # w_0 and sigma of the paper
NEGLIGIBLE = 1e-7                   # the weight below which a distance is as good as infinite
SUFFIXES = (".tif", ".tiff", ".png")
MADE = "made.json"      # {name of a file of weights: time of its instances in ns, null of a mask}


def weight_map(instances: np.ndarray, class_weights: Sequence[float] | None = None,
               border: float = BORDER, deviation: float = DEVIATION) -> np.ndarray:
    """The weights, float32 (height, width), of instances (height, width).

    class_weights : of background and of cells; default: such that both count as much in this image
        and the mean is 1
    border, deviation : w_0, and sigma in pixels
    Raises ValueError for instances that are none, and for weights that are no two numbers from 0.
    """
    cells = parted(checked_instances(instances))
    inside = cells > 0
    if class_weights is None:
        class_weights = balanced(inside)
    if len(class_weights) != 2 or not all(0 <= each < math.inf for each in class_weights):
        raise ValueError(f"class_weights are {tuple(class_weights)}, expected are two finite "
                         "numbers from 0 on, of background and of cells")
    weights = np.asarray(class_weights, np.float32)[inside.astype(int)]
    if border > 0:
        first, second = nearest_two(cells, _reach(border, deviation))
        weights += border * np.exp(-(first + second) ** 2 / np.float32(2 * deviation ** 2))
    return weights


def balanced(inside: np.ndarray) -> tuple[float, float]:
    """The weights with which background and cells count as much; 1 where there is one alone."""
    share = float(inside.mean()) if inside.size else 0.0
    return (0.5 / (1 - share), 0.5 / share) if 0 < share < 1 else (1.0, 1.0)


def _reach(border: float, deviation: float) -> int:
    """The distance in pixels from which on a cell adds nothing that a float32 would show."""
    return math.ceil(deviation * math.sqrt(2 * math.log(max(border / NEGLIGIBLE, math.e))))


def nearest_two(cells: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """The distances, float32 (height, width), to the nearest and the second nearest cell; infinite
    where none is within `reach` rows and columns.

    Each cell is looked at in its box with so much around it.
    """
    first, second = np.full((2, *cells.shape), np.inf, np.float32)
    for number, box in enumerate(ndimage.find_objects(cells), 1):
        if box is None:
            continue
        around = tuple(slice(max(0, side.start - reach), side.stop + reach) for side in box)
        top = box[0].start - around[0].start
        distance = distances(cells[around] == number, range(top, top + cells[box].shape[0]), reach)
        np.minimum(second[around], np.maximum(first[around], distance), out=second[around])
        np.minimum(first[around], distance, out=first[around])
    return first, second


def distances(cell: np.ndarray, rows: Iterable[int], reach: int) -> np.ndarray:
    """The distances, float32 (height, width), to a cell that lies in those rows of an array;
    infinite where it is more than `reach` rows away.

    A pixel's distance to what the cell has in one row is known from that to the nearest pixel along
    the row: the smallest over all rows is that to the cell.
    """
    columns = np.arange(cell.shape[1], dtype=np.float32)
    before = np.maximum.accumulate(np.where(cell, columns, -np.inf), 1)
    behind = np.minimum.accumulate(np.where(cell, columns, np.inf)[:, ::-1], 1)[:, ::-1]
    along = np.minimum(columns - before, behind - columns) ** 2
    steps = np.arange(-reach, reach + 1, dtype=np.float32)[:, None] ** 2
    found = np.full(cell.shape, np.inf, np.float32)
    for row in rows:
        near = found[max(0, row - reach):row + reach + 1]
        first = max(0, reach - row)
        np.minimum(near, along[row] + steps[first:first + len(near)], out=near)
    return np.sqrt(found)


def write_weight_maps(source: Path, target: Path, of_masks: bool = False) -> Iterator[Path]:
    """Write the weights of the instances in a folder; yields the path of each.

    of_masks : the images are masks, of which parts that lie apart are cells
    Raises DataError, with the file, for what are no instances, and for two files of one name.

    What is odd of instances is printed on standard error. MADE, among the weights, has the time of
    the instances of which each file was made, by which it is known again; those of masks are always
    made anew.
    """
    files, others = images_in(source)
    if not files:
        raise DataError(f"{source} has no images of instances ({', '.join(SUFFIXES)})"
                        + _only(others))
    make_folder(target)
    made = _made(target)
    names = {path.stem: path for path in files}
    for file in files:
        if names[file.stem] != file:
            raise DataError(f"{file} and {names[file.stem].name} have one name, and so would have "
                            f"one file of weights, {file.stem}.npy: remove one of them")
        path, changed = target / f"{file.stem}.npy", file.stat().st_mtime_ns
        if of_masks or not path.exists() or made.get(path.name) != changed:
            instances = _parts(file) if of_masks else load_instances(file)
            for doubt in [] if of_masks else doubts(read_numbers(file)):
                print(f"warning: {file}: {doubt.problem}\n    Remedy: {doubt.remedy}",
                      file=sys.stderr)
            with replacing(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, weight_map(instances))
            made[path.name] = None if of_masks else changed
            with replacing(target / MADE) as temporary:
                temporary.write_text(json.dumps(made), encoding="utf-8")
        yield path


def _made(folder: Path) -> dict[str, int | None]:
    """What MADE says; {} where it is not there, or damaged."""
    with suppress(OSError, ValueError, TypeError):
        return dict(json.loads((folder / MADE).read_text(encoding="utf-8")))
    return {}


def images_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """(images that can hold instances, other images) of a folder. Raises DataError for none."""
    if not folder.is_dir():
        raise DataError(f"{folder} " + ("is a file, expected a folder of images of instances"
                                        if folder.exists() else "does not exist"))
    files, others = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES:
            files.append(path)
        elif path.suffix.lower() in Image.registered_extensions():
            others.append(path)
    return files, others


def _only(others: list[Path]) -> str:
    """What is to be said of images in the place of instances that cannot hold them."""
    if not others:
        return ""
    jpeg = any(Image.registered_extensions()[path.suffix.lower()] == "JPEG" for path in others)
    return f", only {some([path.name for path in others])}: " + (
        "JPEG changes the numbers of cells; write them anew, from where they come, as PNG or TIFF"
        if jpeg else "write them as PNG or TIFF")


def _parts(file: Path) -> np.ndarray:
    """The parts of a mask as instances. Raises DataError."""
    try:
        return components(read_numbers(file) > 0)
    except UNREADABLE as error:
        raise DataError(f"mask {file} cannot be read: {error}") from error


def main() -> None:
    parser = ArgumentParser(prog="python -m segdata.weight_map", description=__doc__,
                            formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instances", type=Path, metavar="INSTANCES")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="WEIGHTS")
    parser.add_argument("--components", action="store_true",
                        help="the images are masks: parts that lie apart are cells")
    args = parser.parse_args()
    try:
        count = sum(1 for _ in write_weight_maps(args.instances, args.output, args.components))
    except (UserError, OSError) as error:
        sys.exit(f"error: {error}")
    others = [path.name for path in images_in(args.instances)[1]]
    print(f"{args.output}: the weights of {count} image{'s' * (count > 1)}"
          + (f"; left out, being no PNG or TIFF: {some(others)}" if others else ""))


if __name__ == "__main__":
    main()
