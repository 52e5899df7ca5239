"""Observations at the same data point, merged for a fit and left out one at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_matrix, as_vector, even_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray, IndexArray


@dataclass(frozen=True)
class Repeats:
    """Observations that share their points, merged for the fit, and left out one at a time.

    Observation j at point i = points[j], with target y_j and weight w_j, enters the fit through
    the point's total weight W_i = sum_j w_j and mean target. Left out alone, it is missed by

        e_j = (y_j - f_i) / (1 - h_j),   h_j = shares_j S_ii,

    where f = S y is the fit of the means. With r the means, r - f = mu W^-1 al and
    1 - S_ii = mu (M^-1)_ii / W_i, in the notation of `loo_residuals`.

    Attributes
    ----------
    points : ndarray of intp, shape (n_observations,)
    weights : ndarray, shape (n_observations,)
        w_j.
    totals : ndarray, shape (n_points,)
        W_i.
    deviations : ndarray, shape (n_observations, C)
        y_j minus the weighted mean target of its point.
    shares : ndarray, shape (n_observations,)
        w_j / W_i. Where all weights are whole numbers, they count observations: one of weight k
        stands for k equal ones of weight 1, one of which is left out. The share is then g / W_i
        with g the weights' greatest common divisor, so that doubled weights change nothing.

    Notes
    -----
    `merge_repeats` makes one. The formula is that of Allen (1974), since observations of one point
    share the row and column of S: with one observation at each point, it is the usual one.
    """

    points: IndexArray
    weights: FloatArray
    totals: FloatArray
    deviations: FloatArray
    shares: FloatArray

    def columns(self, some: slice) -> Repeats:
        """Return the same for the targets of a slice."""
        return replace(self, deviations=self.deviations[:, some])

    def of_points(self, kept: IndexArray) -> Repeats:
        """Return the observations of some points, indices that may come in any order."""
        place = np.full(len(self.totals), -1)
        place[kept] = np.arange(len(kept))
        points = place[self.points]
        some = points >= 0
        return Repeats(
            points[some],
            self.weights[some],
            self.totals[kept],
            self.deviations[some],
            self.shares[some],
        )

    def errors(self, alpha: FloatArray, diagonal: FloatArray, mu: float) -> FloatArray:
        """Return every e_j, shape (n_observations, C).

        Parameters
        ----------
        alpha : ndarray, shape (n_points, C)
            al, of the mean targets.
        diagonal : ndarray, shape (n_points,)
            Of M^-1.
        mu : float
        """
        i, shares = self.points, self.shares[:, None]
        complements = (mu * diagonal / self.totals)[i][:, None]
        kept = 1.0 - shares + shares * complements
        alone = shares == 1.0  # where mu = 0, the quotient of the formula is 0 / 0
        kept[alone] = 1.0
        errors = (self.deviations + (mu * alpha / self.totals[:, None])[i]) / kept
        return np.where(alone, (alpha / diagonal[:, None])[i], errors)


def merge_repeats(
    points: ArrayLike, T: ArrayLike, weights: ArrayLike
) -> tuple[FloatArray, FloatArray, Repeats | None]:
    """Merge the observations of every point.

    Parameters
    ----------
    points : array_like of int, shape (n_observations,)
        The point of each observation; every one of 0, ..., n - 1 occurs.
    T : array_like, shape (n_observations, C)
        Targets.
    weights : array_like, shape (n_observations,)
        Positive.

    Returns
    -------
    means : ndarray, shape (n, C)
        Weighted mean targets of the points.
    totals : ndarray, shape (n,)
        Their total weights.
    repeats : Repeats or None
        None where every point has one observation that is to be left out with its whole weight:
        leave-one-out of points is then that of observations.

    Raises
    ------
    TypeError, ValueError
        If an argument has another kind, shape or values.

    Examples
    --------
    >>> means, totals, repeats = merge_repeats([0, 0, 1], [[1.0], [3.0], [5.0]], np.ones(3))
    >>> means[:, 0], totals, repeats.shares
    (array([2., 5.]), array([2., 1.]), array([0.5, 0.5, 1. ]))
    """
    T = as_matrix(T, "T", dtype=np.float64)
    weights = as_vector(weights, "weights", size=len(T), dtype=np.float64)
    if not weights.min() > 0:
        raise ValueError(f"weights must be positive; got {weights.min()}.")
    points = _checked_points(points, len(T))
    totals = np.bincount(points, weights)
    means = np.column_stack([np.bincount(points, weights * column) / totals for column in T.T])
    shares = _units(weights) / totals[points]
    if (shares == 1.0).all():
        return means, totals, None
    return means, totals, Repeats(points, weights, totals, T - means[points], shares)


def in_units(repeats, unit):
    """Return the same observations with their weights over a unit; None of none."""
    if repeats is None:
        return None
    return replace(repeats, weights=repeats.weights / unit, totals=repeats.totals / unit)


def _checked_points(points, n):
    """Return points as n indices of which none is skipped."""
    points = even_array(points, "points")
    if points.shape != (n,) or not np.issubdtype(points.dtype, np.integer):
        raise ValueError(
            f"points must be {n} integers, one per row of T; got {points.dtype} of shape "
            f"{points.shape}."
        )
    if points.min() < 0 or points.max() >= n or not np.bincount(points).all():
        raise ValueError("points must be 0, ..., n - 1, each at least once; got others.")
    return points


def _units(weights):
    """How much weight is left out with each observation."""
    if (weights == np.floor(weights)).all() and weights.max() < 2.0**53:
        return np.full(len(weights), float(np.gcd.reduce(weights.astype(np.int64))))
    return weights
