"""The embedded datasets: drawn from a seed in seconds, in the layouts of the real ones."""

import warnings
from pathlib import Path

from PIL import ExifTags, Image

MANIFEST = "embedded.json"      # in the folder of a dataset: what it was drawn from
DRAWN = "drawn by segdata.embedded"     # EXIF's description of each image, also in a copy of it


def description() -> Image.Exif:
    """What an image of these datasets says of itself."""
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = DRAWN
    return exif


def is_drawn(path: Path) -> bool:
    """Whether a file is an image of an embedded dataset, wherever it lies, as it says itself; one
    that cannot be read is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")     # also opening a file may warn of its EXIF
        try:
            with Image.open(path) as image:
                return image.getexif().get(ExifTags.Base.ImageDescription) == DRAWN
        except Exception:       # what Pillow raises on damaged files has no base
            return False
