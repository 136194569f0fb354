"""docs/reliability.md names tests that are there."""

import re

import pytest

from fcn.nets.source import ROOT

ROWS = [line.split(" | ") for line in (ROOT / "docs/reliability.md").read_text().splitlines()
        if line.startswith("| ") and "| test |" not in line and "| --- |" not in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][2:40])
def test_a_row_has_a_fault_what_is_seen_and_tests_that_exist(row):
    assert len(row) == 3
    named = re.findall(r"`(\S+\.py)(?:::(test_\w+))?`", row[2])
    assert named
    for path, test in named:
        assert re.search(rf"def {test or 'test_.*'}\(", (ROOT / "tests" / path).read_text())
