"""Jacobians of every kind against J itself."""

import numpy as np

from subquad.jacobian import (
    FiredJacobian,
    FixedSide,
    JacobianSum,
    KhatriRao,
    MatrixFreeJacobian,
    ReadoutJacobian,
    ScaledRows,
    SharedJacobian,
    bits_as_numbers,
    gram_times,
    kept_gram,
    neuron_blocks,
    sketched_gram,
    transposed_bits,
)
from subquad.sketch import TensorSketch

from ..cases import target
from ..draws import as_float64
from ..sparse_draws import dense, dtype_of, rows_of

_METHODS = ("matvec", "adjoint", "gram", "product", "diagonal", "columns", "sketch")
_OF_ALL = (*_METHODS, "to_dense", "draw_sketch", "sketched_gram")
_EXTRA = {
    FiredJacobian: ("gram_seconds",),
    SharedJacobian: ("output_grams",),
    ReadoutJacobian: ("of_output", "output_grams"),
}


class _Dense:
    """J, the same of absolute values, and the number of its weights."""

    def __init__(self, J, shape):
        self.J, self.size, (self.m_u, self.m_v) = J, np.abs(J), shape
        self.terms = self.m_u + self.m_v + 8

    @classmethod
    def of_factors(cls, U, V):
        return cls(np.einsum("ij,ik->ijk", U, V).reshape(len(U), -1), (U.shape[1], V.shape[1]))


@target("jacobian.KhatriRao", *(f"jacobian.KhatriRao.{name}" for name in _OF_ALL), share=100)
def khatri_rao(draw, attempt):
    n, scales = draw.size(33), draw.chance(0.3)
    U = rows_of(draw, (n, draw.size(33)), scales=scales)
    V = rows_of(draw, (n, draw.size(17)), scales=scales)
    J = attempt(KhatriRao, U, V)
    dtype = np.result_type(dtype_of(U), dtype_of(V))
    attempt.equal(J.dtype, dtype)
    with np.errstate(all="ignore"):
        reference = _Dense.of_factors(dense(U), dense(V))
        reference.terms += len(dense(U))
        floors = np.abs(dense(U)).max(initial=0) ** 2 + np.abs(dense(V)).max(initial=0) ** 2
        reference.floor = float(np.finfo(np.float64).tiny) * (1 + floors) * reference.J.shape[1]
    _ask(draw, attempt, J, reference)


def _ask(draw, attempt, J, reference, methods=_OF_ALL):
    """Call a method of J and compare."""
    for _ in range(draw.between(1, 2)):
        name = draw.choice(methods)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            _CHECKS.get(name, _plain)(draw, attempt, J, reference, name)


def _plain(draw, attempt, J, reference, name):
    value = attempt(getattr(J, name))
    G, size = reference.J @ reference.J.T, reference.size @ reference.size.T
    if name == "to_dense":
        attempt.close(value, reference.J, reference.size, 4, dtype=J.dtype)
    elif name == "diagonal":
        _close(attempt, value, G.diagonal(), reference.inexact * size.diagonal(), reference)
    elif name == "gram_seconds":
        attempt.holds(value >= 0, f"{value} seconds")
    else:
        attempt.holds(value is not None, "a value")


def _close(attempt, value, expected, size, reference, dtype=np.float64):
    floor = getattr(reference, "floor", 0.0)
    attempt.close(value, expected, size, 2 * reference.terms, dtype=dtype, floor=floor)


def _matvec(draw, attempt, J, reference, name):
    if isinstance(J, JacobianSum):
        return
    m_u, m_v = reference.m_u, reference.m_v
    if draw.chance(0.4) and not isinstance(J, MatrixFreeJacobian):
        r = draw.between(1, 5)
        A = rows_of(draw, (r, m_u), scales=False)
        X = A, rows_of(draw, (r, m_v), scales=False)
        value = attempt(J.matvec, X)
        A, B = (dense(x).astype(J.dtype).astype(float) for x in X)
        X, size = A.T @ B, np.abs(A).T @ np.abs(B)
    else:
        X = draw.array((m_u, m_v), scales=False)
        value = attempt(J.matvec, X)
        X = as_float64(X).astype(J.dtype).astype(float)
        size = np.abs(X)
    dtype = np.float64 if isinstance(J, (MatrixFreeJacobian, ScaledRows)) else J.dtype
    scale = reference.size * reference.inexact
    terms = reference.terms + m_u * m_v
    attempt.close(value, reference.J @ X.ravel(), scale @ size.ravel(), terms, dtype=dtype,
                  floor=getattr(reference, "floor", 0.0))  # fmt: skip


def _adjoint(draw, attempt, J, reference, name):
    g = draw.array((J.n,), scales=False)
    A, B = attempt(J.adjoint, g)
    value = (dense(A).T @ dense(B)).ravel()
    g = as_float64(g).astype(J.dtype).astype(float)
    terms = reference.terms + J.n
    eps = float(np.finfo(J.dtype).eps) / float(np.finfo(float).eps)
    attempt.close(value, reference.J.T @ g, eps * (reference.size.T @ np.abs(g)), terms)


def _gram(draw, attempt, J, reference, name):
    other = None
    if draw.chance(0.3):
        draw.hostile = True
        other = draw.choice((J, 0, "J", np.eye(2), _small(), None, [J]))
    value = attempt(J.gram, other) if other is not None else attempt(J.gram)
    if other is None or other is J:
        _close(attempt, value, reference.J @ reference.J.T, reference.scaled_gram(), reference)
    else:
        attempt.equal(value.shape, (J.n, other.n))


def _small():
    return KhatriRao(np.eye(3), np.eye(3))


def _product(draw, attempt, J, reference, name):
    g = draw.array((J.n,), scales=False)
    value = attempt(J.product, g)
    g, G = as_float64(g), reference.J @ reference.J.T
    reference.terms += J.n + reference.J.shape[1]
    _close(attempt, value, G @ g, reference.scaled_gram() @ np.abs(g), reference)


def _columns(draw, attempt, J, reference, name):
    points = draw.indices(draw.between(0, 5), J.n)
    value = attempt(J.columns, points)
    G = reference.J @ reference.J.T
    points = np.asarray(points)
    points = points.astype(int) if points.size == 0 else points
    _close(attempt, value, G[:, points], reference.scaled_gram()[:, points], reference)


def _sketch(draw, attempt, J, reference, name):
    s = draw.choice((1, 4, 8))
    if name == "draw_sketch":
        S = attempt(J.draw_sketch, draw.integer((s,)), draw.rng())
        attempt.equal(S.n_features, (reference.m_u, reference.m_v))
        return
    S = TensorSketch((reference.m_u, reference.m_v), s, rng=0)
    value = attempt(getattr(J, name), S)
    expected = reference.J @ S.matrix().T
    size = np.broadcast_to(reference.size.sum(axis=1)[:, None], expected.shape)
    terms, dtype = 2 * s + reference.terms + reference.J.shape[1], J.dtype
    if isinstance(J, ScaledRows):
        size, dtype = reference.inexact * size, np.float64
    if name == "sketched_gram":
        eps = float(np.finfo(J.dtype).eps) / float(np.finfo(float).eps)
        expected, size, dtype = expected @ expected.T, size @ size.T, np.float64
        # It is summed in the dtype of J, whose range may end before.
        size = np.where(size < float(np.finfo(J.dtype).max) / 4, eps * size, np.inf)
    attempt.close(value, expected, size, terms, dtype=dtype, floor=getattr(reference, "floor", 0.0))


def _of_output(draw, attempt, J, reference, name):
    c = draw.integer(range(J.n_outputs))
    value = attempt(J.of_output, c)
    rows = reference.J[int(c) :: J.n_outputs]
    attempt.close(value.gram(), rows @ rows.T, np.abs(rows) @ np.abs(rows).T, reference.terms)


_CHECKS = {
    "of_output": _of_output,
    "matvec": _matvec,
    "adjoint": _adjoint,
    "gram": _gram,
    "product": _product,
    "columns": _columns,
    "sketch": _sketch,
    "sketched_gram": _sketch,
    "draw_sketch": _sketch,
}
_Dense.inexact = 1.0
_Dense.scaled_gram = lambda self: self.inexact * (self.size @ self.size.T)


def _names(kind, methods):
    name = f"jacobian.{kind.__name__}"
    return (name, *(f"{name}.{method}" for method in methods))


@target(
    *_names(FiredJacobian, (*_OF_ALL, "gram_seconds")),
    *_names(MatrixFreeJacobian, _METHODS),
    *_names(ReadoutJacobian, (*_OF_ALL, "of_output", "output_grams")),
    *_names(SharedJacobian, (*_OF_ALL, "output_grams")),
    *_names(ScaledRows, (*_METHODS, "sketched_gram")),
    *_names(JacobianSum, (*_METHODS, "draw_sketch")),
    *(f"jacobian.{name}" for name in ("gram_times", "kept_gram", "sketched_gram")),
    share=60,
)
def of_networks(draw, attempt):
    """Jacobians made of arrays that are trusted: sound ones; their methods check what they take."""
    n, m, d = draw.size(17), draw.size(), draw.size(9)
    dtype = np.dtype(draw.dtype())
    D, V = draw.values((n, m)) > 0, draw.values((n, d), scales=False).astype(dtype)
    a = np.full(m, 0.5) if draw.chance(0.5) else draw.values((m,), scales=False)
    V64 = V.astype(float)
    K, bits = V64 @ V64.T, _bits(D)
    kind = draw.choice((FiredJacobian, MatrixFreeJacobian, ReadoutJacobian, SharedJacobian,
                        ScaledRows, JacobianSum))  # fmt: skip
    reference = _Dense.of_factors(D * a, V64)
    methods = (*_OF_ALL, *_EXTRA.get(kind, ()))
    if kind is FiredJacobian:
        J = attempt(kind, bits, a, V, K)
    elif kind is MatrixFreeJacobian:
        packed = np.packbits(D.T, axis=1, bitorder="little")
        J, methods = attempt(kind, packed, a, V), _METHODS
    elif kind is ReadoutJacobian:
        C = draw.between(1, 3)
        readout = np.stack([a * (c + 1) for c in range(C)])
        J = attempt(kind, D, readout, FixedSide(V64, repeats=C), K)
        U = (D[:, None, :] * readout).reshape(n * C, m)
        reference = _Dense.of_factors(U, np.repeat(V64, C, axis=0))
    elif kind is SharedJacobian:
        C = draw.between(1, 3)
        tangents = [(D * a * (c + 1)).astype(dtype) for c in range(C)]
        J = attempt(kind, tangents, FixedSide(V, repeats=C), K)
        U = np.stack(tangents, axis=1).reshape(n * C, m).astype(float)
        reference = _Dense.of_factors(U, np.repeat(V64, C, axis=0))
    elif kind is ScaledRows:
        roots = draw.values((n,), scales=False, positive=True)
        J, methods = attempt(kind, KhatriRao((D * a).astype(dtype), V), roots), (
            *_METHODS, "sketched_gram")  # fmt: skip
        reference = _Dense.of_factors((D * a).astype(dtype).astype(float) * roots[:, None], V64)
    else:
        J, reference, methods = _sum_of(draw, attempt, (D * a).astype(dtype), V)
    # float32 factors enter sums of float64, or are sums of float32 themselves.
    reference.inexact = float(np.finfo(dtype).eps) / float(np.finfo(float).eps)
    reference.terms += n + m
    if kind is not JacobianSum and draw.chance(0.2):
        _through_functions(draw, attempt, J, reference)
    else:
        _ask(draw, attempt, J, reference, methods)


def _sum_of(draw, attempt, U, V):
    """A sum of two layers, of which the second is the first with other rows."""
    if draw.goes_wrong():
        draw.hostile = True
        attempt(JacobianSum, draw.choice(([], [U, V], None, 3, [KhatriRao(U, V), "J"], "ab")))
    first, second = KhatriRao(U, V), KhatriRao(V, U)
    J = attempt(JacobianSum, [first, second])
    U, V = U.astype(float), V.astype(float)
    rows = [np.einsum("ij,ik->ijk", *pair).reshape(len(U), -1) for pair in ((U, V), (V, U))]
    reference = _Dense(np.concatenate(rows, axis=1), (U.shape[1], V.shape[1]))
    if draw.chance(0.2):
        X = draw.choice(((U.T @ V, V.T @ U), (), 3, [U], (U.T @ V,), None, "ab"))
        draw.hostile = True
        attempt(J.matvec, X)
    if draw.chance(0.1):
        attempt(J.adjoint, np.ones(len(U)))
        sketches = attempt(J.draw_sketch, 8, 0 if draw.chance(0.5) else np.random.default_rng(0))
        attempt(J.sketch, sketches)
    return J, reference, ("gram", "product", "diagonal", "columns")


def _through_functions(draw, attempt, J, reference):
    """What solvers call."""
    if draw.chance(0.3):
        value = attempt(kept_gram, J)
        _close(attempt, value, reference.J @ reference.J.T, reference.scaled_gram(), reference)
    elif draw.chance(0.5):
        g = draw.values((J.n,), scales=False)
        value, G = attempt(gram_times, J, g), reference.J @ reference.J.T
        reference.terms += J.n
        _close(attempt, value, G @ g, reference.scaled_gram() @ np.abs(g), reference)
    else:
        S = TensorSketch((reference.m_u, reference.m_v), 8, rng=0)
        value = attempt(sketched_gram, J, S)
        rows = reference.J @ S.matrix().T
        size = reference.size.sum(axis=1)
        reference.terms += 32
        size = reference.inexact * np.outer(size, size) * 8
        _close(attempt, value, rows @ rows.T, size, reference)


def _bits(D):
    """Rows of bits in words of 64."""
    padded = np.zeros((len(D), -(-D.shape[1] // 64) * 64), bool)
    padded[:, : D.shape[1]] = D
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)


@target(*(f"jacobian.{name}" for name in ("bits_as_numbers", "neuron_blocks", "transposed_bits")),
        share=5)  # fmt: skip
def bits(draw, attempt):
    """Functions of trusted bits."""
    D = draw.values((draw.size(), draw.size())) > 0
    words = _bits(D)
    value = attempt(bits_as_numbers, words, D.shape[1])
    attempt.equal(value, D.astype(float))
    value = attempt(transposed_bits, words, D.shape[1], 1)
    attempt.equal(value, _bits(D.T))
    value = attempt(neuron_blocks, D.shape[1], D.astype(float))
    attempt.equal(sum(part.stop - part.start for part in value), D.shape[1])
