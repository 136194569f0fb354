"""Reading the files of data sets: images and labels as arrays."""

import numpy as np
import scipy.io
from PIL import Image, ImageOps

from segdata.classes import VOID


def read_rgb(path):
    """An image file as uint8 (height, width, 3)."""
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def read_photograph(path):
    """Any image that Pillow reads, upright, as an RGB image; transparent parts become white."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith(("I", "F")):
            image = Image.fromarray(to_bytes(np.asarray(image, np.float64)))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")


def to_bytes(grey):
    """As uint8: 16-bit grey (65535 is white); of other numbers their own range."""
    low, high = 0, 65535
    if grey.min() < low or grey.max() > high or (grey % 1).any():
        if not np.isfinite(grey).all():
            raise ValueError("its values are not finite")
        low, high = grey.min(), grey.max()
    return np.rint((grey - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)


def read_label_image(path):
    """A palette or grey image file as uint8 (height, width); the values are class numbers."""
    with Image.open(path) as image:
        if image.mode not in ("P", "L", "1"):
            raise ValueError(f"its mode is {image.mode}, expected a palette or 8-bit grey image "
                             "with class numbers as values")
        return np.asarray(image).astype(np.uint8, copy=False)


def read_depth(path):
    """A 16-bit grey image: (height, width), in its unit, 0 where the depth is missing."""
    with Image.open(path) as image:
        if image.mode not in ("I;16", "I;16B", "I"):
            raise ValueError(f"its mode is {image.mode}, expected a 16-bit grey image of the depth "
                             "in millimetres")
        return np.asarray(image)


def read_hha(path):
    """What hha.py writes: uint8 (height, width, 3)."""
    with Image.open(path) as image:
        if image.mode != "RGB":
            raise ValueError(f"its mode is {image.mode}, expected an RGB image of HHA")
        return np.asarray(image)


def read_mat(path, variable):
    """A variable of a MATLAB file."""
    found = scipy.io.loadmat(path, variable_names=[variable])
    if variable not in found:
        present = [name for name, *_ in scipy.io.whosmat(path)]
        raise ValueError(f"it has no variable '{variable}', only {', '.join(present) or 'none'}")
    return found[variable]


def class_numbers(values, first_class=0, void_values=()):
    """Labels as stored -> class numbers: `void_values` become VOID, `first_class` becomes 0.

    `values` is (height, width); MATLAB may have stored the integers as floating-point numbers.
    """
    if values.ndim != 2 or values.dtype.kind not in "uif":
        raise ValueError(f"expected numbers (height, width), got {values.dtype} {values.shape}")
    if values.dtype.kind == "f":
        fractions = values[~np.isfinite(values) | (values % 1 != 0)]
        if fractions.size:
            raise ValueError(f"{fractions.size} values are no integers, the first is "
                             f"{fractions[0]}")
    if not (first_class or void_values or values.dtype.kind == "f"):
        return values
    numbers = values.astype(np.int64)
    return np.where(np.isin(numbers, (*void_values, VOID)), VOID, numbers - first_class)


def subtract_mean(image, mean):
    """RGB uint8 (height, width, 3) -> BGR minus `mean`, float32 (3, height, width).

    The difference is taken in the precision of the mean and rounded once, as NumPy does it in
    the published layers.
    """
    bgr = image[:, :, ::-1].transpose(2, 0, 1)
    out = np.empty(bgr.shape, np.float32)
    return np.subtract(bgr, mean, out=out, casting="same_kind")
