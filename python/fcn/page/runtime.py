"""onnxruntime-web, which runs a net in the browser: fetched once, held against its checksum."""

from __future__ import annotations

import hashlib
import tarfile
from pathlib import Path

from fcn.page.errors import PageError
from segdata.download.catalog import Item
from segdata.download.fetch import fetch
from segdata.errors import DownloadError
from segdata.paths import data_root

VERSION = "1.30.0"
# Size and SHA-512: as the npm registry publishes them.
PACKAGE = Item(
    title="onnxruntime-web",
    path=f"onnxruntime-web/onnxruntime-web-{VERSION}.tgz",
    about="33 MB",
    size=33_106_585,
    checksum="sha512:ab4cbe26baedba45d2cec05610c71c55fa97db92d19a8b171c5f8269126683ca"
             "590a5cdc57bb2f35ce2b298de32f4d956fb42644c0ecd528a0a91e025c07ca61",
    urls=(f"https://registry.npmjs.org/onnxruntime-web/-/onnxruntime-web-{VERSION}.tgz",),
    target="")
FILES = "ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"


def unpack(folder: Path) -> None:
    """Put the FILES into a folder. Raises PageError where the package cannot be had."""
    archive = package()
    with tarfile.open(archive) as tar:
        for name in FILES:
            content = tar.extractfile(f"package/dist/{name}")
            assert content is not None      # the checksum says that it is there
            (folder / name).write_bytes(content.read())


def package() -> Path:
    """The package under data/store, fetched if it is not there, and verified."""
    path = data_root() / PACKAGE.path
    if not path.exists():
        try:
            fetch(PACKAGE, path)
        except DownloadError as error:
            raise PageError(f"{error} The page runs its net with {PACKAGE.title} ({PACKAGE.about}),"
                            " which is fetched once; without a network here, fetch "
                            f"{PACKAGE.urls[0]} elsewhere and put it at {path}") from None
    digest = "sha512:" + hashlib.sha512(path.read_bytes()).hexdigest()
    if digest != PACKAGE.checksum:
        raise PageError(f"{path} is not {PACKAGE.title} {VERSION}: expected {PACKAGE.checksum}, "
                        f"got {digest}. Remove it and run again, which fetches it anew")
    return path
