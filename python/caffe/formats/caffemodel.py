"""The binary files: caffemodels, solverstates and binaryprotos, read and written without copies.

Weights are packed floats, so on the wire they are the array's bytes. Only the small messages
around them go through protobuf: a walker finds the blobs in the memory-mapped file.
"""

import math
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, BinaryIO, TypeVar

import numpy as np
from google.protobuf.message import DecodeError, Message

from ..proto import caffe_pb2
from . import text
from .atomic import replacing, write_whole
from .reading import reading

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Pieces = list[bytes | memoryview]
Kind = TypeVar("Kind", int, memoryview)


def read_caffemodel(path: str) -> list[tuple[str, list[np.ndarray]]]:
    """The parameters in a caffemodel, of the current, the V1 or the V0 format.

    Returns a list of (layer name, list of float32 or float64 arrays), the arrays views of the
    mapped file. Raises WeightsError for a file that is missing, empty, truncated or not a
    caffemodel.
    """
    with reading(path, "caffemodel"):
        layers = [_layer(body, *_NAME_AND_BLOBS[field]) for field, _, body in _fields(_map(path))
                  if field in _NAME_AND_BLOBS]
        if not layers:
            raise ValueError("it holds no layers")
        return layers


def write_caffemodel(path: str, net_param: caffe_pb2.NetParameter, layers: Sequence,
                     diffs: bool = False) -> None:
    """Write a NetParameter, with the parameters of `layers` in place of its own, to `path`.

    With `diffs`, their gradients too (a solver's snapshot_diff).
    """
    header = caffe_pb2.NetParameter()
    header.CopyFrom(net_param)
    del header.layer[:]
    pieces = [header.SerializeToString()]
    for spec, layer in zip(net_param.layer, layers):
        head = caffe_pb2.LayerParameter()
        head.CopyFrom(spec)
        del head.blobs[:]
        own = [head.SerializeToString()]
        for blob in layer.blobs:
            own += _message(_LAYER_BLOBS, _blob_pieces(blob.data, blob.diff if diffs else None))
        pieces += _message(_LAYER, own)
    write_whole(path, pieces)


def read_solverstate(path: str) -> tuple[caffe_pb2.SolverState, list[np.ndarray]]:
    """A solverstate: (SolverState without history, list of history arrays). Raises WeightsError."""
    with reading(path, "solverstate"):
        state, history = caffe_pb2.SolverState(), []
        for field, start, body in _fields(_map(path)):
            if field == _STATE_HISTORY:
                history.append(_blob_array(_typed(memoryview, body)))
            else:
                state.MergeFromString(bytes(start))
        name: str | bytes = state.learned_net       # bytes where it is not UTF-8
        if isinstance(name, bytes):
            state.learned_net = text.decode(name)
        if not state.HasField("iter"):
            raise ValueError("it holds no iteration")
        return state, history


def write_solverstate(path: str, state: caffe_pb2.SolverState, history: Sequence[np.ndarray],
                      written: Callable[[BinaryIO], None] = lambda file: None) -> None:
    """Write a SolverState with `history`, a list of arrays, to `path`; `written` is called with
    the file before it takes that name."""
    with replacing(path) as file:
        file.write(state.SerializeToString())
        for array in history:
            file.writelines(_message(_STATE_HISTORY, _blob_pieces(array)))
        written(file)


def read_blobproto(path: str) -> np.ndarray:
    """The array in a binaryproto, as an image's mean is kept. Raises WeightsError."""
    with reading(path, "binaryproto"):
        array = _blob_array(_map(path))
        if not array.size:
            raise ValueError("it holds no values")
        return array


def blob_values(blob: caffe_pb2.BlobProto) -> np.ndarray:
    """The array in a BlobProto message. Raises ValueError where values and shape do not fit."""
    return _blob_array(memoryview(blob.SerializeToString()))


def same_shape(stored: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether shapes agree: equal, or but for the leading ones of the 4 axes of old files.

    One value stored without a shape has none of its own, and fits any blob of one value.
    """
    return stored == wanted or (len(stored) == 4 and len(wanted) < 4
                                and stored == (1,) * (4 - len(wanted)) + tuple(wanted)) \
        or (stored == () and math.prod(wanted) == 1)


# the wire format


def _number(message: type[Message], name: str) -> int:
    return message.DESCRIPTOR.fields_by_name[name].number


_LAYER, _V1_LAYER = (_number(caffe_pb2.NetParameter, n) for n in ("layer", "layers"))
_LAYER_NAME, _LAYER_BLOBS = (_number(caffe_pb2.LayerParameter, n) for n in ("name", "blobs"))
_V1_NAME, _V1_BLOBS, _V0_LAYER = (_number(caffe_pb2.V1LayerParameter, n)
                                  for n in ("name", "blobs", "layer"))
_V0_NAME, _V0_BLOBS = (_number(caffe_pb2.V0LayerParameter, n) for n in ("name", "blobs"))
_NAME_AND_BLOBS = {_LAYER: (_LAYER_NAME, _LAYER_BLOBS), _V1_LAYER: (_V1_NAME, _V1_BLOBS)}
_STATE_HISTORY = _number(caffe_pb2.SolverState, "history")
_SHAPE, _DATA, _DIFF, _DOUBLES = (_number(caffe_pb2.BlobProto, n)
                                  for n in ("shape", "data", "diff", "double_data"))
_LEGACY_DIMS = tuple(_number(caffe_pb2.BlobProto, n)
                     for n in ("num", "channels", "height", "width"))


def _map(path: str) -> memoryview:
    with open(text.file_name(path), "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise ValueError("it is empty")
        return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _fields(buffer: memoryview) -> Iterator[tuple[int, memoryview, int | memoryview]]:
    """Walk a message: (field number, the whole field's bytes, its payload's bytes or value)."""
    body: int | memoryview
    position = 0
    while position < len(buffer):
        start = position
        tag, position = _varint(buffer, position)
        field, kind = tag >> 3, tag & 7
        if field == 0:
            raise ValueError(f"no field has number 0 (byte {start})")
        if kind == _VARINT:
            body, position = _varint(buffer, position)
        elif kind in (_FIXED64, _FIXED32, _BYTES):
            size = {_FIXED64: 8, _FIXED32: 4}.get(kind)
            if size is None:
                size, position = _varint(buffer, position)
            body, position = buffer[position:position + size], position + size
            if position > len(buffer):
                raise ValueError(f"a field ends {position - len(buffer)} bytes after the data; "
                                 "the file is truncated")
        else:
            raise ValueError(f"unknown wire type {kind} (byte {start})")
        yield field, buffer[start:position], body


def _varint(buffer: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(buffer) and shift < 64:
        byte = buffer[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError(f"no number at byte {position}; the file is truncated")


def _layer(body: int | memoryview, name_field: int, blobs_field: int
           ) -> tuple[str, list[np.ndarray]]:
    name, blobs = "", []
    for number, _, payload in _fields(_typed(memoryview, body)):
        if number == name_field:
            name = text.decode(bytes(_typed(memoryview, payload)))
        elif number == blobs_field:
            try:
                blobs.append(_blob_array(_typed(memoryview, payload)))
            except (ValueError, DecodeError) as error:
                raise ValueError(f"parameter {len(blobs)} of layer '{name}': {error}") from error
        elif number == _V0_LAYER and name_field == _V1_NAME:    # V0 stands inside of V1
            return _layer(payload, _V0_NAME, _V0_BLOBS)
    return name, blobs


def _typed(kind: type[Kind], payload: int | memoryview) -> Kind:
    """`payload`, which is to be bytes (a memoryview) or a number (an int)."""
    if not isinstance(payload, kind):
        raise ValueError("a number stands for bytes, or bytes for a number")
    return payload


def _blob_array(body: memoryview) -> np.ndarray:
    shape: Sequence[int] | None = None
    legacy: dict[int, int] = {}
    parts: dict[int, list[Any]] = {_DATA: [], _DOUBLES: []}
    for number, field, payload in _fields(body):
        if number == _SHAPE:
            shape = caffe_pb2.BlobShape.FromString(bytes(_typed(memoryview, payload))).dim
        elif number in parts:
            # one packed run; in old files a field for each value
            if field[0] & 7 not in (_BYTES, _FIXED32 if number == _DATA else _FIXED64):
                raise ValueError("its values have the wire type of another field")
            parts[number].append(payload)
        elif number in _LEGACY_DIMS:
            legacy[number] = _typed(int, payload)
    pieces, kind = (parts[_DOUBLES], "<f8") if any(parts[_DOUBLES]) else (parts[_DATA], "<f4")
    array = np.frombuffer(pieces[0] if len(pieces) == 1 else b"".join(pieces), kind)
    if legacy:      # as in the published VGG-16; beside a shape they count, in the original too
        shape = [_int32(legacy.get(number, 0)) for number in _LEGACY_DIMS]
    elif shape is None:     # what has no axes has no shape
        shape = () if array.size == 1 else array.shape
    shape = tuple(shape)
    if array.size != math.prod(shape) or min(shape, default=0) < 0:
        raise ValueError(f"a blob of shape {shape} holds {array.size} values")
    return array.reshape(shape)


def _int32(value: int) -> int:
    """A varint as protobuf's int32: negative numbers are 64-bit two's complements."""
    return (value + 2 ** 31) % 2 ** 32 - 2 ** 31


def _blob_pieces(array: np.ndarray, diff: np.ndarray | None = None) -> Pieces:
    """A BlobProto; like the original's it has no shape where there are no axes."""
    shape = caffe_pb2.BlobProto()
    if array.ndim:
        shape.shape.dim.extend(array.shape)
    pieces = [shape.SerializeToString(), *_packed(_DATA, array)]
    return pieces if diff is None else [*pieces, *_packed(_DIFF, diff)]


def _packed(field: int, array: np.ndarray) -> Pieces:
    values = np.ascontiguousarray(array, "<f4").reshape(-1)
    return _message(field, [values.data.cast("B")])


def _message(field: int, pieces: Pieces) -> Pieces:
    """The pieces as one length-delimited field."""
    size = sum(len(piece) for piece in pieces)
    return [_encode(field << 3 | _BYTES) + _encode(size), *pieces]


def _encode(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
