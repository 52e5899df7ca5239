"""Threads of Python share estimators and what else is only read; fits in threads do not mix."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse

pytest.importorskip("sklearn")

from layers import quietly
from sklearn.base import clone

from subquad.estimators import (
    FactoredClassifier,
    FactoredRegressor,
    GaussNewtonClassifier,
    GaussNewtonRegressor,
    HalfSpaceSGDClassifier,
    HalfSpaceSGDRegressor,
    NTKClassifier,
    NTKRegressor,
    PolynomialTensorSketch,
)
from subquad.jacobian import KhatriRao
from subquad.networks import FactoredNetwork, PairedNetwork, TwoLayerNetwork, WideNetwork
from subquad.sketch import SRHT, CountSketch, GaussianSketch, TensorSketch, TensorSRHT
from subquad.solvers import DampedCholesky
from subquad.weights import GaussianWeights

pytestmark = pytest.mark.machine

X = np.random.default_rng(0).standard_normal((40, 4))
Y = np.sin(2 * X[:, 0])
LABELS = np.digitize(Y, [-0.5, 0.5])
QUESTIONS = [X, X[:11] + 0.1, X[::-1] - 0.2]

SMALL = {"width": 256, "random_state": 0}
SHORT = {"width": 256, "random_state": 0, "n_epochs": 2}
ESTIMATORS = {
    "GaussNewtonRegressor": GaussNewtonRegressor(**SMALL),
    "GaussNewtonRegressor, implicit": GaussNewtonRegressor(**SMALL, weights="implicit"),
    "GaussNewtonClassifier": GaussNewtonClassifier(**SMALL),
    "FactoredRegressor": FactoredRegressor(**SMALL),
    "FactoredClassifier": FactoredClassifier(**SMALL),
    "NTKRegressor": NTKRegressor(),
    "NTKClassifier": NTKClassifier(),
    "HalfSpaceSGDRegressor, tree": HalfSpaceSGDRegressor(**SHORT, report="tree"),
    "HalfSpaceSGDRegressor, average": HalfSpaceSGDRegressor(**SHORT, average=True),
    "HalfSpaceSGDRegressor, kernel": HalfSpaceSGDRegressor(**SHORT, dynamics="kernel"),
    "HalfSpaceSGDClassifier": HalfSpaceSGDClassifier(**SHORT, report=None),
    "PolynomialTensorSketch": PolynomialTensorSketch(random_state=0),
}


def together(calls, repeats=10, workers=6):
    """Make calls many times from several threads that interrupt each other all the time."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(workers) as pool:
            pending = [[pool.submit(call) for call in calls] for _ in range(repeats)]
            return [[each.result() for each in futures] for futures in pending]
    finally:
        sys.setswitchinterval(interval)


def assert_same_alone_and_together(calls, repeats=10):
    together_first = together(calls, repeats)
    alone = [call() for call in calls]
    for answers in together_first:
        for got, expected in zip(answers, alone, strict=True):
            # Fits in other threads may change how many threads BLAS takes, and so how it rounds.
            np.testing.assert_allclose(got, expected, atol=1e-8 * np.abs(expected).max())


def fitted(name, X=X, n_threads=1):
    model = clone(ESTIMATORS[name])
    if name != "PolynomialTensorSketch":
        model.set_params(n_threads=n_threads)
    return quietly(model.fit, X, LABELS if "Classifier" in name else Y)


def answer(model, X):
    """What a model says of rows, in numbers rather than classes."""
    for method in ("decision_function", "transform", "predict"):
        if hasattr(model, method):
            return getattr(model, method)(X)


@pytest.mark.parametrize("n_threads", [1, 2])
@pytest.mark.parametrize("name", ESTIMATORS)
def test_threads_that_ask_one_fitted_estimator_get_its_answers(name, n_threads):
    model = fitted(name, n_threads=n_threads)
    assert_same_alone_and_together([lambda rows=rows: answer(model, rows) for rows in QUESTIONS])


@pytest.mark.filterwarnings("ignore")  # warnings of fits in threads are anybody's
@pytest.mark.parametrize("name", ESTIMATORS)
def test_clones_that_are_fitted_in_threads_are_those_that_are_fitted_alone(name):
    calls = [lambda rows=rows: answer(fitted(name, rows), X) for rows in (X, X + 0.3)]
    assert_same_alone_and_together(calls, repeats=3)


V = np.ones((40, 3))
ROWS = X / np.linalg.norm(X, axis=1)[:, None]
FACTOR = DampedCholesky(ROWS @ ROWS.T, 0.1)
PAIRS = {cls.__name__: cls((4, 3), 8, rng=0) for cls in (TensorSketch, TensorSRHT)}
IMPLICIT = GaussianWeights((70, 4), 0)
SHARED = {
    "CountSketch": CountSketch(4, 3, rng=0).apply,
    "SRHT": SRHT(4, 3, rng=0).apply,
    "GaussianSketch": GaussianSketch(4, 3, rng=0).apply,
    "TensorSketch": lambda X: PAIRS["TensorSketch"].apply(X, V[: len(X)]),
    "TensorSRHT": lambda X: PAIRS["TensorSRHT"].apply(X, V[: len(X)]),
    "GaussianWeights": IMPLICIT.apply,
    "GaussianWeights, sparse": lambda X: IMPLICIT.apply(scipy.sparse.csr_array(X * (X > 0.5))),
    "WideNetwork": WideNetwork(4, width=256, depth=3, rng=0).outputs,
    "TwoLayerNetwork": TwoLayerNetwork(4, 256, rng=0).outputs,
    "FactoredNetwork": FactoredNetwork(4, width=256, inner_size=4, rng=0).outputs,
    "PairedNetwork": PairedNetwork(4, width=256, rng=0).outputs,
    "KhatriRao": lambda X: KhatriRao(X, V[: len(X)]).gram(),
    "DampedCholesky": lambda X: FACTOR.solve(np.full(40, X[0, 0])),
}


@pytest.mark.parametrize("name", SHARED)
def test_threads_that_share_what_is_only_read_get_its_answers(name):
    rows = [ROWS, ROWS[:11], ROWS[::-1].copy()]
    calls = [lambda rows=rows: SHARED[name](rows) for rows in rows]
    assert_same_alone_and_together(calls)
