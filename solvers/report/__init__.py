"""The report of a run: one HTML file without scripts that shows all there is to see of it.

    write(run)                          RUN/report.html
    refresh(run)                        the same, if it is missing or old
"""

from fcn.solvers.report.page import refresh, write

__all__ = ["refresh", "write"]
