"""How much memory this process can still take: by the machine, its control groups, its limit.

The engine has the same in caffe/formats/memory.py: neither can use the other's, for the tools also
run on the original Caffe, which has none, and the engine runs without the tools.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

UNLIMITED = sys.maxsize     # more than anybody asks for
# of a control group, versions 1 and 2: the files of its limit and of what it has taken, and the
# line of memory.stat with the cached files, which are given up where memory is asked for
VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
VERSION_2 = "memory.max", "memory.current", "inactive_file"


def available_memory(root: Path = Path("/")) -> int:
    """The bytes that this process can still take; where the system does not say it (not Linux),
    more than anybody asks for. `root` is the folder that has proc and sys."""
    return max(0, min(_of_machine(root), _of_limit(root), *map(_of_group, _groups(root)),
                      UNLIMITED))


def _of_machine(root: Path) -> int:
    try:
        lines = (root / "proc/meminfo").read_text().splitlines()
        entries = dict(line.split(":") for line in lines)
        return 1024 * sum(int(entries[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError):
        return UNLIMITED


def _of_limit(root: Path) -> int:
    """What is left of the process's own limit (ulimit -v)."""
    try:
        import resource
        taken = int((root / "proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return UNLIMITED
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return UNLIMITED if limit == resource.RLIM_INFINITY else limit - taken


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """(folder, names of its files) of the control groups that this process is in, those above
    included. In a container the folder of the group may be shown as the topmost."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names = root / "sys/fs/cgroup", VERSION_2
        elif "memory" in controllers.split(","):
            top, names = root / "sys/fs/cgroup/memory", VERSION_1
        else:
            continue
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(top):
                yield folder, names


def _of_group(group: tuple[Path, tuple[str, str, str]]) -> int:
    folder, (limit, taken, cached) = group
    try:
        lines = (folder / "memory.stat").read_text().splitlines()
        statistics = dict(line.split() for line in lines)
        return (int((folder / limit).read_text()) - int((folder / taken).read_text())
                + int(statistics[cached]))
    except (OSError, KeyError, ValueError):     # not there, or "max": no limit
        return UNLIMITED
