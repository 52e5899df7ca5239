"""The steps that all Gauss-Newton trainers take.

_trainer   `GaussNewtonTrainer`, and `State`, what it asks of a network on its data
_steps     how far a step may go: one rule for interpolation, one for regularised fits
_kinks     how a regularised fit goes on from a kink of its objective
_fit       where a fit stands, and its best iterate
_resume    the same as plain values, and how another trainer goes on there
"""

from subquad.training._gauss_newton._fit import Move, Trial
from subquad.training._gauss_newton._resume import resume, state_of
from subquad.training._gauss_newton._trainer import GaussNewtonTrainer, State, StateGaussNewton

__all__ = [
    "GaussNewtonTrainer",
    "Move",
    "State",
    "StateGaussNewton",
    "Trial",
    "resume",
    "state_of",
]
