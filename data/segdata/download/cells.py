"""Preparing the sets that U-Net was trained on: stacks of slices, and sequences with masks.

Truth of the challenges' test sets is not public: what is scored is a part of the training set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from segdata.cell_files import write_sample, write_weights
from segdata.download.splits import write_list
from segdata.errors import MaterialError
from segdata.files import put_folder, staging
from segdata.instances import components, load_instances
from segdata.readers import opened

VALIDATION = 5      # slices of the ISBI stack that are kept for scoring, the last of 30
SEQUENCES = {"train": "01", "val": "02"}        # of the cell tracking challenge


def prepare_isbi(source: Path, folder: Path) -> None:
    """Prepare the stacks train-volume.tif and train-labels.tif (0: membrane) found anywhere below
    `source`; cells are what membranes part, all that is connected in a slice.

    Raises MaterialError for stacks that do not go together, or are too short.
    """
    volume, labels = (_only(source, name) for name in ("train-volume.tif", "train-labels.tif"))
    count, others = slices(volume), slices(labels)
    if count != others:
        raise MaterialError(f"{volume} has {count} slices, {labels} {others}: expected are as many")
    with staging(folder) as place:
        content = place / "content"
        names: list[str] = []
        for image, label in zip(pages(volume), pages(labels), strict=True):
            _check_sizes(f"slice {len(names)} of {volume}", image, labels, label)
            names.append(f"slice{len(names):02d}")
            write_sample(content, names[-1], image, components(label > label.max() // 2))
        if len(names) <= VALIDATION:
            raise MaterialError(f"{volume} has {len(names)} slices, expected are more than "
                                f"{VALIDATION}")
        write_list(content / "train.txt", names[:-VALIDATION])
        write_list(content / "val.txt", names[-VALIDATION:])
        write_weights(content)
        put_folder(content, folder)


def prepare_sequences(source: Path, folder: Path) -> None:
    """Prepare a set of the cell tracking challenge: 01/t000.tif with 01_GT/SEG/man_seg000.tif,
    trained on, and 02 likewise, scored. Frames without a segmentation are left out."""
    with staging(folder) as place:
        content = place / "content"
        for split, sequence in SEQUENCES.items():
            names = []
            for number, image, instances in frames(source, sequence):
                names.append(f"{sequence}_t{number}")
                write_sample(content, names[-1], image, instances)
            write_list(content / f"{split}.txt", names)
        write_weights(content)
        put_folder(content, folder)


def frames(source: Path, sequence: str) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(number as its file has it, image, instances) of the frames with a segmentation."""
    masks = sorted((source / f"{sequence}_GT" / "SEG").glob("man_seg*.tif"))
    if not masks:
        raise MaterialError(f"{source} holds no {sequence}_GT/SEG/man_seg*.tif: is it a training "
                            "set of the cell tracking challenge?")
    for mask in masks:
        number = mask.stem.removeprefix("man_seg").lstrip("_")
        image = source / sequence / f"t{number}.tif"
        if not image.is_file():
            raise MaterialError(f"{image} is missing, the frame of {mask}")
        grey, instances = next(pages(image)), load_instances(mask)
        _check_sizes(image, grey, mask, instances)
        yield number, grey, instances


def slices(path: Path) -> int:
    """How many pages a TIFF has. Raises MaterialError."""
    return sum(1 for _ in pages(path))


def _check_sizes(image: Path | str, grey: np.ndarray, mask: Path, truth: np.ndarray) -> None:
    """Raise MaterialError, with the names, unless image and truth are of one size."""
    if grey.shape != truth.shape:
        sizes = ["x".join(map(str, array.shape[::-1])) for array in (grey, truth)]
        raise MaterialError(f"{image} is {sizes[0]} pixels, {mask} {sizes[1]}: expected is one "
                            "size")


def pages(path: Path) -> Iterator[np.ndarray]:
    """The pages of a TIFF, grey arrays (height, width) of 8 or 16 bits."""
    try:
        with opened(path) as stack:
            for number in range(getattr(stack, "n_frames", 1)):
                stack.seek(number)
                page = np.asarray(stack)
                page = page.astype(page.dtype.newbyteorder("="))    # ImageJ's are big-endian
                if page.ndim != 2 or page.dtype not in (np.uint8, np.uint16):
                    raise ValueError(f"page {number} is {page.dtype} {page.shape}, expected grey "
                                     "of 8 or 16 bits")
                yield page
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise MaterialError(f"{path} cannot be read: {error}") from None


def _only(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise MaterialError(f"{folder} holds {len(found)} files {name}, expected is one")
    return found[0]
