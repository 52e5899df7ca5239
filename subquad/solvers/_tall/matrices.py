"""Tall matrices A (N, k) as the iterative solvers see them: A^T (b - A x), S A, A^T A.

One class for each way a matrix may be given. All arithmetic is in float64, block by block where
A is not, so that float32 storage costs no accuracy. Trusts what `as_tall` has checked.
`pass_ns` and `gram_ns` forecast nanoseconds of A^T A x and of A^T A.
"""

import numpy as np
import scipy.sparse
from scipy.sparse.linalg import LinearOperator

from subquad._validation import as_csr, as_matrix, require_memory
from subquad.jacobian import KhatriRao, kept_gram
from subquad.solvers._tall.dense import ENTRY_NS, GEMM_NS, DenseTall, times_roots

# Nanoseconds, as in `dense`: an entry of a CSR matrix in A^T A x; a multiply-add of scipy's
# product of sparse matrices.
_CSR_NS, _SPARSE_NS = 2.5, 5.0
# An operator is multiplied by so many columns of the identity at a time.
_OPERATOR_COLUMNS = 32


def as_tall(A, name="A", n_threads=1):
    """Return A checked and wrapped; a dense A divides its rows among n_threads."""
    if isinstance(A, KhatriRao):
        return KhatriRaoTall(A)
    if isinstance(A, LinearOperator):
        return OperatorTall(A, name)
    if scipy.sparse.issparse(A):
        indptr, indices, values = as_csr(A, name)
        csr = scipy.sparse.csr_array((values.astype(np.float64), indices, indptr), shape=A.shape)
        return SparseTall(csr)
    return DenseTall(as_matrix(A, name), n_threads=n_threads)


class SparseTall:
    """A canonical csr_array in float64, with weights as `DenseTall`."""

    eps = np.finfo(np.float64).eps

    def __init__(self, A, weights=None):
        self.A, self.weights, self.shape = A, weights, A.shape
        squares = np.square(np.diff(A.indptr), dtype=np.float64).sum()
        self.pass_ns, self.gram_ns = A.nnz * _CSR_NS, squares * _SPARSE_NS

    def weighted(self, weights):
        """Return diag(sqrt(weights)) A, without a copy of A."""
        return SparseTall(self.A, weights)

    def normal(self, x, b=None):
        """Return A^T v and ||v||^2 for v = A x, or b - A x if b is given."""
        v = self.A @ x
        if b is not None:
            np.subtract(b, v, out=v)
        w = v if self.weights is None else self.weights * v
        return self.A.T @ w, float(v @ w)

    def multiply(self, X):
        """Return A X for a vector or a matrix X."""
        return times_roots(self.weights, self.A @ X)

    def transposed(self, v):
        """Return A^T v."""
        return self.A.T @ times_roots(self.weights, v)

    def gram(self):
        """Return A^T A."""
        A = self.scaled()
        return (A.T @ A).toarray()

    def sketched(self, sketch, n_threads):
        """Return S A, shape (s, k)."""
        return sketch.apply_columns(self.scaled(), n_threads=n_threads)

    def dense(self):
        """Return A as an array."""
        return self.scaled().toarray()

    def scaled(self):
        """A with each row times the root of its weight."""
        if self.weights is None:
            return self.A
        A = self.A.copy()
        A.data *= np.repeat(np.sqrt(self.weights), np.diff(A.indptr))
        return A


class KhatriRaoTall:
    """A = J^T, one column for each data point; J^T x is formed only where that costs less.

    Otherwise the Gram matrix J J^T, which costs as much as one product by factors, serves all.
    """

    eps = np.finfo(np.float64).eps

    def __init__(self, J):
        U, V = J.U.astype(np.float64), J.V.astype(np.float64)
        self.J = KhatriRao._trusted(U, V, groups=J._groups)
        n, n_rows, m_u, m_v = J.n, J.n_rows, J.m_u, J.m_v
        self.shape, self._sides = (m_u * m_v, n), (m_u, m_v)
        # In multiply-adds; a product by factors takes 2 T m_u m_v of them.
        gram = n * n * (m_u + m_v)
        if J.groups is not None:
            gram = 2 * min(self.J.gram_work().values())
        self._by_gram = gram < 2 * n_rows * m_u * m_v
        self.gram_ns = gram * GEMM_NS
        self.pass_ns = n * n * ENTRY_NS if self._by_gram else 2 * n_rows * m_u * m_v * GEMM_NS

    def normal(self, x, b=None):
        """Return A^T v and ||v||^2 for v = A x, or b - A x if b is given."""
        if self._by_gram and b is None:
            product = self.gram() @ x
            return product, float(x @ product)
        v = self.multiply(x)
        if b is not None:
            np.subtract(b, v, out=v)
        return self.transposed(v), float(v @ v)

    def multiply(self, X):
        """Return A X for a vector or a matrix X."""
        if X.ndim == 2:
            return np.stack([self.multiply(x) for x in X.T], axis=1)
        G, V = self.J.adjoint(X)
        product = G.T @ V
        return (product.toarray() if scipy.sparse.issparse(product) else product).ravel()

    def transposed(self, v):
        """Return A^T v."""
        return self.J.matvec(v.reshape(self._sides))

    def gram(self):
        """Return A^T A = (U U^T) o (V V^T)."""
        return kept_gram(self.J)

    def sketched(self, sketch, n_threads):
        """Return S A, shape (s, k)."""
        options = {} if self.J.groups is None else {"groups": self.J.groups}
        return sketch.apply(self.J.U, self.J.V, n_threads=n_threads, **options).T

    def dense(self):
        """Return A as an array."""
        return self.J.to_dense().T


class OperatorTall:
    """A scipy LinearOperator, known by its products; its accuracy is that of its dtype."""

    def __init__(self, op, name):
        if np.dtype(op.dtype or np.float64).kind not in "fiu":
            raise TypeError(f"{name} must be a real LinearOperator; got {op.dtype}.")
        if 0 in op.shape:
            raise ValueError(f"{name} must have at least 1 row and 1 column; got {op.shape}.")
        self.A, self._name = op, name
        self.shape = tuple(int(n) for n in op.shape)
        self.pass_ns = self.shape[0] * self.shape[1] * ENTRY_NS
        self.gram_ns = self.shape[1] * self.pass_ns  # a product for each column
        single = np.dtype(op.dtype or np.float64) in (np.float16, np.float32)
        self.eps = float(np.finfo(np.float32 if single else np.float64).eps)

    def normal(self, x, b=None):
        """Return A^T v and ||v||^2 for v = A x, or b - A x if b is given."""
        v = self.multiply(x)
        if b is not None:
            v = b - v
        return self.transposed(v), float(v @ v)

    def multiply(self, X):
        """Return A X for a vector or a matrix X."""
        return self._checked(self.A.matvec(X) if X.ndim == 1 else self.A.matmat(X), "A @ x")

    def transposed(self, v):
        """Return A^T v."""
        return self._checked(self.A.rmatvec(v), "A.rmatvec(v)")

    def gram(self):
        """Return A^T A, from A as an array."""
        A = self.dense()
        return A.T @ A

    def sketched(self, sketch, n_threads):
        """Return S A, shape (s, k), from products with blocks of the identity."""
        return np.hstack([sketch.apply_columns(A, n_threads=n_threads) for A in self._columns()])

    def dense(self):
        """Return A as an array."""
        require_memory(
            8 * self.shape[0] * self.shape[1], f"{self._name} as an array", "Use the sketch."
        )
        return np.hstack(list(self._columns()))

    def _columns(self):
        """Blocks of columns of A."""
        k = self.shape[1]
        for i in range(0, k, _OPERATOR_COLUMNS):
            width = min(_OPERATOR_COLUMNS, k - i)
            yield np.ascontiguousarray(self.multiply(np.eye(k, width, -i)))

    def _checked(self, product, what):
        """The product in float64; refused unless real and finite."""
        product = np.asarray(product)
        if product.dtype.kind == "c" or not np.isfinite(product).all():
            raise ValueError(f"{self._name} must have real, finite products; {what} has not.")
        return product.astype(np.float64, copy=False)
