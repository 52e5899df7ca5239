"""How rows are scaled: what "auto" standardises, and that raw tables need no preparation."""

import numpy as np
import pytest
from layers import quietly

pytest.importorskip("sklearn")

from sklearn.datasets import (
    load_breast_cancer,
    load_diabetes,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
)
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from subquad.estimators import (
    FactoredClassifier,
    FactoredRegressor,
    GaussNewtonClassifier,
    GaussNewtonRegressor,
    HalfSpaceSGDClassifier,
    HalfSpaceSGDRegressor,
    NTKClassifier,
    NTKRegressor,
)
from subquad.estimators._scaling import Scaling, standardises

SMALL = {
    GaussNewtonClassifier: {"width": 1024, "random_state": 0},
    GaussNewtonRegressor: {"width": 1024, "random_state": 0},
    NTKClassifier: {"depth": 1},
    NTKRegressor: {"depth": 1},
    FactoredClassifier: {"width": 512, "random_state": 0},
    FactoredRegressor: {"width": 512, "random_state": 0},
    HalfSpaceSGDClassifier: {"width": 512, "random_state": 0, "n_epochs": 10},
    HalfSpaceSGDRegressor: {"width": 512, "random_state": 0, "n_epochs": 10},
}
CLASSIFIERS = [GaussNewtonClassifier, NTKClassifier, FactoredClassifier, HalfSpaceSGDClassifier]
REGRESSORS = [GaussNewtonRegressor, NTKRegressor, FactoredRegressor, HalfSpaceSGDRegressor]
TABLES = {
    "wine": load_wine,
    "iris": load_iris,
    "breast_cancer": load_breast_cancer,
    "diabetes": load_diabetes,
    "linnerud": load_linnerud,
}
PIXELS = load_digits().data


def split(load, **options):
    X, y = load(return_X_y=True)
    return train_test_split(X, y, random_state=0, **options)


def is_standardised(X, weights=None):
    return standardises("auto", X, np.ones(len(X)) if weights is None else weights)


def with_options(cls, **options):
    """An estimator; a half-space one has no choice of the constant."""
    if cls in (HalfSpaceSGDClassifier, HalfSpaceSGDRegressor):
        options.pop("constant", None)
    return cls(**SMALL[cls], **options)


@pytest.mark.parametrize("load", TABLES.values(), ids=TABLES)
def test_tables_of_unlike_units_are_standardised(load):
    assert is_standardised(load(return_X_y=True)[0])


@pytest.mark.parametrize(
    "X",
    [
        PIXELS,
        PIXELS[:50],
        PIXELS / 16,
        (PIXELS - PIXELS.mean(axis=0)).astype(np.float32),
        PIXELS + 0.1 * np.random.default_rng(0).standard_normal(PIXELS.shape),
        np.random.default_rng(0).poisson(np.linspace(0.1, 5, 40), (500, 40)).clip(0, 4),
    ],
    ids=["digits", "50 digits", "from 0 to 1", "centred", "with noise", "counts"],
)
def test_pixels_and_counts_stay_as_they_are(X):
    assert not is_standardised(X)


def test_a_common_range_far_from_zero_is_not_a_common_unit():
    assert is_standardised(PIXELS + 1000)


def test_few_columns_are_standardised_whatever_their_ranges():
    X = (np.arange(60)[:, None] >> np.arange(16)) % 2
    assert is_standardised(X[:, :5])


def test_columns_of_another_unit_among_indicators_are_standardised():
    indicators = np.eye(40)[np.arange(400) % 40]
    assert not is_standardised(indicators)
    assert is_standardised(np.c_[indicators, np.linspace(0, 1000, 400)])


def test_rows_of_weight_zero_have_no_say():
    X = np.vstack([PIXELS[:100], 1000.0 * np.arange(64)])
    assert is_standardised(X)
    assert not is_standardised(X, np.r_[np.ones(100), 0.0])


@pytest.mark.parametrize("unit", [1e-300, 1e308])
def test_the_choice_depends_on_no_unit(unit):
    assert not is_standardised(PIXELS * (unit / 16))
    assert is_standardised(load_wine().data * (unit / 2000))


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_raw_wine_gives_what_scaled_wine_gives(cls):
    a, b, ya, yb = split(load_wine, test_size=0.4)
    scaler = StandardScaler().fit(a)
    raw = quietly(with_options(cls).fit, a, ya)
    scaled = quietly(with_options(cls).fit, scaler.transform(a), ya)
    assert raw.score(b, yb) == scaled.score(scaler.transform(b), yb) >= 0.95
    np.testing.assert_allclose(raw._outputs(b), scaled._outputs(scaler.transform(b)), atol=1e-6)


@pytest.mark.parametrize("cls", CLASSIFIERS)
def test_auto_leaves_digits_as_they_are(cls):
    a, b, ya, _ = split(load_digits, train_size=300)
    auto, plain = with_options(cls), with_options(cls, scale_features=False, constant=1.0)
    found, expected = (quietly(model.fit, a, ya)._outputs(b) for model in (auto, plain))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("cls", REGRESSORS)
def test_auto_standardises_a_table_and_chooses_its_constant(cls):
    a, b, ya, _ = split(load_diabetes, train_size=150)
    auto, asked = with_options(cls), with_options(cls, scale_features=True, constant="loo")
    found, expected = (quietly(model.fit, a, ya).predict(b) for model in (auto, asked))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("cls", [GaussNewtonClassifier, NTKClassifier, FactoredClassifier])
def test_auto_is_no_worse_on_breast_cancer_than_leaving_it_as_it_is(cls):
    a, b, ya, yb = split(load_breast_cancer, test_size=0.4)
    auto, plain = with_options(cls), with_options(cls, scale_features=False, constant=1.0)
    found, before = (quietly(model.fit, a, ya).score(b, yb) for model in (auto, plain))
    assert found >= max(before, 0.95)


@pytest.mark.parametrize("cls", SMALL)
@pytest.mark.parametrize("value", ["yes", 2, None])
def test_other_values_of_scale_features_are_refused(cls, value):
    with pytest.raises(ValueError, match=r"^scale_features must be True, False or 'auto'.*; got "):
        with_options(cls, scale_features=value).fit(PIXELS[:20], np.arange(20) % 2)


def test_scaling_maps_targets_back(rng):
    X, T = rng.standard_normal((20, 3)), 100 + 1e3 * rng.standard_normal((20, 2))
    scaling = Scaling.fit(X, T, np.ones(20), True, 0.1)
    np.testing.assert_allclose(scaling.scaled(T).std(axis=0), 0.1)
    np.testing.assert_allclose(scaling.unscaled(scaling.scaled(T)), T)


def test_rows_have_unit_norm_and_are_padded_with_zeros(rng):
    X = rng.standard_normal((20, 3))
    scaling = Scaling.fit(X, X, np.ones(20), True).with_constant(2.0)
    rows = scaling.rows(X, np.float32, 8)
    assert (rows.shape, rows.dtype) == ((20, 8), np.float32)
    expected = np.c_[(X - X.mean(axis=0)) / X.std(axis=0), np.full(20, 2.0), np.zeros((20, 4))]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(rows, expected, atol=1e-6)
