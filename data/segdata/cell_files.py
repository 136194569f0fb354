"""Microscope images of cells, with instances, in folders.

    FOLDER/{train,val}.txt              NAMEs, one a line
    FOLDER/images/NAME.tif              grey, of 8 or 16 bits; or .png
    FOLDER/instances/NAME.tif           a number for each cell, 0 for background; or .png
    FOLDER/weights/NAME.npy             weights of the pixels, which `write_weights` makes
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from segdata.errors import DataError
from segdata.files import make_folder
from segdata.instances import load_instances
from segdata.lists import KnownFiles, first_there, read_list
from segdata.readers import eight_bits, opened
from segdata.weight_map import write_weight_maps

SUFFIXES = (".tif", ".tiff", ".png", ".TIF", ".PNG")
CLASSES = ("background", "cell")


def read_grey(path: Path) -> np.ndarray:
    """An image as grey uint8 (height, width); of 16 bits, 65535 is white."""
    with opened(path) as image:
        if (pages := getattr(image, "n_frames", 1)) > 1:
            raise ValueError(f"it is a stack of {pages} images, expected is one of them")
        return np.asarray(eight_bits(image).convert("L"))


def sample_paths(folder: Path, name: str, known_files: KnownFiles) -> dict[str, Path]:
    """{"data": path, "label": path} of a sample, by the suffixes of the files that there are."""
    found = {}
    for top, place in (("data", "images"), ("label", "instances")):
        paths = [folder / place / f"{name}{suffix}" for suffix in SUFFIXES]
        found[top] = first_there(paths, known_files)
    return found


def samples(folder: Path, split: str) -> Iterator[tuple[str, np.ndarray]]:
    """(name, instances, int32 (height, width)) of the samples of a split, in its order."""
    known_files = KnownFiles()
    for entry in read_list(folder / f"{split}.txt"):
        path = sample_paths(folder, entry.name, known_files)["label"]
        yield entry.name, load_instances(path)


def write_sample(folder: Path, name: str, image: np.ndarray, instances: np.ndarray,
                 exif: Image.Exif | None = None) -> None:
    """Write an image, uint8 or uint16 (height, width), and its instances, as 16 bits. exif : of
    both files"""
    if image.shape != instances.shape:
        raise DataError(f"{folder}: the image of {name} is {image.shape}, its instances are "
                        f"{instances.shape} (height, width)")
    for place, values in (("images", image), ("instances", instances.astype(np.uint16))):
        make_folder(folder / place)
        Image.fromarray(values).save(folder / place / f"{name}.tif", compression="tiff_lzw",
                                     exif=exif or Image.Exif())


def write_weights(folder: Path) -> None:
    """Write the weights of all instances, where they are not there yet."""
    for _ in write_weight_maps(folder / "instances", folder / "weights"):
        pass
