"""tests/gpu/check.sh: its dry run, and what it makes of parts that fail or do not end."""

import json
import os
import subprocess
import sys
import time

import pytest

from fcn.nets.source import ROOT

FOLDER = ROOT / "tests" / "gpu"


@pytest.fixture
def check(tmp_path):
    """check(*arguments): (status, JSON, table) of a run into a folder of its own."""
    def run(*arguments):
        ended = subprocess.run([FOLDER / "check.sh", *arguments], capture_output=True, text=True,
                               env={**os.environ, "OUT": str(tmp_path), "OMP_NUM_THREADS": "1"})
        assert (tmp_path / "gpu-check.json").exists(), ended.stderr
        return (ended.returncode, json.loads((tmp_path / "gpu-check.json").read_text()),
                (tmp_path / "gpu-check.txt").read_text())
    return run


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """parts(name=code, ...): a Check of parts with that code, of which each has two seconds."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import check as module

    def build(**codes):
        rows = {}
        for name, code in codes.items():
            (tmp_path / f"{name}.py").write_text(code)
            rows[name] = module.Row((str(tmp_path / f"{name}.py"),), 2, False, f"the part {name}")
        monkeypatch.setattr(module, "PARTS", rows)
        return module.Check(tmp_path, False, {})
    yield build
    for name in ("check", "checkout", "said"):
        sys.modules.pop(name, None)


def test_the_cheapest_part_of_a_dry_run(check):
    status, found, table = check("--dry-run", "lattice")
    assert status == 0, table
    assert found["dry_run"] and list(found["parts"]) == ["lattice"]
    part = found["parts"]["lattice"]
    assert part["status"] == "passed" and not part["failures"]
    assert part["found"]["differences"] == {"crf_00": 0.0}
    assert "1 recordings, largest difference of the GPU from the CPU 0.0e+00" in table
    assert table.endswith("1 passed, 0 failed\n")


def test_parts_that_fail_or_do_not_end_stop_no_other(parts, tmp_path):
    check = parts(
        good='print(\'FOUND {"told": "it is so", "figure": 3}\')',
        wrong='print("FAILED not as it has to be"); raise SystemExit(1)',
        broken='raise RuntimeError("unforeseen")',
        endless='import subprocess, sys, time\n'
                'print(\'FOUND {"told": "so far", "figure": 1}\', flush=True)\n'
                'child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])\n'
                f'open({str(tmp_path / "child")!r}, "w").write(str(child.pid))\n'
                'time.sleep(60)')
    start = time.monotonic()
    check.run(["good", "wrong", "broken", "endless"])
    assert time.monotonic() - start < 20
    table = check.write()
    found = json.loads((tmp_path / "gpu-check.json").read_text())["parts"]
    assert {name: part["status"] for name, part in found.items()} == {
        "good": "passed", "wrong": "failed", "broken": "failed", "endless": "timed out after 2 s"}
    assert found["good"]["found"] == {"figure": 3}
    assert found["endless"]["found"] == {"figure": 1}
    assert found["wrong"]["failures"] == ["not as it has to be"]
    assert found["broken"]["last_lines"][-1] == "RuntimeError: unforeseen"
    assert "again: tests/gpu/check.sh wrong broken endless" in table
    with pytest.raises(ProcessLookupError):     # what the part has started has ended, too
        for _ in range(50):
            os.kill(int((tmp_path / "child").read_text()), 0)
            time.sleep(0.1)


def test_results_of_other_parts_are_kept(parts, tmp_path):
    import check as module
    parts(one="", other="raise SystemExit(1)").run(["one", "other"])
    kept = module.known(tmp_path, dry=False)
    assert {name: part["status"] for name, part in kept.items()} == {
        "one": "passed", "other": "failed"}
    assert module.known(tmp_path, dry=True) == {}       # a dry run's say nothing of a GPU


def test_an_unknown_part_is_told_which_there_are():
    run = subprocess.run([FOLDER / "check.sh", "sped"], capture_output=True, text=True)
    assert run.returncode == 2 and "no part sped; there are versions, recordings" in run.stderr


@pytest.mark.slow
def test_the_whole_dry_run(check):
    status, found, table = check("--dry-run")
    assert status == 0, table
    assert len(found["parts"]) == 11
    assert all(part["status"] == "passed" for part in found["parts"].values())
