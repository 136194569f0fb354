"""The report of a run: one HTML file without scripts that shows all there is to see of it.

    write(run)                          RUN/report.html
    refresh(run)                        the same, if it is missing or old
    record_circumstances(run, ...)      what only the training knows: versions, device, commit
"""

from fcn.solvers.report.circumstances import record_circumstances
from fcn.solvers.report.page import refresh, write

__all__ = ["record_circumstances", "refresh", "write"]
