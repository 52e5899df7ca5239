"""PolynomialTensorSketch does what scikit-learn's PolynomialCountSketch does; in float32, too."""

import inspect
import itertools
import pickle

import numpy as np
import pytest
import scipy.sparse

pytest.importorskip("sklearn")
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.kernel_approximation import PolynomialCountSketch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.tests import test_kernel_approximation as theirs
from sklearn.utils.estimator_checks import parametrize_with_checks

from subquad.estimators import PolynomialTensorSketch


def marked_cases(function):
    """Every choice of arguments that the parametrize marks of a test function name."""
    choices = []
    for mark in function.pytestmark:
        names, values = mark.args[:2]
        names = [name.strip() for name in names.split(",")] if isinstance(names, str) else names
        rows = [value if len(names) > 1 else (value,) for value in values]
        choices.append([dict(zip(names, row, strict=True)) for row in rows])
    for choice in itertools.product(*choices):
        yield {name: value for part in choice for name, value in part.items()}


def scikit_learn_cases():
    """(test, arguments) for every test of PolynomialCountSketch in scikit-learn."""
    for name, function in inspect.getmembers(theirs, inspect.isfunction):
        if name.startswith("test_polynomial_count_sketch"):
            for arguments in marked_cases(function):
                yield pytest.param(function, arguments, id=f"{name}-{arguments}")
    names = theirs.test_get_feature_names_out
    yield pytest.param(names, {"Estimator": PolynomialTensorSketch}, id="feature_names_out")


@pytest.mark.parametrize(("function", "arguments"), list(scikit_learn_cases()))
def test_scikit_learns_own_tests_pass(monkeypatch, function, arguments):
    monkeypatch.setattr(theirs, "PolynomialCountSketch", PolynomialTensorSketch)
    function(**arguments)


def test_scikit_learns_own_tests_are_found():
    assert len(list(scikit_learn_cases())) > 30


@parametrize_with_checks([PolynomialTensorSketch(), PolynomialTensorSketch(degree=3, coef0=1.0)])
def test_scikit_learn_conformance(estimator, check):
    check(estimator)


@pytest.mark.parametrize("degree", [1, 2, 3, 5])
@pytest.mark.parametrize(("gamma", "coef0"), [(1.0, 0.0), (0.3, 0.0), (0.5, 2.0), (0.0, 1.0)])
@pytest.mark.parametrize("s", [1, 20, 33])
def test_features_are_those_of_scikit_learn(rng, degree, gamma, coef0, s):
    X = rng.standard_normal((11, 9))
    options = {"degree": degree, "gamma": gamma, "coef0": coef0, "n_components": s}
    expected = PolynomialCountSketch(**options, random_state=5).fit(X)
    ours = PolynomialTensorSketch(**options, random_state=5).fit(X)
    np.testing.assert_array_equal(ours.indexHash_, expected.indexHash_)
    np.testing.assert_array_equal(ours.bitHash_, expected.bitHash_)
    Z = expected.transform(X)
    close = {"rtol": 0, "atol": 1e-13 * max(1.0, np.abs(Z).max())}
    np.testing.assert_allclose(ours.transform(X), Z, **close)
    np.testing.assert_allclose(ours.transform(scipy.sparse.csr_array(X)), Z, **close)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_dtype_is_kept_and_integers_become_float64(rng, form):
    X = rng.integers(-4, 5, (7, 6))
    wide = PolynomialTensorSketch(coef0=1.0, random_state=0).fit_transform(form(X))
    narrow = PolynomialTensorSketch(coef0=1.0, random_state=0).fit_transform(
        form(X).astype(np.float32)
    )
    assert wide.dtype == np.float64
    assert narrow.dtype == np.float32
    scale = np.abs(wide).max()
    np.testing.assert_allclose(narrow, wide, rtol=0, atol=100 * np.finfo(np.float32).eps * scale)


def pixels(rng, dtype):
    """Rows of 784 pixels from 0 to 255, like images of digits."""
    X = rng.integers(0, 256, (20, 784)) * (rng.random((20, 784)) < 0.2)
    return X.astype(dtype)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
def test_float32_features_that_overflow_on_the_way_stay_finite(rng, form):
    X = pixels(rng, np.float32)
    X[:10] /= 1000  # these do not overflow, and keep their bits
    options = {"degree": 11, "n_components": 100, "random_state": 0}
    narrow = PolynomialTensorSketch(**options).fit_transform(form(X))
    wide = PolynomialTensorSketch(**options).fit_transform(form(X.astype(np.float64)))
    expected = PolynomialCountSketch(**options).fit_transform(X)
    assert narrow.dtype == np.float32
    np.testing.assert_allclose(wide, expected, atol=1e-12 * np.abs(wide).max())
    size = np.abs(wide).max(axis=1, keepdims=True)
    np.testing.assert_allclose(narrow / size, wide / size, atol=1e-4)
    few = PolynomialTensorSketch(**options).fit_transform(form(X[:10]))
    np.testing.assert_array_equal(narrow[:10], few)


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize(
    ("dtype", "degree", "remedy"),
    [(np.float32, 13, "Use float64, scale X down"), (np.float64, 100, "Scale X down")],
)
def test_features_beyond_their_dtype_are_refused(rng, form, dtype, degree, remedy):
    X = pixels(rng, dtype)
    X[:3] /= 1e4
    model = PolynomialTensorSketch(degree=degree).fit(X)
    message = rf"^X must have features within the range of {np.dtype(dtype)}; got larger ones of "
    with pytest.raises(ValueError, match=rf"{message}degree {degree} in row 3\. {remedy}, or "):
        model.transform(form(X))


def test_threads_change_no_bit(rng, n_threads, monkeypatch):
    monkeypatch.setattr("subquad.sketch._base._WORK_PER_THREAD", 1)
    X = rng.standard_normal((200, 9))
    one = PolynomialTensorSketch(degree=3, random_state=0, n_threads=1).fit_transform(X)
    many = PolynomialTensorSketch(degree=3, random_state=0, n_threads=n_threads).fit_transform(X)
    np.testing.assert_array_equal(one, many)


def test_is_cloned_pickled_and_piped(rng):
    X = rng.standard_normal((60, 5))
    y = X[:, 0] * X[:, 1]  # the 15 quadratic forms are linear in 100 features
    model = make_pipeline(PolynomialTensorSketch(random_state=1), Ridge(1e-6)).fit(X, y)
    assert model.score(X, y) > 0.999
    twin = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(twin.predict(X), model.predict(X))
    np.testing.assert_array_equal(clone(model).fit(X, y).predict(X), model.predict(X))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"gamma": -1.0}, ValueError, "gamma must be at least 0.0; got -1.0"),
        ({"coef0": -1.0}, ValueError, "coef0 must be at least 0.0; got -1.0"),
        ({"degree": 0}, ValueError, "degree must be at least 1; got 0"),
        ({"degree": 1.5}, TypeError, "degree must be an integer; got 1.5"),
        ({"n_components": 0}, ValueError, "n_components must be at least 1; got 0"),
        ({"gamma": "scale"}, TypeError, "gamma must be a real number; got 'scale'"),
    ],
)
def test_parameters_are_checked(options, error, message):
    with pytest.raises(error, match=message.replace(".", r"\.")):
        PolynomialTensorSketch(**options).fit(np.ones((2, 3)))


@pytest.mark.parametrize("form", [np.asarray, scipy.sparse.csr_array])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("degree", [1, 2])
def test_nan_and_infinity_are_refused(form, value, degree):
    X = np.ones((40, 3))
    model = PolynomialTensorSketch(degree=degree).fit(X)
    X[33, 1] = value
    with pytest.raises(ValueError, match=r"X(\.data)? must be finite"):
        model.transform(form(X))
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        model.fit(form(X))


def test_is_fitted_first_and_to_as_many_columns():
    with pytest.raises(NotFittedError):
        PolynomialTensorSketch().transform(np.ones((2, 3)))
    with pytest.raises(ValueError, match="X has 4 features, but PolynomialTensorSketch is"):
        PolynomialTensorSketch().fit(np.ones((2, 3))).transform(np.ones((2, 4)))
