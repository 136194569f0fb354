"""The reference: a page for each module, from its docstrings, by pdoc (`make reference`).

    python docs/reference.py [-o build/reference] [MODULE...]
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from collections.abc import Iterator
from pathlib import Path

# fcn's packages lie in folders of their own, where walking through fcn does not find them
PACKAGES = ("caffe", "fcn", "fcn.nets", "fcn.surgery", "fcn.solvers", "fcn.analysis", "segdata")


def modules() -> Iterator[str]:
    """The names of all modules that have no underscore before them."""
    for top in PACKAGES:
        yield top
        for found in pkgutil.walk_packages(importlib.import_module(top).__path__, f"{top}."):
            if not found.name.rpartition(".")[2].startswith("_") and found.name not in PACKAGES:
                yield found.name


def write(names: list[str], output: Path) -> None:
    """Write the pages of these modules."""
    import pdoc
    for name in names:
        module = importlib.import_module(name)
        for lazy in getattr(module, "__all__", ()):     # pdoc sees what is imported already
            vars(module).setdefault(lazy, getattr(module, lazy))
    pdoc.render.configure(docformat="numpy", include_undocumented=False)
    pdoc.pdoc(*names, output_directory=output)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="default: all")
    parser.add_argument("-o", "--output", type=Path, default=Path("build/reference"))
    args = parser.parse_args()
    write(args.modules or list(modules()), args.output)
    print(args.output / "index.html")


if __name__ == "__main__":
    main()
