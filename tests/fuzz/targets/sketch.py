"""Sketches against products with their own matrices, whose laws other tests check."""

import numpy as np

from subquad.sketch import (
    SRHT,
    CountSketch,
    GaussianSketch,
    TensorSketch,
    TensorSRHT,
    fft_backend,
    use_fft_backend,
)

from ..cases import target
from ..sparse_draws import dense, dtype_of, rows_of

OF_VECTORS = (CountSketch, SRHT, GaussianSketch)
OF_PAIRS = (TensorSketch, TensorSRHT)
_APPLIED = ("apply", "apply_columns", "apply_transposed")


def _size(draw, largest):
    """Keywords that size a sketch."""
    if draw.chance(0.85):
        return {"sketch_size": draw.integer((1, 2, 3, 4, 8, 15, 16, largest)), "rng": draw.rng()}
    draw.hostile = True  # the size asked for may be too large
    guarantee = {"n_points": draw.integer((1, 2)), "epsilon": draw.real((0.5, 0.9)), "delta": 0.5}
    if draw.goes_wrong():
        guarantee.pop(draw.choice(tuple(guarantee)))
    return guarantee | {"rng": draw.rng()}


def _out(draw, shape, dtype):
    if draw.goes_wrong():
        return draw.choice(([], "out", np.empty(3), np.empty(shape, int), 3.0))
    out = np.empty(shape, dtype)
    return draw.choice((out, np.asfortranarray(out), out[::-1], out[:, ::-1]))


@target(
    *(f"sketch.{kind.__name__}" for kind in OF_VECTORS),
    *(
        f"sketch.{kind.__name__}.{method}"
        for kind in OF_VECTORS
        for method in (*_APPLIED, "matrix")
    ),
    share=100,
)
def of_vectors(draw, attempt):
    m = draw.size()
    kind, sizes = draw.choice(OF_VECTORS), _size(draw, m)
    draw.hostile |= kind is SRHT  # whose size is limited by m
    S = attempt(kind, draw.integer((m,)), **sizes)
    m, s = S.n_features, S.sketch_size
    if s > 10**5:
        return
    matrix = attempt(S.matrix)
    attempt.holds(matrix.shape == (s, m), f"shape {matrix.shape} of the matrix")
    method = draw.choice(_APPLIED)
    columns = m if method == "apply" else s if method == "apply_transposed" else draw.size(9)
    shape = (m if method == "apply_columns" else draw.size(33), columns)
    X = draw.array(shape) if method == "apply_transposed" else rows_of(draw, shape)
    options = {"n_threads": draw.n_threads()} if draw.chance(0.2) else {}
    if draw.chance(0.2):
        result = {"apply": (shape[0], s), "apply_columns": (s, columns)}
        options["out"] = _out(draw, result.get(method, (shape[0], m)), draw.dtype())
        draw.hostile = True  # of the other dtype
    value = attempt(getattr(S, method), X, **options)
    left, right = (matrix, X) if method == "apply_columns" else (X, matrix)
    right = right.T if method == "apply" else right
    _check(attempt, value, dense(left), dense(right), dtype_of(X), m + s)


def _check(attempt, value, left, right, dtype, terms):
    with np.errstate(all="ignore"):
        expected, size = left @ right, np.abs(left) @ np.abs(right)
        # Transforms add all entries of a vector before a part of them is taken.
        size = size + np.abs(left).max(axis=1, initial=0.0)[:, None] * np.abs(right).max(initial=0)
        size = size * max(left.shape[1], 1) ** 0.5 * 4
    attempt.close(value, expected, size, terms, dtype=dtype)


@target(
    *(f"sketch.{kind.__name__}" for kind in OF_PAIRS),
    *(
        f"sketch.{kind.__name__}.{method}"
        for kind in OF_PAIRS
        for method in ("apply", "gram", "prepare", "matrix")
    ),
    share=60,
)
def of_pairs(draw, attempt):
    sizes = draw.size(33), draw.size(17)
    lengths = sizes[0] if draw.chance(0.2) else sizes
    if draw.goes_wrong():
        lengths = draw.choice(((), (1, 2, 3), (0, 3), 0, "ab", (1.5, 2), None, [3, 4], (True, 1)))
    kind, sizes = draw.choice(OF_PAIRS), _size(draw, min(sizes))
    draw.hostile |= kind is TensorSRHT  # whose size is limited by m_u m_v
    S = attempt(kind, lengths, **sizes)
    (m_u, m_v), s, n = S.n_features, S.sketch_size, draw.size(17)
    if s * m_u * m_v > 10**6:
        return
    scales = draw.chance(0.3)
    V = given = rows_of(draw, (n, m_v), scales=scales)
    if draw.chance(0.3):
        given = attempt(S.prepare, V)
    U = rows_of(draw, (n, m_u), scales=scales)
    draw.hostile |= _kind_of(U) != _kind_of(V)  # a V prepared in float32
    method = draw.choice(("apply", "apply", "gram"))
    options = {"n_threads": draw.n_threads()} if draw.chance(0.2) else {}
    value = attempt(getattr(S, method), U, given, **options)
    dtype = np.result_type(dtype_of(U), dtype_of(V))
    with np.errstate(all="ignore"):
        U, V = dense(U), dense(V)
        J = np.einsum("ij,ik->ijk", U, V).reshape(len(U), m_u * m_v)
        matrix = attempt(S.matrix)
        norms = np.abs(U).sum(axis=1) * np.abs(V).sum(axis=1)
        expected, size = J @ matrix.T, norms[:, None] * np.linalg.norm(matrix, axis=0).max()
        size = np.broadcast_to(size * max(m_u * m_v, s), expected.shape)
        if method == "gram":
            expected, size = expected @ expected.T, size @ size.T
    attempt.close(value, expected, size, m_u + m_v + 2 * s, dtype=dtype)


def _kind_of(x):
    """The dtype of what may be no array, for comparison alone."""
    return getattr(x, "dtype", None)


@target("sketch.fft_backend", "sketch.use_fft_backend", share=2)
def backend(draw, attempt):
    before = attempt(fft_backend)
    attempt.holds(before in ("pyfftw", "scipy"), f"got {before!r}")
    try:
        draw.hostile = True  # pyfftw need not be installed
        attempt(use_fft_backend, draw.option(("pyfftw", "scipy", None)))
    finally:
        use_fft_backend(before)
