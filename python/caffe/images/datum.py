"""Datum: the record of Caffe's databases, one labelled image or array."""

import io

import numpy as np
from PIL import UnidentifiedImageError

from ..errors import CaffeError
from ..proto import caffe_pb2
from .planes import opened, planes


def array_to_datum(array: np.ndarray, label: int | None = None) -> caffe_pb2.Datum:
    """A Datum of `array` (channels, height, width): uint8 as bytes, everything else as floats.

    Raises ValueError for another number of axes.
    """
    array = np.asarray(array)
    if array.ndim != 3:
        raise ValueError(f"Incorrect array shape: expected 3 axes, got {array.shape}")
    datum = caffe_pb2.Datum()
    datum.channels, datum.height, datum.width = array.shape
    if array.dtype == np.uint8:
        datum.data = array.tobytes()
    else:
        datum.float_data.extend(array.astype(float).flat)
    if label is not None:
        datum.label = label
    return datum


def datum_to_array(datum: caffe_pb2.Datum) -> np.ndarray:
    """The array (channels, height, width) in a Datum that is not encoded, uint8 or float.

    A length that is not the shape's is a ValueError.
    """
    if len(datum.data):
        flat = np.frombuffer(datum.data, np.uint8).copy()
    else:
        flat = np.array(datum.float_data).astype(float)
    return flat.reshape(datum.channels, datum.height, datum.width)


def decode(datum: caffe_pb2.Datum, color: bool | None = None) -> np.ndarray:
    """The array of any Datum; an encoded image becomes uint8 (channels, height, width), B G R.

    color : True for three channels, False for one, None for what the image has; for what is not
        encoded it has no meaning

    Raises CaffeError if the image cannot be decoded, the shape is empty, or the length is not the
    shape's.
    """
    try:
        if datum.encoded:
            with opened(io.BytesIO(datum.data)) as image:
                return planes(image, color)
        if min(shape := (datum.channels, datum.height, datum.width)) < 1:
            raise ValueError(f"its channels, height and width are {shape}")
        return datum_to_array(datum)
    except UnidentifiedImageError:
        raise CaffeError("a damaged record: it holds no image of a known format") from None
    except Exception as error:
        raise CaffeError(f"a damaged record: {error}") from None
