"""Estimators under joblib: searches in processes and in threads, arrays mapped read-only."""

import functools

import numpy as np
import pytest
from worker_tasks import changed, flushed

pytest.importorskip("sklearn")

import joblib
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from subquad import HalfSpaceReport, LowRankMaintenance
from subquad.estimators import (
    FactoredRegressor,
    GaussNewtonRegressor,
    HalfSpaceSGDClassifier,
    NTKClassifier,
    PolynomialTensorSketch,
)

X = np.random.default_rng(0).standard_normal((40, 4))
Y = np.sin(2 * X[:, 0]) + 0.1 * X[:, 1]
LABELS = np.array(["few", "some", "many"])[np.digitize(Y, [-0.5, 0.5])]
WIDTHS = {"width": [256, 512]}
SEARCHES = {
    "GaussNewtonRegressor": (GaussNewtonRegressor(random_state=0), WIDTHS, Y),
    "HalfSpaceSGDClassifier": (HalfSpaceSGDClassifier(random_state=0, n_epochs=3), WIDTHS, LABELS),
    "FactoredRegressor": (FactoredRegressor(random_state=0), WIDTHS, Y),
    "NTKClassifier": (NTKClassifier(), {"depth": [1, 2]}, LABELS),
    "PolynomialTensorSketch": (
        make_pipeline(PolynomialTensorSketch(random_state=0), Ridge()),
        {"polynomialtensorsketch__degree": [1, 2]},
        Y,
    ),
}
BACKENDS = {
    # Every array that a worker gets is mapped read-only from a file.
    "loky": {"max_nbytes": 0},
    "multiprocessing": {"max_nbytes": 0},
    "threading": {},
}
PROCESSES = [name for name in BACKENDS if name != "threading"]
# Few steps are taken, few neurons fire, and Python warns of forks beside threads.
pytestmark = [pytest.mark.machine, pytest.mark.filterwarnings("ignore")]


@functools.cache
def models():
    """What each search finds in one process: mean scores, and the best model."""
    return {name: searched(name) for name in SEARCHES}


def searched(name, n_jobs=None):
    model, grid, y = SEARCHES[name]
    search = GridSearchCV(model, grid, cv=2, n_jobs=n_jobs, error_score="raise").fit(X, y)
    return search.cv_results_["mean_test_score"], search.best_estimator_


@pytest.mark.parametrize("backend", BACKENDS)
def test_searches_find_the_same_in_every_backend(backend):
    for name, (expected, _) in models().items():
        with joblib.parallel_config(backend, **BACKENDS[backend]):
            got, _ = searched(name, n_jobs=2)
        np.testing.assert_allclose(got, expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("backend", PROCESSES)
@pytest.mark.parametrize("engine", ["tree", "scan"])
def test_workers_change_a_report_that_they_were_given(backend, engine):
    points = np.random.default_rng(1).standard_normal((500, 3))
    report = HalfSpaceReport(points, engine)
    with joblib.parallel_config(backend, n_jobs=2, max_nbytes=0):
        answers = joblib.Parallel()(joblib.delayed(changed)(report) for _ in range(2))
    expected = changed(report)
    for got in answers:
        for array, same in zip(got, expected, strict=True):
            np.testing.assert_array_equal(array, same)


@pytest.mark.parametrize("backend", PROCESSES)
def test_workers_flush_weights_that_they_were_given(backend):
    W = np.random.default_rng(1).standard_normal((30, 20))
    kept = LowRankMaintenance(W, rank_budget=4)
    kept.update(np.ones((3, 30)), np.ones((3, 20)))

    with joblib.parallel_config(backend, n_jobs=2, max_nbytes=0):
        answers = joblib.Parallel()(joblib.delayed(flushed)(kept) for _ in range(2))
    for got in answers:
        np.testing.assert_allclose(got, W + 3.0 + 4.0, rtol=1e-12)
