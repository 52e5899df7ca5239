"""What trainers report: each step, and on request what the theorems speak of.

_step          StepRecord of Gauss-Newton trainers, TrainingWarning, and a Stopwatch for parts
_diagnostics   Diagnostics: G against G_0, rows of W against W(0), who fires, rank
"""

from subquad.training._records._diagnostics import (
    Diagnostics,
    Origin,
    change_of_factors,
    change_of_matrix,
    changed,
    diagnostics,
    parallel_rows,
)
from subquad.training._records._step import StepRecord, Stopwatch, TrainingWarning

__all__ = [
    "Diagnostics",
    "Origin",
    "StepRecord",
    "Stopwatch",
    "TrainingWarning",
    "change_of_factors",
    "change_of_matrix",
    "changed",
    "diagnostics",
    "parallel_rows",
]
