"""Activations against their formulas."""

import math

import numpy as np
from scipy import special

from subquad.activations import (
    GELU,
    LeakyReLU,
    ReLU,
    ShiftedReLU,
    Sigmoid,
    SiLU,
    Tanh,
    ThresholdedReLU,
    as_activation,
    has_threshold,
    is_smooth,
)

from ..cases import target
from ..draws import as_float64, dtype_of

KINDS = {"ReLU": ReLU, "ShiftedReLU": ShiftedReLU, "ThresholdedReLU": ThresholdedReLU}


def activation(draw, fired=False):
    """A sound activation; one with few shifts if neurons must fire."""
    shift = draw.choice((0.0, 0.5, 1.0)) if fired else draw.choice((0.0, 0.3, 1.0, 2.5, 8.0))
    return draw.choice((ReLU(), ShiftedReLU(shift), ThresholdedReLU(shift, draw.chance(0.5))))


def values(phi, Z, thresholds):
    """phi(Z) in float64, thresholds rounded to the dtype of Z."""
    Z, tau = as_float64(Z), np.asarray(thresholds)[:, None]
    return phi.scale * (np.where(Z > tau, Z, 0.0) if phi.jumps else np.maximum(Z - tau, 0.0))


def slopes(phi, Z, thresholds):
    return phi.scale * (as_float64(Z) > np.asarray(thresholds)[:, None])


@target(
    *(f"activations.{name}" for name in KINDS),
    *(f"activations.{name}.{method}" for name in KINDS for method in (
        "for_sparsity", "expected_active", "thresholds", "derivative", "__call__")),
    share=60,
)  # fmt: skip
def activations(draw, attempt):
    kind = KINDS[draw.choice(tuple(KINDS))]
    if kind is ReLU and draw.chance(0.1):
        draw.hostile = True  # it has no shift to give
        phi = attempt(ReLU.for_sparsity, 0.0, 4)
    elif kind is ReLU:
        phi = attempt(ReLU)
    elif draw.chance(0.3):
        alpha, width = draw.real((0.0, 0.1, 0.5, 1.0)), draw.integer((1, 2, 64, 4096, 10**6))
        phi = attempt(kind.for_sparsity, alpha, width)
        attempt.close(phi.shift, math.sqrt(2 * alpha * math.log(width)), 10.0, 4)
    else:
        relative = draw.choice((0, None, "yes", 1.0)) if draw.goes_wrong() else draw.chance(0.5)
        phi = attempt(kind, draw.real((0.0, 0.1, 1.0, 8.0, 3, np.float64(2))), relative)
    draw.choice((_active, _thresholds, _evaluated, _evaluated))(draw, attempt, phi)


def _active(draw, attempt, phi):
    width = draw.integer((1, 7, 10**6))
    value = attempt(phi.expected_active, width)
    attempt.close(value, width * special.ndtr(-phi.shift), 1e7, 8)


def _thresholds(draw, attempt, phi):
    norms, std = draw.array((draw.size(),), positive=True), draw.real((1.0, 1e-3, 2))
    value = attempt(phi.thresholds, norms, std)
    norms = as_float64(norms)
    size = std * phi.shift * (norms if phi.relative else np.ones_like(norms))
    attempt.close(value, size, size, 4)


def _evaluated(draw, attempt, phi):
    n = draw.size(9)
    Z, thresholds = draw.array((n, draw.size())), draw.array((n,))
    derivative = draw.chance(0.4)
    value = attempt(phi.derivative if derivative else phi, Z, thresholds)
    dtype, tau = dtype_of(Z), as_float64(thresholds)
    with np.errstate(all="ignore"):
        tau = tau.astype(dtype).astype(float)
        expected = (slopes if derivative else values)(phi, Z, tau)
        size = phi.scale * (np.abs(as_float64(Z)) + np.abs(tau)[:, None])
    attempt.close(value, expected, np.maximum(size, expected), 2, dtype=dtype)


def _gelu(z):
    return z * special.ndtr(z)


# Smooth activations: values, and bounds of their slopes.
_SMOOTH = {
    GELU: (_gelu, 1.2),
    SiLU: (lambda z: z * special.expit(z), 1.2),
    Tanh: (np.tanh, 1.0),
    Sigmoid: (special.expit, 0.25),
    LeakyReLU: (lambda z: np.where(z > 0, z, 0.01 * z), 1.0),
}


@target(
    *(f"activations.{kind.__name__}{name}" for kind in _SMOOTH for name in (
        "", ".__call__", ".derivative", ".thresholds")),
    *(f"activations.{name}" for name in ("as_activation", "has_threshold", "is_smooth")),
    share=40,
)  # fmt: skip
def smooth(draw, attempt):
    kind = draw.choice(tuple(_SMOOTH))
    if kind in (GELU, LeakyReLU) and draw.goes_wrong():
        wrong = np.array(["none", "tanh"]), "fast", 3j, None, [], float("nan")
        attempt(kind, draw.choice(wrong))
    phi = attempt(kind)
    if draw.chance(0.1):
        return _kinds(draw, attempt, phi)
    shape = draw.choice(((3,), (4, 5), (2, 3, 4)))
    Z = draw.array(shape)
    if draw.chance(0.5):
        value = attempt(phi.derivative, Z)
        slopes = np.abs(value.astype(float))
        most = _SMOOTH[kind][1] * (1 + 1e-6)
        attempt.holds((slopes <= most).all(), f"a slope of {slopes.max(initial=0)}")
        return None
    value, z = attempt(phi, Z), as_float64(Z)
    dtype = dtype_of(Z)
    with np.errstate(all="ignore"):
        expected = _SMOOTH[kind][0](z)
    attempt.close(value, expected, np.abs(expected) + np.minimum(np.abs(z), 1), 8, dtype=dtype)
    return None


def _kinds(draw, attempt, phi):
    """What networks ask of an activation."""
    attempt.equal(attempt(is_smooth, phi), True)
    attempt.equal(attempt(has_threshold, phi), False)
    attempt.equal(attempt(phi.thresholds, np.ones(3), 1.0), np.zeros(3))
    given = draw.choice((phi, None, ReLU()))
    draw.hostile = True
    attempt(as_activation, draw.option((given,)), phi, smooth=draw.chance(0.5))
