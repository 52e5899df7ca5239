"""Observations left out of a factored fit, one at a time, where outputs may be coupled."""

from dataclasses import dataclass

import numpy as np

from subquad._validation import as_array, as_gram, as_matrix, real
from subquad.jacobian import Jacobian, kept_gram
from subquad.solvers._repeats import Repeats
from subquad.solvers.exact import DampedCholesky, sample_weights

# Candidates for the noise beyond that of the damping are four a decade, in units of the mean
# variance of the function.
_NOISES = np.concatenate([[0.0], np.logspace(-8, 2, 41)])


@dataclass(frozen=True)
class LeftOut:
    """A factored fit, and the observations that are left out of it, one at a time.

    Attributes
    ----------
    factor : DampedCholesky
    size : int
        Rows of G for each point: 1, or C where outputs are coupled.
    points : ndarray of intp, shape (n_observations,)
    shares : ndarray, shape (n_observations,)
        s_j.
    errors, variances : ndarray, shape (n_observations, C)
        e_j, and their variances in units of s_c^2 if the noise is that of the damping.
    units : ndarray, shape (n_observations,)
        The weight that is left out with each observation.
    counts : ndarray, shape (n_observations,)
        How many observations each entry stands for; 0 for one that is not in the fit.
    unit_weight : float
        Mean weight of an observation.
    """

    factor: DampedCholesky
    size: int
    points: np.ndarray
    shares: np.ndarray
    errors: np.ndarray
    variances: np.ndarray
    units: np.ndarray
    counts: np.ndarray
    unit_weight: float

    def scales(self):
        """Return s_c^2 and rho_c, shape (C,) each: of the function, and of the noise over s_c^2.

        e_j has the variance s^2 (phi_j + rho / u_j), phi_j being that of the function without
        observation j, over s^2. rho is the candidate from mu upwards of largest likelihood, with
        the s^2 that gives the errors mean square 1 in units of their deviations; infinite where
        squares overflow.
        """
        found = [self._scale(column) for column in range(self.errors.shape[1])]
        return np.transpose(found)

    def _scale(self, c):
        """s^2 and rho of an output."""
        kept = self.counts > 0
        share, units = self.counts[kept] / self.counts.sum(), self.units[kept]
        phi = np.maximum(self.variances[kept, c] - self.factor.damping / units, 0.0)
        mu = self.factor.damping  # where it is 0, the fit is told that there is no noise
        rho = mu + _NOISES * (share @ (phi * units)) if mu > 0 else np.zeros(1)
        variances = phi + rho[:, None] / units
        with np.errstate(over="ignore", divide="ignore"):
            scales = np.square(self.errors[kept, c]) / variances @ share
            best = np.argmin(np.log(scales) + np.log(variances) @ share)
        return scales[best], rho[best]


def left_out(gram, r, damping, weights, repeats, whole, name="damping"):
    """Factor M and leave out each observation: with its whole weight, or as `Repeats` has it.

    Messages call the damping by `name`.
    """
    r = as_array(r, "r")
    R = as_matrix(r[:, None] if r.ndim == 1 else r, "r", dtype=np.float64)
    G = as_gram(kept_gram(gram) if isinstance(gram, Jacobian) else gram, "gram")
    size = _rows_of_a_point(G, R)
    damping = real(damping, name, minimum=0.0)
    repeats = _observations(weights, repeats, R)
    factor = DampedCholesky(G, damping, np.repeat(repeats.totals, size))
    present = int(np.count_nonzero(repeats.totals)) * size
    if factor.rank < present:
        enough = "larger" if damping else "positive"
        raise ValueError(
            f"{name} must be {enough} for a singular gram (rank {factor.rank} of {factor.n}); got "
            f"{damping}."
        )
    totals = repeats.totals[repeats.points]
    shares = _quotients(repeats.weights, totals, otherwise=1.0) if whole else repeats.shares
    errors, variances = _errors(factor, R, repeats, shares, size)
    units = shares * totals
    counts = _quotients(repeats.weights, units, otherwise=0.0)
    return LeftOut(
        factor,
        size,
        repeats.points,
        shares,
        errors,
        variances,
        units,
        counts,
        unit_weight=float(repeats.weights.sum() / max(counts.sum(), 1.0)),
    )


def _rows_of_a_point(G, R):
    """1, or C where outputs are coupled."""
    (n, C), size = R.shape, len(G) // len(R)
    if size not in (1, C) or len(G) != n * size:
        rows = n if C == 1 else f"{n} or {n * C}"
        raise ValueError(f"gram must have {rows} rows for r of shape {R.shape}; got {len(G)}.")
    return size


def _quotients(a, b, otherwise):
    """a / b, and something else where b is 0."""
    return np.divide(a, b, out=np.full(len(a), otherwise), where=b > 0)


def _observations(weights, repeats, R):
    """Return the observations: those given, or one at each point."""
    n, C = R.shape
    if repeats is None:
        weights = np.ones(n) if weights is None else sample_weights(weights, n)
        return Repeats(np.arange(n), weights, weights, np.zeros((n, C)), np.ones(n))
    if weights is not None and not np.array_equal(weights, repeats.totals):
        raise ValueError("weights must be the totals of repeats; got others.")
    shape = len(repeats.totals), repeats.deviations.shape[1]
    if shape != (n, C):
        raise ValueError(f"repeats must have points and targets {(n, C)}; got {shape}.")
    return repeats


def _errors(factor, R, repeats, shares, size):
    """e_j and their variances over s^2, each of shape (n_observations, C)."""
    n, C = R.shape
    alpha = factor._solve(R if size == 1 else R.ravel()).reshape(n, size, C // size)
    inverse = _blocks(factor, n, size)
    absent = repeats.totals == 0
    inverse[absent] = np.eye(size)
    scale = factor.damping / np.where(absent, 1.0, repeats.totals)
    i, alone = repeats.points, shares == 1.0
    # Of al and M^-1 where a point is left out as a whole, for mu = 0 would leave 0 / 0 otherwise.
    weight = np.where(alone, 1.0, shares * scale[i])[:, None, None]
    kept = weight * inverse[i] + np.where(alone, 0.0, 1.0 - shares)[:, None, None] * np.eye(size)
    deviations = repeats.deviations.reshape(-1, size, C // size)
    weight = np.where(alone, 1.0, scale[i])[:, None, None]
    errors = np.linalg.solve(kept, deviations + weight * alpha[i])
    units = np.where(alone, 1.0, scale[i] / shares)
    variances = units[:, None] * np.einsum("jaa->ja", np.linalg.inv(kept))
    return errors.reshape(-1, C), np.broadcast_to(variances, (len(i), C))


def _blocks(factor, n, size):
    """The diagonal blocks of M^-1, shape (n, size, size)."""
    if size == 1:
        return factor.inverse_diagonal().reshape(n, 1, 1)
    inverse = factor._solve(np.eye(factor.n)).reshape(n, size, n, size)
    return inverse[np.arange(n), :, np.arange(n)].copy()
