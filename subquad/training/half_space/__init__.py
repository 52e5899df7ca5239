"""Stochastic gradient descent on the neurons that fire: [QSY23], Algorithm 1.

What happens in a step: `_fired` asks a half-space report which neurons fire at the batch, `_rows`
sums the outputs, a loss (`training/_losses`) gives the slopes there, `_rows` moves those rows of W,
and the report is told which rows moved.
"""

from subquad.training.half_space._record import SGDRecord
from subquad.training.half_space._trainer import HalfSpaceSGD

__all__ = ["HalfSpaceSGD", "SGDRecord"]
