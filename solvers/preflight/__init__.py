"""What is looked at before the first iteration, so that no run trains garbage unnoticed.

    labels        what is wrong with them
    weights       what the net starts from
    recipe        the settings of the solver
    first_loss    the loss of the first iteration, beside that of guessing
    changes       whether the data are those of when the training began
    divergence    where a loss that is not finite comes from, and progress that is none
"""

from .findings import Finding, PreflightError, report_findings

__all__ = ["Finding", "PreflightError", "report_findings"]
