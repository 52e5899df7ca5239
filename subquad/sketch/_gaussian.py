"""GaussianSketch: independent normal entries."""

import math

import numpy as np

from subquad._parallel import blocks
from subquad._products import gemm, multiply_csr
from subquad._validation import require_memory
from subquad.sketch._base import RAISES, useful_threads
from subquad.sketch._matrix_sketch import PARAMETERS, MatrixSketch
from subquad.sketch._rows import Rows

# Cast this many reals of S to float64 at once.
_REALS_AT_ONCE = 2**22


class GaussianSketch(MatrixSketch):
    __doc__ = f"""S (s, m) with independent entries N(0, 1 / s), so E[S^T S] = I.

    The entries are drawn and kept in float32; for float64 input the same entries are cast.
{PARAMETERS}
{RAISES}    MemoryError
        If the s m entries do not fit, 4 bytes each.

    Notes
    -----
    X S^T costs 2 n m s operations of BLAS, nnz(X) s for sparse X.

    s = ceil((sqrt(n_points) + sqrt(2 ln(2 / delta)))^2 / (sqrt(1 + epsilon) - 1)^2) suffices: the
    singular values of S B, for an orthonormal basis B of the subspace, lie within
    (sqrt(n_points) + sqrt(2 ln(2 / delta))) / sqrt(s) of 1 (Davidson and Szarek).

    The entries are the same on every machine with the same version of numpy's normals; sums are
    those of BLAS, which may differ in the last digits between machines and thread counts.

    Examples
    --------
    >>> S = GaussianSketch(1000, 50, rng=0)
    >>> X = np.random.default_rng(1).standard_normal((3, 1000))
    >>> bool(np.allclose(S.apply(X), X @ S.matrix().T))
    True
    >>> GaussianSketch(1000, n_points=3, epsilon=0.5, delta=0.1, rng=0).sketch_size
    346
    """

    @staticmethod
    def _required_size(guarantee, n_features):
        n, epsilon, delta = guarantee
        width = math.sqrt(n) + math.sqrt(2 * math.log(2 / delta))
        return math.ceil((width / (math.sqrt(1 + epsilon) - 1)) ** 2)

    def _draw(self, rng):
        m, s = self.n_features, self.sketch_size
        require_memory(
            4 * m * s, f"S with shape {(s, m)}", "A CountSketch or SRHT of this size is small."
        )
        self._set(_normals=rng.standard_normal((m, s), np.float32))  # S^T sqrt(s)

    def _apply(self, X, out, n_threads):
        threads = useful_threads(n_threads, X.shape[0] * self.sketch_size)
        for some, normals in self._blocks(X.dtype):
            if isinstance(X, Rows):
                out[:, some] = multiply_csr(*X.csr, normals, threads)
            else:
                out[:, some] = gemm(X, normals)
        out *= self._scale(out)

    def _apply_columns(self, A, out, n_threads):
        if isinstance(A, Rows):
            return self._apply_columns_sparse(A, out, n_threads)
        for some, normals in self._blocks(A.dtype):
            out[some] = gemm(normals.T, A)
        out *= self._scale(out)

    def _apply_columns_sparse(self, A, out, n_threads):
        transposed = np.empty(out.shape[::-1], out.dtype)
        self._apply(A.transposed(), transposed, n_threads)
        out[:] = transposed.T

    def _apply_transposed(self, Y, out, n_threads):
        for rows in blocks(len(Y), _REALS_AT_ONCE // self.sketch_size + 1):
            out[rows] = 0
            for some, normals in self._blocks(Y.dtype):
                out[rows] += gemm(np.ascontiguousarray(Y[rows, some]), normals.T)
        out *= self._scale(out)

    def _matrix(self):
        return self._normals.T.astype(np.float64) / math.sqrt(self.sketch_size)

    def _scale(self, out):
        return out.dtype.type(1 / math.sqrt(self.sketch_size))

    def _blocks(self, dtype):
        """Yield (rows of S, their normals (m, rows) in dtype): all rows at once if none is cast."""
        if dtype == np.float32:
            yield slice(0, self.sketch_size), self._normals
            return
        for some in blocks(self.sketch_size, _REALS_AT_ONCE // self.n_features):
            yield some, self._normals[:, some].astype(dtype)
