"""Multilabel targets: each label is fitted and calibrated as it would be alone."""

import numpy as np
import pytest
import scipy.sparse
from layers import quietly

pytest.importorskip("sklearn")

from sklearn.metrics import log_loss

from subquad.estimators import (
    FactoredClassifier,
    GaussNewtonClassifier,
    HalfSpaceSGDClassifier,
    NTKClassifier,
)
from subquad.io import load_model, save_model

X = np.random.default_rng(0).standard_normal((120, 3))
HAS = np.column_stack([X[:, 0] * X[:, 1] > 0, X[:, 2] > 0.3, X[:, 0] < 0]).astype(int)
OPTIONS = {"width": 1536, "random_state": 0}
MODELS = {
    "NTK": NTKClassifier(depth=1),
    "Gauss-Newton": GaussNewtonClassifier(**OPTIONS),
    "factored": FactoredClassifier(**OPTIONS),
    "half-space": HalfSpaceSGDClassifier(**OPTIONS, loss="logistic", n_epochs=20),
}


@pytest.mark.parametrize("k", [2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_any_number_of_labels_is_learned(name, k):
    model = quietly(MODELS[name].fit, X, HAS[:, :k])
    scores, predicted = model.decision_function(X), model.predict(X)
    assert model.multilabel_
    assert scores.shape == predicted.shape == (len(X), k)
    np.testing.assert_array_equal(predicted, scores > 0)
    assert np.mean(predicted == HAS[:, :k]) > 0.9
    probabilities = model.predict_proba(X)
    np.testing.assert_array_equal(probabilities > 0.5, scores > 0)
    losses = [log_loss(HAS[:, c], probabilities[:, c]) for c in range(k)]
    assert max(losses) < 0.5  # of a coin .69


def test_each_label_is_predicted_as_if_it_were_alone():
    options = {"depth": 1, "regularization": 0.1}
    model = NTKClassifier(**options).fit(X, HAS)
    for c in range(3):
        alone = NTKClassifier(**options).fit(X, HAS[:, c])
        np.testing.assert_allclose(model.predict_proba(X)[:, c], alone.predict_proba(X)[:, 1])


def test_sparse_indicators_are_those_that_are_dense():
    model = NTKClassifier(depth=1)
    dense = model.fit(X, HAS).predict_proba(X)
    for kind in (scipy.sparse.csr_array, scipy.sparse.csc_matrix):
        np.testing.assert_array_equal(model.fit(X, kind(HAS)).predict_proba(X), dense)


def test_a_column_of_labels_is_no_indicator():
    model = NTKClassifier(depth=1)
    with pytest.warns(UserWarning, match="column-vector"):
        model.fit(X, HAS[:, :1])
    assert not model.multilabel_


def test_influence_has_an_entry_for_each_label():
    for model in (NTKClassifier(depth=1), GaussNewtonClassifier(**OPTIONS)):
        assert quietly(model.fit, X, HAS[:, :2]).influence(X[:4]).shape == (4, len(X), 2)


@pytest.mark.parametrize("name", ["NTK", "Gauss-Newton"])
def test_a_saved_model_predicts_the_same(name, tmp_path):
    model = quietly(MODELS[name].fit, X, HAS[:, :2])
    save_model(model, tmp_path / "m")
    copy = load_model(tmp_path / "m")
    np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    np.testing.assert_array_equal(copy.predict_proba(X), model.predict_proba(X))


def test_parts_of_a_stream_have_the_same_labels():
    model = HalfSpaceSGDClassifier(width=512, random_state=0, loss="logistic")
    for _ in range(3):
        quietly(model.partial_fit, X, HAS, classes=range(3))
    assert model.predict_proba(X).shape == HAS.shape
    with pytest.raises(ValueError, match=r"y must have shape \(n, 3\), as at first"):
        model.partial_fit(X, HAS[:, :2])
    with pytest.raises(ValueError, match=r"y must have shape \(n, 3\), as at first"):
        model.partial_fit(X, HAS[:, 0])


def test_what_is_no_indicator_is_refused():
    with pytest.raises(ValueError, match="y must hold 0 and 1 to be multilabel; got -1"):
        NTKClassifier().fit(X, 2 * HAS - 1)
    with pytest.raises(ValueError, match="class_weight must be None for multilabel y"):
        NTKClassifier(class_weight="balanced").fit(X, HAS)
    warm = quietly(GaussNewtonClassifier(**OPTIONS, warm_start=True).fit, X, HAS)
    with pytest.raises(
        ValueError, match=r"y must have shape \(n, 3\), as at first; got \(120, 2\)"
    ):
        warm.fit(X, HAS[:, :2])
