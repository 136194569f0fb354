"""Tiny images, labels and archives, and what a data layer hands over."""

import io
import tarfile
import zipfile

import numpy as np
from PIL import Image

MEAN = (104.00699, 116.66877, 122.67892)


def picture(number, width=9, height=7):
    """An RGB image whose red channel is `number` everywhere."""
    pixels = np.random.default_rng(number).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[..., 0] = number
    return Image.fromarray(pixels)


def labels(number, width=9, height=7):
    return np.full((height, width), number, np.uint8)


def sequence(net, count):
    """The labels of the next `count` samples."""
    found = []
    for _ in range(count):
        net.forward()
        found.append(int(net.blobs["label"].data.flat[0]))
    return found


def tar(*members, mode="w"):
    """The bytes of a tar archive of (name, content) files, or of TarInfo members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return out.getvalue()


def zipped(*members):
    """The bytes of a zip archive of (name, content) files."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()
