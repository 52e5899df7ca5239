"""Jacobians of every kind against J itself."""

import itertools

import numpy as np

from subquad.jacobian import JacobianSum, KhatriRao, MatrixFreeJacobian, ScaledRows
from subquad.sketch import TensorSketch

from ..cases import target
from ..draws import as_float64
from ..sparse_draws import dense, dtype_of, rows_of

METHODS = ("matvec", "adjoint", "gram", "product", "diagonal", "columns", "sketch")
OF_ALL = (*METHODS, "to_dense", "draw_sketch", "sketched_gram", "gram_work")


class Dense:
    """J by its definition, and what bounds the rounding of a product with it.

    Attributes
    ----------
    J, size : ndarray
        J, and the same of absolute values.
    m_u, m_v : int
    terms : int
        How many products a sum may have.
    inexact : float
        How many times coarser than float64 sums are rounded that are compared in float64.
    floor : float
        What underflow may add.
    """

    def __init__(self, J, shape):
        self.J, self.size, (self.m_u, self.m_v) = J, np.abs(J), shape
        self.terms, self.inexact, self.floor = self.m_u + self.m_v + 8, 1.0, 0.0

    @classmethod
    def of_factors(cls, U, V):
        """Return it for rows u_i (x) v_i."""
        return cls(np.einsum("ij,ik->ijk", U, V).reshape(len(U), -1), (U.shape[1], V.shape[1]))

    def sum_rows(self, pointers):
        """Add up the rows of each group, which begins at its pointer."""
        member = np.zeros((len(pointers) - 1, len(self.J)))
        for i, (start, stop) in enumerate(itertools.pairwise(pointers)):
            member[i, start:stop] = 1.0
        self.J, self.size = member @ self.J, member @ self.size
        self.terms += member.shape[1]

    def scaled_gram(self):
        """What bounds the Gram matrix, coarser where sums are."""
        return self.inexact * (self.size @ self.size.T)


@target("jacobian.KhatriRao", *(f"jacobian.KhatriRao.{name}" for name in OF_ALL), share=100)
def khatri_rao(draw, attempt):
    n, scales = draw.size(33), draw.chance(0.3)
    U = rows_of(draw, (n, draw.size(33)), scales=scales)
    V = rows_of(draw, (n, draw.size(17)), scales=scales)
    groups = _groups(draw, n) if draw.chance(0.25) else None
    J = attempt(KhatriRao, U, V) if groups is None else attempt(KhatriRao, U, V, groups)
    dtype = np.result_type(dtype_of(U), dtype_of(V))
    attempt.equal(J.dtype, dtype)
    with np.errstate(all="ignore"):
        reference = Dense.of_factors(dense(U), dense(V))
        if groups is not None:
            reference.sum_rows(np.asarray(groups))
        reference.terms += len(dense(U))
        floors = np.abs(dense(U)).max(initial=0) ** 2 + np.abs(dense(V)).max(initial=0) ** 2
        reference.floor = float(np.finfo(np.float64).tiny) * (1 + floors) * reference.J.shape[1]
    ask(draw, attempt, J, reference)


def _groups(draw, n):
    """Pointers to the first row of each group, and behind the last; groups may be empty."""
    if draw.goes_wrong():
        wrong = (
            [],
            [0],
            [0, n + 1],
            [1, n],
            [0, n, 0, n],
            [0.0, n],
            None,
            n,
            "0",
            [[0, n]],
            [-1, n],
        )
        return draw.choice(wrong)
    inner = sorted(draw.between(0, n) for _ in range(draw.between(0, 4)))
    return np.array([0, *inner, n], draw.choice((np.intp, np.int32)))


def ask(draw, attempt, J, reference, methods=OF_ALL):
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
        close(attempt, value, G.diagonal(), reference.inexact * size.diagonal(), reference)
    elif name == "gram_seconds":
        attempt.holds(value >= 0, f"{value} seconds")
    else:
        attempt.holds(value is not None, "a value")


def close(attempt, value, expected, size, reference, dtype=np.float64):
    floor = reference.floor
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
                  floor=reference.floor)  # fmt: skip


def _adjoint(draw, attempt, J, reference, name):
    g = draw.array((J.n,), scales=False)
    A, B = attempt(J.adjoint, g)
    value = (dense(A).T @ dense(B)).ravel()
    g = as_float64(g).astype(J.dtype).astype(float)
    terms = reference.terms + J.n
    eps = float(np.finfo(J.dtype).eps) / float(np.finfo(float).eps)
    attempt.close(
        value, reference.J.T @ g, eps * (reference.size.T @ np.abs(g)), terms, floor=reference.floor
    )


def _gram(draw, attempt, J, reference, name):
    other = None
    if draw.chance(0.3):
        draw.hostile = True
        other = draw.choice((J, 0, "J", np.eye(2), _small(), None, [J]))
    value = attempt(J.gram, other) if other is not None else attempt(J.gram)
    if other is None or other is J:
        close(attempt, value, reference.J @ reference.J.T, reference.scaled_gram(), reference)
    else:
        attempt.equal(value.shape, (J.n, other.n))


def _small():
    return KhatriRao(np.eye(3), np.eye(3))


def _product(draw, attempt, J, reference, name):
    g = draw.array((J.n,), scales=False)
    value = attempt(J.product, g)
    g, G = as_float64(g), reference.J @ reference.J.T
    reference.terms += J.n + reference.J.shape[1]
    close(attempt, value, G @ g, reference.scaled_gram() @ np.abs(g), reference)


def _columns(draw, attempt, J, reference, name):
    points = draw.indices(draw.between(0, 5), J.n)
    value = attempt(J.columns, points)
    G = reference.J @ reference.J.T
    points = np.asarray(points)
    points = points.astype(int) if points.size == 0 else points
    close(attempt, value, G[:, points], reference.scaled_gram()[:, points], reference)


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
        info = np.finfo(J.dtype)
        size = np.where(size < float(info.max) / 4, eps * size + 2**60 * float(info.tiny), np.inf)
    attempt.close(value, expected, size, terms, dtype=dtype, floor=reference.floor)


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
