"""EXIF of images. Where it is damaged it says nothing, and nobody is warned: the image is good.

The engine has the same in caffe/images/planes.py.
"""

import warnings
from typing import Any

from PIL import Image

# Pillow reads EXIF as it reads TIFF files, and warns without a name of the file. For good, since
# filters that are set for a while are not those of a thread alone.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


def tag(image: Image.Image, number: int) -> Any:
    """What EXIF says under a number; None where it says nothing, or is damaged."""
    try:
        return image.getexif().get(number)
    except Exception:       # what Pillow raises on damaged EXIF has no base
        return None
