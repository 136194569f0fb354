"""Files that are written whole or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, beside `path`, that takes its place if no error comes."""
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: str | Path, replace: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder, beside `path`, that becomes `path` if no error comes.

    An empty folder may be there; any other is replaced only where that is said, at the very end.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as staging:
        content = Path(staging) / "content"
        content.mkdir()
        yield content
        if path.exists() and not replace:
            path.rmdir()
        elif path.exists():
            os.replace(path, Path(staging) / "replaced")
        os.replace(content, path)
