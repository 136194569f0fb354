"""LMDBs of Datums: from lists of images, to their mean."""

import io
import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import lmdb
import numpy as np
from PIL import Image

from ..errors import CaffeError
from ..formats.atomic import creating_folder, replacing
from ..formats.text import encode, file_name
from ..log import logger
from ..proto import caffe_pb2
from .database import open_database
from .datum import array_to_datum, decode
from .lists import read_list
from .planes import read_planes

MAP_SIZE = 1 << 40      # bytes of address space, which is all that it takes
COMMIT_EVERY = 1000     # records


@contextmanager
def writing_lmdb(path: str) -> Iterator[Callable[[str, caffe_pb2.Datum], None]]:
    """A function write(key, datum) that fills an LMDB, which is at `path` once it is complete.

    Raises CaffeError if something is there already.
    """
    with creating_folder(path) as temporary, \
            lmdb.open(os.fsencode(temporary), map_size=MAP_SIZE, sync=False) as environment:
        batch: list[tuple[str, bytes]] = []

        def flush() -> None:
            try:
                with environment.begin(write=True) as transaction:
                    for key, value in batch:
                        transaction.put(encode(key), value)
            except lmdb.Error as error:
                raise CaffeError(f"{path}: cannot be written, key {key}: {error}") from None
            batch.clear()

        def write(key: str, datum: caffe_pb2.Datum) -> None:
            batch.append((key, datum.SerializeToString()))
            if len(batch) == COMMIT_EVERY:
                flush()

        yield write
        flush()
        environment.sync(True)


@contextmanager
def writing_features(paths: Sequence[str]) -> Iterator[list[Callable[[np.ndarray], None]]]:
    """For each path a function write(array) that adds a record of floats to an LMDB there."""
    with ExitStack() as stack:
        yield [_numbered(stack.enter_context(writing_lmdb(path))) for path in paths]


def _numbered(write: Callable[[str, caffe_pb2.Datum], None]) -> Callable[[np.ndarray], None]:
    count = 0

    def add(array: np.ndarray) -> None:
        nonlocal count
        planes = np.asarray(array, float)
        planes = planes.reshape(planes.shape + (1,) * (3 - planes.ndim))
        write(f"{count:010d}", array_to_datum(planes))
        count += 1
    return add


def convert_imageset(listfile: str, rootfolder: str, db_name: str, gray: bool = False,
                     shuffle: bool = False, size: tuple[int, int] = (0, 0),
                     check_size: bool = False, encoded: bool = False,
                     encode_type: str = "") -> int:
    """Write the images of a list, `path label` on each line, into an LMDB; returns their number.

    As in Caffe, an image that cannot be read is left out, of which the log tells; the keys are the
    numbers of the lines, from 0, and the paths.

    Parameters
    ----------
    rootfolder : what stands before each path
    gray : one channel
    shuffle : in random order, the same each time
    size : (height, width) to resize to; where one of them is not above 0, images keep their size
    check_size : refuse images of different sizes
    encoded : keep the compression of the files, if nothing else changes
    encode_type : the format to compress to, such as "png"; default: the file's

    Raises CaffeError naming the line, and where no image can be read.
    """
    entries = read_list(listfile)
    if shuffle:
        random.Random(0).shuffle(entries)
    wanted = size if min(size) > 0 else None
    first, count = None, 0
    with writing_lmdb(db_name) as write:
        for number, (path, label, place) in enumerate(entries):
            try:
                planes = read_planes(rootfolder + path, not gray, wanted)
            except CaffeError as error:
                logger.error("%s: left out: %s", place, error)
                continue
            count += 1
            first = first or planes.shape
            if check_size and planes.shape != first:
                raise CaffeError(f"{place}: {path} has the shape {planes.shape}, the first image "
                                 f"{first}")
            if encoded:
                datum = caffe_pb2.Datum(label=label, data=_compressed(
                    rootfolder + path, planes, encode_type, bool(wanted) or gray))
            else:
                datum = array_to_datum(planes, label)
            datum.encoded = encoded     # the original says so in each record
            write(f"{number:08d}_{path}", datum)
        if not count:
            raise CaffeError(f"{listfile}: none of its {len(entries)} images can be read")
    return count


def _compressed(path: str, planes: np.ndarray, kind: str, changed: bool) -> bytes:
    """The bytes of the file, or, where something is to change, of the planes compressed anew."""
    formats = Image.registered_extensions()
    own = formats.get(os.path.splitext(path)[1].lower())
    wanted = formats.get(f".{kind.lower()}", kind) if kind else own
    if not changed and wanted == own:
        with open(file_name(path), "rb") as file:
            return file.read()
    if wanted not in Image.SAVE:
        raise CaffeError(f"{path}: cannot be compressed as '{kind or own}', expected an "
                         "encode_type such as jpg or png")
    image = Image.fromarray(planes[0] if len(planes) == 1 else planes[::-1].transpose(1, 2, 0))
    stream = io.BytesIO()
    image.save(stream, wanted, quality=95)      # OpenCV's for JPEG
    return stream.getvalue()


def compute_image_mean(path: str, output: str | None = None) -> list[float]:
    """The mean of the images in an LMDB, written to `output`, a binaryproto, if given.

    Returns the list of the means of the channels. Raises CaffeError for images of different
    shapes, naming the key.
    """
    total: np.ndarray | None = None
    count = 0
    for key, datum in records(path):
        try:
            array = decode(datum)
        except CaffeError as error:
            raise CaffeError(f"{path}, key {key}: {error}") from None
        if total is None:
            total = np.zeros(array.shape)
        if array.shape != total.shape:
            raise CaffeError(f"{path}, key {key}: expected the shape {total.shape} of the first "
                             f"image, got {array.shape}; resize them to compute a mean")
        total += array
        count += 1
    if total is None:
        raise CaffeError(f"{path}: it holds no records")
    mean = total / count
    if output:
        channels, height, width = mean.shape
        blob = caffe_pb2.BlobProto(num=1, channels=channels, height=height, width=width,
                                   data=mean.ravel())
        with replacing(output) as file:
            file.write(blob.SerializeToString())
    return mean.mean((1, 2)).tolist()


def records(path: str) -> Iterator[tuple[str, caffe_pb2.Datum]]:
    """The (key, Datum) of an LMDB, in order. Raises CaffeError."""
    for key, value in open_database(path):
        try:
            datum = caffe_pb2.Datum.FromString(value)
        except Exception as error:
            raise CaffeError(f"{path}, key {key}: no Datum: {error}") from None
        yield key, datum
