"""Right answers whatever the environment says of threads, and on however few processors."""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.machine

# Jobs that are large enough for several threads, checked against plain numpy.
PROGRAM = """
    import os, sys
    {before}
    import numpy as np, scipy.linalg
    from subquad import HalfSpaceReport, KhatriRao, LowRankMaintenance, fwht
    from subquad._parallel import resolve_threads
    from subquad.weights import DenseWeights, GaussianWeights
    {after}
    rng = np.random.default_rng(0)
    X = rng.integers(-9, 9, (64, 2**12)).astype(float)
    H = scipy.linalg.hadamard(64).astype(float)
    expected = (H @ X.reshape(64, 64, 64) @ H).reshape(X.shape)
    np.testing.assert_allclose(fwht(X), expected, atol=1e-9)
    big = rng.standard_normal((64, 2**14))
    np.testing.assert_array_equal(fwht(big), fwht(big, n_threads=1))

    points, A = rng.standard_normal((3000, 3)), rng.standard_normal((300, 3))
    indptr, indices, values = HalfSpaceReport(points).query_batch(A, 1.0)
    expected = np.nonzero(A @ points.T >= 1.0)
    np.testing.assert_array_equal(indices, expected[1])
    np.testing.assert_array_equal(np.diff(indptr), np.bincount(expected[0], minlength=300))

    W, S = rng.standard_normal((2000, 500)), rng.standard_normal((300, 500))
    S[S < 1.5] = 0.0
    np.testing.assert_allclose(DenseWeights(W).apply(S), S @ W.T, atol=1e-10)
    implicit = GaussianWeights((2000, 500), 0)
    np.testing.assert_allclose(implicit.apply(S), S @ implicit.to_dense().T, atol=1e-10)
    kept = LowRankMaintenance(W, rank_budget=2)
    kept.update(np.ones((3, 2000)), np.ones((3, 500)))
    np.testing.assert_allclose(kept.query(S), S @ (W + 3.0).T, atol=1e-9)
    U, V = W[:200], rng.standard_normal((200, 40))
    np.testing.assert_allclose(KhatriRao(U, V).gram(), (U @ U.T) * (V @ V.T), rtol=1e-9, atol=1e-7)
    print(resolve_threads())
"""
VARIABLES = ("OMP_NUM_THREADS", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY")
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system does not bind threads"
)


def threads_of(before="", after="", **environment):
    """Run the program; return how many threads a call takes there that was given no number."""
    inherited = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    program = textwrap.dedent(PROGRAM).format(before=before, after=after)
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], env={**inherited, **environment},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture(scope="module")
def processors():
    """How many threads a call takes where no variable is set."""
    return threads_of()


@pytest.mark.parametrize("value", ["0", "nonsense", "-3", "1e9"])
def test_a_number_of_threads_that_is_none_means_all_processors(processors, value):
    assert threads_of(OMP_NUM_THREADS=value) == processors


@pytest.mark.parametrize(("value", "expected"), [("1", 1), ("33,1", 33)])
def test_a_number_of_threads_is_taken(value, expected):
    assert threads_of(OMP_NUM_THREADS=value) == expected


@pytest.mark.parametrize("name", ["OMP_THREAD_LIMIT", "OMP_MAX_ACTIVE_LEVELS"])
def test_openmp_may_give_fewer_threads_than_were_asked_for(name):
    value = {"OMP_THREAD_LIMIT": "1", "OMP_MAX_ACTIVE_LEVELS": "0"}[name]
    threads_of(OMP_NUM_THREADS="4", **{name: value})


@pytest.mark.parametrize(
    "binding",
    [{"OMP_PROC_BIND": "true"}, {"OMP_PLACES": "threads"}],
    ids=str,
)
def test_threads_that_are_bound_to_processors_are_as_many(processors, binding):
    """GNU OpenMP binds the first thread too, whose affinity then is one processor."""
    assert threads_of(**binding) == processors


ONE = "os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"


@needs_affinity
@pytest.mark.parametrize("binding", [{}, {"OMP_PROC_BIND": "true"}], ids=str)
def test_a_process_that_is_given_one_processor_takes_one_thread(binding):
    assert threads_of(before=ONE, **binding) == 1


@needs_affinity
def test_a_process_that_is_left_one_processor_takes_one_thread():
    assert threads_of(after=ONE) == 1


@needs_affinity
def test_more_threads_than_processors_give_the_same():
    assert threads_of(before=ONE, OMP_NUM_THREADS="4") == 4
