"""Weight matrices against products with the matrix."""

import numpy as np

from subquad.weights import DenseWeights, GaussianWeights, watch_passes

from ..cases import target
from ..draws import as_float64, dtype_of
from ..sparse_draws import dense, rows_of

_WRONG_SHAPES = (
    *(3, None, (3,), (0, 3), (2**31, 2), (1, 2, 3), "ab", (1.5, 2), (True, 3), [2]),
    (2**62, 2**62),
)
_METHODS = ("apply", "apply", "apply_transposed", "apply_transposed", "to_dense")


def weights(draw, shape, storages=(None,)):
    """Sound weights of a shape."""
    if draw.chance(0.3):
        return GaussianWeights(shape, draw.between(0, 9), dtype=draw.dtype())
    matrix = draw.values(shape, scales=False).astype(draw.dtype())
    return DenseWeights(matrix, draw.choice(storages))


@target(
    *("weights.DenseWeights" + name for name in ("", ".copy", ".gaussian", ".add_low_rank")),
    *(f"weights.DenseWeights.{name}" for name in set(_METHODS)),
    share=100,
)
def dense_weights(draw, attempt):
    shape = draw.size(33), draw.size()
    W = _gaussian(draw, attempt, shape) if draw.chance(0.2) else _given(draw, attempt, shape)
    if draw.chance(0.1):
        W = attempt(W.copy)
    if draw.chance(0.2):
        _low_rank(draw, attempt, W)
    else:
        products(draw, attempt, W)


def _given(draw, attempt, shape):
    matrix = draw.array(shape)
    storage = draw.option((None, None, None, "bfloat16", "int8"))
    W = attempt(DenseWeights, matrix, storage)
    if W.storage is None:
        attempt.equal(W.to_dense(), as_float64(matrix).astype(dtype_of(matrix)))
    return W


def _gaussian(draw, attempt, shape):
    if draw.goes_wrong():
        shape = draw.choice(_WRONG_SHAPES)
    options = {"std": draw.real((0.0, 1.0, 1e-3)), "rng": draw.rng()}
    options["storage"] = draw.option((None, None, "bfloat16", "int8"))
    if draw.chance(0.3):
        options["dtype"] = draw.dtype_argument()
        draw.hostile |= options["storage"] is not None
    W = attempt(DenseWeights.gaussian, shape, **options)
    attempt.equal(W.shape, tuple(shape))
    return W


def products(draw, attempt, W):
    """A product of W, or W itself."""
    method, (m_out, m_in) = draw.choice(_METHODS), W.shape
    if method == "to_dense":
        value = attempt(W.to_dense)
        attempt.holds(value.shape == W.shape and value.dtype == W.dtype, "another shape or dtype")
        return
    forward = method == "apply"
    rows = rows_of(draw, (draw.size(33), m_in if forward else m_out))
    options = {"n_threads": draw.n_threads()} if draw.chance(0.3) else {}
    value = attempt(getattr(W, method), rows, **options)
    check_product(attempt, value, rows, as_float64(W.to_dense()), W.dtype, forward)


def check_product(attempt, value, rows, W, dtype, forward, floor=0.0):
    """Compare rows W^T, or rows W, with a value."""
    factor = W.T if forward else W
    with np.errstate(all="ignore"):
        H = dense(rows).astype(dtype).astype(np.float64)
        expected, size = H @ factor, np.abs(H) @ np.abs(factor)
    attempt.close(value, expected, size, len(factor), dtype=dtype, floor=floor)


def _low_rank(draw, attempt, W):
    rank, before = draw.between(0, 5), as_float64(W.to_dense())
    U, V = draw.array((rank, W.shape[0])), draw.array((rank, W.shape[1]))
    draw.hostile |= W.storage is not None
    attempt(W.add_low_rank, U, V)
    with np.errstate(all="ignore"):
        U, V = (as_float64(x).astype(W.dtype).astype(float) for x in (U, V))
        expected, size = before + U.T @ V, np.abs(before) + np.abs(U).T @ np.abs(V)
    attempt.close(W.to_dense(), expected, size, len(U) + 1, dtype=W.dtype)


@target(
    *("weights.GaussianWeights" + name for name in ("", ".add_low_rank", ".columns", ".integers")),
    *(f"weights.GaussianWeights.{name}" for name in set(_METHODS)),
    share=50,
)
def gaussian_weights(draw, attempt):
    shape = (draw.size(33), draw.size()) if not draw.goes_wrong() else draw.choice(_WRONG_SHAPES)
    seed = draw.integer((0, 1, 2**63, 2**64 - 1))
    options = {"std": draw.real((0.0, 1.0, 1e-3)), "grid": draw.option(("int8", "float32"))}
    if draw.chance(0.3):
        options["dtype"] = draw.dtype_argument()
    W = attempt(GaussianWeights, shape, seed, **options)
    if draw.chance(0.4):
        products(draw, attempt, W)
    elif draw.chance(0.1):
        draw.hostile = True
        attempt(W.add_low_rank, np.ones((1, W.shape[0])), np.ones((1, W.shape[1])))
    else:
        _columns(draw, attempt, W)


@target("weights.watch_passes", share=2)
def watched_passes(draw, attempt):
    told = []

    def tell(*of):
        told.append(of)

    callback = draw.choice((None, 3, "abc", [])) if draw.goes_wrong() else tell
    shape = draw.size(), draw.size()
    with attempt(watch_passes, callback):
        GaussianWeights(shape, draw.between(0, 9)).apply(np.ones((2, shape[1])))
    assert told[0][0] == 0
    assert told[-1][0] == told[-1][1]


def _columns(draw, attempt, W):
    start, stop = sorted((draw.between(0, W.shape[1]), draw.between(0, W.shape[1])))
    if draw.goes_wrong():
        start, stop = draw.choice(((1, 0), (0, W.shape[1] + 1), (-1, 1), (0.0, 1), ("0", 1)))
    if draw.chance(0.3):
        draw.hostile |= W.grid != "int8"
        value = attempt(W.integers, start, stop)
        expected, size = W.to_dense()[:, start:stop], np.abs(W.to_dense()[:, start:stop])
        value = (W.step * value.astype(float).T).astype(W.dtype)
    else:
        value = attempt(W.columns, start, stop)
        expected, size = W.to_dense()[:, start:stop].T, np.abs(W.to_dense()[:, start:stop].T)
        expected, value, size = expected.T, value.T, size.T
    attempt.close(value, expected, size, 2, dtype=W.dtype)
