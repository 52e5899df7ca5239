"""Weights that are generated in cache, in float32: their generation, and sparse products."""

import numpy as np
import scipy.sparse

from subquad._implicit import GaussianWeights
from subquad._kernels import gaussian
from subquad.weights import DenseWeights

from .suite import LEVELS, THREADS, Suite


class Generation(Suite):
    """One block of entries that stays in cache, generated again and again on one thread."""

    params = [["int8", "int8 as float32", "float32", "numpy"], [256, 16384], LEVELS]
    param_names = ["implementation", "m_out", "level"]
    ours = ("int8", "float32")

    def setup(self, implementation, m_out, level=None):
        kind = "float32" if implementation == "int8 as float32" else implementation
        self.spare(kind, level=level or "best")
        grid = implementation.split()[0]
        self.block = np.empty((16, m_out), np.float32)
        self.integers = np.empty((16, m_out), np.int8)
        self.rng = np.random.default_rng(0)
        if grid != "numpy":
            self.W = GaussianWeights((m_out, 16), 0, grid, dtype=np.float32)
        self.choose(kind, level=level)

    def time_generation(self, *_):
        self.run()

    def run_numpy(self):
        self.rng.standard_normal(out=self.block, dtype=np.float32)

    def run_int8(self):
        gaussian.fill_integers(self.W._keys, self.W._table, 0, self.integers, 1)

    def run_float32(self):
        gaussian.fill(self.W._keys, self.W._table, self.W.step, 0, self.block, 1)


class SparseRows(Suite):
    """Sparse rows, and weights that are generated in cache, stored, or dense in numpy."""

    params = [
        ["int8", "float32", "stored", "numpy"],
        [512, 4096, 8192],
        [1, 64, 256],
        [0.05, 0.2],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "width", "n", "density", "n_threads", "level"]
    ours = ("int8", "float32", "stored", "subquad")

    def setup(self, implementation, width, n, density, n_threads, level):
        self.spare(implementation, n_threads, level, large=width > 512, levelled=n == 64)
        rng = np.random.default_rng(0)
        self.H = rng.standard_normal((n, width), np.float32)
        self.H *= rng.random((n, width)) < density
        csr = scipy.sparse.csr_array(self.H)
        self.csr = csr.indptr.astype(np.intp), csr.indices.astype(np.intp), csr.data
        grid = implementation if implementation in ("int8", "float32") else "float32"
        self.W = GaussianWeights((width, width), 0, grid, dtype=np.float32)
        if implementation in ("stored", "numpy"):
            self.W = DenseWeights(self.W.to_dense())
        self.choose("numpy" if implementation == "numpy" else "subquad", n_threads, level)


class Product(SparseRows):
    """Products W h_i with n sparse rows."""

    def time_product(self, *_):
        self.run()

    def run_numpy(self):
        self.H @ self.W._columns

    def run_subquad(self):
        self.W._apply_csr(*self.csr, self.n_threads)


class TransposedProduct(SparseRows):
    """Products W^T g_i with n sparse rows."""

    def time_product(self, *_):
        self.run()

    def run_numpy(self):
        self.H @ self.W._columns.T

    def run_subquad(self):
        self.W._apply_transposed_csr(*self.csr, self.n_threads)
