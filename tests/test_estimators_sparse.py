"""Sparse rows: kernel estimators give what the same rows give dense, others refuse them by name."""

import numpy as np
import pytest
import scipy.sparse
from layers import quietly

pytest.importorskip("sklearn")

from sklearn.datasets import load_digits

from subquad import estimators
from subquad.estimators import NTKClassifier, NTKRegressor
from subquad.io import load_model, save_model

N, D = 80, 30
RNG = np.random.default_rng(0)
DENSE = RNG.standard_normal((N, D)) * (RNG.random((N, D)) < 0.15)
DENSE[5] = DENSE[4] = 0.0
DENSE[6] = DENSE[7]
Y = DENSE[:, :5].sum(axis=1) + 0.1 * RNG.standard_normal(N)
LABELS = np.array(["a", "b", "c"])[np.digitize(Y, [-0.5, 0.5])]
FORMATS = ["csr_array", "csc_array", "coo_array", "csr_matrix", "lil_array"]


def sparse(X, kind="csr_array"):
    return getattr(scipy.sparse, kind)(X)


@pytest.mark.parametrize("kind", FORMATS)
def test_sparse_rows_are_predicted_as_dense_ones(kind):
    options = {"scale_features": False, "depth": (1, 2)}
    dense = NTKRegressor(**options).fit(DENSE, Y)
    model = NTKRegressor(depth=(1, 2)).fit(sparse(DENSE, kind), Y)
    assert scipy.sparse.issparse(model.rows_)
    assert model.regularization_ == pytest.approx(dense.regularization_, rel=1e-9)
    for rows in (sparse(DENSE, kind), DENSE):
        np.testing.assert_allclose(model.predict(rows), dense.predict(DENSE), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(dense.predict(sparse(DENSE)), dense.predict(DENSE), rtol=1e-12)


def test_a_model_of_standardised_rows_predicts_sparse_ones():
    model = NTKRegressor().fit(DENSE, Y)
    np.testing.assert_array_equal(model.predict(sparse(DENSE)), model.predict(DENSE))


@pytest.mark.parametrize("solver", ["exact", "pcg", "nystrom"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_solver_takes_sparse_rows(solver, dtype):
    options = {"depth": 1, "solver": solver, "dtype": dtype, "regularization": 0.1}
    weights = RNG.uniform(0.5, 2.0, N)
    targets = np.column_stack([Y, Y**2])
    dense = NTKRegressor(scale_features=False, **options).fit(DENSE, targets, weights)
    model = NTKRegressor(**options).fit(sparse(DENSE), targets, weights)
    assert model.rows_.dtype == dtype
    tolerance = {"float64": 1e-6, "float32": 1e-3}[dtype]
    np.testing.assert_allclose(model.predict(DENSE), dense.predict(DENSE), atol=tolerance)


def test_deviations_influence_and_probabilities_of_sparse_rows_are_those_of_dense_ones():
    options = {"depth": 1, "scale_features": False}
    dense, model = (NTKRegressor(**options).fit(X, Y) for X in (DENSE, sparse(DENSE)))
    _, expected = dense.predict(DENSE[:9], return_std=True)
    np.testing.assert_allclose(model.predict(sparse(DENSE[:9]), return_std=True)[1], expected)
    np.testing.assert_allclose(
        model.influence(sparse(DENSE[:9])), dense.influence(DENSE[:9]), atol=1e-9
    )
    dense, model = (NTKClassifier(**options).fit(X, LABELS) for X in (DENSE, sparse(DENSE)))
    np.testing.assert_allclose(
        model.predict_proba(sparse(DENSE)), dense.predict_proba(DENSE), atol=1e-9
    )


def test_rows_of_a_million_columns_are_never_dense():
    n, d = 200, 1_000_000  # 1.6 GB dense
    rng = np.random.default_rng(1)
    columns = rng.integers(0, d, (n, 20))
    columns[:, 0] = np.arange(n) % 2
    X = scipy.sparse.csr_array(
        (np.ones(20 * n), columns.ravel(), np.arange(0, 20 * n + 1, 20)), shape=(n, d)
    )
    labels = np.arange(n) % 2
    model = NTKClassifier(depth=1).fit(X, labels)
    assert model.score(X, labels) > 0.9


def test_sparse_digits_are_recognised():
    images, labels = load_digits(return_X_y=True)
    model = NTKClassifier(depth=1).fit(sparse(images[:300]), labels[:300])
    dense = NTKClassifier(depth=1).fit(images[:300], labels[:300])
    assert model.score(sparse(images[300:]), labels[300:]) == pytest.approx(
        dense.score(images[300:], labels[300:])
    )


def test_a_model_of_sparse_rows_is_saved(tmp_path):
    model = NTKClassifier(depth=1).fit(sparse(DENSE), LABELS)
    save_model(model, tmp_path / "m")
    copy = load_model(tmp_path / "m")
    assert scipy.sparse.issparse(copy.rows_)
    np.testing.assert_array_equal(
        copy.predict_proba(sparse(DENSE)), model.predict_proba(sparse(DENSE))
    )


@pytest.mark.parametrize("value", [True, "marginal_likelihood"])
def test_sparse_rows_are_not_centred(value):
    with pytest.raises(ValueError, match="scale_features must be 'auto' or False for sparse X"):
        NTKRegressor(scale_features=value).fit(sparse(DENSE), Y)


def test_corrupt_sparse_rows_are_refused():
    X = sparse(DENSE)
    X.indices[3] = D + 5
    with pytest.raises(ValueError, match="X must have"):
        NTKRegressor().fit(X, Y)


@pytest.mark.parametrize(
    "name", [name for name in estimators.__all__ if not name.startswith(("NTK", "Polynomial"))]
)
def test_others_refuse_sparse_rows_by_name(name):
    cls = getattr(estimators, name)
    y = LABELS if name.endswith("Classifier") else Y
    with pytest.raises(TypeError, match=f"^X must be dense for {name}; got a sparse csr_array. "):
        cls().fit(sparse(DENSE), y)
    model = quietly(cls(width=512, random_state=0).fit, DENSE, y)
    with pytest.raises(TypeError, match=f"^X must be dense for {name}"):
        model.predict(sparse(DENSE))
