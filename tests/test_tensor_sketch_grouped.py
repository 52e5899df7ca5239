"""Sketches of sums of tensor products by group are those of the explicit sums."""

import itertools
import tracemalloc

import numpy as np
import pytest
import scipy.sparse

from subquad._groups import Groups
from subquad.jacobian import JacobianSum, KhatriRao
from subquad.sketch import TensorSketch, TensorSRHT, _group_matrices
from subquad.sketch import _tensor_base as base
from subquad.sketch._rows import as_rows

COUNTS = {
    "some empty": [3, 0, 1, 5, 1, 1, 0, 0, 7, 0],
    "one group": [6],
    "single rows": [1, 1, 1, 1],
    "longer than blocks": [2, 500, 0, 3],
    "many of one size": [5] * 80,
    "blocks end within empty ones": [63, 0, 1, 0, 0, 64, 1, 300, 0],
}
M_U, M_V = 12, 9
SKETCHES = {
    "even": TensorSketch((M_U, M_V), 64, rng=0),
    "odd": TensorSketch((M_U, M_V), 45, rng=1),
    "SRHT": TensorSRHT((M_U, M_V), 50, rng=2),
}
TOLERANCE = {np.float32: 2e-6, np.float64: 1e-13}


@pytest.fixture(params=SKETCHES.values(), ids=SKETCHES.keys())
def sketch(request, monkeypatch):
    """A sketch that sums transforms; a test of its own compares the way through matrices."""
    monkeypatch.setattr(TensorSketch, "_prefers_matrices", lambda *_: False)
    return request.param


def pointers(counts):
    return np.concatenate([[0], np.cumsum(counts)])


def problem(counts, dtype=np.float64, one_hot=False):
    """U, V, the pointers, and the explicit J in float64."""
    rng, indptr = np.random.default_rng(41), pointers(counts)
    n_rows = indptr[-1]
    U, V = rng.standard_normal((n_rows, M_U)), rng.standard_normal((n_rows, M_V))
    if one_hot:
        V = np.eye(M_V)[rng.integers(0, M_V, n_rows)]
    U, V = U.astype(dtype), V.astype(dtype)
    pairs = np.einsum("tj,tk->tjk", U.astype(float), V.astype(float)).reshape(n_rows, -1)
    J = np.stack([pairs[a:b].sum(axis=0) for a, b in itertools.pairwise(indptr)])
    return U, V, indptr, J


def assert_close(found, expected, dtype):
    assert found.dtype == dtype
    assert found.shape == expected.shape
    atol = TOLERANCE[dtype] * np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", COUNTS)
def test_sketches_are_those_of_the_explicit_sums(case, dtype, sketch):
    U, V, groups, J = problem(COUNTS[case], dtype)
    expected = J @ sketch.matrix().T
    found = sketch.apply(U, V, groups=groups)
    assert_close(found, expected, dtype)
    np.testing.assert_array_equal(sketch.apply(U, sketch.prepare(V), groups=groups), found)
    assert_close(sketch.gram(U, V, groups=groups), expected @ expected.T, dtype)
    prepared = sketch.prepare(V)
    assert_close(sketch.gram(U, prepared, groups=groups), expected @ expected.T, dtype)
    out = np.full(expected.shape, np.nan, dtype)
    assert sketch.apply(U, V, out=out, groups=groups) is out
    np.testing.assert_array_equal(out, found)
    empty = np.diff(groups) == 0
    assert not found[empty].any()


@pytest.mark.parametrize("case", ["some empty", "longer than blocks"])
def test_sparse_factors_are_sketched(case, sketch):
    U, V, groups, J = problem(COUNTS[case], one_hot=True)
    expected = J @ sketch.matrix().T
    csr = scipy.sparse.csr_array
    for pair in ((U, csr(V)), (csr(U), V), (csr(U), csr(V))):
        assert_close(sketch.apply(*pair, groups=groups), expected, np.float64)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", COUNTS)
def test_the_number_of_threads_changes_no_bit(case, dtype, sketch, monkeypatch):
    monkeypatch.setattr("subquad.sketch._base._WORK_PER_THREAD", 1)
    U, V, groups, _ = problem(COUNTS[case], dtype)
    expected = sketch.apply(U, V, n_threads=1, groups=groups)
    for n_threads in (2, 5):
        found = sketch.apply(U, V, n_threads=n_threads, groups=groups)
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("entries", [1, 40, 2**18])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", COUNTS)
def test_the_way_through_matrices_agrees(case, dtype, entries, n_threads, monkeypatch):
    monkeypatch.setattr(_group_matrices, "_ENTRIES", entries)
    monkeypatch.setattr("subquad.sketch._base._WORK_PER_THREAD", 1)
    U, V, groups, J = problem(COUNTS[case], dtype)
    for name in ("even", "odd"):
        sketch = SKETCHES[name]
        ways = []
        for prefers in (True, False):
            monkeypatch.setattr(TensorSketch, "_prefers_matrices", lambda *_, p=prefers: p)
            ways.append(sketch.apply(U, V, groups=groups, n_threads=n_threads))
            expected = J @ sketch.matrix().T
            assert_close(ways[-1], expected, dtype)
            G = sketch.gram(U, V, groups=groups, n_threads=n_threads)
            assert_close(G, expected @ expected.T, dtype)
        assert_close(ways[0], ways[1].astype(float), dtype)


def test_the_way_follows_the_sizes():
    """Matrices for many positions of a small layer, transforms for a large layer or CSR."""

    def prefers(n_rows, m_u, m_v, counts):
        shapes = np.broadcast_to(1.0, (n_rows, m_u)), np.broadcast_to(1.0, (n_rows, m_v))
        return _group_matrices.prefers_matrices(*shapes, Groups(pointers(counts)), 1024)

    assert prefers(1960, 32, 27, [196] * 10)
    assert not prefers(1280, 3072, 768, [128] * 10)
    assert not prefers(20, 300, 300, [2] * 10)
    U, V, _, _ = problem([6])
    groups = Groups(pointers([6]))
    assert _group_matrices.prefers_matrices(U, V, groups, 64)
    assert not _group_matrices.prefers_matrices(
        U, as_rows(scipy.sparse.csr_array(V), "V"), groups, 64
    )


def test_groups_of_single_rows_are_the_rows(sketch):
    U, V, _, _ = problem([1] * 100)
    rows = sketch.apply(U, V)
    np.testing.assert_allclose(sketch.apply(U, V, groups=np.arange(101)), rows, atol=1e-13)


def test_gram_matrices_agree_by_panels(sketch, monkeypatch):
    U, V, groups, J = problem(COUNTS["some empty"])
    monkeypatch.setattr(base, "_PANEL_BYTES", 3 * 8 * sketch.sketch_size)
    rows = J @ sketch.matrix().T
    assert_close(sketch.gram(U, V, groups=groups), rows @ rows.T, np.float64)


def test_jacobians_are_sketched_by_groups(sketch):
    U, V, groups, matrix = problem(COUNTS["some empty"])
    J, expected = KhatriRao(U, V, groups), matrix @ sketch.matrix().T
    for _ in range(2):
        assert_close(J.sketch(sketch), expected, np.float64)
        assert_close(J.sketched_gram(sketch), expected @ expected.T, np.float64)
    layers = JacobianSum([J, KhatriRao(matrix[:, :M_U].copy(), matrix[:, :M_V].copy())])
    second = matrix[:, :M_U, None] * matrix[:, None, :M_V]
    both = expected + second.reshape(len(matrix), -1) @ sketch.matrix().T
    assert_close(layers.sketch((sketch, sketch)), both, np.float64)


def test_memory_is_that_of_blocks_of_rows_and_of_the_result(monkeypatch):
    """The transforms of all 20000 rows would take 164 MB; those of a block take 64 rows."""
    monkeypatch.setattr(TensorSketch, "_prefers_matrices", lambda *_: False)
    sketch, rng = TensorSketch((M_U, M_V), 1024, rng=0), np.random.default_rng(42)
    U, V = rng.standard_normal((20_000, M_U)), rng.standard_normal((20_000, M_V))
    groups = np.arange(0, 20_001, 500)

    def peak():
        tracemalloc.start()
        sketch.apply(U, V, n_threads=1, groups=groups)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    peak()
    row = 8 * 1024
    # The result, the rows of which a group waits for the next block, workspaces, and row numbers.
    assert peak() < row * (40 + 20_000 / 32 + 8 * 64) + 4 * 8 * 20_000


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("side", ["U", "V"])
@pytest.mark.parametrize("matrices", [False, True])
def test_nan_and_infinity_are_refused_by_name(side, bad, sketch, matrices, monkeypatch):
    monkeypatch.setattr(TensorSketch, "_prefers_matrices", lambda *_: matrices)
    U, V, groups, _ = problem(COUNTS["longer than blocks"])
    (U if side == "U" else V)[450, 2] = bad
    with pytest.raises(ValueError, match=rf"^{side} must be finite .* index \(450, 2\)"):
        sketch.apply(U, V, groups=groups)
    with pytest.raises(ValueError, match=rf"^{side} must be finite"):
        sketch.gram(U, V, groups=groups)


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([0, 4, 2, 6], ValueError, "^groups must not decrease; got 2 after 4, at index 2.$"),
        ([0, 5], ValueError, "^groups must end at 6, the number of rows; got 5.$"),
        ([1, 6], ValueError, "^groups must begin at 0; got 1.$"),
        ([0.0, 6.0], TypeError, "^groups must be an array of integers; got float64.$"),
    ],
)
def test_what_does_not_divide_the_rows_is_refused_in_a_sentence(groups, error, message, sketch):
    U, V, _, _ = problem([6])
    for method in (sketch.apply, sketch.gram):
        with pytest.raises(error, match=message):
            method(U, V, groups=groups)
        with pytest.raises(error, match=message):
            method(U, sketch.prepare(V), groups=groups)


def test_an_output_of_the_wrong_rows_is_refused(sketch):
    U, V, groups, _ = problem([2, 4])
    with pytest.raises(ValueError, match=r"^out must have shape"):
        sketch.apply(U, V, out=np.empty((6, sketch.sketch_size)), groups=groups)
