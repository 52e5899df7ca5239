"""The Walsh-Hadamard transform of rows in place, against numpy, scipy and torch."""

import numpy as np
import scipy.linalg

from subquad.hadamard import fwht

from .suite import LEVELS, THREADS, Suite, torch

LARGEST_MATRIX = 1 << 12
LARGEST_ARRAY = 1 << 24
# Threads can pay from this number of entries on.
THREADED_ARRAY = 1 << 18


def numpy_butterflies(x, spare):
    """Transform the rows of x in place, a level at a time; `spare` holds half as many reals."""
    stride = 1
    while stride < x.shape[-1]:
        pairs = x.reshape(-1, 2, stride)
        sums, differences = pairs[:, 0], pairs[:, 1]
        difference = np.subtract(sums, differences, out=spare.reshape(-1, stride))
        sums += differences
        differences[:] = difference
        stride *= 2


class Transform(Suite):
    """Rows of one length, in place; the transform is orthonormal, so repeats keep the norm."""

    params = [
        ["subquad", "numpy", "scipy", "torch"],
        [1 << 8, 1 << 10, 1 << 12, 1 << 14, 1 << 17, 1 << 20, 1 << 24],
        [1, 64],
        ["float32", "float64"],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "length", "rows", "dtype", "n_threads", "level"]

    def setup(self, implementation, length, rows, dtype, n_threads, level):
        large, levelled = length * rows >= THREADED_ARRAY, dtype == "float32"
        self.spare(implementation, n_threads, level, large=large, levelled=levelled)
        if length * rows > LARGEST_ARRAY:
            raise NotImplementedError("too large")
        if implementation == "scipy" and length > LARGEST_MATRIX:
            raise NotImplementedError("its matrix is too large")
        self.x = np.random.default_rng(0).standard_normal((rows, length)).astype(dtype)
        self.arrays = self.x, np.empty(self.x.size // 2, dtype)
        self.scale = self.x.dtype.type(length**-0.5)
        if implementation == "scipy":
            self.H = scipy.linalg.hadamard(length, dtype) * self.scale
        self.choose(implementation, n_threads, level)

    def time_transform(self, *_):
        self.run()

    def run_subquad(self):
        fwht(self.x, orthonormal=True, out=self.x, n_threads=self.n_threads)

    def run_numpy(self):
        numpy_butterflies(*self.arrays)
        self.x *= self.scale

    def run_scipy(self):
        np.matmul(self.x, self.H)

    def run_torch(self):
        x, spare = self.tensors
        stride = 1
        while stride < x.shape[-1]:
            pairs = x.view(-1, 2, stride)
            sums, differences = pairs[:, 0], pairs[:, 1]
            difference = torch.sub(sums, differences, out=spare.view(-1, stride))
            sums += differences
            differences.copy_(difference)
            stride *= 2
        x *= float(self.scale)


class FurtherOrders(Suite):
    """Rows whose length is 12, 20 or 28 times a power of two; scipy multiplies by the matrix."""

    params = [
        ["subquad", "scipy"],
        [12 << 6, 20 << 6, 28 << 6, 12 << 10, 28 << 10],
        [1, 64],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "length", "rows", "n_threads", "level"]

    def setup(self, implementation, length, rows, n_threads, level):
        self.spare(implementation, n_threads, level, large=length * rows >= THREADED_ARRAY)
        if implementation == "scipy" and length > LARGEST_MATRIX:
            raise NotImplementedError("its matrix is too large")
        self.x = np.random.default_rng(0).standard_normal((rows, length)).astype(np.float32)
        if implementation == "scipy":
            self.H = fwht(np.eye(length, dtype=np.float32), orthonormal=True)
        self.choose(implementation, n_threads, level)

    def time_transform(self, *_):
        self.run()

    def run_subquad(self):
        fwht(self.x, orthonormal=True, out=self.x, n_threads=self.n_threads)

    def run_scipy(self):
        np.matmul(self.x, self.H)


class FirstAxis(Suite):
    """The first axis, whose entries lie apart in memory; numpy is timed with its transpositions."""

    params = [["subquad", "transposed"], [1 << 8, 1 << 12], [16, 256], THREADS, LEVELS]
    param_names = ["implementation", "length", "columns", "n_threads", "level"]
    ours = ("subquad", "transposed")

    def setup(self, implementation, length, columns, n_threads, level):
        self.spare(implementation, n_threads, level, large=length * columns >= THREADED_ARRAY)
        x = np.random.default_rng(0).standard_normal((length, columns))
        self.x = x.astype(np.float32)
        self.choose(implementation, n_threads, level)

    def time_transform(self, *_):
        self.run()

    def run_subquad(self):
        fwht(self.x, axis=0, orthonormal=True, out=self.x, n_threads=self.n_threads)

    def run_transposed(self):
        rows = self.x.T.copy()
        self.x[:] = fwht(rows, orthonormal=True, out=rows, n_threads=self.n_threads).T
