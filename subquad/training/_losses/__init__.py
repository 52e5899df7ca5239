"""Losses l(f, y), convex in f, with their first and second derivatives in f.

_loss        Loss: what they share, and the checks of arguments
_regression  SquaredLoss      (f - y)^2 / 2       not Lipschitz
             AbsoluteLoss     |f - y|             1-Lipschitz
             HuberLoss        one, then the other delta-Lipschitz
_labels      LogisticLoss     log(1 + exp(-y f))  1-Lipschitz
             HingeLoss        max(0, 1 - y f)     1-Lipschitz
_misfit      SquaredMisfit, LossMisfit: a loss as Gauss-Newton steps see it
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from subquad.training._losses._labels import HingeLoss, LogisticLoss
from subquad.training._losses._loss import Loss
from subquad.training._losses._regression import AbsoluteLoss, HuberLoss, SquaredLoss

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AbsoluteLoss",
    "HingeLoss",
    "HuberLoss",
    "LogisticLoss",
    "Loss",
    "SquaredLoss",
    "as_loss",
]

_LOSSES = {
    kind.name: kind for kind in (SquaredLoss, LogisticLoss, HingeLoss, HuberLoss, AbsoluteLoss)
}


def as_loss(loss: str | Loss, names: Sequence[str] = tuple(_LOSSES)) -> Loss:
    """Return the loss that a name stands for; itself if it is one.

    Parameters
    ----------
    loss : str or Loss
        "squared", "logistic", "hinge", "huber" (with a delta of 1), "absolute", or an object.
    names : sequence of str
        Names of the losses that are admitted.

    Returns
    -------
    Loss

    Raises
    ------
    ValueError
        If it is none of these.

    Examples
    --------
    >>> as_loss("huber")
    HuberLoss(delta=1.0)
    """
    name = loss.name if isinstance(loss, tuple(_LOSSES.values())) else loss
    if not isinstance(name, str) or name not in names:
        *others, last = map(repr, names)
        got = repr(loss) if isinstance(loss, (str, Loss)) else type(loss).__name__
        raise ValueError(f"loss must be {', '.join(others)} or {last}; got {got}.")
    return _LOSSES[name]() if isinstance(loss, str) else loss
