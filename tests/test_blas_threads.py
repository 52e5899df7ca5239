"""Fits in threads of Python: each has one BLAS thread and the bits it has alone.

However they overlap and end, BLAS has its own number of threads afterwards.
"""

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest

from subquad import _parallel
from subquad._parallel import blas_threads_for
from subquad.networks import FactoredNetwork, TwoLayerNetwork, WideNetwork
from subquad.solvers import fast_least_squares, fast_newton
from subquad.solvers.objectives import Logistic
from subquad.training import FactoredGaussNewton, LastLayerGaussNewton, TwoLayerGaussNewton

pytestmark = pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")


class Library:
    """A BLAS with one number of threads for the process, which heeds the first thread alone."""

    def __init__(self, num_threads):
        self.num_threads, self._first = num_threads, None

    def set_num_threads(self, num_threads):
        self._first = self._first or threading.current_thread()
        if threading.current_thread() is self._first:
            self.num_threads = num_threads

    def _real_set_num_threads(self, num_threads):
        self.num_threads = num_threads


class LibraryOfThreads:
    """A BLAS on OpenMP: a number for each thread of Python."""

    def __init__(self, num_threads):
        self._start, self._local = num_threads, threading.local()

    @property
    def num_threads(self):
        return getattr(self._local, "number", self._start)

    def set_num_threads(self, num_threads):
        self._local.number = num_threads


@pytest.fixture
def libraries(monkeypatch):
    shared, of_threads = Library(8), LibraryOfThreads(6)
    monkeypatch.setattr(_parallel, "_limit", _parallel._OneBlasThread())
    monkeypatch.setattr(
        _parallel,
        "_blas_libraries",
        lambda of_each_thread=False: (of_threads,) if of_each_thread else (shared,),
    )
    return shared, of_threads


def test_contexts_that_overlap_in_any_order_restore_what_was_there(libraries):
    shared, of_threads = libraries
    n_contexts = 4
    rng = np.random.default_rng(0)
    for _ in range(20):
        entered, left = threading.Barrier(n_contexts), [threading.Event() for _ in range(4)]
        order, numbers = rng.permutation(n_contexts), []

        def work(i, entered=entered, order=order, left=left, numbers=numbers):
            with blas_threads_for(10):
                entered.wait(60)
                place = int(np.flatnonzero(order == i)[0])
                if place:
                    left[order[place - 1]].wait(60)
                numbers.append((shared.num_threads, of_threads.num_threads))
            numbers.append(of_threads.num_threads)
            left[i].set()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(n_contexts)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert numbers == [(1, 1), 6] * n_contexts
        assert shared.num_threads == 8


def test_contexts_nest_and_large_ones_change_nothing(libraries):
    shared, of_threads = libraries
    with blas_threads_for(10):
        with blas_threads_for(10), blas_threads_for(10**6):
            assert (shared.num_threads, of_threads.num_threads) == (1, 1)
        assert (shared.num_threads, of_threads.num_threads) == (1, 1)
    assert (shared.num_threads, of_threads.num_threads) == (8, 6)
    with blas_threads_for(10**6):
        assert (shared.num_threads, of_threads.num_threads) == (8, 6)


@pytest.mark.parametrize("compared", [False, True])
def test_ridge_of_the_command_has_one_thread(libraries, monkeypatch, compared):
    """Threads that wait for the products of so few columns would cost more than the fit."""
    pytest.importorskip("sklearn")
    from subquad._command.models import kinds

    seen = []

    def ridge(X, y):
        seen.append(libraries[0].num_threads)
        return SimpleNamespace(penalty=1.0)

    monkeypatch.setattr(kinds.linear, "ridge", ridge)
    encoding = SimpleNamespace(transform=lambda X: X, center=0.0, scale=1.0)
    monkeypatch.setattr(kinds.scales, "plain", lambda encoding, X: encoding)
    X = np.ones((30, 2))
    data = encoding, X, X[:, 0], "regression", SimpleNamespace(seed=0)
    kinds.fit(kinds.Recipe("ridge"), *data, compared=compared)
    assert seen == [1]
    assert libraries[0].num_threads == 8


def test_an_exception_restores_and_so_does_one_while_the_limit_is_set(libraries, monkeypatch):
    shared, _ = libraries
    with pytest.raises(KeyboardInterrupt), blas_threads_for(10):
        raise KeyboardInterrupt
    assert shared.num_threads == 8
    real = Library._real_set_num_threads

    def interrupted(self, num_threads):
        real(self, num_threads)
        if num_threads == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Library, "_real_set_num_threads", interrupted)
    with pytest.raises(KeyboardInterrupt), blas_threads_for(10):
        pass
    assert shared.num_threads == 8


def test_a_forked_child_forgets_the_fits_of_threads_that_it_does_not_have(libraries):
    shared, _ = libraries
    entered, end = threading.Event(), threading.Event()

    def work():
        with blas_threads_for(10):
            entered.set()
            end.wait(60)

    thread = threading.Thread(target=work)
    thread.start()
    entered.wait(60)
    with blas_threads_for(10):
        _parallel._limit.forget_others()  # what a child process does first
        assert shared.num_threads == 1
    assert shared.num_threads == 8
    end.set()
    thread.join()
    assert shared.num_threads == 8


def fits():
    """Callables that fit and return arrays; features are made now, by all threads of BLAS."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 12))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    y, A = np.sin(4 * X[:, 0]), rng.standard_normal((4000, 60))

    layers = {
        dtype: WideNetwork(12, width=1024, rng=1, dtype=dtype).last_layer(X.astype(dtype))
        for dtype in (np.float32, np.float64)
    }

    def last_layer(regularization, dtype):
        layer = layers[dtype]
        options = {"regularization": regularization, "max_steps": 3, "n_threads": 1}
        return LastLayerGaussNewton(layer, y, **options).run().factors[0]

    def factored():
        network = FactoredNetwork(12, width=512, inner_size=8, rng=3)
        return FactoredGaussNewton(network, X, y, max_steps=3, n_threads=1).run().weights

    def two_layers(solver):
        network = TwoLayerNetwork(12, width=512, rng=2)
        options = {"regularization": 1e-3, "max_steps": 3, "solver": solver, "rng": 0}
        return TwoLayerGaussNewton(network, X, y, n_threads=1, **options).run().outputs

    return [
        lambda: last_layer(0.0, np.float64),
        lambda: last_layer("loo", np.float32),
        lambda: two_layers("exact"),
        lambda: two_layers("pcg"),
        factored,
        lambda: fast_least_squares(A, A[:, 0] + np.sin(np.arange(4000.0)), rng=0).x,
        lambda: fast_newton(Logistic(A, A[:, 0] > 0.3), rng=0).x,
    ]


def blas_numbers():
    """Threads of every BLAS library at present."""
    return [library.num_threads for library in _parallel._blas_libraries()]


def check_concurrent_fits():
    """Compare the fits of four threads with those made alone, by their bits."""
    _parallel._set_threads((library, 2) for library in _parallel._blas_libraries())
    made = [fits() for _ in range(4)]
    alone, before = [fit() for fit in fits()], blas_numbers()
    results = {}

    def work(k):
        for i in np.random.default_rng(k).permutation(len(alone)):
            results[k, i] = made[k][i]()

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert blas_numbers() == before
    for (_, i), result in results.items():
        np.testing.assert_array_equal(result, alone[i])
    assert len(results) == 4 * len(alone)


@pytest.mark.parametrize("controlled", [False, True])
def test_concurrent_fits_have_the_bits_they_have_alone_and_leave_no_limit(controlled):
    """In a process of its own, where another thread may have set a limit before."""
    pytest.importorskip("threadpoolctl")
    code = "from test_blas_threads import check_concurrent_fits as check\n"
    if controlled:
        code += "import threadpoolctl\nwith threadpoolctl.threadpool_limits(2): check()\n"
    else:
        code += "check()\n"
    here = os.path.dirname(os.path.abspath(__file__))
    path = os.pathsep.join([here, *filter(None, sys.path)])
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "2", "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
