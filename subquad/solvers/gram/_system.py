"""The matrix G = J J^T that the solvers of the Gram equation work on, formed only if one asks."""

import functools

import numpy as np
import scipy.sparse

_BLOCK_BYTES = 2**20  # of the columns of U taken at once: they are read twice while in cache


class GramSystem:
    """G = (U U^T) o (V V^T) of a Jacobian with rows vec(u_i v_i^T), in float64 throughout.

    A trainer that knows a faster way to any of the products overrides it.

    Parameters
    ----------
    U, V : ndarray or csr_array of float32 or float64
        Trusted, with n rows each.
    n_threads : int
        Of sketches; BLAS keeps its own.

    Attributes
    ----------
    n, m_u, m_v : int
    nnz_u, nnz_v : int
        Stored entries.
    formed : bool
        Whether G has been formed.
    forms_gram : bool
        Whether it can be: False where memory must stay linear in n.
    dtype : numpy.dtype
        In which products are summed.
    """

    forms_gram = True
    dtype = np.dtype(np.float64)

    def __init__(self, U, V, n_threads=1):
        self.U, self.V, self._n_threads = U, V, n_threads
        self.n, self.m_u = U.shape
        self.m_v = V.shape[1]

    @property
    def nnz_u(self):
        """Stored entries of U."""
        return self.U.nnz if scipy.sparse.issparse(self.U) else self.U.size

    @property
    def nnz_v(self):
        """Stored entries of V."""
        return self.V.nnz if scipy.sparse.issparse(self.V) else self.V.size

    @property
    def formed(self):
        """Whether G has been formed."""
        return "_gram" in vars(self)

    def gram(self):
        """G, formed once."""
        return self._gram

    @functools.cached_property
    def _gram(self):
        return self._form()

    def _form(self):
        """(U U^T) o (V V^T)."""
        G = _self_product(self.U)
        G *= _self_product(self.V)
        return G

    def product(self, g):
        """G g."""
        return self._gram @ g if self.formed else self._implicit_product(g)

    def _implicit_product(self, g):
        """J (J^T g), U taken by blocks of columns: 4 nnz(U) m_v operations."""
        U, V = self.U, self.V
        if scipy.sparse.issparse(U) or scipy.sparse.issparse(V):
            return _sparse_product(U, V, g)
        V = V.astype(np.float64, copy=False)
        weighted, moved = g[:, None] * V, np.zeros(V.shape)
        for block in self.neuron_blocks():
            columns = U[:, block].astype(np.float64, copy=False)
            moved += columns @ (columns.T @ weighted)
        return np.einsum("ij,ij->i", moved, V)

    def neuron_blocks(self):
        """Slices of the columns of U."""
        step = max(8, _BLOCK_BYTES // (8 * self.n))
        return (slice(first, first + step) for first in range(0, self.m_u, step))

    def diagonal(self):
        """The diagonal of G: |u_i|^2 |v_i|^2."""
        return _row_squares(self.U) * _row_squares(self.V)

    def columns(self, points):
        """G[:, points]."""
        return _cross_product(self.U, points) * _cross_product(self.V, points)

    def sketched_gram(self, sketch):
        """(J S^T)(J S^T)^T for a TensorSketch, in float64."""
        G = sketch.gram(self.U, self.prepared(sketch), self._n_threads)
        return np.asarray(G, np.float64)

    def sketched(self, sketch):
        """J S^T, shape (n, s), in the dtype of the factors."""
        return sketch.apply(self.U, self.prepared(sketch), n_threads=self._n_threads)

    def prepared(self, sketch):
        """What the sketch keeps of V."""
        return sketch.prepare(self.V, self._n_threads)


class WeightedSystem:
    """W^1/2 G W^1/2 for the square roots of sample weights."""

    def __init__(self, system, roots):
        self._system, self._roots = system, roots

    def __getattr__(self, name):
        return getattr(self._system, name)

    def gram(self):
        """W^1/2 G W^1/2."""
        return self._roots[:, None] * self._system.gram() * self._roots

    def product(self, g):
        """W^1/2 G W^1/2 g."""
        return self._roots * self._system.product(self._roots * g)

    def diagonal(self):
        """Its diagonal."""
        return self._roots**2 * self._system.diagonal()

    def columns(self, points):
        """Columns of it."""
        return self._roots[:, None] * self._system.columns(points) * self._roots[points]

    def sketched_gram(self, sketch):
        """Sketching mixes columns, weights scale rows: they commute."""
        return self._roots[:, None] * self._system.sketched_gram(sketch) * self._roots

    def sketched(self, sketch):
        """W^1/2 J S^T."""
        return self._roots[:, None] * self._system.sketched(sketch)


def _sparse_product(U, V, g):
    """J (J^T g) with J^T g formed, which is m_u x m_v."""
    weighted = scipy.sparse.diags_array(g.astype(np.float64)) @ V
    moved = U @ (U.T @ weighted)
    if scipy.sparse.issparse(moved):
        return np.asarray(moved.multiply(V).sum(axis=1)).reshape(-1)
    if scipy.sparse.issparse(V):
        return np.asarray(V.multiply(moved).sum(axis=1)).reshape(-1)
    return np.einsum("ij,ij->i", moved, V)


def _self_product(U):
    """U U^T, float32 columns summed in float64."""
    if scipy.sparse.issparse(U):
        U = U.astype(np.float64)
        if U.nnz < 0.03 * U.shape[0] * U.shape[1]:  # the density below which sparse is faster
            return (U @ U.T).toarray()
        U = U.toarray()
    if U.dtype == np.float64:
        return U @ U.T
    product = np.zeros((len(U), len(U)))
    for first in range(0, U.shape[1], 2048):
        block = U[:, first : first + 2048].astype(np.float64)
        product += block @ block.T
    return product


def _cross_product(U, points):
    """U U[points]^T."""
    product = U @ U[points].T
    product = product.toarray() if scipy.sparse.issparse(product) else product
    return product.astype(np.float64, copy=False)


def _row_squares(U):
    """|u_i|^2."""
    if scipy.sparse.issparse(U):
        return np.asarray(U.multiply(U).sum(axis=1), np.float64).reshape(-1)
    return np.einsum("ij,ij->i", U, U, dtype=np.float64)
