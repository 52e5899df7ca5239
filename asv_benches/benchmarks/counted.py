"""The kernels whose instructions are counted: one thread, inputs from a seed, milliseconds each.

`KERNELS` maps a name to a function that prepares the inputs and returns a call. Most are suites of
the other modules at small sizes; what no suite has is prepared here.
"""

import numpy as np

from subquad._kernels import coactivation, low_rank
from subquad._products import nonzeros

from . import factored, gaussian, hadamard, half_space_sgd, halfspace, kernels, sketches
from .kernels import packed


def of(suite, *arguments, method="run"):
    """Return a function that prepares a suite and returns one of its methods as a call."""

    def prepare():
        instance = suite()
        instance.setup(*arguments)
        call = getattr(instance, method)
        return call if method == "run" else lambda: call(*arguments)

    return prepare


def column_product(storage):
    """Return a function that prepares W times sparse rows, W stored in float32 or compactly."""

    def prepare():
        from subquad.weights import DenseWeights

        rng = np.random.default_rng(0)
        W = DenseWeights.gaussian((1024, 1024), std=1.0, rng=rng, dtype=np.float32, storage=storage)
        H = rng.standard_normal((64, 1024), np.float32) * (rng.random((64, 1024)) < 0.05)
        csr = nonzeros(H)
        return lambda: W._apply_csr(*csr, 1)

    return prepare


def fired(rng, rows, count, density=0.08):
    """Return bits (rows, words of count), of which 8 % are set."""
    return packed(rng.random((rows, count)) < density)


def weighted_gram():
    """Prepare K o (D diag(w) D^T) at 128 points."""
    rng = np.random.default_rng(0)
    bits, weights = fired(rng, 4096, 128), rng.random(4096)
    K, G = rng.standard_normal((128, 128)), np.empty((128, 128))
    return lambda: coactivation.weighted_gram(bits, weights, K, G, 1)


def transposed_bits():
    """Prepare the transposition of 1024 x 4096 bits."""
    rng = np.random.default_rng(0)
    bits, out = fired(rng, 1024, 4096), np.empty((4096, 16), np.uint64)
    return lambda: coactivation.transpose_bits(bits, out, 1)


def accumulated_factor():
    """Prepare A += c a^T where neurons fired, 64 points and 16,384 neurons."""
    rng = np.random.default_rng(0)
    bits, A = fired(rng, 64, 16384), np.zeros((64, 16384), np.float32)
    coefficients, readout = rng.standard_normal(64), rng.standard_normal(16384)
    return lambda: low_rank.accumulate(bits, coefficients, readout, A, 1)


def thin_flush():
    """Prepare W += U^T V of rank 32 by the kernel, whichever way the package would choose."""
    rng = np.random.default_rng(0)
    columns = np.zeros((1024, 1024), np.float32)
    U, V = rng.standard_normal((2, 32, 1024), np.float32)
    tile = low_rank.TILE_BYTES // columns.itemsize
    spare = np.empty(-(-1024 // tile) * tile * 32, columns.dtype)
    return lambda: low_rank.flush_thin(columns, U, V, spare, 1)


def sparse_flush():
    """Prepare W += U^T V of rank 64, 5 % of both factors not 0, entry by entry."""
    rng = np.random.default_rng(0)
    columns = np.zeros((1024, 1024), np.float32)
    U, V = rng.standard_normal((2, 64, 1024), np.float32) * (rng.random((2, 64, 1024)) < 0.05)
    entries = *nonzeros(U), *nonzeros(np.ascontiguousarray(V.T))
    return lambda: low_rank.flush_sparse(columns, *entries, 1)


def tangent_kernel():
    """Prepare the kernel of three layers at 256 points, most of it the profile of the angles."""
    from subquad.ntk import ntk

    X = np.random.default_rng(0).standard_normal((256, 16))
    return lambda: ntk(X, depth=3, n_threads=1)


KERNELS = {
    "hadamard rows float32": of(hadamard.Transform, "subquad", 1 << 12, 64, "float32", 1, "best"),
    "hadamard rows float64": of(hadamard.Transform, "subquad", 1 << 12, 64, "float64", 1, "best"),
    "hadamard columns": of(hadamard.FirstAxis, "subquad", 1 << 12, 16, 1, "best"),
    "column product float32": column_product(None),
    "column product bfloat16": column_product("bfloat16"),
    "column product int8": column_product("int8"),
    "transposed product": of(gaussian.TransposedProduct, "stored", 512, 64, 0.05, 1, "best"),
    "implicit product int8": of(gaussian.Product, "int8", 512, 64, 0.05, 1, "best"),
    "implicit product float32": of(gaussian.Product, "float32", 512, 64, 0.05, 1, "best"),
    "fired neurons": of(kernels.FiredNeurons, "subquad", 8192, 64, 1, "best"),
    "transposed bits": transposed_bits,
    "coactivation gram": of(kernels.Gram, "subquad", 4096, 64, 1, "best"),
    "weighted gram": weighted_gram,
    "moved neurons": of(kernels.MoveNeurons, "subquad", 4096, 64, 1, "best"),
    "accumulated factor": accumulated_factor,
    "thin flush": thin_flush,
    "sparse flush": sparse_flush,
    "count sketch csr": of(sketches.Rows, "subquad", 1024, "csr", "float32", 1, "best"),
    "count sketch dense": of(sketches.Rows, "subquad", 1024, "dense", "float32", 1, "best"),
    "srht rows": of(sketches.HadamardRows, 784, 128, 1, "best"),
    "srht columns": of(sketches.TallColumns, "srht", 20_000, 20, 1),
    "tensor sketch csr": of(sketches.Pairs, "subquad", 256, "csr", "float32", 1, "best"),
    "half-space tree": of(halfspace.HalfSpaceQueries, "tree", 2000, 5, 1, "best"),
    "half-space scan": of(halfspace.HalfSpaceQueries, "scan", 2000, 16, 1, "best"),
    "half-space update": of(halfspace.HalfSpaceUpdates, "nudged", 2000, 3, method="time_update"),
    "half-space steps": of(half_space_sgd.Step, "subquad", 3, 1 << 10, method="time_step"),
    "factored step": of(factored.GradientStep, "subquad", 64, 1024, 32, 64, method="time_step"),
    "tangent kernel": tangent_kernel,
}
