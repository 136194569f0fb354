"""docs/results.md has a command for every table; docs/analyses.md has every analysis."""

import re

from fcn.analysis.__main__ import OF_A_RUN, ON_A_FOLDER, QUICK, TRAINING
from fcn.nets.source import ROOT


def test_every_table_of_results_has_its_command_above_it():
    """Between the heading, or the table before, and the table; or it says that there is none."""
    page = (ROOT / "docs" / "results.md").read_text()
    parts = re.split(r"(?m)^(?:#.*\n|(?:\|.*\n)+)", page)
    separators = re.findall(r"(?m)^(?:#.*\n|(?:\|.*\n)+)", page)
    tables = [(above, table) for above, table in zip(parts, separators) if table[0] == "|"]
    assert len(tables) >= 7
    for above, table in tables:
        assert re.search("^    .*fcn |there is no\\s+command", above, re.M), table


def test_every_analysis_has_a_row():
    rows = re.findall(r"^\| `([\w-]+)` \|", (ROOT / "docs" / "analyses.md").read_text(), re.M)
    assert {*QUICK, *OF_A_RUN, *ON_A_FOLDER, *TRAINING} <= set(rows)
