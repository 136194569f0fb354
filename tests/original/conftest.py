"""Says how many cases were compared."""

import sys


def pytest_terminal_summary(terminalreporter):
    sides = sys.modules.get("sides")    # not there if the tests were not collected
    if sides and sides.VERDICTS:
        verdicts = ", ".join(f"{count} {kind}" for kind, count in sides.VERDICTS.most_common())
        terminalreporter.write_line(
            f"{sides.VERDICTS.total()} cases beside the original: {verdicts}")
