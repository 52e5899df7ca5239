"""Jacobians that networks make of arrays, sums of them, and functions of any Jacobian."""

import numpy as np
import scipy.sparse

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
    cross_gram,
    gram_times,
    kept_gram,
    neuron_blocks,
    sketched_gram,
    transposed_bits,
)
from subquad.sketch import TensorSketch

from ..cases import target
from .jacobian import METHODS, OF_ALL, Dense, ask, close

_EXTRA = {
    FiredJacobian: ("gram_seconds",),
    SharedJacobian: ("output_grams",),
    ReadoutJacobian: ("of_output", "output_grams"),
}


def _names(kind, methods):
    name = f"jacobian.{kind.__name__}"
    return (name, *(f"{name}.{method}" for method in methods))


@target(
    *_names(FiredJacobian, (*OF_ALL, "coactivations", "gram_seconds")),
    *_names(MatrixFreeJacobian, (*METHODS, "draw_sketch")),
    *_names(ReadoutJacobian, (*OF_ALL, "of_output", "output_grams")),
    *_names(SharedJacobian, (*OF_ALL, "output_grams")),
    *_names(ScaledRows, (*METHODS, "sketched_gram")),
    *_names(JacobianSum, (*METHODS, "draw_sketch")),
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
    reference = Dense.of_factors(D * a, V64)
    methods = (*OF_ALL, *_EXTRA.get(kind, ()))
    if kind is FiredJacobian:
        J = attempt(kind, bits, a, V, K)
        counts = D.astype(np.int32) @ D.T.astype(np.int32)
        attempt.holds(np.array_equal(attempt(J.coactivations), counts), "counts of fired neurons")
    elif kind is MatrixFreeJacobian:
        packed = np.packbits(D.T, axis=1, bitorder="little")
        J, methods = attempt(kind, packed, a, V), (*METHODS, "draw_sketch")
    elif kind is ReadoutJacobian:
        C = draw.between(1, 3)
        readout = np.stack([a * (c + 1) for c in range(C)])
        J = attempt(kind, D, readout, FixedSide(V64, repeats=C), K)
        U = (D[:, None, :] * readout).reshape(n * C, m)
        reference = Dense.of_factors(U, np.repeat(V64, C, axis=0))
    elif kind is SharedJacobian:
        C = draw.between(1, 3)
        tangents = [(D * a * (c + 1)).astype(dtype) for c in range(C)]
        J = attempt(kind, tangents, FixedSide(V, repeats=C), K)
        U = np.stack(tangents, axis=1).reshape(n * C, m).astype(float)
        reference = Dense.of_factors(U, np.repeat(V64, C, axis=0))
    elif kind is ScaledRows:
        roots = draw.values((n,), scales=False, positive=True)
        J, methods = attempt(kind, KhatriRao((D * a).astype(dtype), V), roots), (
            *METHODS, "sketched_gram")  # fmt: skip
        reference = Dense.of_factors((D * a).astype(dtype).astype(float) * roots[:, None], V64)
    else:
        J, reference, methods = _sum_of(draw, attempt, (D * a).astype(dtype), V)
    # float32 factors enter sums of float64, or are sums of float32 themselves.
    reference.inexact = float(np.finfo(dtype).eps) / float(np.finfo(float).eps)
    reference.terms += n + m
    if kind is not JacobianSum and draw.chance(0.2):
        _through_functions(draw, attempt, J, reference)
    else:
        ask(draw, attempt, J, reference, methods)


@target("jacobian.cross_gram", share=5)
def of_factors(draw, attempt):
    """U other^T of factors that are sound, dense or CSR, in any of the two dtypes."""
    m = draw.size()
    sides = [draw.values((n, m), scales=False) for n in (draw.size(17), draw.size(17))]
    sides = [x.astype(np.dtype(draw.dtype())) for x in sides]
    given = [scipy.sparse.csr_array(x) if draw.chance(0.4) else x for x in sides]
    U, other = (x.astype(float) for x in sides)
    size = np.abs(U) @ np.abs(other).T
    attempt.close(attempt(cross_gram, *given), U @ other.T, size, 2 * (m + 8), dtype=np.float64)


def _sum_of(draw, attempt, U, V):
    """A sum of two layers, of which the second is the first with other rows."""
    if draw.goes_wrong():
        draw.hostile = True
        attempt(JacobianSum, draw.choice(([], [U, V], None, 3, [KhatriRao(U, V), "J"], "ab")))
    first, second = KhatriRao(U, V), KhatriRao(V, U)
    J = attempt(JacobianSum, [first, second])
    U, V = U.astype(float), V.astype(float)
    rows = [np.einsum("ij,ik->ijk", *pair).reshape(len(U), -1) for pair in ((U, V), (V, U))]
    reference = Dense(np.concatenate(rows, axis=1), (U.shape[1], V.shape[1]))
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
        close(attempt, value, reference.J @ reference.J.T, reference.scaled_gram(), reference)
    elif draw.chance(0.5):
        g = draw.values((J.n,), scales=False)
        value, G = attempt(gram_times, J, g), reference.J @ reference.J.T
        reference.terms += J.n
        close(attempt, value, G @ g, reference.scaled_gram() @ np.abs(g), reference)
    else:
        S = TensorSketch((reference.m_u, reference.m_v), 8, rng=0)
        value = attempt(sketched_gram, J, S)
        rows = reference.J @ S.matrix().T
        size = reference.size.sum(axis=1)
        reference.terms += 32
        size = reference.inexact * np.outer(size, size) * 8
        close(attempt, value, rows @ rows.T, size, reference)


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
