"""SRHT: the subsampled randomised Hadamard transform."""

import functools
import math

import numpy as np

from subquad._parallel import blocks
from subquad.hadamard import fwht, next_length
from subquad.sketch._base import RAISES, useful_threads
from subquad.sketch._matrix_sketch import PARAMETERS, MatrixSketch
from subquad.sketch._rows import Rows, padded
from subquad.sketch._sampled import sample_of, sampled_columns, sampled_rows

# Transform this many reals of padded rows at once: they then stay in the second cache.
_REALS_AT_ONCE = 2**18


class SRHT(MatrixSketch):
    __doc__ = f"""S = P H D / sqrt(s): signs, Walsh-Hadamard transform, sample.

    D is diagonal with uniform signs, H the Hadamard matrix (entries +-1) of the next order M >= m
    that `fwht` takes (vectors are padded by zeros), and P picks s of the M coordinates, uniformly
    without replacement. E[S^T S] = I; for s = M, S^T S = I.
{PARAMETERS}
    signs : ndarray of int8, shape (m,)
    rows : ndarray of intp, shape (s,)
        The diagonal of D, and the sorted coordinates that P picks; read-only.
    padded_length : int
        M. `sketch_size` is at most M.
{RAISES}
    Notes
    -----
    M log2(M) additions for each row, dense or sparse, and for each column of a sparse matrix. Of
    columns of a dense one only those entries are computed that the s rows depend on, about
    m log2(s) additions each, in one pass over the matrix.

    s = min(M, ceil(3 epsilon^-2 (sqrt(n) + sqrt(8 ln(3 M / delta)))^2 ln(3 n / delta))) suffices,
    n = `n_points`: no row of H D B / sqrt(M), B an orthonormal basis of the subspace, is longer
    than (sqrt(n) + sqrt(8 ln(3 M / delta))) / sqrt(M) (Tropp 2011, Lemma 3.3), and matrix Chernoff
    bounds for samples without replacement. In practice s = n / epsilon^2 behaves like normal
    entries.

    Bitwise the same for every number of threads and every instruction set. Orders 12, 20 and 28
    times a power of two serve the theory as well as powers of two do: it asks for H^T H = M I and
    entries of +-1.

    Examples
    --------
    >>> S = SRHT(1000, 50, rng=0)
    >>> S.padded_length
    1024
    >>> X = np.random.default_rng(1).standard_normal((3, 1000))
    >>> bool(np.allclose(S.apply(X), X @ S.matrix().T))
    True
    >>> SRHT(10**6, n_points=3, epsilon=0.5, delta=0.1, rng=0).sketch_size
    9819
    """

    @staticmethod
    def _required_size(guarantee, n_features):
        n, epsilon, delta = guarantee
        M = next_length(n_features)
        longest = math.sqrt(n) + math.sqrt(8 * math.log(3 * M / delta))
        return min(M, math.ceil(3 * (longest / epsilon) ** 2 * math.log(3 * n / delta)))

    def _draw(self, rng):
        M = next_length(self.n_features)
        if self.sketch_size > M:
            raise ValueError(
                f"sketch_size must be at most {M} for {self.n_features} features; "
                f"got {self.sketch_size}."
            )
        signs = 1 - 2 * rng.integers(0, 2, self.n_features, dtype=np.int8)
        rows = np.sort(rng.choice(M, self.sketch_size, replace=False, shuffle=False))
        self._set(signs=signs, rows=rows.astype(np.intp), padded_length=M)

    def _apply(self, X, out, n_threads):
        m, M = self.n_features, self.padded_length
        n_threads = useful_threads(n_threads, X.shape[0] * M * 8)
        if M <= _REALS_AT_ONCE:
            scale = self._scale(out)
            sampled_rows(X, self.signs, self.rows, M, scale, out, n_threads)
            return
        for some in blocks(X.shape[0], n_threads):
            rows = padded(X[some], M)
            rows[:, :m] *= self.signs.astype(X.dtype)
            fwht(rows, out=rows, n_threads=n_threads)
            np.take(rows, self.rows, axis=1, out=out[some], mode="clip")
        out *= self._scale(out)

    def _apply_columns(self, A, out, n_threads):
        if isinstance(A, Rows):
            transposed = np.empty(out.shape[::-1], out.dtype)
            self._apply(A.transposed(), transposed, n_threads)
            out[:] = transposed.T
            return
        if A.shape[1] == 1:
            self._apply(A.reshape(1, -1), out.reshape(1, -1), n_threads)
            return
        sampled_columns(A, self.signs, self._sample, self._scale(out), out, n_threads)

    @functools.cached_property
    def _sample(self):
        return sample_of(self.rows, self.padded_length)

    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "_sample"}

    def _apply_transposed(self, Y, out, n_threads):
        m, M = self.n_features, self.padded_length
        n_threads = useful_threads(n_threads, Y.shape[0] * M * 8)
        signs = self.signs.astype(Y.dtype)
        for some in blocks(Y.shape[0], n_threads * _REALS_AT_ONCE // M):
            rows = np.zeros((some.stop - some.start, M), Y.dtype)
            rows[:, self.rows] = Y[some]
            fwht(rows, out=rows, n_threads=n_threads)
            np.multiply(rows[:, :m], signs, out=out[some])
        out *= self._scale(out)

    def _matrix(self):
        S = np.zeros((self.sketch_size, self.padded_length))
        S[np.arange(self.sketch_size), self.rows] = 1.0
        fwht(S, out=S)
        return S[:, : self.n_features] * self.signs / math.sqrt(self.sketch_size)

    def _scale(self, out):
        return out.dtype.type(1 / math.sqrt(self.sketch_size))
