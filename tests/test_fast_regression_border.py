"""fast_regression takes A in every form it names, and refuses the rest in one sentence."""

import warnings

import numpy as np
import pytest
import scipy.sparse
from reference_solvers import problem, relative_residual
from scipy.sparse.linalg import LinearOperator, aslinearoperator

from subquad import KhatriRao
from subquad.sketch import SRHT, CountSketch, GaussianSketch, TensorSketch
from subquad.solvers import SolverWarning, fast_least_squares, fast_regression

PRECONDITIONERS = ["sketch", "exact"]
SKETCH = {"preconditioner": "sketch", "rng": 0}


def sparse_problem(n=3000, k=40, density=0.05, seed=0):
    rng = np.random.default_rng(seed)
    A = scipy.sparse.random_array((n, k), density=density, rng=rng, format="csr")
    return A, A.T @ rng.standard_normal(n)


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_sparse_matrices_give_what_dense_ones_give(index, preconditioner):
    A, y = sparse_problem()
    A.indices, A.indptr = A.indices.astype(index), A.indptr.astype(index)
    solution = fast_regression(A, y, preconditioner=preconditioner, rtol=1e-12, rng=0)
    assert relative_residual(A.toarray(), y, solution.x) <= 1.1e-12
    dense = fast_regression(A.toarray(), y, preconditioner=preconditioner, rtol=1e-12, rng=0)
    np.testing.assert_allclose(solution.x, dense.x, rtol=1e-8)


def test_unsorted_and_duplicate_indices_are_summed_and_left_as_they_were(rng):
    rows, columns = np.repeat(np.arange(400), 3), rng.integers(0, 8, 1200)
    values = rng.standard_normal(1200)
    A = scipy.sparse.csr_array((values, columns, np.arange(0, 1201, 3)), shape=(400, 8))
    before = A.indices.copy()
    dense = np.zeros((400, 8))
    np.add.at(dense, (rows, columns), values)
    y = rng.standard_normal(8)
    x = fast_regression(A, y, rtol=1e-12, **SKETCH).x
    assert relative_residual(dense, y, x) <= 1.1e-12
    assert np.array_equal(A.indices, before)


@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_operators_are_known_by_their_products_alone(preconditioner):
    A, b, y = problem(n=600, k=40)
    op = LinearOperator(
        A.shape, matvec=lambda x: A @ x, rmatvec=lambda v: A.T @ v, dtype=np.float64
    )
    solution = fast_regression(op, y, preconditioner=preconditioner, sketch_size=160, rng=0)
    assert relative_residual(A, y, solution.x) <= 1.1e-10
    assert fast_least_squares(op, b, **SKETCH).converged


def test_float32_operators_stop_at_the_floor_of_their_dtype():
    A, _, y = problem(cond=10.0)
    A = A.astype(np.float32)
    op = LinearOperator(
        A.shape,
        matvec=lambda x: A @ x.ravel().astype(np.float32),
        rmatvec=lambda v: A.T @ v.ravel().astype(np.float32),
        dtype=np.float32,
    )
    with pytest.warns(SolverWarning, match="rounding floor"):
        solution = fast_regression(op, y, **SKETCH)
    assert relative_residual(A.astype(float), y, solution.x) <= 1e-5
    assert fast_regression(op, y, rtol=1e-4, **SKETCH).converged


def test_float32_arrays_lose_no_accuracy():
    A, _, _ = problem(cond=1e3)
    A = A.astype(np.float32)
    y = A.astype(float).T @ np.ones(len(A))
    solution = fast_regression(A, y, rtol=1e-12, **SKETCH)
    assert relative_residual(A.astype(float), y, solution.x) <= 1.1e-12
    assert solution.x.dtype == np.float64


@pytest.mark.parametrize(("n", "m_u", "m_v"), [(12, 40, 30), (40, 20, 4), (24, 1024, 3)])
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_khatri_rao_stands_for_its_transpose(n, m_u, m_v, preconditioner, rng):
    J = KhatriRao(rng.standard_normal((n, m_u)), rng.standard_normal((n, m_v)))
    A = J.to_dense().T
    b, y = rng.standard_normal(m_u * m_v), rng.standard_normal(n)
    solution = fast_regression(J, y, preconditioner=preconditioner, rng=0)
    assert relative_residual(A, y, solution.x) <= 1.1e-10
    x = fast_least_squares(J, b, preconditioner=preconditioner, rng=0).x
    np.testing.assert_allclose(x, np.linalg.lstsq(A, b)[0], atol=1e-8)


def test_khatri_rao_with_sparse_factors(rng):
    U = scipy.sparse.random_array((20, 300), density=0.1, rng=rng, format="csr")
    J = KhatriRao(U, rng.standard_normal((20, 5)))
    y = rng.standard_normal(20)
    assert relative_residual(J.to_dense().T, y, fast_regression(J, y, **SKETCH).x) <= 1.1e-10


def test_khatri_rao_is_sketched_without_being_formed(rng):
    J = KhatriRao(rng.standard_normal((12, 40)), rng.standard_normal((12, 30)))
    y = rng.standard_normal(12)
    for sketch in ("count", "srht", TensorSketch((40, 30), 100, rng=0)):
        solution = fast_regression(J, y, sketch=sketch, rng=0)
        assert solution.info["preconditioner"] == "sketch"
        assert relative_residual(J.to_dense().T, y, solution.x) <= 1.1e-10
    with pytest.raises(ValueError, match="sketch must be 'count' or 'srht' for a KhatriRao"):
        fast_regression(J, y, sketch="gaussian")


@pytest.mark.parametrize("sketch", [CountSketch, SRHT, GaussianSketch])
def test_a_sketch_object_may_be_given(sketch):
    A, _, y = problem()
    solution = fast_regression(A, y, sketch=sketch(400, 96, rng=0))
    assert solution.converged
    assert (solution.info["sketch"], solution.info["sketch_size"]) == (sketch.__name__, 96)


@pytest.mark.parametrize("form", ["Fortran", "big-endian", "read-only", "strided", "memmap"])
def test_layouts_give_the_same_bits_and_are_not_written_to(form, tmp_path):
    A, _, y = problem()
    expected = fast_regression(A, y, **SKETCH).x
    if form == "Fortran":
        B = np.asfortranarray(A)
    elif form == "big-endian":
        B, y = A.astype(">f8"), y.astype(">f8")
    elif form == "read-only":
        B = A.copy()
        B.flags.writeable = y.flags.writeable = False
    elif form == "strided":
        B = np.repeat(A, 2, axis=1)[:, ::2]
    else:
        np.save(tmp_path / "A.npy", A)
        B = np.load(tmp_path / "A.npy", mmap_mode="r")
    assert np.array_equal(fast_regression(B, y, **SKETCH).x, expected)
    assert np.array_equal(B, A)


def test_the_seed_decides_and_threads_do_not(n_threads):
    A, _, y = problem(n=5000)
    x = fast_regression(A, y, sketch_size=100, n_threads=1, **SKETCH).x
    assert np.array_equal(
        fast_regression(A, y, sketch_size=100, n_threads=n_threads, **SKETCH).x, x
    )


@pytest.mark.parametrize("shape", [(1, 1), (5, 1), (3, 3)])
@pytest.mark.parametrize("preconditioner", PRECONDITIONERS)
def test_smallest_matrices(shape, preconditioner):
    A = np.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape) + np.eye(*shape)
    y = A.T @ np.ones(shape[0])
    x = fast_regression(A, y, preconditioner=preconditioner, rng=0).x
    np.testing.assert_allclose(A.T @ (A @ x), y, rtol=1e-9)


# What it refuses


def call(**changes):
    A, _, y = problem()
    arguments = {"A": A, "y": y, "rng": 0} | changes
    return fast_regression(arguments.pop("A"), arguments.pop("y"), **arguments)


NAN = np.full((400, 12), np.nan)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            {"sketch_size": 5},
            ValueError,
            "sketch_size must be at least 12, .*; got 5. 24 is the sm",
        ),
        ({"sketch": CountSketch(400, 5)}, ValueError, "sketch_size must be at least 12"),
        ({"sketch": CountSketch(300, 50)}, ValueError, "sketch must have n_features 400"),
        ({"sketch": CountSketch(400, 50), "sketch_size": 9}, ValueError, "must be 50, that of"),
        ({"sketch": "fourier"}, ValueError, "sketch must be one of count, srht, gaussian; got 'f"),
        ({"sketch": np.eye(3)}, TypeError, "sketch must be a name or have sketch_size and apply"),
        ({"sketch_size": 40.0}, TypeError, "sketch_size must be an integer; got 40.0"),
        (
            {"preconditioner": "qr"},
            ValueError,
            "preconditioner must be 'auto', 'sketch' or 'exact'",
        ),
        ({"rtol": -1e-3}, ValueError, "rtol must be at least 0.0; got -0.001"),
        ({"rtol": 1.5}, ValueError, "rtol must be at most 1.0; got 1.5"),
        ({"rtol": np.nan}, ValueError, "rtol must be finite"),
        ({"damping": -1.0}, ValueError, "damping must be at least 0.0; got -1.0"),
        ({"max_iterations": 0}, ValueError, "max_iterations must be at least 1; got 0"),
        ({"rng": "seed"}, TypeError, "rng must be None, an integer seed or"),
        ({"n_threads": 0}, ValueError, "n_threads must be positive"),
        ({"y": np.ones(5)}, ValueError, r"y must have shape \(12,\); got \(5,\)"),
        ({"y": np.full(12, np.inf)}, ValueError, "y must be finite"),
        ({"y": np.ones(12, complex)}, TypeError, "y must be a float32 or float64 array; got compl"),
        ({"A": NAN}, ValueError, "A must be finite in float64; got 4800 NaN"),
        ({"A": scipy.sparse.csr_array(NAN)}, ValueError, "A.data must be finite"),
        ({"A": aslinearoperator(NAN)}, ValueError, "A must have real, finite products"),
        ({"A": aslinearoperator(1j * np.ones((4, 12)))}, TypeError, "A must be a real LinearOper"),
        ({"A": np.ones((0, 12))}, ValueError, "A must have at least 1 row and 1 column"),
        ({"A": scipy.sparse.csr_array((0, 12))}, ValueError, "A must have at least 1 row and 1 co"),
        ({"A": np.ones(12)}, ValueError, r"A must have shape \(any, any\); got \(12,\)"),
        ({"A": np.ones((400, 12), int)}, TypeError, "A must be a float32 or float64 array"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(changes, error, message):
    with pytest.raises(error, match=message):
        call(**changes)


def test_too_few_iterations_are_a_warning_that_says_what_to_do():
    with pytest.warns(SolverWarning, match="stopped after 2 iterations .* raise sketch_size or"):
        solution = call(sketch_size=24, max_iterations=2)
    assert not solution.converged
    assert solution.n_iterations == 2


@pytest.mark.parametrize("scale", [2.0**1010, 2.0**-700])
def test_right_hand_sides_may_be_huge_or_tiny(scale):
    A, b, y = problem()
    for solve, given in ((fast_regression, y), (fast_least_squares, b)):
        solution = solve(A, scale * given, **SKETCH)
        assert solution.converged
        assert np.array_equal(solution.x / scale, solve(A, given, **SKETCH).x)


def test_overflowing_products_are_never_a_silent_wrong_number():
    A, _, y = problem()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for scale in (1e200, 1e-200):
            solution = fast_regression(scale * A, y, **SKETCH)
            assert not solution.converged


def test_iterations_beyond_all_accuracy_do_not_overflow():
    rng = np.random.default_rng(0)
    A = np.repeat(rng.standard_normal((1, 6)), 100, axis=0)
    b = np.maximum(rng.standard_normal(100), 0.0)
    for seed in range(5):
        x = fast_least_squares(aslinearoperator(A), b, rtol=0.0, rng=seed).x
        np.testing.assert_allclose(A @ x, np.full(100, b.mean()), rtol=1e-12)
