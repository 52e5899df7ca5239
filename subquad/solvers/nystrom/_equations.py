"""The normal equations in the landmarks' features, for every mu at once, and leave-one-out."""

import numpy as np
from scipy.linalg.blas import dsyrk

from subquad._parallel import blocks
from subquad._ranks import PARTS
from subquad.solvers.nystrom._whitening import Whitening

# A block of K_nZ has at most so many numbers, and so takes 32 MiB: BLAS works on it for some
# tenths of a second.
_ENTRIES_PER_BLOCK = 2**22
# What a fit misses of 1 by rounding is no leverage: an error is divided by no less.
_LEAST_COMPLEMENT = 1e-10


class Equations:
    """A = F^T W F = Q S Q^T and b = F^T W R, accumulated over blocks of rows in float64.

    `ranks` share these rows, if given.

    Attributes
    ----------
    missed : float
        trace(K - F F^T) / trace(K).
    """

    def __init__(self, kernel, points, R, weights, block_size=None, ranks=None):
        self.kernel, self.points, self.R, self.weights = kernel, points, R, weights
        self._ranks = ranks
        self.block_size = block_size or rows_per_block(len(points))
        self.whitening = Whitening(kernel.block(points, points))
        n = len(R)
        A, b, told = self._accumulated(slice(0, n)) if ranks is None else self._shared(ranks)
        trace = float(kernel.diagonal().sum())
        self.missed = max(1.0 - told / trace, 0.0) if len(points) < len(R) else 0.0
        if not (np.isfinite(A).all() and np.isfinite(b).all()):
            raise ValueError("kernel and r must be smaller; the normal equations overflow.")
        values, self._Q = np.linalg.eigh(A)  # of the lower half
        self._values = np.maximum(values, 0.0)
        self._projected = self._Q.T @ b

    def _shared(self, ranks):
        """What `_accumulated` says of all rows, the same bits for every number of ranks.

        Together the ranks keep PARTS matrices of the normal equations for a moment.
        """
        n, p, C = len(self.R), self.whitening.rank, self.R.shape[1]
        own = _own_parts(n, ranks)
        partial = np.empty((len(own), p * p + p * C + 1))
        for sums, rows in zip(partial, own, strict=True):
            A, b, told = self._accumulated(rows)
            sums[: p * p], sums[p * p : -1], sums[-1] = A.ravel(), b.ravel(), told
        total = ranks.summed_parts(partial)
        return total[: p * p].reshape(p, p), total[p * p : -1].reshape(p, C), float(total[-1])

    def _accumulated(self, some):
        """A of a slice of the rows, of which the lower half counts, b and sum_i |F_i|^2."""
        p = self.whitening.rank
        A, b, told = np.zeros((p, p), order="F"), np.zeros((p, self.R.shape[1])), 0.0
        for part in blocks(some.stop - some.start, self.block_size):
            rows = slice(some.start + part.start, some.start + part.stop)
            F = self._features(rows)
            told += float(np.einsum("ij,ij->", F, F))
            roots = np.sqrt(self.weights[rows])[:, None]
            F = F * roots
            A = dsyrk(1.0, F.T, beta=1.0, c=A, lower=1, overwrite_c=1)
            b += F.T @ (roots * self.R[rows])
        return A, b, told

    def _features(self, rows):
        """F at some rows."""
        return self.whitening.features(self.kernel.block(rows, self.points))

    def _inverses(self, mus):
        """1 / (s + mu), shape (rank, len(mus)), and 0 where both are rounding."""
        sums = self._values[:, None] + np.asarray(mus)
        known = sums > len(sums) * np.finfo(np.float64).eps * self._values[-1]
        return np.divide(1.0, sums, out=np.zeros_like(sums), where=known)

    def coefficients(self, mu):
        """Return what multiplies K_nZ, shape (M, C)."""
        theta = self._Q @ (self._inverses([mu]) * self._projected)
        return self.whitening.coefficients(theta)

    def squared_errors(self, mus, some, repeats=None):
        """Return sum_j w_j e_j^2 over the observations of some rows, of outputs together.

        Each is left out of the fit to all rows: e_i = (r_i - f_i) / (1 - h_i), with the hat values
        h_i = w_i F_i (A + mu)^-1 F_i^T.

        Returns
        -------
        sums : ndarray, shape (len(mus),)
        total : float
            The observations' total weight.
        """
        if self._ranks is None:
            *sums, total = self._squares_of(mus, some, repeats)
            return np.array(sums), float(total)
        own = _own_parts(len(some), self._ranks)
        partial = [self._squares_of(mus, some[rows], repeats) for rows in own]
        *sums, total = self._ranks.summed_parts(np.array(partial).reshape(-1, len(mus) + 1))
        return np.array(sums), float(total)

    def _squares_of(self, mus, some, repeats):
        """Sums of some rows, and their total weight after them."""
        out = np.zeros(len(mus) + 1)
        for lacks, complements, w, seen in self._left_out(mus, some, repeats):
            out[:-1] += _squares(lacks, complements, w, seen)
            out[-1] += (w if seen is None else seen.weights).sum()
        return out

    def errors(self, mu, some, repeats=None):
        """Return every e_j of some rows, shape (n_observations, C).

        With repeats in the order of `repeats.of_points(some)`.
        """
        seen = repeats and repeats.of_points(some)
        if self._ranks is None:
            lacks, complements = self._lacks_of(mu, some)
        else:
            own = [self._lacks_of(mu, some[rows]) for rows in _own_parts(len(some), self._ranks)]
            flat = (np.concatenate([np.empty(0), *(x[i].ravel() for x in own)]) for i in (0, 1))
            lacks, complements = (np.concatenate(self._ranks.joined(x)) for x in flat)
            lacks = lacks.reshape(len(some), -1)
        if seen is None:
            return lacks / complements[:, None]
        return seen.errors(lacks * seen.totals[:, None], complements * seen.totals, 1.0)

    def _lacks_of(self, mu, some):
        """r - f (rows, C) and 1 - h (rows,) of some rows."""
        parts = list(self._left_out([mu], some, None))
        C = self.R.shape[1]
        lacks = [np.empty((0, C)), *(part[0][:, :, 0].T for part in parts)]
        complements = [np.empty(0), *(part[1][:, 0] for part in parts)]
        return np.concatenate(lacks), np.concatenate(complements)

    def _left_out(self, mus, some, repeats):
        """Yield r - f (C, rows, mus), 1 - h (rows, mus), weights and observations of blocks."""
        inverses = self._inverses(mus)
        for part in blocks(len(some), self.block_size):
            rows = some[part]
            B, w = self._features(rows) @ self._Q, self.weights[rows]
            complements = 1.0 - w[:, None] * (np.square(B) @ inverses)
            fits = B @ (self._projected.T[:, :, None] * inverses)
            lacks = self.R[rows].T[:, :, None] - fits
            seen = repeats and repeats.of_points(rows)
            yield lacks, np.maximum(complements, _LEAST_COMPLEMENT), w, seen


def rows_per_block(n_landmarks):
    """Return how many rows of K_nZ are made at a time."""
    return max(256, _ENTRIES_PER_BLOCK // n_landmarks)


def _own_parts(n, ranks):
    """The slices of n rows whose sums this rank makes."""
    parts = [slice(n * k // PARTS, n * (k + 1) // PARTS) for k in range(PARTS)]
    return parts[ranks.share(PARTS)]


def _squares(lacks, complements, weights, seen):
    """Sum_j w_j e_j^2 for every mu, from r - f (C, rows, mus) and 1 - h (rows, mus)."""
    if seen is None:
        return np.einsum("i,cik->k", weights, np.square(lacks / complements))
    sums = np.empty(complements.shape[1])
    scale = seen.totals
    for k in range(len(sums)):  # `errors` takes M^-1 r = W (r - f) / mu and 1 - h the same way
        alpha = (lacks[:, :, k] * scale).T
        errors = seen.errors(alpha, complements[:, k] * scale, 1.0)
        sums[k] = seen.weights @ np.square(errors).sum(axis=1)
    return sums
