"""Sketches of vectors and of pairs, against plain numpy and scipy and against scikit-learn."""

import importlib.util
import warnings

import numpy as np
import scipy.fft
import scipy.sparse

from subquad.sketch import SRHT, CountSketch, GaussianSketch, TensorSketch

from .suite import LEVELS, THREADS, Suite


def scatter_matrix(sketch_size, buckets, signs, dtype):
    """Return the transposed count sketch in CSR; products with it are scipy's fastest scatter."""
    m = len(buckets)
    entries = np.asarray(signs, dtype), (np.arange(m), buckets)
    return scipy.sparse.csr_array(entries, shape=(m, sketch_size))


def rows_of(form, rng, n, m, dtype, density=0.05):
    """Return n random rows, dense or in CSR."""
    if form == "dense":
        return rng.standard_normal((n, m)).astype(dtype)
    return scipy.sparse.random_array(
        (n, m), density=density, format="csr", dtype=np.dtype(dtype), rng=rng
    )


class PlainTensorSketch:
    """A TensorSketch by scipy: sparse products for the scatter, then real Fourier transforms."""

    def __init__(self, sketch, dtype, workers=1):
        self.size, self.workers = sketch.sketch_size, workers
        self.halves = [
            scatter_matrix(self.size, *half, dtype)
            for half in zip(sketch.buckets, sketch.signs, strict=True)
        ]

    def spectrum(self, X, side):
        """Return the spectra of the count sketches of rows."""
        scattered = X @ self.halves[side]
        if scipy.sparse.issparse(scattered):
            scattered = scattered.toarray()
        return scipy.fft.rfft(scattered, workers=self.workers)

    def apply(self, U, V):
        """Return the sketches of pairs of rows."""
        product = self.spectrum(U, 0)
        product *= self.spectrum(V, 1)
        return scipy.fft.irfft(product, self.size, workers=self.workers)


class Pairs(Suite):
    """TensorSketch of n = 256 pairs (u, u), the only pairs that scikit-learn has, in float64."""

    params = [
        ["subquad", "prepared", "plain", "sklearn"],
        [256, 16384],
        ["csr", "dense"],
        ["float32", "float64"],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "width", "form", "dtype", "n_threads", "level"]
    timeout = 300
    ours = ("subquad", "prepared")

    def setup(self, implementation, width, form, dtype, n_threads, level):
        large, levelled = width > 256, dtype == "float32"
        self.spare(implementation, n_threads, level, large=large, levelled=levelled)
        n, size = (256, 4096) if width > 256 else (8, 64)
        self.X = rows_of(form, np.random.default_rng(0), n, width, dtype)
        self.sketch = TensorSketch(width, size, rng=0)
        if implementation == "prepared":
            self.prepared = self.sketch.prepare(self.X)
        if implementation == "plain":
            self.plain = PlainTensorSketch(self.sketch, dtype)
        if implementation == "sklearn":
            if importlib.util.find_spec("sklearn") is None:
                raise NotImplementedError("scikit-learn is not installed")
            from sklearn.kernel_approximation import PolynomialCountSketch

            self.theirs = PolynomialCountSketch(n_components=size, random_state=0).fit(self.X)
        self.choose(implementation, n_threads, level)

    def time_pairs(self, *_):
        self.run()

    def run_subquad(self):
        self.sketch.apply(self.X, self.X, n_threads=self.n_threads)

    def run_prepared(self):
        self.sketch.apply(self.X, self.prepared, n_threads=self.n_threads)

    def run_plain(self):
        self.plain.workers = self.n_threads
        self.plain.apply(self.X, self.X)

    def run_sklearn(self):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.theirs.transform(self.X)


class Rows(Suite):
    """CountSketch of 64 rows of 16384 entries."""

    params = [
        ["subquad", "scipy"],
        [64, 1024, 4096, 16384],
        ["csr", "dense"],
        ["float32"],
        THREADS,
        LEVELS,
    ]
    param_names = ["implementation", "sketch_size", "form", "dtype", "n_threads", "level"]

    def setup(self, implementation, sketch_size, form, dtype, n_threads, level):
        self.spare(implementation, n_threads, level, large=sketch_size > 64)
        n, m = (64, 16384) if sketch_size > 64 else (4, 256)
        self.X = rows_of(form, np.random.default_rng(0), n, m, dtype)
        self.sketch = CountSketch(m, sketch_size, rng=0)
        self.matrix = scatter_matrix(sketch_size, self.sketch.buckets, self.sketch.signs, dtype)
        self.choose(implementation, n_threads, level)

    def time_rows(self, *_):
        self.run()

    def run_subquad(self):
        self.sketch.apply(self.X, n_threads=self.n_threads)

    def run_scipy(self):
        self.X @ self.matrix


class HadamardRows(Suite):
    """SRHT of 256 dense rows."""

    params = [[784, 16384], [128, 1024], THREADS, LEVELS]
    param_names = ["width", "sketch_size", "n_threads", "level"]

    def setup(self, width, sketch_size, n_threads, level):
        self.spare("subquad", n_threads, level, large=width > 784)
        self.X = rows_of("dense", np.random.default_rng(0), 256, width, np.float32)
        self.sketch = SRHT(width, min(sketch_size, width), rng=0)
        self.choose("subquad", n_threads, level)

    def time_rows(self, *_):
        self.run()

    def run_subquad(self):
        self.sketch.apply(self.X, n_threads=self.n_threads)


class TallColumns(Suite):
    """The sketch S A of a regression: A (m, k) is tall, dense and float64, S has 4 k rows."""

    params = [
        ["count", "srht", "gaussian", "scipy", "dense"],
        [512, 20_000, 200_000],
        [20, 200],
        THREADS,
    ]
    param_names = ["implementation", "m", "k", "n_threads"]

    def setup(self, implementation, m, k, n_threads):
        self.spare(implementation, n_threads, large=m > 512)
        size = min(4 * k, m)
        if implementation in ("gaussian", "dense") and m * size > 2e7:
            raise NotImplementedError("the matrix of normals is too large")
        rng = np.random.default_rng(0)
        self.A = rng.standard_normal((m, k))
        if implementation in ("count", "scipy"):
            self.sketch = CountSketch(m, size, rng=0)
            self.matrix = scatter_matrix(
                size, self.sketch.buckets, self.sketch.signs, np.float64
            ).T.tocsr()
        elif implementation == "dense":
            self.matrix = rng.standard_normal((size, m))
        else:
            self.sketch = {"srht": SRHT, "gaussian": GaussianSketch}[implementation](m, size, rng=0)
        kind = "product" if implementation in ("scipy", "dense") else "subquad"
        self.choose(kind, n_threads)

    def time_columns(self, *_):
        self.run()

    def run_subquad(self):
        self.sketch.apply_columns(self.A, n_threads=self.n_threads)

    def run_product(self):
        self.matrix @ self.A
