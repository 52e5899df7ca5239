"""The compiled kernels against the dense forms they replace, in float32."""

import numpy as np
import scipy.linalg
import scipy.sparse

from subquad._factors import flushing
from subquad._kernels import coactivation, gauss_newton, low_rank
from subquad._kernels.column_product import column_product, scratch_bytes
from subquad._parallel import resolve_threads

from .suite import LEVELS, THREADS, Suite, torch


def packed(D):
    """Return the bits of D (rows, count), count a multiple of 64, as uint64 words."""
    return np.packbits(D, axis=1, bitorder="little").view(np.uint64)


class ColumnProduct(Suite):
    """Products W h_i with n sparse rows, written to an output that is allocated before."""

    params = [
        ["subquad", "numpy", "scipy", "torch"],
        [512, 4096, 8192],
        [64, 256],
        [0.05, 0.2],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "width", "n", "density", "n_threads", "level"]

    def setup(self, implementation, width, n, density, n_threads=None, level=None):
        rng = np.random.default_rng(0)
        self.columns = rng.standard_normal((width, width), np.float32)
        self.H = rng.standard_normal((n, width), np.float32)
        self.H *= rng.random((n, width)) < density
        self.out = np.zeros((n, width), np.float32)
        self.csr = scipy.sparse.csr_array(self.H)
        self.indptr = self.csr.indptr.astype(np.intp)
        self.indices = self.csr.indices.astype(np.intp)
        sizes = n, width, width, self.csr.nnz, 4, 4, resolve_threads(n_threads)
        self.scratch = np.empty(scratch_bytes(*sizes), np.uint8)
        self.arrays = self.H, self.columns, self.out
        self.choose(implementation, n_threads, level)

    def time_product(self, *_):
        self.run()

    def run_subquad(self):
        column_product(
            self.columns, self.indptr, self.indices, self.csr.data, self.out, self.scratch,
            self.n_threads,
        )  # fmt: skip

    def run_numpy(self):
        np.matmul(self.H, self.columns, out=self.out)

    def run_scipy(self):
        self.csr @ self.columns

    def run_torch(self):
        H, columns, out = self.tensors
        torch.matmul(H, columns, out=out)


class FiredNeurons(Suite):
    """The list of neurons above the threshold, as CSR rows."""

    params = [["subquad", "numpy", "torch"], [512, 8192], [64, 256], THREADS, LEVELS]
    param_names = ["implementation", "width", "n", "n_threads", "level"]

    def setup(self, implementation, width, n, n_threads=None, level=None):
        rng = np.random.default_rng(0)
        self.Z = rng.standard_normal((n, width), np.float32)
        self.thresholds = np.full(n, 1.3, np.float32)
        self.arrays = self.Z, self.thresholds
        self.choose(implementation, n_threads, level)

    def time_fired(self, *_):
        self.run()

    def run_subquad(self):
        indptr = np.zeros(len(self.Z) + 1, np.intp)
        fired = np.empty((len(self.Z), self.Z.shape[1] // 64), np.uint64)
        coactivation.mark_fired(self.Z, self.thresholds, fired, indptr[1:], self.n_threads)
        np.cumsum(indptr, out=indptr)
        indices, values = np.empty(indptr[-1], np.intp), np.empty(indptr[-1], np.float32)
        coactivation.gather_fired(self.Z, fired, indptr, indices, values, self.n_threads)

    def run_numpy(self):
        fired = self.Z > self.thresholds[:, None]
        np.nonzero(fired)
        self.Z[fired]

    def run_torch(self):
        Z, thresholds = self.tensors
        fired = Z > thresholds[:, None]
        torch.nonzero(fired)
        Z[fired]


class Gram(Suite):
    """The Gram matrix G = K o (D D^T), D as bits or as numbers; ssyrk computes half of D D^T."""

    params = [
        ["subquad", "numpy", "ssyrk", "torch"],
        [512, 4096, 16384],
        [64, 256, 1024],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "width", "n", "n_threads", "level"]

    def setup(self, implementation, width, n, n_threads=None, level=None):
        rng = np.random.default_rng(0)
        D = rng.random((n, width)) < 0.08
        self.bits, self.D = packed(D), D.astype(np.float32)
        V = rng.standard_normal((n, 16))
        self.K = np.asarray(V @ V.T)
        self.K32 = self.K.astype(np.float32)
        self.G = np.empty((n, n))
        self.counts = np.empty((resolve_threads(n_threads), coactivation.GRAM_COUNTS), np.int32)
        self.arrays = self.D, self.K32
        self.choose(implementation, n_threads, level)

    def time_gram(self, *_):
        self.run()

    def run_subquad(self):
        coactivation.coactivation_gram(self.bits, self.K, 1.0, self.G, self.counts, self.n_threads)

    def run_numpy(self):
        self.K32 * (self.D @ self.D.T)

    def run_ssyrk(self):
        self.K32 * scipy.linalg.blas.ssyrk(1.0, self.D.T, trans=True)

    def run_torch(self):
        D, K = self.tensors
        K * (D @ D.T)


class MoveNeurons(Suite):
    """What a step changes: the pre-activations, the neurons that fire, and the outputs."""

    params = [["subquad", "numpy", "torch"], [512, 4096, 16384], [64, 256], THREADS, LEVELS]
    param_names = ["implementation", "width", "n", "n_threads", "level"]

    def setup(self, implementation, width, n, n_threads=None, level=None):
        rng = np.random.default_rng(0)
        self.base = rng.standard_normal((width, n), np.float32) - np.float32(1.4)
        self.change = np.zeros((width, n), np.float32)
        self.D = self.base > 0
        self.bits = packed(self.D)
        self.step = rng.standard_normal((n, n)) / width
        self.readout = rng.choice([-1.0, 1.0], width)
        tile = gauss_newton.tile_points(4)
        self.gram, self.weights = np.empty(n * n), np.ones((1, n))
        gauss_newton.pack_gram(self.step, tile, self.gram)
        starts = np.arange(0, width, 256)
        self.chunks = np.column_stack([0 * starts, starts, np.minimum(starts + 256, width)])
        self.new_change, self.new_bits = np.empty_like(self.change), np.empty_like(self.bits)
        self.flips = np.empty(len(starts), np.intp)
        self.numbers = self.D * self.readout[:, None].astype(np.float32)
        self.arrays = (
            self.base, self.change, self.numbers, self.step.astype(np.float32),
            self.readout.astype(np.float32),
        )  # fmt: skip
        self.moves = np.empty((resolve_threads(n_threads), n * tile), np.float32)
        self.choose(implementation, n_threads, level)

    def time_move(self, *_):
        self.run()

    def run_subquad(self):
        outputs = np.zeros((len(self.chunks), self.base.shape[1]))
        gauss_newton.move_all(
            self.base, self.change, self.bits, self.gram, self.weights, self.readout, 1.0, None,
            self.chunks, self.new_change, self.new_bits, outputs, None, self.flips, self.moves,
            self.n_threads,
        )  # fmt: skip
        outputs.sum(axis=0)

    def run_numpy(self):
        base, change, numbers, step, readout = self.arrays
        moved = change + numbers @ step
        readout @ np.maximum(base + moved, 0)

    def run_torch(self):
        base, change, numbers, step, readout = self.tensors
        moved = torch.addmm(change, numbers, step)
        readout @ torch.clamp(base + moved, min=0)


class Flush(Suite):
    """The flush W += U^T V, in place."""

    params = [
        ["subquad", "BLAS", "numpy", "torch"],
        [512, 4096, 8192],
        [32, 64, 256],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "width", "rank", "n_threads", "level"]

    def setup(self, implementation, width, rank, n_threads=None, level=None):
        rng = np.random.default_rng(0)
        self.columns = np.zeros((width, width), np.float32)
        self.U = rng.standard_normal((rank, width), np.float32)
        self.V = rng.standard_normal((rank, width), np.float32)
        self.arrays = self.columns, self.U, self.V
        self.choose(implementation, n_threads, level)

    def time_flush(self, *_):
        self.run()

    def run_subquad(self):
        flushing(self.columns, self.U, self.V)()

    def run_BLAS(self):
        low_rank.flush(self.columns, self.U, self.V)

    def run_numpy(self):
        self.columns += self.V.T @ self.U

    def run_torch(self):
        columns, U, V = self.tensors
        columns.addmm_(V.T, U)
