"""Losses of half-space SGD against their formulas."""

import numpy as np
from scipy import special

from subquad.training import (
    AbsoluteLoss,
    HingeLoss,
    HuberLoss,
    LogisticLoss,
    SquaredLoss,
    as_loss,
)

from ..cases import target
from ..draws import as_float64


def _huber(r):
    return np.where(np.abs(r) <= 1, r**2 / 2, np.abs(r) - 0.5)


# Values and slopes: of residuals f - y, or of margins y f, whose slope is times y.
_RESIDUALS = {
    SquaredLoss: (lambda r: r**2 / 2, lambda r: r),
    AbsoluteLoss: (np.abs, np.sign),
    HuberLoss: (_huber, lambda r: np.clip(r, -1, 1)),
}
_MARGINS = {
    LogisticLoss: (lambda t: np.logaddexp(0, -t), lambda t: -special.expit(-t)),
    HingeLoss: (lambda t: np.maximum(0, 1 - t), lambda t: np.where(t < 1, -1.0, 0.0)),
}
_KINDS = (*_RESIDUALS, *_MARGINS)


@target(
    *(f"training.{kind.__name__}{name}" for kind in _KINDS for name in (
        "", ".value", ".derivative", ".second_derivative")),
    "training.as_loss",
    share=20,
)  # fmt: skip
def losses(draw, attempt):
    kind = draw.choice(_KINDS)
    loss = attempt(kind, draw.real((1.0, 1))) if kind is HuberLoss else attempt(kind)
    if draw.chance(0.1):
        attempt.holds(type(attempt(as_loss, draw.option((loss, kind.name)))) is kind, "its kind")
        return
    n, C = draw.size(9), draw.size(3)
    f, y = draw.array((n, C)), _labels(draw, (n, C)) if kind in _MARGINS else draw.array((n, C))
    draw.hostile |= draw.extreme
    if draw.chance(0.2):
        value = attempt(loss.second_derivative, f, y)
        attempt.holds(((value >= 0) & (value <= loss.curvature)).all(), "a curvature of the loss")
        return
    slope = draw.chance(0.5)
    value = attempt(loss.derivative if slope else loss.value, f, y)
    f, y = as_float64(f), as_float64(y)
    with np.errstate(all="ignore"):
        if kind in _MARGINS:
            y = np.where(y > 0, 1.0, -1.0)
            expected = _MARGINS[kind][slope](y * f) * (y if slope else 1)
            size = 1 + np.abs(f)
        else:
            expected = _RESIDUALS[kind][slope](f - y)
            size = 1 + np.abs(f) + np.abs(y)
            size = size if slope or kind is not SquaredLoss else size**2
    attempt.close(value, expected, size, 8)


def _labels(draw, shape):
    """Labels of two classes, or what are none."""
    if draw.goes_wrong():
        return draw.choice((np.zeros((2, 2)) + 3, "y", None, [[1], [1, 2]], np.full(shape, np.nan)))
    low = draw.choice((-1, 0))
    labels = np.where(draw.values(shape, scales=False) > 0, 1, low)
    return labels.astype(draw.choice((np.float64, np.float32, int)))
