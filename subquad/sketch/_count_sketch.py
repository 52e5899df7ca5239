"""CountSketch: one signed entry in every column."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from subquad._kernels import count_sketch as kernels
from subquad._parallel import blocks
from subquad.sketch._base import RAISES, useful_threads
from subquad.sketch._matrix_sketch import PARAMETERS, MatrixSketch
from subquad.sketch._rows import Rows, entries

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray


# A kernel call does at most this many additions: a tenth of a second, half of one in slow memory.
_ADDITIONS_PER_CALL = 2**27
# Gather this many reals at once, so that they are still in the cache when signs multiply them.
_REALS_AT_ONCE = 2**17


class CountSketch(MatrixSketch):
    __doc__ = f"""S (s, m) with one nonzero in each column: S[h(j), j] = sigma(j).

    The buckets h(j) in [0, s) and the signs sigma(j) = +-1 are uniform and independent, so
    E[S^T S] = I.
{PARAMETERS}
    buckets : ndarray of intp, shape (m,)
    signs : ndarray of int8, shape (m,)
        h and sigma, read-only.
{RAISES}
    Notes
    -----
    X S^T and S A cost one addition for each nonzero, and s for each row (column) of the result.

    s = ceil(n_points (n_points + 1) / (epsilon^2 delta)) suffices: for an orthonormal basis B of
    the subspace, E|(S B)^T (S B) - I|_F^2 <= (n_points^2 + n_points) / s, and Markov's inequality.

    Every sum is taken in the order of j, so results are bitwise the same for dense and sparse
    input (but for the sign of zeros), for every number of threads and every instruction set.

    Examples
    --------
    >>> S = CountSketch(1000, 50, rng=0)
    >>> X = np.random.default_rng(1).standard_normal((3, 1000))
    >>> S.apply(X).shape
    (3, 50)
    >>> bool(np.allclose(S.apply(X), X @ S.matrix().T))
    True
    >>> CountSketch(1000, n_points=3, epsilon=0.5, delta=0.1, rng=0).sketch_size
    480
    """

    @staticmethod
    def _required_size(guarantee, n_features):
        n, epsilon, delta = guarantee
        return math.ceil(n * (n + 1) / (epsilon**2 * delta))

    def _draw(self, rng):
        buckets, signs, code = draw(rng, self.n_features, self.sketch_size)
        self._set(buckets=buckets, signs=signs, _code=code)

    def _apply(self, X, out, n_threads):
        sketch_rows(X, self._code, out, n_threads)

    def _apply_columns(self, A, out, n_threads):
        out[:] = 0
        m = len(self._code)
        n_threads = useful_threads(n_threads, entries(A))
        for rows in blocks(m, _ADDITIONS_PER_CALL // max(1, entries(A) // m)):
            part, code = A[rows], self._code[rows]
            if isinstance(A, Rows):
                kernels.add_csr_columns(*part.csr, code, out, n_threads)
            else:
                kernels.add_columns(part, code, out, n_threads)

    def _apply_transposed(self, Y, out, n_threads):
        for rows in blocks(len(Y), _REALS_AT_ONCE // self.n_features):
            np.take(Y[rows], self.buckets, axis=1, out=out[rows], mode="clip")
            out[rows] *= self.signs

    def _matrix(self):
        S = np.zeros((self.sketch_size, self.n_features))
        S[self.buckets, np.arange(self.n_features)] = self.signs
        return S


def draw(rng, m, s):
    """Return the buckets and signs of a new count sketch, and both as one code."""
    buckets = rng.integers(0, s, m, dtype=np.intp)
    signs = 1 - 2 * rng.integers(0, 2, m, dtype=np.int8)
    return buckets, signs, encoded(buckets, signs)


def encoded(buckets: NDArray[Any], signs: NDArray[Any]) -> NDArray[np.int32]:
    """Return buckets and signs as the kernels take them: 2 bucket + (1 where the sign is -1)."""
    return (2 * buckets + (signs < 0)).astype(np.int32)


def sketch_rows(X, code, out, n_threads=1, scratch=None):
    """Fill `out` with X S^T for an ndarray or Rows, in calls of bounded length."""
    n, s = out.shape
    count = entries(X)
    n_threads = useful_threads(n_threads, count + out.size)
    for rows in blocks(n, _ADDITIONS_PER_CALL // (count // n + s)):
        if isinstance(X, Rows):
            kernels.sketch_csr_rows(*X[rows].csr, code, out[rows], n_threads)
        else:
            if scratch is None:
                scratch = np.empty(n_threads * kernels.ROWS * s, X.dtype)
            kernels.sketch_rows(X[rows], code, out[rows], scratch, n_threads)
