"""Checks of the arguments that the Gauss-Newton trainers share."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import (
    as_matrix,
    as_targets,
    as_vector,
    real,
    require_memory,
    require_weights_in_range,
)
from subquad.activations import is_smooth
from subquad.networks import is_separable
from subquad.solvers.gram import as_solver
from subquad.training._equation import MOST_KEPT
from subquad.training._losses import as_loss
from subquad.training._records import TrainingWarning

if TYPE_CHECKING:
    from subquad.networks import LastLayer


# Warn below so many firing neurons: the rate of 1/3 per step was seen from there on.
_WARN_ACTIVE = 32
# The squares of larger targets overflow, those of targets below the inverse vanish.
_LARGEST_TARGET = 1e140


def chosen_solver(value, rng=None):
    """The solver that a name or an object stands for; None for the exact one, which is built in."""
    return None if isinstance(value, str) and value == "exact" else as_solver(value, rng)


def positive_or_auto(value, name):
    """Return a positive number, or None for "auto"."""
    if isinstance(value, str):
        if value != "auto":
            raise ValueError(f"{name} must be 'auto' or a number; got {value!r}.")
        return None
    return real(value, name, minimum=0.0, exclusive_minimum=True)


def targets(y, network, n, loss=None):
    """y as float64, shape (n, C), of a size whose squares float64 holds, as the loss takes them."""
    y = as_targets(y if loss is None else loss._numbers(y), n, network.n_outputs)
    largest = float(np.abs(y).max())
    if largest and not 1 / _LARGEST_TARGET <= largest <= _LARGEST_TARGET:
        raise ValueError(
            f"y must be 0 or between {1 / _LARGEST_TARGET:.0e} and {_LARGEST_TARGET:.0e} in size; "
            f"got a largest entry of {largest:.3g}. Scale it: a fit does not depend on units."
        )
    return y if loss is None else loss._admitted(y)


def offset(centred, y):
    """True, False, or what is subtracted from outputs of the shape of y."""
    if not np.ndim(centred):
        return bool(centred)
    return as_matrix(
        centred, "centred", n_rows=len(y), n_columns=y.shape[1], dtype=np.float64
    ).copy()


def gauss_newton_loss(loss, repeats=None):
    """The loss of a name, if Gauss-Newton steps can follow it; it must suit the repeats."""
    loss = as_loss(loss, ("squared", "logistic", "huber"))
    if loss.name == "huber" and repeats is not None and np.any(repeats.deviations):
        raise ValueError(
            "repeats must have equal targets at each point for the huber loss; got others. Give "
            "every observation as a data point of its own."
        )
    return loss


def regularization(value):
    """A number of at least 0, or "loo"."""
    if isinstance(value, str):
        if value != "loo":
            raise ValueError(f"regularization must be 'loo' or a number; got {value!r}.")
        return value
    return real(value, "regularization", minimum=0.0)


def tolerance(tol, dtype, regularized):
    """The tolerance, or its default for this precision."""
    if tol is not None:
        return real(tol, "tol", minimum=0.0)
    return 1e-10 if dtype == np.float64 and not regularized else 1e-6


def sample_weight(weights, n):
    """Weights of the squared residuals, not negative and not all zero; None for all equal to 1."""
    if weights is None:
        return None
    weights = as_vector(weights, "sample_weight", size=n, dtype=np.float64)
    if weights.min() < 0 or not weights.any():
        raise ValueError(
            "sample_weight must be at least 0 and not all 0; "
            f"got values from {weights.min()} to {weights.max()}."
        )
    require_weights_in_range(weights, "sample_weight")
    return None if (weights == 1).all() else weights


def require_active_neurons(layer: LastLayer, minimum: int) -> None:
    """Refuse or warn where too few neurons are expected to fire for an output."""
    feeding = np.count_nonzero(layer.readout, axis=1)
    if not feeding.all():
        raise ValueError(f"readout must feed every output; got none for output {feeding.argmin()}.")
    if is_smooth(layer.activation):
        return
    expected = feeding.min() * layer.activation.firing_probability
    report = (
        f"width must let more neurons fire: {expected:.1f} are expected per data point and output "
        f"(width {layer.width}, shift {layer.activation.shift:.3g}, {layer.n_outputs} outputs)"
    )
    if expected < minimum * (1 - 1e-9):
        raise ValueError(f"{report}, at least {minimum} are needed. Raise width or lower shift.")
    if minimum and expected < _WARN_ACTIVE * (1 - 1e-9):
        warnings.warn(
            f"{report}; below {_WARN_ACTIVE} some data points may not be fitted. Raise width or "
            "lower shift.",
            TrainingWarning,
            stacklevel=4,
        )


def bytes_for(network, n, makes_layer=False, chooses=False):
    """Bytes of a fit with Gram matrices, at its peak, beside the layer that it is given.

    Three arrays of m n numbers for outputs with neurons of their own, eight otherwise and ten with
    dense derivatives, and one more for the layer if the fit `makes_layer`; besides, a matrix n x n
    in float64 for each output, its factor where these are few, four matrices that they share, and
    two more where it `chooses` the regularisation.
    """
    if is_smooth(network.activation):
        arrays = 10
    else:
        arrays = 3 if is_separable(network.readout) else 8
    arrays += bool(makes_layer)
    # A rank that shares a layer has some of the neurons.
    width = getattr(network, "own_width", network.width)
    numbers = arrays * n * width * network.dtype.itemsize
    factors = min(n * n * network.n_outputs, MOST_KEPT)
    return numbers + 8 * (n * n * (network.n_outputs + 4 + (2 if chooses else 0)) + factors)


def require_memory_for(network, n, **options):
    """Refuse a fit whose arrays do not fit; options as in `bytes_for`."""
    require_memory(
        bytes_for(network, n, **options),
        f"Training {n} data points at width {network.width} with {network.n_outputs} outputs",
        "Use fewer data points, a smaller width, or float32.",
    )
