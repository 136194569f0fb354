"""Downloading one item of the catalog.

A broken download continues where it stopped, also in a later run. Nothing takes its final name
before its size and checksum are verified, where the catalog has them.
"""

import hashlib
import http.client
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO, cast

from tqdm import tqdm

from segdata.download.catalog import Item
from segdata.errors import DownloadError
from segdata.files import make_folder, put, reporting

ATTEMPTS = 5            # per URL
PAUSE = 2.0             # seconds before the second attempt, doubled before each further one
TIMEOUT = 30            # seconds without a byte
CHUNK = 1 << 20
EVERY = 10.0            # seconds from one line to the next where there is no bar
BROKEN = (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError,
          ssl.SSLError)     # what another attempt may mend


def fetch(item: Item, path: Path, accept: bool = False) -> None:
    """Download an `Item` to `path`; the part that has arrived is kept in `path`.part.

    Without `accept`, nothing is taken from a server that does not prove who it is (plain http)
    where the project has no checksum to hold it against: DownloadError.
    """
    urls = [url for url in item.urls if acceptable(url, item, accept)]
    if not urls:
        raise DownloadError(f"{path.name} is at {item.urls[0]}. {refusal(item, path)}")
    make_folder(path.parent)
    part = path.with_name(path.name + ".part")
    problems = []
    for url in urls:
        try:
            digest = transfer_patiently(url, part, item, accept)
        except BROKEN as error:
            problems.append(f"{url}: {error}")
            continue
        verify(digest, part, path, item)
        put(part, path)
        return
    kept = f"What has arrived is kept in {part}, and continued from there. " * part.exists()
    raise DownloadError(f"could not download {path.name}: {'; '.join(problems)}. {kept}Run again "
                        "where the server can be reached, or get the file in another way and put "
                        f"it at {path}")


def acceptable(url: str, item: Item, accept: bool) -> bool:
    """Whether what comes from there can be verified, or is wanted nevertheless."""
    return accept or item.checksum is not None or url.startswith("https://")


def refusal(item: Item, path: Path) -> str:
    return (f"That is plain http, and the project knows no checksum of {item.title}: anybody on "
            "the way could put something else in its place. Add --accept (make: ACCEPT=--accept) "
            f"to download it nevertheless, or put the file at {path} yourself")


def transfer_patiently(url: str, part: Path, item: Item, accept: bool = False) -> str:
    """`transfer`, tried again where the connection breaks or the server is busy."""
    attempt = 0
    while True:
        try:
            return transfer(url, part, item, accept)
        except BROKEN as error:
            attempt += 1
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500
            unknown = isinstance(getattr(error, "reason", None), socket.gaierror)
            if refused or unknown or attempt == ATTEMPTS:
                raise
            pause = PAUSE * 2 ** (attempt - 1)
            print(f"{url}: {error}; again in {pause:g} s", file=sys.stderr)
            time.sleep(pause)


def transfer(url: str, part: Path, item: Item, accept: bool = False) -> str:
    """Continue the file `part` from `url` to its end, and return its digest (hexadecimal)."""
    start = part.stat().st_size if part.exists() else 0
    response, total = request(url, start)
    if response is not None and not acceptable(response.url, item, accept):
        raise DownloadError(f"{url} leads to {response.url}. {refusal(item, part)}")
    if None not in (item.size, total) and item.size != total:
        raise DownloadError(f"{url} has {total} bytes, expected {item.size}")
    continued = response is None or response.status == http.HTTPStatus.PARTIAL_CONTENT
    digest = hashlib.new(algorithm(item))
    if continued:
        update(digest, part)
    if response is not None:
        with response, _opened(part, "ab" if continued else "wb") as file:
            copy(response, file, digest, total)
    return digest.hexdigest()


def _opened(path: Path, mode: str) -> BinaryIO:
    """A file to write to. Raises WriteError, with the remedy."""
    with reporting(path):
        return cast(BinaryIO, path.open(mode))


def request(url: str, start: int) -> tuple[http.client.HTTPResponse | None, int | None]:
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


def update(digest: "hashlib._Hash", path: Path) -> None:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)


def copy(response: http.client.HTTPResponse, file: BinaryIO, digest: "hashlib._Hash",
         total: int | None) -> None:
    """Append the response to `file` and `digest`; ConnectionError before `total` bytes. Where
    stderr is no terminal, lines in place of the bar say how far it is."""
    name, told_at = Path(file.name).stem, time.monotonic()
    with tqdm(desc=name, total=total, initial=file.tell(), unit="B", unit_scale=True,
              disable=None) as bar:
        while chunk := response.read(CHUNK):
            with reporting(Path(file.name)):
                file.write(chunk)
            digest.update(chunk)
            bar.update(len(chunk))
            if bar.disable and time.monotonic() - told_at >= EVERY:
                told_at = time.monotonic()
                print(f"{name}: {megabytes(file.tell())}"
                      + (f" of {megabytes(total)}" if total else ""), file=sys.stderr, flush=True)
    if bar.disable:
        print(f"{name}: {megabytes(file.tell())} downloaded", file=sys.stderr, flush=True)
    if total is not None and file.tell() < total:
        raise ConnectionError(f"the connection ended after {file.tell()} of {total} bytes")


def megabytes(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def algorithm(item: Item) -> str:
    return item.checksum.partition(":")[0] if item.checksum else "sha256"


def verify(digest: str, part: Path, path: Path, item: Item) -> None:
    if item.checksum is None:
        print(f"{path.name}: the project knows no checksum for it, so that it is not verified; "
              f"its {algorithm(item)} is {digest}", file=sys.stderr)
    elif item.checksum != f"{algorithm(item)}:{digest}":
        part.unlink()
        raise DownloadError(f"{path.name} is not the expected file: checksum {digest}, expected "
                            f"{item.checksum}. It has been removed; run again to download it anew.")


def check_there(path: Path, item: Item) -> None:
    """Raise DownloadError if the file at `path`, which somebody put there by hand or an earlier
    command left, is not the item's. Where the project knows no checksum, any file is taken."""
    if item.checksum is None:
        return
    digest = hashlib.new(algorithm(item))
    update(digest, path)
    if item.checksum != f"{digest.name}:{digest.hexdigest()}":
        raise DownloadError(f"{path} is not the expected file: checksum {digest.hexdigest()}, "
                            f"expected {item.checksum}. Put the right file there, or remove this "
                            "one to download it, and run again.")
