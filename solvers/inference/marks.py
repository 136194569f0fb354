"""The mark on pictures that this tool writes, by which it does not take them for photographs."""

from pathlib import Path

from PIL import Image
from PIL.PngImagePlugin import PngInfo

MARK = "Software", "fcn infer"


def save(image: Image.Image, path: Path) -> None:
    """Write a marked PNG file."""
    info = PngInfo()
    info.add_text(*MARK)
    image.save(path, format="PNG", pnginfo=info)


def is_own(path: Path) -> bool:
    """Whether a PNG file has the mark; a file that cannot be read has none."""
    try:
        with Image.open(path) as image:
            return image.info.get(MARK[0]) == MARK[1]
    except Exception:       # what Pillow raises on damaged files has no base
        return False
