"""The embedded datasets: drawn from a seed in seconds, in the layouts of the real ones."""

from pathlib import Path

from PIL import ExifTags, Image

from segdata import exif

MANIFEST = "embedded.json"      # in the folder of a dataset: what it was drawn from
DRAWN = "drawn by segdata.embedded"     # EXIF's description of each image, also in a copy of it


def description() -> Image.Exif:
    """What an image of these datasets says of itself."""
    said = Image.Exif()
    said[ExifTags.Base.ImageDescription] = DRAWN
    return said


def is_drawn(path: Path) -> bool:
    """Whether a file is an image of an embedded dataset, wherever it lies, as it says itself; one
    that cannot be read is none."""
    try:
        with Image.open(path) as image:
            return exif.tag(image, ExifTags.Base.ImageDescription) == DRAWN
    except Exception:       # what Pillow raises on damaged files has no base
        return False
