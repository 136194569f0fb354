"""Download what the experiments need, as listed in `catalog`, and prepare it.

    python data/download.py voc      SBD and VOC 2011, and the split seg11valid
    python data/download.py vgg16    the ILSVRC-trained VGG-16

A broken download continues where it stopped, also in a later run. Nothing takes its final name
before its size and checksum are verified.
"""

import argparse
import hashlib
import http.client
import os
import shutil
import socket
import ssl
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
import zlib
from pathlib import Path, PurePosixPath

import catalog
from tqdm import tqdm

ATTEMPTS = 5            # per URL
PAUSE = 2.0             # seconds before the second attempt, doubled before each further one
TIMEOUT = 30            # seconds without a byte
CHUNK = 1 << 20
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError,
          ssl.SSLError)     # what another attempt may mend

SBD_TRAIN, SEG11VALID = 8498, 736       # samples in the splits, as published


class DownloadError(RuntimeError):
    """A download that failed, is not what was expected, or is unsafe to unpack."""


def fetch(item, path):
    """Download an `Item` to `path`; the part that has arrived is kept in `path`.part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    problems = []
    for url in item.urls:
        try:
            digest = transfer_patiently(url, part, item)
        except BROKEN as error:
            problems.append(f"{url}: {error}")
            continue
        verify(digest, part, path, item)
        os.replace(part, path)
        return
    kept = f" What has arrived is kept in {part}; run again to continue." * part.exists()
    raise DownloadError(f"could not download {path.name}: {'; '.join(problems)}.{kept}")


def transfer_patiently(url, part, item):
    """`transfer`, tried again where the connection breaks or the server is busy."""
    for attempt in range(ATTEMPTS):
        try:
            return transfer(url, part, item)
        except BROKEN as error:
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            unknown = isinstance(getattr(error, "reason", None), socket.gaierror)
            if refused or unknown or attempt == ATTEMPTS - 1:
                raise
            pause = PAUSE * 2 ** attempt
            print(f"{url}: {error}; again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)


def transfer(url, part, item):
    """Continue the file `part` from `url` to its end, and return its digest (hexadecimal)."""
    start = part.stat().st_size if part.exists() else 0
    response, total = request(url, start)
    if None not in (item.size, total) and item.size != total:
        raise DownloadError(f"{url} has {total} bytes, expected {item.size}")
    continued = response is None or response.status == http.HTTPStatus.PARTIAL_CONTENT
    digest = hashlib.new(item.checksum.partition(":")[0])
    if continued:
        update(digest, part)
    if response is not None:
        with response, open(part, "ab" if continued else "wb") as file:
            copy(response, file, digest, total)
    return digest.hexdigest()


def request(url, start):
    """Ask for the bytes from `start` on: the response and the total size of the file.

    The response is None if `start` is the end; the total is None if the server does not tell it.
    """
    headers = {"Range": f"bytes={start}-"} if start else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers),
                                          timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        if error.headers.get("Content-Range") == f"bytes */{start}":
            return None, start
        return request(url, 0)
    skipped = start if response.status == http.HTTPStatus.PARTIAL_CONTENT else 0
    return response, None if response.length is None else skipped + response.length


def update(digest, path):
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)


def copy(response, file, digest, total):
    """Append the response to `file` and `digest`; ConnectionError before `total` bytes."""
    with tqdm(desc=Path(file.name).stem, total=total, initial=file.tell(), unit="B",
              unit_scale=True) as bar:
        while chunk := response.read(CHUNK):
            file.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
    if total is not None and file.tell() < total:
        raise ConnectionError(f"the connection ended after {file.tell()} of {total} bytes")


def verify(digest, part, path, item):
    expected = item.checksum.partition(":")[2]
    if digest != expected:
        part.unlink()
        raise DownloadError(f"{path.name} is not the expected file: checksum {digest}, expected "
                            f"{item.checksum}. It has been removed; run again to download it anew.")


def extract(archive, inside, folder):
    """Unpack the folder `inside` of a tar archive as `folder`, all of it or nothing.

    Only plain files are accepted there, and no name may lead out of the archive.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=folder.name + ".") as staging:
        try:
            with tarfile.open(archive) as tar:
                for member in tqdm(tar, desc=f"unpacking {archive.name}", unit=" files"):
                    unpack(tar, member, inside, Path(staging))
        except (tarfile.TarError, EOFError, zlib.error) as error:
            raise DownloadError(f"{archive} cannot be unpacked: {error}") from error
        if not (Path(staging) / inside).is_dir():
            raise DownloadError(f"{archive} holds no folder {inside}")
        os.replace(Path(staging) / inside, folder)


def unpack(tar, member, inside, staging):
    """Write one member below `staging` if it is a file in `inside`."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DownloadError(f"{tar.name} is unsafe: '{member.name}' leads out of the archive")
    if not name.is_relative_to(inside) or member.isdir():
        return
    if not member.isfile():
        raise DownloadError(f"{tar.name} is unsafe: '{member.name}' is a link or a device")
    target = staging / name
    target.parent.mkdir(parents=True, exist_ok=True)
    with tar.extractfile(member) as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out)


def write_seg11valid(voc, sbd):
    """Write the split seg11valid of VOC 2011: its val without the images of SBD's train."""
    lists = voc / "ImageSets" / "Segmentation"
    train = set((sbd / "train.txt").read_text().split())
    names = [name for name in (lists / "val.txt").read_text().split() if name not in train]
    for kind, count, expected in (("SBD train", len(train), SBD_TRAIN),
                                  ("seg11valid", len(names), SEG11VALID)):
        if count != expected:
            raise DownloadError(f"{kind} has {count} images, expected {expected}: "
                                f"{sbd / 'train.txt'}, {lists / 'val.txt'}")
    part = lists / "seg11valid.txt.part"
    part.write_text("".join(f"{name}\n" for name in names))
    os.replace(part, lists / "seg11valid.txt")


def get_archive(item, root):
    """Download and unpack an archive, and remove it; nothing to do where its folder exists."""
    if (root / item.folder).exists():
        return
    archive = root / "downloads" / PurePosixPath(item.urls[0]).name
    if not archive.exists():
        fetch(item, archive)
    extract(archive, item.inside, root / item.folder)
    archive.unlink()


def get_vgg16(root):
    item = catalog.ITEMS["vgg16"]
    if catalog.missing("vgg16", root):
        fetch(item, root / item.path)


def get_voc(root):
    sbd, voc = catalog.ITEMS["sbd"], catalog.ITEMS["voc2011"]
    get_archive(sbd, root)
    get_archive(voc, root)
    if catalog.missing("voc2011", root):
        write_seg11valid(root / voc.folder, root / sbd.folder)


def main():
    parser = argparse.ArgumentParser(description="Download data and weights.")
    parser.add_argument("what", choices=("voc", "vgg16"))
    what = parser.parse_args().what
    try:
        {"voc": get_voc, "vgg16": get_vgg16}[what](catalog.ROOT)
    except DownloadError as error:
        sys.exit(f"error: {error}")
    print(f"{what}: complete")


if __name__ == "__main__":
    main()
