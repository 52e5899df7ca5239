"""Rows summed by groups, J[i] = sum_t u_t (x) v_t: each way to a Gram matrix, and sketches."""

import itertools

import numpy as np
import scipy.sparse

from subquad.jacobian import KhatriRao
from subquad.jacobian._grouped import gram
from subquad.sketch import TensorSketch

from .suite import THREADS, Suite

# Groups, rows of each, m_u, m_v: sequences through a small and a large layer, positions of a
# convolution, and short groups of a wide layer.
SIZES = {
    "small": (6, 5, 8, 7),
    "sequences": (64, 128, 64, 64),
    "large layer": (64, 32, 384, 768),
    "convolution": (64, 196, 32, 27),
    "short": (512, 4, 300, 300),
}


def factors(size, dtype="float64", words=None):
    """Return U, V and the pointers of the groups; V one-hot in CSR where there are words."""
    (n, length, m_u, m_v), rng = SIZES[size], np.random.default_rng(0)
    n_rows = n * length
    U = rng.standard_normal((n_rows, m_u)).astype(dtype)
    indptr = np.arange(0, n_rows + 1, length)
    if words is None:
        return U, rng.standard_normal((n_rows, m_v)).astype(dtype), indptr
    frequencies = 1 / np.arange(1, words + 1)  # as of words in a language
    chosen = rng.choice(words, n_rows, p=frequencies / frequencies.sum())
    entries = np.ones(n_rows, dtype), chosen, np.arange(n_rows + 1)
    return U, scipy.sparse.csr_array(entries, shape=(n_rows, words)), indptr


class Grams(Suite):
    """J J^T: as the package chooses, by each of its ways, and in plain numpy.

    `numpy` multiplies all pairs of rows and sums them; `explicit` forms J first.
    """

    params = [
        ["auto", "tiles", "matrices", "numpy", "explicit"],
        list(SIZES),
        ["float64", "float32"],
    ]
    param_names = ["implementation", "size", "dtype"]

    def setup(self, implementation, size, dtype):
        self.U, self.V, self.indptr = factors(size, dtype)
        self.J = KhatriRao(self.U, self.V, self.indptr)
        self.choose(implementation)

    def time_gram(self, *_):
        self.run()

    def run_auto(self):
        self.J.gram()

    def run_tiles(self):
        gram(self.J, way="tiles")

    def run_matrices(self):
        gram(self.J, way="matrices")

    def run_numpy(self):
        U, V = self.U.astype(np.float64), self.V.astype(np.float64)
        pairs = (U @ U.T) * (V @ V.T)
        starts = self.indptr[:-1]
        np.add.reduceat(np.add.reduceat(pairs, starts, axis=0), starts, axis=1)

    def run_explicit(self):
        U, V = self.U.astype(np.float64), self.V.astype(np.float64)
        J = np.stack([(U[a:b].T @ V[a:b]).ravel() for a, b in itertools.pairwise(self.indptr)])
        J @ J.T


class Embeddings(Suite):
    """J J^T of an embedding: V is one-hot, with the frequencies of words."""

    params = [["auto", "tiles", "columns", "scipy"], ["small", "sequences"], [50, 5000, 30000]]
    param_names = ["implementation", "size", "words"]

    def setup(self, implementation, size, words):
        self.U, self.V, self.indptr = factors(size, words=words)
        self.J = KhatriRao(self.U, self.V, self.indptr)
        n_rows = len(self.U)
        sums = np.ones(n_rows), np.arange(n_rows), self.indptr
        self.sums = scipy.sparse.csr_array(sums, shape=(self.J.n, n_rows))
        self.choose(implementation)

    def time_gram(self, *_):
        self.run()

    def run_auto(self):
        self.J.gram()

    def run_tiles(self):
        gram(self.J, way="tiles")

    def run_columns(self):
        gram(self.J, way="columns")

    def run_scipy(self):
        pairs = (self.V @ self.V.T).tocoo()
        i, j = pairs.row, pairs.col
        values = pairs.data * np.einsum("pr,pr->p", self.U[i], self.U[j])
        pairs = scipy.sparse.csr_array((values, (i, j)), shape=pairs.shape)
        (self.sums @ pairs @ self.sums.T).toarray()


class Sketches(Suite):
    """TensorSketch of sums by group.

    `rows` sketches every row and sums the results; `explicit` forms U_i^T V_i and multiplies it by
    the count sketch of its entries, in CSR.
    """

    params = [
        ["subquad", "rows", "explicit"],
        ["small", "sequences", "convolution", "large layer"],
        [64, 1024],
        THREADS,
    ]
    param_names = ["implementation", "size", "sketch_size", "n_threads"]

    def setup(self, implementation, size, sketch_size, n_threads):
        self.spare(implementation, n_threads, large=size != "small")
        self.U, self.V, self.indptr = factors(size, "float32")
        _, _, m_u, m_v = SIZES[size]
        self.sketch = TensorSketch((m_u, m_v), sketch_size, rng=0)
        if implementation == "explicit":
            rng, m = np.random.default_rng(0), m_u * m_v
            signs = rng.choice(np.array([-1, 1], np.float32), m)
            entries = signs, (np.arange(m), rng.integers(0, sketch_size, m))
            self.projection = scipy.sparse.csr_array(entries, shape=(m, sketch_size))
        self.choose(implementation, n_threads)

    def time_sketch(self, *_):
        self.run()

    def run_subquad(self):
        self.sketch.apply(self.U, self.V, n_threads=self.n_threads, groups=self.indptr)

    def run_rows(self):
        rows = self.sketch.apply(self.U, self.V, n_threads=self.n_threads)
        np.add.reduceat(rows, self.indptr[:-1], axis=0)

    def run_explicit(self):
        U, V = self.U, self.V
        J = np.stack([(U[a:b].T @ V[a:b]).ravel() for a, b in itertools.pairwise(self.indptr)])
        J @ self.projection
