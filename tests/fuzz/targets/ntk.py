"""Tangent kernels against the arc-cosine recursion, and spectra against numpy's."""

import numpy as np

from subquad.activations import ReLU, ThresholdedReLU
from subquad.ntk import (
    DualActivation,
    Spectrum,
    last_layer_ntk,
    layer_kernels,
    ntk,
    ntk_and_slope,
    predict,
    required_width,
    spectrum,
)

from ..cases import target
from ..sparse_draws import dense, dtype_of, rows_of
from .activations import activation

_FUNCTIONS = (layer_kernels, last_layer_ntk, ntk)


def _points(draw, d):
    draw.extreme = True  # rows of tiny and huge norms, of zeros
    return rows_of(draw, (draw.size(9), d), scales=draw.chance(0.2))


def _options(draw):
    found = {"depth": draw.integer((1, 1, 2, 3))}
    if draw.chance(0.3):
        found["activation"] = draw.option((None, ReLU(), ReLU(), activation(draw, fired=True)))
    if draw.chance(0.2):
        found["dtype"] = draw.dtype_argument()
    return found


@target(*(f"ntk.{f.__name__}" for f in _FUNCTIONS), share=12)
def kernels(draw, attempt):
    d, function = draw.size(9), draw.choice(_FUNCTIONS)
    X = _points(draw, d)
    Y = _points(draw, d) if draw.chance(0.5) else None
    options = _options(draw)
    phi = options.get("activation")
    # A row may be silent, and a kernel of long rows beyond float32.
    draw.hostile |= draw.scaled or not getattr(phi, "relative", True)
    value = attempt(function, X, Y, **options)
    A = dense(X)
    B = A if Y is None else dense(Y)
    attempt.holds(value.shape[-2:] == (len(A), len(B)), f"shape {value.shape}")
    attempt.holds(not np.isnan(value).any(), "a kernel must be a number")
    dtype = np.dtype(options.get("dtype") or dtype_of(X))
    attempt.equal(value.dtype, dtype)
    if phi is None or isinstance(phi, ReLU):
        name, depth = function.__name__, int(options["depth"])
        expected, size = _relu(A.astype(dtype).astype(float), B.astype(dtype).astype(float), depth)
        picked = {"layer_kernels": expected[0], "last_layer_ntk": expected[2], "ntk": expected[1]}
        # A correlation is known to some eps d, and its angle to the root of that.
        attempt.close(value, picked[name], 10 * (depth + 1) * size, 4 * d + 40, dtype=dtype,
                      floor=0.0) if dtype == np.float64 else None  # fmt: skip


def _relu(X, Y, depth):
    """K_0 .. K_L, Theta_L and the last layer's kernel of ReLU, and the sizes of all of them."""
    norms = [np.sqrt(np.square(x / _largest(x)).sum(axis=1)) * _largest(x)[:, 0] for x in (X, Y)]
    size = np.outer(*norms)
    with np.errstate(all="ignore"):
        units = [np.nan_to_num(x / n[:, None]) for x, n in zip((X, Y), norms, strict=True)]
    chords, sums = (np.linalg.norm(units[0][:, None] + sign * units[1], axis=2) for sign in (-1, 1))
    angle = 2 * np.arctan2(chords, sums)
    angle[(size == 0)] = np.pi / 2
    K = size * np.cos(angle)
    theta, found = K, [K]
    for _ in range(depth):
        slope, before = (np.pi - angle) / np.pi, found[-1]
        r = (np.sin(angle) + (np.pi - angle) * np.cos(angle)) / np.pi
        found.append(size * r)
        theta = theta * slope + found[-1]
        last = before * slope / 2
        gap = 1 - r
        angle = np.where(
            gap < 1e-4, angle * np.sqrt(1 - 2 * angle / (3 * np.pi)), np.arccos(np.clip(r, -1, 1))
        )
    return (np.array(found), theta, last), 1e4 * size


def _largest(x):
    return np.maximum(np.abs(x).max(axis=1, keepdims=True, initial=0.0), 1e-300)


@target("ntk.predict", "ntk.ntk_and_slope", share=6)
def prediction(draw, attempt):
    d, n = draw.size(9), draw.size(9)
    X, X_test = rows_of(draw, (n, d), scales=False), rows_of(draw, (draw.size(5), d), scales=False)
    y = draw.array((n,) if draw.chance(0.6) else (n, 2), scales=False)
    options = _options(draw) | {"regularization": draw.real((1.0, 1e-3, 0.0))}
    options["kernel"] = draw.option(("ntk", "nngp"))
    options["return_variance"] = draw.chance(0.3)
    draw.hostile = True  # a kernel may be singular
    mean, variance = attempt(predict, X, y, X_test, **options)
    attempt.holds(np.isfinite(mean).all(), "a mean must be finite")
    attempt.holds(variance is None or (variance >= 0).all(), "a variance must be at least 0")
    kernel = ntk if options["kernel"] == "ntk" else layer_kernels
    common = {"dtype": dtype_of(X)}
    common |= {k: options[k] for k in ("depth", "activation", "dtype") if k in options}
    K, across = (kernel(x, X, **common).astype(float) for x in (X, X_test))
    K, across = (x[-1] if x.ndim == 3 else x for x in (K, across))
    A = K + float(options["regularization"]) * np.eye(len(K))
    eigenvalues = np.linalg.eigvalsh((A + A.T) / 2)
    target = np.asarray(y, float)
    size = np.abs(across).max() * np.linalg.norm(target) / max(eigenvalues[0], 1e-300)
    condition = eigenvalues[-1] / max(eigenvalues[0], 1e-300)
    eps = float(np.finfo(np.asarray(dense(X)).dtype).eps)
    if condition < 1e8 and K.dtype == np.dtype(common["dtype"]):
        expected = across @ np.linalg.solve(A, target)
        bound = np.full(expected.shape, 1e3 * condition * size * eps / eps)
        attempt.close(mean, expected, bound, len(K))


@target("ntk.DualActivation", "ntk.DualActivation.moments", share=6)
def dual(draw, attempt):
    functions = (None, ReLU(), activation(draw), np.tanh, np.abs)
    given = draw.option(functions) if draw.chance(0.8) else draw.choice(functions)
    derivative = draw.option((None, None, np.sign)) if draw.chance(0.2) else None
    if callable(derivative) and derivative is not np.sign:
        return  # a function of the caller's own may raise what it likes
    draw.hostile |= derivative is not None
    found = attempt(DualActivation, given, derivative)
    p, q = draw.choice((0.0, 1.0, 2, [1.0, 2.0])), draw.choice((1.0, 0.5, np.float32(2)))
    r = draw.choice((0.0, 1.0, -1.0, 0.5, [0.25, -0.75]))
    if draw.goes_wrong():
        r = draw.choice((1.5, np.nan, "r", None, [[]], np.inf, 1j, object(), [1, [2]]))
    if draw.goes_wrong():
        p = draw.choice((-1.0, np.nan, "p", None, [1.0, 2.0, 3.0], np.inf))
    exact = found._exact
    values, slopes = attempt(found.moments, p, q, r)
    attempt.holds(values.shape == slopes.shape, "moments of one shape")
    attempt.holds(np.isfinite(values).all() and np.isfinite(slopes).all(), "finite moments")
    if exact and found.activation.shift == 0 and not isinstance(found.activation, ThresholdedReLU):
        p, q, r = np.broadcast_arrays(*(np.asarray(x, float) for x in (p, q, r)))
        angle = np.arccos(r)
        expected = p * q * (np.sin(angle) + (np.pi - angle) * r) / (2 * np.pi)
        attempt.close(values, expected, p * q, 64)


@target("ntk.spectrum", "ntk.Spectrum", "ntk.required_width", share=20)
def eigenvalues(draw, attempt):
    n = draw.size(17)
    K = draw.array((n, n), scales=False)
    if draw.wrong == "not finite":
        draw.wrong = None  # the upper half is not read
    found = attempt(spectrum, K)
    lower = np.tril(np.asarray(K, float))
    G = lower + np.tril(lower, -1).T
    expected = np.linalg.eigvalsh(G)[::-1]
    size = np.full(n, np.linalg.norm(G))
    attempt.close(found.eigenvalues, expected, size, 10 * n)
    attempt(Spectrum, found.eigenvalues)
    draw.hostile = True  # it need not be positive definite
    options = {
        "depth": draw.integer((1, 2)),
        "activation": draw.option((None, ReLU(), activation(draw))),
    }
    widths = attempt(required_width, draw.choice((found, K, np.eye(3))), **options)
    attempt.holds(widths.measured >= 1 and widths.theory > 0, f"{widths}")


@target("ntk.ntk_and_slope", share=4)
def slope(draw, attempt):
    """A function of trusted rows: what the estimators call."""
    rows = draw.values((draw.size(9), draw.size(5)), scales=False)
    rows = rows[np.abs(rows).max(axis=1) > 0.1]
    if len(rows) == 0:
        return
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    _, kernel, _ = attempt(ntk_and_slope, rows, 2, ReLU(), 1)
    attempt.close(kernel, ntk(rows, depth=2), np.full(kernel.shape, 10.0), 100)
