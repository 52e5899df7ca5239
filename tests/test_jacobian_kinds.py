"""Every Jacobian answers as the matrix it stands for, and every solver takes any of them."""

import itertools

import numpy as np
import pytest
import scipy.sparse

from subquad.jacobian import (
    FiredJacobian,
    FixedSide,
    Jacobian,
    JacobianSum,
    KhatriRao,
    MatrixFreeJacobian,
    ReadoutJacobian,
    ScaledRows,
    SharedJacobian,
    bits_as_numbers,
    kept_gram,
    transposed_bits,
)
from subquad.sketch import TensorSketch
from subquad.solvers import Solution, gram_solve

N, M, WIDTH = 11, 130, 5


class Explicit:
    """A user's own Jacobian: a matrix, and nothing but the members of the protocol."""

    def __init__(self, matrix):
        self.matrix, self.n, self.shape, self.dtype = matrix, *matrix.shape[:1], matrix.shape, float

    def matvec(self, X):
        return self.matrix @ X

    def adjoint(self, g):
        return (g @ self.matrix)[None], np.ones((1, 1))

    def gram(self, other=None):
        return self.matrix @ (self if other is None else other).matrix.T

    def product(self, g):
        return self.matrix @ (self.matrix.T @ g)

    def diagonal(self):
        return np.square(self.matrix).sum(axis=1)

    def columns(self, points):
        return self.matrix @ self.matrix[points].T

    def sketch(self, S):
        return S.apply(self.matrix, np.ones((self.n, 1)))


def rows(U, V):
    return np.einsum("ij,ik->ijk", U, V).reshape(len(U), -1)


def bits(D):
    words = np.zeros((len(D), (D.shape[1] + 63) // 64 * 8), np.uint8)
    words[:, : (D.shape[1] + 7) // 8] = np.packbits(D, axis=1, bitorder="little")
    return words.view(np.uint64)


def fired(readout):
    """Bits of one output, with every readout of one size or of many."""

    def make(rng):
        D, V = rng.random((N, M)) < 0.3, rng.standard_normal((N, 7))
        a = rng.choice([-0.5, 0.5], M) if readout == "even" else rng.standard_normal(M)
        return FiredJacobian(bits(D), a, V, V @ V.T), rows(D * a, V)

    return make


def matrix_free(rng):
    D, X, a = rng.random((N, M)) < 0.3, rng.standard_normal((N, WIDTH)), rng.standard_normal(M)
    packed = np.packbits(D.T, axis=1, bitorder="little")
    return MatrixFreeJacobian(packed, a, X), rows(D * a, X)


def readout(rng):
    D, V, a = rng.random((N, M)) < 0.3, rng.standard_normal((N, 7)), rng.standard_normal((3, M))
    U = (D[:, None, :] * a).reshape(3 * N, M)
    return ReadoutJacobian(D, a, FixedSide(V, 3), V @ V.T), rows(U, np.repeat(V, 3, axis=0))


def shared(rng):
    V, tangents = rng.standard_normal((N, 7)), [rng.standard_normal((N, 9)) for _ in range(3)]
    U = np.stack(tangents, axis=1).reshape(3 * N, 9)
    return SharedJacobian(tangents, FixedSide(V, 3), V @ V.T), rows(U, np.repeat(V, 3, axis=0))


def khatri_rao(rng):
    U, V = rng.standard_normal((N, 8)), rng.standard_normal((N, 6))
    return KhatriRao(U, V), rows(U, V)


COUNTS = [3, 1, 0, 4, 1, 1, 2, 0, 5, 1, 2]  # rows of each of N groups


def grouped(one_hot):
    """Sums of rows by group, of dense factors or of one-hot inputs in CSR."""

    def make(rng):
        n_rows, indptr = sum(COUNTS), np.concatenate([[0], np.cumsum(COUNTS)])
        U, V = rng.standard_normal((n_rows, 8)), rng.standard_normal((n_rows, 6))
        if one_hot:
            V = np.eye(60)[rng.integers(0, 60, n_rows)]
        J = KhatriRao(U, scipy.sparse.csr_array(V) if one_hot else V, groups=indptr)
        parts = [rows(U, V)[a:b].sum(axis=0) for a, b in itertools.pairwise(indptr)]
        return J, np.stack(parts)

    return make


def layers(rng):
    parts = [khatri_rao(rng), fired("even")(rng)]
    return JacobianSum([J for J, _ in parts]), np.hstack([matrix for _, matrix in parts])


def grouped_layers(rng):
    parts = [khatri_rao(rng), grouped(False)(rng), grouped(True)(rng)]
    return JacobianSum([J for J, _ in parts]), np.hstack([matrix for _, matrix in parts])


def scaled(of):
    def make(rng):
        (J, matrix), roots = of(rng), rng.random(N)
        return ScaledRows(J, roots), roots[:, None] * matrix

    return make


def explicit(rng):
    matrix = rng.standard_normal((N, 40))
    return Explicit(matrix), matrix


KINDS = {
    "explicit": explicit,
    "Khatri-Rao": khatri_rao,
    "fired, even readout": fired("even"),
    "fired, any readout": fired("any"),
    "matrix-free": matrix_free,
    "readout": readout,
    "shared": shared,
    "grouped": grouped(one_hot=False),
    "grouped, one-hot V": grouped(one_hot=True),
    "sum": layers,
    "sum of grouped": grouped_layers,
    "scaled": scaled(khatri_rao),
    "scaled, grouped": scaled(grouped(one_hot=False)),
}


@pytest.fixture(params=KINDS.values(), ids=KINDS.keys())
def case(request):
    return request.param(np.random.default_rng(3))


def test_every_kind_has_the_members_of_the_protocol(case):
    J, matrix = case
    assert isinstance(J, Jacobian)
    assert J.n == len(matrix)
    assert J.shape == matrix.shape


@pytest.mark.parametrize("kept", [False, True])
def test_products_are_those_of_the_matrix(case, kept):
    J, matrix = case
    G, g = matrix @ matrix.T, np.random.default_rng(4).standard_normal(len(matrix))
    atol = 1e-12 * np.linalg.norm(G)
    if kept:
        np.testing.assert_allclose(kept_gram(J), G, rtol=0, atol=atol)
    np.testing.assert_allclose(J.gram(), G, rtol=0, atol=atol)
    np.testing.assert_allclose(J.product(g), G @ g, rtol=0, atol=atol * np.linalg.norm(g))
    np.testing.assert_allclose(J.diagonal(), G.diagonal(), rtol=0, atol=atol)
    points = np.array([7, 2, 2])
    np.testing.assert_allclose(J.columns(points), G[:, points], rtol=0, atol=atol)


def test_a_gram_matrix_is_the_callers_own(case):
    J, matrix = case
    kept_gram(J)
    J.gram()[...] = 0.0
    np.testing.assert_allclose(J.gram(), matrix @ matrix.T, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "explicit" and "sum" not in k])
def test_a_change_of_the_weights_is_mapped_and_pulled_back(kind):
    J, matrix = KINDS[kind](np.random.default_rng(5))
    g = np.random.default_rng(6).standard_normal(len(matrix))
    A, B = J.adjoint(g)
    pulled = A.T @ B
    np.testing.assert_allclose(np.asarray(pulled).ravel(), g @ matrix, rtol=0, atol=1e-11)
    X = np.random.default_rng(7).standard_normal((A.shape[1], B.shape[1]))
    np.testing.assert_allclose(J.matvec(X), matrix @ X.ravel(), rtol=0, atol=1e-11)


def test_a_sum_maps_and_pulls_back_layer_by_layer():
    J, matrix = layers(np.random.default_rng(5))
    g = np.random.default_rng(6).standard_normal(N)
    pulled = [(A.T @ B) for A, B in J.adjoint(g)]
    flat = np.concatenate([change.ravel() for change in pulled])
    np.testing.assert_allclose(flat, g @ matrix, rtol=0, atol=1e-11)
    np.testing.assert_allclose(J.matvec(pulled), matrix @ flat, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "kind",
    ["Khatri-Rao", "fired, any readout", "readout", "shared", "grouped", "grouped, one-hot V"],
)
def test_a_sketch_is_that_of_the_rows(kind):
    J, matrix = KINDS[kind](np.random.default_rng(8))
    S = TensorSketch((J.m_u, J.m_v), 64, rng=0)
    expected = matrix @ S.matrix().T
    atol = 1e-11 * np.abs(expected).max()
    for _ in range(2):  # the second time with what was kept of V
        np.testing.assert_allclose(J.sketch(S), expected, rtol=0, atol=atol)
        G = J.sketched_gram(S)
        np.testing.assert_allclose(G, expected @ expected.T, rtol=0, atol=100 * atol)


def test_the_sketched_gram_of_a_sum_is_right_in_the_mean():
    """Layers are sketched independently, so that their cross terms cancel.

    With s columns an entry of one layer's sketched Gram matrix has a standard deviation of at most
    sqrt(2 / s) |J_i| |J_j|, cross terms included; the mean of 400 draws at s = 64 then has one of
    .009 |J_i| |J_j|. Five of them, for 121 entries: a false alarm in 1e4.
    """
    J, matrix = layers(np.random.default_rng(9))
    rng, mean = np.random.default_rng(10), 0.0
    for _ in range(400):
        features = J.sketch(J.draw_sketch(64, rng))
        mean = mean + features @ features.T / 400
    lengths = np.linalg.norm(matrix, axis=1)
    error = np.abs(mean - matrix @ matrix.T) / np.outer(lengths, lengths)
    assert error.max() <= 5 * 0.009


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("method", ["exact", "pcg", "auto"])
def test_every_kind_is_solved_by_every_method(case, method, weighted):
    J, matrix = case
    rng, n = np.random.default_rng(11), len(matrix)
    c, weights = rng.standard_normal(n), None
    inverse = np.ones(n)
    if weighted:
        weights = rng.uniform(0.5, 2.0, n)
        inverse = 1 / weights
    if isinstance(J, Explicit) and method != "exact":
        with pytest.raises(TypeError, match=r"^J must have a method draw_sketch"):
            gram_solve(J, c, "pcg", rng=0)
        return
    G = matrix @ matrix.T
    damping = 1e-2 * np.trace(G) / n
    solution = gram_solve(J, c, method, damping=damping, weights=weights, rng=0)
    assert solution.converged
    expected = np.linalg.solve(G + damping * np.diag(inverse), c)
    np.testing.assert_allclose(solution.x, expected, rtol=0, atol=1e-7 * np.abs(expected).max())


def test_a_weight_of_zero_drops_its_equation():
    J, matrix = khatri_rao(np.random.default_rng(12))
    c, weights = np.random.default_rng(13).standard_normal(N), np.ones(N)
    weights[[2, 5]] = 0.0
    kept = weights > 0
    G = (matrix @ matrix.T)[np.ix_(kept, kept)]
    for method in ("exact", "pcg", "sketch"):
        x = gram_solve(J, c, method, damping=1.0, weights=weights, sketch_size=64 * N, rng=0).x
        assert not x[~kept].any()
        expected = np.linalg.solve(G + np.eye(kept.sum()), c[kept])
        rtol = 0.5 if method == "sketch" else 1e-8
        np.testing.assert_allclose(x[kept], expected, rtol=0, atol=rtol * np.abs(expected).max())


def test_a_solver_leaves_no_gram_matrix_behind():
    J, _ = khatri_rao(np.random.default_rng(14))
    gram_solve(J, np.ones(N), "exact")
    assert not J.formed


def test_cross_gram_matrices_are_those_of_two_sets_of_rows():
    rng = np.random.default_rng(15)
    (J, left), (other, right) = khatri_rao(rng), khatri_rao(rng)
    np.testing.assert_allclose(J.gram(other), left @ right.T, rtol=0, atol=1e-12)
    (J, left), (other, right) = layers(rng), layers(rng)
    np.testing.assert_allclose(J.gram(other), left @ right.T, rtol=0, atol=1e-10)


def dense_pair(rng, n_rows, groups=None):
    """Two dense factors for the layer of M neurons and WIDTH inputs, and the matrix."""
    U, V = rng.standard_normal((n_rows, M)), rng.standard_normal((n_rows, WIDTH))
    matrix = rows(U, V)
    if groups:
        matrix = np.stack([matrix[a:b].sum(axis=0) for a, b in itertools.pairwise(groups)])
    return KhatriRao(U, V, groups), matrix


def bits_pair(rng, n, make):
    """A Jacobian of bits for the same layer, and the matrix."""
    D, V, a = rng.random((n, M)) < 0.3, rng.standard_normal((n, WIDTH)), rng.standard_normal(M)
    return make(D, a, V), rows(D * a, V)


def fired_pair(rng):
    return bits_pair(rng, 6, lambda D, a, V: FiredJacobian(bits(D), a, V, V @ V.T))


def matrix_free_pair(rng):
    def make(D, a, X):
        return MatrixFreeJacobian(np.packbits(D.T, axis=1, bitorder="little"), a, X)

    return bits_pair(rng, 4, make)


SAME_LAYER = {
    "Khatri-Rao": lambda rng: dense_pair(rng, 5),
    "grouped": lambda rng: dense_pair(rng, 7, [0, 4, 4, 7]),
    "fired": fired_pair,
    "matrix-free": matrix_free_pair,
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("second", SAME_LAYER)
@pytest.mark.parametrize("first", SAME_LAYER)
def test_kinds_of_one_layer_have_cross_gram_matrices(first, second, weighted):
    rng = np.random.default_rng(19)
    (J, left), (other, right) = SAME_LAYER[first](rng), SAME_LAYER[second](rng)
    if weighted:
        scales = rng.random(len(left)), rng.random(len(right))
        J, other = ScaledRows(J, scales[0]), ScaledRows(other, scales[1])
        plain = J._J, left
        np.testing.assert_allclose(plain[0].gram(other), left @ (scales[1][:, None] * right).T)
        left, right = (s[:, None] * x for s, x in zip(scales, (left, right), strict=True))
    np.testing.assert_allclose(J.gram(other), left @ right.T, rtol=0, atol=1e-11)


def test_sums_of_kinds_have_cross_gram_matrices():
    rng = np.random.default_rng(20)
    (J, left), (other, right) = grouped_layers(rng), grouped_layers(rng)
    np.testing.assert_allclose(J.gram(other), left @ right.T, rtol=0, atol=1e-10)
    weights = rng.random(N)
    expected = left @ right.T * weights
    np.testing.assert_allclose(J.gram(ScaledRows(other, weights)), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "explicit"])
def test_a_cross_gram_matrix_with_what_is_no_jacobian_is_refused_in_a_sentence(kind):
    J, _ = KINDS[kind](np.random.default_rng(21))
    with pytest.raises(TypeError, match=r"^other must be a [\w ]+; got .*\.$"):
        J.gram(3.0)
    if "sum" not in kind:
        with pytest.raises(
            ValueError, match=r"^other must have factors of .* columns; got 2 and 3"
        ):
            J.gram(KhatriRao(np.ones((4, 2)), np.ones((4, 3)), [0, 4]))


def test_bits_are_transposed_and_read():
    D = np.random.default_rng(16).random((70, 130)) < 0.4
    np.testing.assert_array_equal(transposed_bits(bits(D), 130, 2), bits(D.T))
    np.testing.assert_array_equal(bits_as_numbers(bits(D), 130), D)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda J: JacobianSum([]), ValueError, "^parts must hold at least one Jacobian"),
        (lambda J: JacobianSum([J, 3]), TypeError, r"^parts\[1\] must be a Jacobian; got int"),
        (
            lambda J: JacobianSum([J, KhatriRao(np.ones((2, 1)), np.ones((2, 1)))]),
            ValueError,
            r"^parts\[1\] must have 11 rows, as parts\[0\]; got 2",
        ),
        (lambda J: JacobianSum([J, J]).matvec([1]), ValueError, "^X must have one entry for each"),
        (lambda J: JacobianSum([J]).gram(J), TypeError, "^other must be a JacobianSum of 1 layers"),
        (lambda J: J.gram(np.ones((2, 2))), TypeError, "^other must be a KhatriRao; got ndarray"),
        (
            lambda J: J.gram(KhatriRao(np.ones((2, 8)), np.ones((2, 1)))),
            ValueError,
            "^other must have factors of 8 and 6 columns; got 8 and 1",
        ),
        (lambda J: J.product(np.ones(3)), ValueError, r"^g must have shape \(11,\); got \(3,\)"),
        (lambda J: gram_solve(KhatriRao, np.ones(N)), TypeError, "^J must be a Jacobian"),
        (lambda J: gram_solve(J, np.ones(N), weights=-np.ones(N)), ValueError, "^weights must be"),
    ],
)
def test_impossible_arguments_are_refused_by_name(call, error, message):
    J, _ = khatri_rao(np.random.default_rng(17))
    with pytest.raises(error, match=message):
        call(J)


class Direct:
    """A user's own solver, which takes weights."""

    name = "direct"

    def solve(self, J, c, damping=0.0, weights=None):
        inverse = np.ones(J.n) if weights is None else 1 / weights
        x = np.linalg.solve(J.gram() + damping * np.diag(inverse), c)
        return Solution(x, 0, 0.0, True, "Solved.")


def test_a_trainer_hands_its_weights_to_a_solver_of_the_users_own():
    from layers import fit, problem

    layer, _, y = problem()
    weights = np.random.default_rng(18).uniform(0.5, 2.0, layer.n)
    options = {"sample_weight": weights, "regularization": 0.1, "max_steps": 3}
    expected = fit(layer, y, **options)
    found = fit(layer, y, solver=Direct(), **options)
    np.testing.assert_allclose(found.outputs, expected.outputs, atol=1e-9)


@pytest.mark.parametrize("readout", ["even", "uneven"])
def test_columns_of_bits_are_those_of_a_gram_matrix_that_is_kept(rng, readout):
    J, matrix = fired(readout)(rng)
    points = np.array([7, 0, 7])
    before = J.columns(points)
    kept = kept_gram(J)
    after = J.columns(points)
    np.testing.assert_allclose(before, matrix @ matrix[points].T, rtol=1e-12, atol=1e-12)
    np.testing.assert_array_equal(after, kept[:, points])
    np.testing.assert_allclose(after, before, rtol=1e-12, atol=1e-12)
    after[:] = 0.0  # an array of the caller's own
    np.testing.assert_array_equal(J.columns(points), kept[:, points])
