"""Weights that are made in cache: making them, and their products with sparse rows, in float32."""

import numpy as np
import scipy.sparse

from subquad._implicit import GaussianWeights
from subquad._kernels import gaussian
from subquad._parallel import resolve_threads
from subquad.weights import DenseWeights


class Generation:
    """A block of entries that stays in cache, made over and over on one thread."""

    params = [["int8", "int8 as float32", "float32", "numpy"], [256, 16384]]
    param_names = ["implementation", "m_out"]

    def setup(self, implementation, m_out):
        grid = implementation.split()[0]
        self.block = np.empty((16, m_out), np.float32)
        self.integers = np.empty((16, m_out), np.int8)
        self.rng = np.random.default_rng(0)
        if grid != "numpy":
            self.W = GaussianWeights((m_out, 16), 0, grid, dtype=np.float32)
        self.time_generation(implementation, m_out)

    def time_generation(self, implementation, m_out):
        if implementation == "numpy":
            self.rng.standard_normal(out=self.block, dtype=np.float32)
        elif implementation == "int8":
            gaussian.fill_integers(self.W._keys, self.W._table, 0, self.integers, 1)
        else:
            gaussian.fill(self.W._keys, self.W._table, self.W.step, 0, self.block, 1)


class Suite:
    """Sparse rows, and weights made in cache, stored, or dense in numpy."""

    params = [["int8", "float32", "stored", "numpy"], [512, 4096, 8192], [1, 64, 256], [0.05, 0.2]]
    param_names = ["implementation", "width", "n", "density"]

    def setup(self, implementation, width, n, density):
        rng = np.random.default_rng(0)
        self.n_threads = resolve_threads()
        self.H = rng.standard_normal((n, width), np.float32)
        self.H *= rng.random((n, width)) < density
        csr = scipy.sparse.csr_array(self.H)
        self.csr = csr.indptr.astype(np.intp), csr.indices.astype(np.intp), csr.data
        grid = implementation if implementation in ("int8", "float32") else "float32"
        self.W = GaussianWeights((width, width), 0, grid, dtype=np.float32)
        if implementation in ("stored", "numpy"):
            self.W = DenseWeights(self.W.to_dense())
        self.time_product(implementation, width, n, density)


class Product(Suite):
    """W h_i for n sparse rows."""

    def time_product(self, implementation, width, n, density):
        if implementation == "numpy":
            self.H @ self.W._columns
        else:
            self.W._apply_csr(*self.csr, self.n_threads)


class TransposedProduct(Suite):
    """W^T g_i for n sparse rows."""

    def time_product(self, implementation, width, n, density):
        if implementation == "numpy":
            self.H @ self.W._columns.T
        else:
            self.W._apply_transposed_csr(*self.csr, self.n_threads)
