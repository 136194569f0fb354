"""Text files as bytes: what is not UTF-8 is kept, as the original keeps it.

A byte that is no part of UTF-8 (a name in Latin-1, a comment in GBK) becomes a code point of a
private plane, U+10FE80 to U+10FEFF, which protobuf's strings can hold; surrogates they cannot.
`file_name` and `encode` make the byte of it again, and `printable` shows it as \\xNN.
"""

import codecs
import errno
import os
import stat

MOST_TEXT = 1 << 30         # bytes of a text file; the lists of the largest data sets are smaller

_PRIVATE = 0x10FE00
_SURROGATES = 0xDC00        # where Python's surrogateescape puts such bytes
_BYTES = range(0x80, 0x100)
_TO_PRIVATE = {_SURROGATES + byte: _PRIVATE + byte for byte in _BYTES}
_TO_SURROGATES = {_PRIVATE + byte: _SURROGATES + byte for byte in _BYTES}
_TO_PRINT = {place + byte: f"\\x{byte:02x}" for byte in _BYTES for place in (_PRIVATE, _SURROGATES)}


def read_text(path: str | os.PathLike) -> str:
    """The text in a file, without a byte order mark.

    Raises OSError, also for what is no plain file and for files above MOST_TEXT.
    """
    check_regular(path, MOST_TEXT)
    with open(file_name(path), "rb") as file:
        return decode(file.read().removeprefix(codecs.BOM_UTF8))


def check_regular(path: str | os.PathLike, most: int | None = None) -> None:
    """Raise OSError unless `path` is a plain file, of at most `most` bytes.

    Pipes and devices would keep the reader waiting, or never end.
    """
    status = os.stat(file_name(path))
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, expected a plain file")
    if most is not None and status.st_size > most:
        raise OSError(errno.EFBIG, f"it has {status.st_size:,} bytes, at most {most:,} are read")


def begins_as_text(path: str | os.PathLike) -> bool:
    """Whether the first bytes of a file are those of a text."""
    with open(file_name(path), "rb") as file:
        begin = file.read(512)
    return bool(begin) and all(byte >= 32 or byte in b"\t\n\f\r" for byte in begin)


def decode(content: bytes) -> str:
    """The text of bytes that should be UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("utf-8", "surrogateescape").translate(_TO_PRIVATE)


def encode(text: str) -> bytes:
    """The bytes that `decode` made the text of."""
    return text.translate(_TO_SURROGATES).encode("utf-8", "surrogateescape")


def file_name(path: str | os.PathLike) -> str:
    """`path` as Python's own functions take it to name a file with those bytes."""
    return os.fspath(path).translate(_TO_SURROGATES)


def printable(text: str) -> str:
    """`text` with \\xNN for the bytes that are not UTF-8."""
    return text.translate(_TO_PRINT)
