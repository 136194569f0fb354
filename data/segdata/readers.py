"""Reading the files of data sets: images and labels as arrays."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import scipy.io
from PIL import Image

from segdata import exif
from segdata.classes import VOID
from segdata.errors import Doubt
from segdata.lists import check_regular

MOST_PIXELS = 50_000_000    # of an image, unless $FCN_MAX_PIXELS says otherwise
ORIENTATION = 0x0112        # of EXIF
# by orientation, what sets an image upright
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
         4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
         6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
SAY_TURN = "exif", "Raw profile type exif", "xmp", "XML:com.adobe.xmp"      # of Pillow's info
WHITE = 65_535              # of an image of 16 bits
MOST_TIMES = 1000           # what a variable in a MATLAB file may be larger than the file


@contextmanager
def opened(path: Path | BinaryIO) -> Iterator[Image.Image]:
    """An image file, whose pixels are not decoded yet. ValueError for what is no plain file, and
    for more pixels than $FCN_MAX_PIXELS, by default MOST_PIXELS: few bytes may stand for many.

    The engine has the same in caffe.images.planes, which the original's pycaffe lacks.
    """
    if isinstance(path, (str, os.PathLike)):
        check_regular(path)
    given = os.environ.get("FCN_MAX_PIXELS", "")
    limit = int(given) if given.isdecimal() else MOST_PIXELS
    if limit > MOST_PIXELS:         # above Pillow's own limit, too
        Image.MAX_IMAGE_PIXELS = max(limit, Image.MAX_IMAGE_PIXELS or 0)
    with Image.open(path) as image:
        if math.prod(image.size) > limit:
            raise ValueError(f"it has {image.width} x {image.height} pixels, more than "
                             f"{limit:,}; make it smaller, or set the environment variable "
                             "FCN_MAX_PIXELS to a number that it does not exceed")
        yield image


def read_rgb(path: Path) -> np.ndarray:
    """An image file as uint8 (height, width, 3), as it is stored; 16-bit grey is scaled to 8."""
    with opened(path) as image:
        return np.asarray(eight_bits(image).convert("RGB"))


def read_photograph(path: Path | BinaryIO) -> Image.Image:
    """Any image that Pillow reads, upright, as an RGB image; transparent parts become white."""
    with opened(path) as file:
        return upright(file)


def upright(image: Image.Image) -> Image.Image:
    """An image as its camera was held, in RGB; transparent parts become white."""
    image = eight_bits(_turned(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _turned(image: Image.Image) -> Image.Image:
    """An image as EXIF says that it is to be turned, which the result says no more. Unlike Pillow's
    exif_transpose it leaves the rest of EXIF alone, which may be damaged."""
    image.load()        # after which a TIFF file is upright already
    if (orientation := turn(image)) == 1:
        return image
    turned = image.transpose(TURNS[orientation])
    turned.info = {key: value for key, value in image.info.items() if key not in SAY_TURN}
    return turned


def turn(image: Image.Image) -> int:
    """How EXIF says that an image is stored: 1 upright, 2 to 8 mirrored or turned. Upright, too,
    where EXIF is damaged or says none of these, as viewers have it."""
    found = exif.tag(image, ORIENTATION)
    return int(found) if found in range(1, 9) else 1


def eight_bits(image: Image.Image) -> Image.Image:
    """An image of whole or floating-point numbers as one of bytes; any other as it is."""
    if image.mode.startswith(("I", "F")):
        return Image.fromarray(to_bytes(np.asarray(image, np.float64)))
    return image


def to_bytes(grey: np.ndarray) -> np.ndarray:
    """As uint8: 16-bit grey (65535 is white); of other numbers their own range."""
    low, high = 0, WHITE
    if not is_of_16_bits(grey):
        if not np.isfinite(grey).all():
            raise ValueError("its values are not finite")
        low, high = grey.min(), grey.max()
    return np.rint((grey - low) * (255 / max(high - low, 1e-30))).astype(np.uint8)


def is_of_16_bits(grey: np.ndarray) -> bool:
    return bool(grey.min() >= 0 and grey.max() <= WHITE and not (grey % 1).any())


def dimness(image: Image.Image) -> Doubt | None:
    """The Doubt about an opened image of 16 bits whose values end below a quarter of their range,
    as those of a camera of 12 bits do: as bytes it is nearly black."""
    stored = str(getattr(image, "tile", ""))       # such as RGB;16B, of a file not yet decoded
    is_colour = image.mode == "RGB" and ";16" in stored
    if not (is_colour or image.mode.startswith(("I", "F"))):
        return None
    values = np.asarray(image)
    if not is_colour and not is_of_16_bits(values):
        return None
    largest = round(float(values.max())) * (257 if is_colour else 1)   # Pillow makes colours bytes
    if not 0 < largest <= WHITE // 4:
        return None
    bits = next(bits for bits in (8, 10, 12, 14) if largest < 2 ** bits)
    return Doubt(f"16 bits with no value above {largest:,} of 65,535, as of a camera of {bits} "
                 f"bits: to a net nearly black, {largest / 257:.0f} of 255 at most",
                 f"multiply the values of all images by {2 ** (16 - bits)}, of those to train on "
                 "and of those to segment (docs/unet.md has the lines)")


def differently_read(image: Image.Image) -> Doubt | None:
    """The Doubt about an opened image that `read_rgb` and `read_photograph` read differently."""
    found = [*["EXIF says that it is to be turned"] * (turn(image) != 1),
             *["it has transparent parts"] * _shows_through(image)]
    if not found:
        return None
    return Doubt(f"{' and '.join(found)}; it is trained on and scored as it is stored, but "
                 "segmented upright, with white in place of what is transparent",
                 "save such images upright and without transparency, and turn a mask with its "
                 "image if it was drawn on what is stored: `fcn import` does all that")


def _shows_through(image: Image.Image) -> bool:
    """Whether a pixel of an image is not wholly opaque."""
    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return False
    return bool(np.asarray(image.convert("RGBA").getchannel("A")).min() < 255)


def doubts_of(path: Path) -> list[Doubt]:
    """What is odd of an image file; nothing where it cannot be read."""
    try:
        with opened(path) as image:
            return list(filter(None, [dimness(image), differently_read(image)]))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return []


def read_label_image(path: Path) -> np.ndarray:
    """A palette or grey PNG of up to 8 bits as uint8 (height, width): the numbers in the file.

    They are class numbers. Raises ValueError where the file cannot hold them exactly.
    """
    with opened(path) as image:
        if image.format != "PNG":
            raise ValueError(f"it is a {image.format} file, expected PNG, which keeps class "
                             "numbers exactly")
        if image.mode not in ("P", "L", "1"):
            raise ValueError(f"its mode is {image.mode}, expected a palette or 8-bit grey image "
                             "with class numbers as values")
        numbers = np.asarray(image).astype(np.uint8, copy=False)
        return numbers // GREY_STEPS[png_bits(path)] if image.mode == "L" else numbers


# Pillow spreads greys of fewer bits over 0..255: what it multiplies them by
GREY_STEPS = {2: 85, 4: 17, 8: 1}


def png_bits(path: Path) -> int:
    """The bits of a sample of a PNG file: its byte 24, in the header after width and height."""
    with open(path, "rb") as file:
        return file.read(25)[24]


def read_weights(path: Path) -> np.ndarray:
    """Weights of pixels, float32 (height, width): the numbers in an .npy file, or a grey PNG of 8
    bits, in which 255 is 1. Raises ValueError for numbers that are no weights."""
    if path.suffix == ".npy":
        check_regular(path)
        weights = np.load(path, mmap_mode="r", allow_pickle=False)
        if weights.ndim != 2 or weights.dtype.kind not in "uifb":
            raise ValueError(f"expected numbers (height, width), got {weights.dtype} "
                             f"{weights.shape}")
        weights = np.array(weights, np.float32)
    else:
        with opened(path) as image:
            if image.mode != "L":
                raise ValueError(f"its mode is {image.mode}, expected an 8-bit grey image, in "
                                 "which 255 is the weight 1, or an .npy file")
            weights = np.asarray(image, np.float32) / np.float32(255)
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("it has weights that are negative or not finite")
    return weights


def read_depth(path: Path) -> np.ndarray:
    """A 16-bit grey image of the depth in millimetres: (height, width), 0 where it is missing."""
    with opened(path) as image:
        if image.mode not in ("I;16", "I;16B", "I"):
            raise ValueError(f"its mode is {image.mode}, expected a 16-bit grey image of the depth "
                             "in millimetres")
        depth = np.asarray(image)
    if 0 < depth.max() < LEAST_DEPTH:
        raise ValueError(f"its largest value is {depth.max()}, expected is the depth in "
                         "millimetres; if it is in metres, multiply it by 1000")
    return depth


LEAST_DEPTH = 100       # mm: nothing that a depth camera sees is all nearer


def read_hha(path: Path) -> np.ndarray:
    """What `segdata.hha` writes: uint8 (height, width, 3)."""
    with opened(path) as image:
        if image.mode != "RGB":
            raise ValueError(f"its mode is {image.mode}, expected an RGB image of HHA")
        return np.asarray(image)


def read_mat(path: Path, variable: str) -> np.ndarray:
    """A variable of a MATLAB file. Raises ValueError where it is no such file or lacks that."""
    check_regular(path)
    try:
        variables = {name: shape for name, shape, _ in scipy.io.whosmat(path)}
        if variable not in variables:
            raise ValueError(f"it has no variable '{variable}', only "
                             f"{', '.join(variables) or 'none'}")
        size, most = math.prod(variables[variable]), MOST_TIMES * os.path.getsize(path)
        if size > most:
            raise ValueError(f"'{variable}' of shape {variables[variable]} has more than {most:,} "
                             "values, which a file of that size cannot hold")
        return scipy.io.loadmat(path, variable_names=[variable])[variable]
    except (ValueError, OSError):
        raise
    except NotImplementedError:
        raise ValueError("it is a MATLAB file of version 7.3 (HDF5), which is not read here; save "
                         "it anew by save(file, '-v7')") from None
    except Exception as error:      # what SciPy raises on a damaged file has no base
        raise ValueError(f"it is no MATLAB file, or a damaged one: {error}") from error


def class_numbers(values: np.ndarray, first_class: int = 0, void_values: tuple = ()) -> np.ndarray:
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


def subtract_mean(image: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """RGB uint8 (height, width, 3) -> BGR minus `mean`, float32 (3, height, width).

    The difference is taken in the precision of the mean and rounded once, as NumPy does it in
    the published layers.
    """
    bgr = image[:, :, ::-1].transpose(2, 0, 1)
    out = np.empty(bgr.shape, np.float32)
    return np.subtract(bgr, mean, out=out, casting="same_kind")
