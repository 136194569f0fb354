"""One page over all runs under build/, beside the paper's figures: build/report.html."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from fcn.solvers.console.progress import duration
from fcn.solvers.report import charts, page
from fcn.solvers.report.style import document, section, unbroken
from fcn.solvers.runs import log
from fcn.solvers.runs.all_runs import nothing_trained
from segdata.errors import UserError
from segdata.files import replacing
from segdata.paths import build_root

if TYPE_CHECKING:
    from fcn.solvers.runs.run import Run


def write(runs: Sequence[Run]) -> Path:
    """Write the page, and those reports that are missing or older than their run; returns its
    path. What is wrong with a single run is printed to stderr.
    Raises UserError where there is no run."""
    if not runs:
        raise UserError(nothing_trained())
    for run in runs:
        page.refresh(run)
    path = build_root() / page.FILE
    rows = "".join(_row(run, path.parent) for run in
                   sorted(runs, key=lambda run: (-run.turn(), run.directory.name)))
    body = (f"<header><p class='kind'>All trainings</p><h1>{len(runs)} run{'s' * (len(runs) > 1)}"
            "</h1><p>Those that were begun or continued last come first. A name leads to the "
            "report of the run.</p></header>" + section(
                "Runs", "Scores are on validation images that the nets were not trained on, in "
                "percent; mean IU is the figure to compare. Only runs on the same data compare: "
                "miniatures (-demo) are narrow nets on generated data, and have the paper’s figure "
                "to show which published net each imitates. “Over time” draws mean IU from the "
                f"first scoring to the last, where there are several. {page.WEIGHTED}",
                "<div class='scroll'><table class='runs'><tr><th>run</th><th>mean IU</th>"
                "<th>over time</th><th>pixel accuracy</th><th>mean accuracy</th>"
                "<th>frequency-weighted IU</th><th>iterations</th><th>time</th>"
                f"<th>the paper’s figure</th></tr>{rows}</table>"
                "</div>"))
    with replacing(path) as temporary:
        temporary.write_text(document("All trainings", body), encoding="utf-8")
    return path


def _row(run: Run, folder: Path) -> str:
    """The table's row of a run, one of each further label below it."""
    rows = log.read(run.directory / "log.csv")
    _, scores = page.read_scores(run)
    seconds = log.seconds(rows)
    curve = charts.sparkline([(row.iteration, row.mean_iu) for row in rows
                              if row.mean_iu is not None])
    link = quote(os.path.relpath(run.directory / page.FILE, folder).replace(os.sep, "/"))
    rest = (f"<td class='number'>{page.iterations(run, rows):,}</td>"
            f"<td class='time'>{unbroken(duration(seconds)) if seconds else '–'}</td>"
            f"<td>{escape(page.published(run)) or '–'}</td>")
    name = escape(run.directory.name)
    if (run.directory / page.FILE).exists():
        name = f"<a href='{link}'>{name}</a>"
    if not scores:
        return f"<tr><td>{name}</td><td colspan=5>not scored yet</td>{rest}</tr>"
    lines = []
    for number, (label, one) in enumerate(scores.items()):
        summary = one.summary()
        cells = "".join(f"<td class='number'>{summary[key]:.1f}</td>" for key in
                        ("pixel accuracy", "mean accuracy", "f.w. IU"))
        lines.append(f"<tr><td>{name if number == 0 else '… ' + escape(label)}</td>"
                     f"<td class='number'><b>{100 * one.headline:.1f}</b></td>"
                     f"<td>{(curve or '–') if number == 0 else ''}</td>{cells}"
                     f"{rest if number == 0 else '<td></td>' * 3}</tr>")
    return "".join(lines)
