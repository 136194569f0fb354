"""caffe.io: images into nets and out of them, and arrays into Caffe's messages."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import BinaryIO

import numpy as np
from PIL import Image
from scipy import ndimage

from .errors import CaffeError
from .formats import caffemodel, hdf5
from .formats.reading import reading
from .images.datum import array_to_datum, datum_to_array
from .images.planes import opened
from .other_names import __getattr__  # noqa: F401  names that scripts find in the original's
from .proto import caffe_pb2

__all__ = ["Transformer", "array_to_blobproto", "array_to_datum",
           "arraylist_to_blobprotovector_str", "blobproto_to_array",
           "blobprotovector_str_to_arraylist", "caffe_pb2", "datum_to_array", "load_image",
           "oversample", "read_weights", "resize_image"]


# messages


def blobproto_to_array(blob: caffe_pb2.BlobProto, return_diff: bool = False) -> np.ndarray:
    """The values of a BlobProto, or its gradients, as an array of its shape."""
    data = np.array(blob.diff if return_diff else blob.data)
    legacy = any(blob.HasField(name) for name in ("num", "channels", "height", "width"))
    if legacy:
        return data.reshape(blob.num, blob.channels, blob.height, blob.width)
    return data.reshape(blob.shape.dim)


def array_to_blobproto(arr: np.ndarray, diff: np.ndarray | None = None) -> caffe_pb2.BlobProto:
    """A BlobProto of an array of any shape, and of its gradient if given."""
    blob = caffe_pb2.BlobProto()
    blob.shape.dim.extend(arr.shape)
    blob.data.extend(arr.astype(float).flat)
    if diff is not None:
        blob.diff.extend(diff.astype(float).flat)
    return blob


def arraylist_to_blobprotovector_str(arraylist: Sequence[np.ndarray]) -> bytes:
    """A serialised BlobProtoVector of a list of arrays."""
    return caffe_pb2.BlobProtoVector(
        blobs=[array_to_blobproto(array) for array in arraylist]).SerializeToString()


def blobprotovector_str_to_arraylist(serialized: bytes) -> list[np.ndarray]:
    """The arrays of a serialised BlobProtoVector."""
    return [blobproto_to_array(blob)
            for blob in caffe_pb2.BlobProtoVector.FromString(serialized).blobs]


def read_weights(path: str | os.PathLike) -> dict[str, list[np.ndarray]]:
    """{layer: its parameters} in a caffemodel, binary or HDF5, without the prototxt of its net.

    Shapes are as stored: files of old Caffe have four axes throughout, the first of length 1. Of a
    layer that uses parameters of another, as an HDF5 file can say, there are those before them.
    Raises CaffeError for a file that is missing, damaged or no caffemodel.
    """
    path = os.fspath(path)
    form = hdf5 if hdf5.is_hdf5(path) else caffemodel
    return {name: list(itertools.takewhile(lambda array: array is not None, arrays))
            for name, arrays in form.read_caffemodel(path)}


# images


class Transformer:
    """From images (height, width, channels) to a net's inputs (channels, height, width), and back.

    preprocess does, in this order and each only where it was set: resize to the input's size,
    transpose, swap channels, scale by raw_scale, subtract the mean, scale by input_scale.

    Parameters
    ----------
    inputs : {name of an input blob: its shape, the batch first}
    """

    def __init__(self, inputs: dict) -> None:
        self.inputs = inputs
        self.transpose: dict[str, Sequence[int]] = {}
        self.channel_swap: dict[str, Sequence[int]] = {}
        self.raw_scale: dict[str, float] = {}
        self.mean: dict[str, np.ndarray] = {}
        self.input_scale: dict[str, float] = {}

    def preprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """The image `data` as what the input blob `in_` takes, float32.

        The image itself stays as it is. (Caffe's may scale a float32 image in place.)
        """
        self.__check_input(in_)
        out = np.array(data, np.float32)
        size = tuple(self.inputs[in_][2:])
        if out.shape[:2] != size:
            out = resize_image(out, size)
        if in_ in self.transpose:
            out = out.transpose(self.transpose[in_])
        if in_ in self.channel_swap:
            out = out[self.channel_swap[in_], :, :]
        if in_ in self.raw_scale:
            out *= self.raw_scale[in_]
        if in_ in self.mean:
            out -= self.mean[in_]
        if in_ in self.input_scale:
            out *= self.input_scale[in_]
        return out

    def deprocess(self, in_: str, data: np.ndarray) -> np.ndarray:
        """What preprocess made of an image, back as an image, but for its size; data's own dtype.

        As in Caffe, axes of length 1 go first, so that one channel does not transpose: ValueError.
        """
        self.__check_input(in_)
        out = data.copy().squeeze()
        if in_ in self.input_scale:
            out /= self.input_scale[in_]
        if in_ in self.mean:
            out += self.mean[in_]
        if in_ in self.raw_scale:
            out /= self.raw_scale[in_]
        if in_ in self.channel_swap:
            out = out[np.argsort(self.channel_swap[in_]), :, :]
        if in_ in self.transpose:
            out = out.transpose(np.argsort(self.transpose[in_]))
        return out

    def set_transpose(self, in_: str, order: Sequence[int]) -> None:
        """Reorder the image's axes; (2, 0, 1) puts the channels first."""
        self.__check_input(in_)
        if len(order) != len(self.inputs[in_]) - 1:
            raise Exception("Transpose order needs to have the same number of dimensions as the "
                            f"input: {len(self.inputs[in_]) - 1}, not {len(order)}")
        self.transpose[in_] = order

    def set_channel_swap(self, in_: str, order: Sequence[int]) -> None:
        """Reorder the channels; (2, 1, 0) makes BGR of RGB."""
        self.__check_input(in_)
        if len(order) != self.inputs[in_][1]:
            raise Exception("Channel swap needs to have the same number of dimensions as the "
                            f"input channels: {self.inputs[in_][1]}, not {len(order)}")
        self.channel_swap[in_] = order

    def set_raw_scale(self, in_: str, scale: float) -> None:
        """Scale values before the mean is subtracted; 255 for images in [0, 1]."""
        self.__check_input(in_)
        self.raw_scale[in_] = scale

    def set_mean(self, in_: str, mean: np.ndarray) -> None:
        """Subtract a mean: (channels,), or an image (channels or 1, height, width) or (height,
        width), which is resized to the input's size."""
        self.__check_input(in_)
        channels, *size = self.inputs[in_][1:]
        known = (channels,) if mean.ndim == 1 else (channels, 1)
        if mean.ndim == 1:
            mean = mean[:, np.newaxis, np.newaxis]
        elif mean.ndim == 2:
            mean = mean[np.newaxis]
        if mean.ndim != 3:
            raise ValueError(f"Mean shape invalid: {mean.shape}")
        if mean.shape[0] not in known:
            raise ValueError(f"Mean channels incompatible with input: {mean.shape[0]}, "
                             f"not {channels}")
        if mean.shape[1:] not in ((1, 1), tuple(size)):
            mean = resize_image(mean.transpose(1, 2, 0), size).transpose(2, 0, 1)
        self.mean[in_] = mean

    def set_input_scale(self, in_: str, scale: float) -> None:
        """Scale values after the mean was subtracted."""
        self.__check_input(in_)
        self.input_scale[in_] = scale

    def __check_input(self, in_: str) -> None:
        if in_ not in self.inputs:
            raise Exception(f"{in_} is not one of the net inputs: {self.inputs}")


def load_image(filename: str | os.PathLike | BinaryIO, color: bool = True) -> np.ndarray:
    """An image as float32 in [0, 1], (height, width, 3) R G B, or (height, width, 1) if not color.

    filename : a path, or a binary file object such as io.BytesIO

    A grey image is repeated over three channels if color; an alpha channel is dropped. Raises
    CaffeError where it cannot be read.
    """
    array: np.ndarray
    with _image(filename) as image:
        if image.mode == "I" or image.mode.startswith("I;16"):
            array = np.asarray(image).astype(np.float32)[:, :, None] / 65535
        elif image.mode in ("1", "L"):
            array = np.asarray(image.convert("L"), np.float32)[:, :, None] / 255
        elif image.mode == "F":
            array = np.asarray(image, np.float32)[:, :, None]
        else:
            array = np.asarray(image.convert("RGB"), np.float32) / 255
    if color and array.shape[2] == 1:
        return np.tile(array, (1, 1, 3))
    if not color and array.shape[2] == 3:
        return (array @ np.array([0.2125, 0.7154, 0.0721], np.float32))[:, :, None]
    return array


@contextmanager
def _image(source: str | os.PathLike | BinaryIO) -> Iterator[Image.Image]:
    """The image in a file, whose pixels are not decoded yet."""
    if isinstance(source, (str, bytes, os.PathLike)):
        source = os.fsdecode(source)
        if re.match("(https?|ftp|file)://", source):
            raise CaffeError(f"{source}: expected a path or a binary file object, not a URL; give "
                             "io.BytesIO(urllib.request.urlopen(URL).read())")
        os.stat(source)     # what is not there is Python's own error, as in the original
        with reading(source, "image", CaffeError), opened(source) as image:
            yield image
        return
    try:
        with opened(source) as image:
            yield image
    except MemoryError as problem:
        raise CaffeError(f"{source!r}: there is not the memory to read it as an image") from problem
    except Exception as problem:
        raise CaffeError(f"{source!r}: expected a path, or a binary file object with an image: "
                         f"{problem or type(problem).__name__}") from problem


def resize_image(im: np.ndarray, new_dims: Sequence[int] | np.ndarray, interp_order: int = 1
                 ) -> np.ndarray:
    """An image (height, width, channels) in another size, by a spline of `interp_order`; float32.

    new_dims : (height, width)

    Of images with 1 or 3 channels the corners of the outermost pixels stay where they are, and
    beyond them Caffe, through scikit-image, sees the image's smallest value. Of other arrays the
    centres of the outermost pixels stay where they are, and integers are interpolated to integers.
    Nothing is smoothed before it shrinks, as in Caffe's days; scikit-image does so since 0.15.
    """
    scale = [new / old for new, old in zip(new_dims, im.shape)] + [1]
    if im.shape[-1] not in (1, 3):
        return ndimage.zoom(im, scale, order=interp_order).astype(np.float32)
    im = im.astype(np.float32, copy=False)
    low, high = im.min(), im.max()
    out = ndimage.zoom(im, scale, order=interp_order, mode="grid-constant", cval=low,
                       grid_mode=True)
    return out.clip(low, high)


def oversample(images: Iterable[np.ndarray], crop_dims: Sequence[int] | np.ndarray
               ) -> np.ndarray:
    """The four corners and the centre of each image, and their mirror images.

    images : iterable of arrays (height, width, channels) of one shape
    crop_dims : (height, width)

    Returns float32 (10 * images, height, width, channels): for each image the five crops, then
    the five mirrored. Raises ValueError where the crops are larger than the images.
    """
    stack = np.asarray(list(images))
    size, crop = np.array(stack.shape[1:3]), np.array(crop_dims, int)
    if (crop > size).any():
        raise ValueError(f"crops of {tuple(crop.tolist())} do not fit into images of "
                         f"{tuple(size.tolist())}")
    top, left = size - crop
    centre = (size - crop) // 2
    corners = [(0, 0), (0, left), (top, 0), (top, left), tuple(centre)]
    crops = np.stack([stack[:, y:y + crop[0], x:x + crop[1]] for y, x in corners], 1)
    both = np.concatenate([crops, crops[:, :, :, ::-1]], 1)
    return both.reshape(-1, *both.shape[2:]).astype(np.float32)
