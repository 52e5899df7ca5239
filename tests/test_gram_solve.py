"""`gram_solve`: every method against dense algebra, what it says of itself, what it refuses."""

import tempfile

import numpy as np
import pytest
import scipy.sparse

from subquad.jacobian import KhatriRao, kept_gram
from subquad.solvers import AutoSolver, ExactSolver, PcgSolver, SketchSolver, gram_solve
from subquad.solvers.gram import cost

METHODS = ["exact", "sketch", "pcg", "auto"]
ACCURATE = ["exact", "pcg", "auto"]


def factors(rng, n=40, m_u=300, m_v=12, density=0.3):
    U = rng.standard_normal((n, m_u)) * (rng.random((n, m_u)) < density)
    return U, rng.standard_normal((n, m_v))


def dense(U, V):
    J = (U[:, :, None] * V[:, None, :]).reshape(len(U), -1)
    return J.astype(np.float64)


def relative_residual(J, x, c, damping=0.0):
    return np.linalg.norm(c - J @ (J.T @ x) - damping * x) / np.linalg.norm(c)


def readonly_fortran(x):
    x = np.asfortranarray(x)
    x.flags.writeable = False
    return x


def memory_mapped(x):
    with tempfile.TemporaryFile() as file:
        mapped = np.memmap(file, x.dtype, shape=x.shape)
    mapped[:] = x
    return mapped


def unsorted_with_duplicates(x):
    rows, columns = np.nonzero(x)
    halves = np.tile(x[rows, columns] / 2, 2)
    order = np.lexsort((-np.tile(columns, 2), np.tile(rows, 2)))
    indptr = np.searchsorted(np.tile(rows, 2)[order], np.arange(len(x) + 1))
    indices = np.tile(columns, 2)[order]
    return scipy.sparse.csr_array((halves[order], indices.astype(np.int64), indptr), shape=x.shape)


FORMS = {
    "memory-mapped": lambda U, V: (memory_mapped(U), memory_mapped(V)),
    "CSR unsorted": lambda U, V: (unsorted_with_duplicates(U), V),
    "dense": lambda U, V: (U, V),
    "CSR U": lambda U, V: (scipy.sparse.csr_array(U), V),
    "CSR V": lambda U, V: (U, scipy.sparse.csr_array(V)),
    "CSR both": lambda U, V: (scipy.sparse.csr_array(U), scipy.sparse.csr_array(V)),
    "read-only Fortran": lambda U, V: (readonly_fortran(U), readonly_fortran(V)),
    "big-endian": lambda U, V: (U.astype(">f8"), V.astype(">f8")),
    "strided": lambda U, V: (np.repeat(U, 2, axis=1)[:, ::2], V),
}


@pytest.mark.parametrize("damping", [0.0, 0.5])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("method", ACCURATE)
def test_every_method_solves_the_system(method, form, damping, rng):
    U, V = factors(rng)
    c = rng.standard_normal(len(U))
    solution = gram_solve(KhatriRao(*FORMS[form](U, V)), c, method, damping=damping, rng=0)
    assert solution.converged
    assert relative_residual(dense(U, V), solution.x, c, damping) <= 1.01e-10
    true = np.linalg.norm(c) * relative_residual(dense(U, V), solution.x, c, damping)
    assert abs(solution.residual_norm - true) <= 1e-12 * np.linalg.norm(c)


@pytest.mark.parametrize("method", ACCURATE)
def test_float32_factors_are_summed_in_float64(method, rng):
    U, V = (x.astype(np.float32) for x in factors(rng))
    c = rng.standard_normal(len(U)).astype(np.float32)
    solution = gram_solve(KhatriRao(U, V), c, method, rng=0)
    assert solution.x.dtype == np.float64
    assert solution.converged
    assert relative_residual(dense(U.astype(float), V.astype(float)), solution.x, c) <= 1.01e-10


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("formed", [False, True])
def test_products_with_and_without_the_gram_matrix_agree_with_dense_algebra(form, formed, rng):
    U, V = factors(rng)
    jacobian = KhatriRao(*FORMS[form](U, V))
    system, J, g = KhatriRao(jacobian.U, jacobian.V), dense(U, V), rng.standard_normal(len(U))
    if formed:
        np.testing.assert_allclose(kept_gram(system), J @ J.T, rtol=1e-12, atol=1e-10)
    assert system.formed is formed
    np.testing.assert_allclose(system.product(g), J @ (J.T @ g), rtol=1e-12, atol=1e-10)
    np.testing.assert_allclose(system.diagonal(), np.square(J).sum(axis=1), rtol=1e-12)
    points = np.array([1, 5, 30])
    np.testing.assert_allclose(system.columns(points), J @ J[points].T, rtol=1e-12, atol=1e-10)


def test_the_error_of_a_sketched_solution_follows_the_condition_number(rng):
    n = 40
    for decades in (0, 2, 4):  # kappa = 10^decades: U of orthogonal rows of falling length
        Q, _ = np.linalg.qr(rng.standard_normal((400, n)))
        U, V = Q.T * np.logspace(0, -decades / 2, n)[:, None], np.ones((n, 1))
        c = rng.standard_normal(n)
        solution = gram_solve(KhatriRao(U, V), c, "sketch", sketch_size=64 * n, rng=1)
        info = solution.info
        assert 0.3 <= info["condition"] / 10.0**decades <= 3
        assert info["epsilon"] == pytest.approx(0.265625)
        estimate = info["epsilon"] * np.sqrt(info["condition"])
        assert info["error_estimate"] == pytest.approx(estimate)
        left = solution.residual_norm / np.linalg.norm(c)
        assert 0.05 * estimate <= left <= estimate
        assert not solution.converged
        assert "sqrt(kappa)" in solution.message
        again = gram_solve(KhatriRao(U, V), c, "sketch", sketch_size=64 * n, rtol=1.0, rng=1)
        assert again.converged == (left <= 1)


def test_a_sketched_solution_may_go_without_its_residual(rng):
    U, V = factors(rng)
    c = rng.standard_normal(40)
    J = KhatriRao(U, V)
    checked, hasty = (gram_solve(J, c, "sketch", rng=0, verify=v, rtol=1.0) for v in (True, False))
    np.testing.assert_array_equal(checked.x, hasty.x)
    assert checked.converged
    assert not hasty.converged
    assert np.isnan(hasty.residual_norm)
    assert "not verified" in hasty.message


@pytest.mark.parametrize("method", METHODS)
def test_the_solution_says_how_it_was_reached(method, rng):
    U, V = factors(rng)
    J = KhatriRao(U, V)
    solution = gram_solve(J, rng.standard_normal(40), method, rng=0)
    info, kappa = solution.info, np.linalg.cond(J.gram())
    assert info["method"] == (method if method != "auto" else "exact")
    assert kappa / 30 <= info["condition"] <= 30 * kappa
    assert info.get("sketch_size", 0) == {"sketch": 640, "pcg": 160}.get(method, 0)
    assert (solution.n_iterations > 0) == (method == "pcg")
    if method == "auto":
        assert info["forecast"]["exact"] < info["forecast"]["pcg"]


def test_the_forecast_decides_and_the_gram_matrix_is_formed_only_where_that_pays():
    wide = KhatriRao(np.ones((900, 2000)), np.ones((900, 500)))
    assert cost.forming_pays(wide, 30)
    thin = KhatriRao(np.ones((2500, 4)), np.ones((2500, 1)))
    assert not cost.forming_pays(thin, 30)
    forecast = AutoSolver().forecast(thin)
    assert forecast["pcg"] < forecast["exact"]
    J, c = KhatriRao(thin.U * np.arange(2500)[:, None], thin.V), np.arange(2500.0)
    solution = gram_solve(J, c, damping=1.0, rng=0)
    assert solution.info["method"] == "pcg"
    assert not solution.info["formed"]
    assert solution.converged


def test_many_rows_are_solved_in_memory_linear_in_n_by_landmarks(rng):
    U, V = rng.standard_normal((2100, 24)), rng.standard_normal((2100, 3))
    c = rng.standard_normal(2100)
    solution = gram_solve(KhatriRao(U, V), c, "pcg", damping=10.0, rng=0)
    assert solution.info["sketch_size"] == 512
    assert not solution.info["formed"]
    assert solution.converged
    assert relative_residual(dense(U, V), solution.x, c, 10.0) <= 1.01e-10


def test_landmarks_are_kept_while_they_serve_and_taken_anew_when_they_do_not(rng):
    def system(seed):
        X = np.random.default_rng(seed).standard_normal((200, 3))
        return KhatriRao((X @ rng.standard_normal((3, 100)) > 0) / 10.0, X)

    solver, c = PcgSolver(landmarks=60, rng=0, rtol=1e-8), rng.standard_normal(200)
    first, other = system(0), system(1)
    factors, iterations = [], []
    for G, damping in [(first, 0.1), (first, 0.1), (other, 0.1), (other, 0.1), (other, 0.2)]:
        solution = solver.solve(G, c, damping)
        assert solution.converged
        left = G.gram() @ solution.x + damping * solution.x - c
        assert np.linalg.norm(left) <= 1.01e-8 * np.linalg.norm(c)
        factors.append(solver._factor)
        iterations.append(solution.n_iterations)
    assert factors[0] is factors[1]  # the same system
    assert factors[1] is factors[2]  # another one: tried,
    assert iterations[2] > 1.25 * iterations[0] + 2  # found wanting,
    assert factors[3] is not factors[2]  # replaced
    assert iterations[3] < iterations[2]
    assert factors[4] is not factors[3]  # another damping


def test_landmarks_spare_iterations(rng):
    X = rng.standard_normal((300, 3))
    system = KhatriRao((X @ rng.standard_normal((3, 200)) > 0) / 14.0, X)
    c, trace = rng.standard_normal(300), system.diagonal().sum()
    spent = [
        PcgSolver(landmarks=p, rng=0, rtol=1e-8).solve(system, c, 1e-4 * trace).n_iterations
        for p in (1, 30, 300)
    ]
    assert spent[0] > 2 * spent[1] > 2 * spent[2]
    assert spent[2] <= 3


@pytest.mark.parametrize("method", METHODS)
def test_repeated_and_zero_rows_are_solved_in_the_range_and_it_is_said(method, rng):
    U, V = factors(rng, n=30)
    U, V = np.vstack([U, U, np.zeros((3, 300))]), np.vstack([V, V, np.ones((3, 12))])
    J, c = dense(U, V), rng.standard_normal(63)
    solution = gram_solve(KhatriRao(U, V), c, method, rng=0, sketch_size=64 * 63)
    assert not solution.converged
    assert "singular" in solution.message
    assert "30" in solution.message
    assert solution.info["rank"] == 30
    if method in ACCURATE:
        expected = np.linalg.pinv(J @ J.T, rcond=1e-10, hermitian=True) @ c
        np.testing.assert_allclose(solution.x, expected, rtol=1e-6, atol=1e-9)
        consistent = gram_solve(KhatriRao(U, V), J @ (J.T @ c), method, rng=0)
        assert consistent.converged
        damped = gram_solve(KhatriRao(U, V), c, method, rng=0, damping=0.1)
        assert damped.converged


@pytest.mark.parametrize("method", METHODS)
def test_a_jacobian_of_zeros_has_the_solution_zero(method):
    solution = gram_solve(KhatriRao(np.zeros((4, 3)), np.ones((4, 2))), np.ones(4), method, rng=0)
    np.testing.assert_array_equal(solution.x, 0)
    assert not solution.converged
    assert solution.residual_norm == 2.0


@pytest.mark.parametrize("method", METHODS)
def test_one_row_and_right_hand_side_zero(method):
    J = KhatriRao(np.array([[1.0, 2.0]]), np.array([[3.0]]))
    solution = gram_solve(J, np.array([90.0]), method, rng=0)
    assert solution.x[0] == pytest.approx(2.0, abs=1.0 if method == "sketch" else 1e-9)
    assert gram_solve(J, np.zeros(1), method, rng=0).x[0] == 0


@pytest.mark.parametrize("method", METHODS)
def test_the_solution_does_not_depend_on_the_number_of_threads(method, rng):
    U, V = factors(rng, n=120, m_u=2000)
    J, c = KhatriRao(U, V), rng.standard_normal(120)
    one, two = (gram_solve(J, c, method, rng=0, n_threads=threads).x for threads in (1, 2))
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("method", ["sketch", "pcg"])
def test_the_same_seed_gives_the_same_solution_and_another_one_another(method, rng):
    U, V = factors(rng)
    J, c = KhatriRao(U, V), rng.standard_normal(40)
    first, again, other = (gram_solve(J, c, method, rng=seed).x for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_an_ill_conditioned_system_ends_at_the_rounding_floor_and_says_so(rng):
    Q, _ = np.linalg.qr(rng.standard_normal((200, 30)))
    U, V = Q.T * np.logspace(0, -6, 30)[:, None], np.ones((30, 1))
    solution = gram_solve(KhatriRao(U, V), rng.standard_normal(30), "pcg", rtol=1e-15, rng=0)
    assert not solution.converged
    assert "rtol" in solution.message


def refused(exception, message, **options):
    J = options.pop("J", KhatriRao(np.eye(3), np.eye(3)))
    with pytest.raises(exception, match=message):
        gram_solve(J, **{"c": np.ones(3), **options})


def test_bad_arguments_are_refused_by_name():
    refused(TypeError, "^J must be a Jacobian, such as KhatriRao; got ndarray", J=np.eye(3))
    refused(ValueError, "^c must have shape", c=np.ones(4))
    refused(ValueError, "^c must be finite", c=np.array([1, np.nan, 1]))
    refused(TypeError, "^c must be a float32 or float64", c=np.ones(3, int))
    refused(ValueError, "^method must be", method="cholesky")
    refused(ValueError, "^method must be", method=3)
    refused(ValueError, "^damping must be at least 0", damping=-1.0)
    refused(ValueError, "^rtol must be greater than 0", rtol=0.0)
    refused(ValueError, "^rtol must be greater than 0", rtol=-1e-3)
    refused(ValueError, "^rtol must be at most 1", rtol=2.0)
    refused(TypeError, "^rng must be", rng="seed")
    refused(TypeError, "^n_threads must be", n_threads=1.5)
    for method in METHODS:
        size = "from 8 n = 24 on" if method == "sketch" else "6 is"
        message = f"^sketch_size must be at least n=3.* {size}"
        refused(ValueError, message, method=method, sketch_size=2)
        refused(TypeError, "^sketch_size must be an integer", method=method, sketch_size=8.0)
    with pytest.raises(ValueError, match="U must have at least 1 row"):
        KhatriRao(np.empty((0, 3)), np.empty((0, 2)))


def test_solver_objects_refuse_bad_arguments():
    with pytest.raises(ValueError, match="landmarks must be None"):
        PcgSolver(8, landmarks=4)
    with pytest.raises(ValueError, match="landmarks must be at least 1"):
        PcgSolver(landmarks=0)
    for maker in (AutoSolver, ExactSolver, PcgSolver, SketchSolver):
        with pytest.raises(ValueError, match="rtol must be"):
            maker(rtol=1.5)


def test_a_sketch_that_cannot_fit_is_refused_before_it_is_made():
    J = KhatriRao(np.ones((100, 2)), np.ones((100, 2)))
    for method in ("sketch", "pcg"):
        with pytest.raises(MemoryError, match="bytes"):
            gram_solve(J, np.ones(100), method, sketch_size=10**9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", [PcgSolver, SketchSolver])
def test_rows_that_share_the_buckets_of_a_sketch_are_no_repeated_rows(solver, dtype):
    # One-hot rows: of 20 seeds some put two of them into one bucket, whatever G is.
    J = KhatriRao(np.eye(8, dtype=dtype), np.ones((8, 1), dtype))
    c = np.arange(8.0)
    for seed in range(20):
        solution = solver(12, rng=seed).solve(J, c)
        assert solution.info["rank"] == 8
        assert "singular" not in solution.message
        if solver is PcgSolver:
            assert solution.converged
            np.testing.assert_allclose(solution.x, c, atol=1e-2)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_small_sketch_tells_repeated_rows_from_shared_buckets(rng, dtype):
    kinds = rng.integers(0, 20, 60)
    J = KhatriRao(np.eye(20, dtype=dtype)[kinds], np.ones((60, 1), dtype))
    G = np.equal.outer(kinds, kinds).astype(float)
    for c in (G @ rng.standard_normal(60), rng.standard_normal(60)):
        solution = PcgSolver(60, rng=0, rtol=1e-9).solve(J, c)
        assert solution.info["rank"] == len(np.unique(kinds))
        np.testing.assert_allclose(solution.x, np.linalg.pinv(G) @ c, atol=1e-6)


def test_products_that_overflow_on_the_null_space_of_a_sketch_are_refused():
    # Two rows whose sketches cancel nothing but overflow in G, and one of zeros.
    J = KhatriRao(np.array([[1e160], [1e160], [0.0]]), np.ones((3, 1)))
    with pytest.raises(ValueError, match=r"finite|range of float64"):
        gram_solve(J, np.ones(3), "pcg", rng=0)
