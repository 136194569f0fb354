"""All tests that are marked gpu, the slow ones left out; a dry run only collects them."""

import importlib.util
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

from checkout import ROOT
from part import Part

WORKERS = 6


def main() -> None:
    part = Part(__doc__)
    report = part.folder / "junit.xml"
    how = ["--collect-only"] if part.dry else ["-rfE", "--durations=5", "--tb=short"]
    if not part.dry and importlib.util.find_spec("xdist"):
        how += ["-n", str(WORKERS)]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "checkout", "-m", "gpu and not slow", *how,
         f"--junitxml={report}", *map(str, marked(ROOT / "tests"))],
        cwd=ROOT, capture_output=part.dry, text=True)
    if part.dry:
        count = len(re.findall(r"^tests/.*::", run.stdout, re.M))
        part.found(f"{count} tests are marked gpu", tests=count)
        part.expect(count > 0, run.stdout[-2000:] + run.stderr[-2000:])
    else:
        judge(part, report)
    part.end()


def marked(folder: Path) -> list[Path]:
    """The modules with such tests: others may need packages that are not there."""
    return [path for path in sorted(folder.rglob("test_*.py")) if "mark.gpu" in path.read_text()]


def judge(part: Part, report: Path) -> None:
    """Say what the report holds."""
    if not report.exists():
        part.fail("pytest wrote no report")
        return
    cases = list(ElementTree.parse(report).getroot().iter("testcase"))
    wrong = [case for case in cases if case.find("failure") is not None
             or case.find("error") is not None]
    skipped = [case for case in cases if case.find("skipped") is not None]
    names = [f"{case.get('classname')}::{case.get('name')}" for case in wrong]
    part.found(f"{len(cases) - len(wrong) - len(skipped)} passed, {len(wrong)} failed, "
               f"{len(skipped)} skipped", passed=len(cases) - len(wrong) - len(skipped),
               failed=names, skipped=len(skipped))
    for name, case in zip(names, wrong):
        why = case.find("failure") if case.find("error") is None else case.find("error")
        part.fail(f"{name}: {(why.get('message') or '')[:300]}")
    part.expect(len(cases) > len(skipped), "no test ran")


if __name__ == "__main__":
    main()
