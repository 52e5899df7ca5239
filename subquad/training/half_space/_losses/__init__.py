"""Losses of half-space SGD, one module each: l(f, y), convex in f, and its slope in f.

_loss        Loss: what they share, and the checks of arguments
_squared     SquaredLoss      (f - y)^2 / 2       not Lipschitz
_absolute    AbsoluteLoss     |f - y|             1-Lipschitz
_huber       HuberLoss        one, then the other delta-Lipschitz
_labels      LabelLoss        what the two losses of labels share
_logistic    LogisticLoss     log(1 + exp(-y f))  1-Lipschitz
_hinge       HingeLoss        max(0, 1 - y f)     1-Lipschitz
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from subquad.training.half_space._losses._absolute import AbsoluteLoss
from subquad.training.half_space._losses._hinge import HingeLoss
from subquad.training.half_space._losses._huber import HuberLoss
from subquad.training.half_space._losses._logistic import LogisticLoss
from subquad.training.half_space._losses._loss import Loss
from subquad.training.half_space._losses._squared import SquaredLoss

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
