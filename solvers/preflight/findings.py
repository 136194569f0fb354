"""A finding: what is wrong before training, and what mends it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NamedTuple

from segdata.errors import UserError
from segdata.lists import counted


class PreflightError(UserError):
    """Findings that stop a run before its first iteration."""


class Finding(NamedTuple):
    """problem, remedy : sentences; stops : whether the run ends, unless it is forced."""
    problem: str
    remedy: str
    stops: bool = True

    def __str__(self) -> str:
        return f"{self.problem}\n    Remedy: {self.remedy}"


def report_findings(subject: str, findings: Iterable[Finding], force: bool = False) -> None:
    """Print findings about `subject` on standard error.

    Raises PreflightError, with all of them at once, if one of them stops the run; with `force`
    none does.
    """
    findings = list(findings)
    listed = "\n".join(f"  {number}. {finding}" for number, finding in enumerate(findings, 1))
    if any(finding.stops for finding in findings) and not force:
        raise PreflightError(f"{subject}: {counted(len(findings), 'finding')} before training; "
                             f"--force goes on all the same.\n{listed}")
    if findings:
        print(f"warning: {subject}: {counted(len(findings), 'finding')} before training\n{listed}",
              file=sys.stderr)
