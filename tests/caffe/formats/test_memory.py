"""How much memory there is, as Linux says it in the files of proc and sys."""

from pathlib import Path

import pytest

import segdata.memory
from caffe.formats import memory
from caffe.formats.memory import UNLIMITED

GB = 1 << 30


@pytest.fixture(params=[memory, segdata.memory], ids=["engine", "tools"])
def available_memory(request):
    """Of the engine, and of the tools, which say the same."""
    return request.param.available_memory


def machine(root: Path, groups: str) -> None:
    """Write the files of a machine with 16 GB, of which 8 can be had."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/meminfo").write_text(
        f"MemTotal: {16 * GB // 1024} kB\nMemAvailable: {8 * GB // 1024} kB\nSwapFree: 0 kB\n")
    (root / "proc/self/statm").write_text("100 50 10 1 0 20 0\n")
    (root / "proc/self/cgroup").write_text(groups)


def group(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in files.items():
        (folder / name.replace("__", ".")).write_text(f"{value}\n")


def test_of_a_machine_without_groups(available_memory, tmp_path):
    machine(tmp_path, "")
    assert available_memory(tmp_path) == 8 * GB


def test_of_a_system_that_does_not_say_it(available_memory, tmp_path):
    assert available_memory(tmp_path) == UNLIMITED


@pytest.mark.parametrize("path", ["/", "/docker/1234"])
def test_a_container_s_limit(available_memory, tmp_path, path):
    """The group's folder is the topmost inside a container, whatever its path is outside."""
    machine(tmp_path, f"0::{path}\n")
    group(tmp_path / "sys/fs/cgroup", memory__max=2 * GB, memory__current=GB,
          memory__stat=f"anon {GB // 2}\ninactive_file {GB // 4}")
    assert available_memory(tmp_path) == GB + GB // 4


def test_the_tightest_of_nested_groups_counts(available_memory, tmp_path):
    machine(tmp_path, "0::/slice/job\n")
    for path, limit in (("slice", 3 * GB), ("slice/job", "max")):
        group(tmp_path / "sys/fs/cgroup" / path, memory__max=limit, memory__current=GB,
              memory__stat="inactive_file 0")
    assert available_memory(tmp_path) == 2 * GB


def test_control_groups_of_version_1(available_memory, tmp_path):
    machine(tmp_path, "5:cpu:/\n4:memory:/job\n0::/\n")
    group(tmp_path / "sys/fs/cgroup/memory/job", memory__limit_in_bytes=4 * GB,
          memory__usage_in_bytes=3 * GB, memory__stat=f"inactive_file 5\ntotal_inactive_file {GB}")
    assert available_memory(tmp_path) == 2 * GB


def test_never_below_zero(available_memory, tmp_path):
    machine(tmp_path, "0::/\n")
    group(tmp_path / "sys/fs/cgroup", memory__max=GB, memory__current=GB + 4096,
          memory__stat="inactive_file 0")
    assert available_memory(tmp_path) == 0
