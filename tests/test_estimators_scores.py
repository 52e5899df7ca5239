"""The classifiers in scikit-learn's hands: votes, and scores of probabilities."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from layers import quietly
from sklearn.datasets import load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.model_selection import cross_val_score
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from subquad.estimators import (
    FactoredClassifier,
    GaussNewtonClassifier,
    HalfSpaceSGDClassifier,
    NTKClassifier,
)

X, Y = load_wine(return_X_y=True)
X, Y = X[::2], Y[::2]
SMALL = {"width": 1024, "random_state": 0}
MODELS = {
    "NTK": NTKClassifier(depth=1),
    "Gauss-Newton": GaussNewtonClassifier(**SMALL),
    "factored": FactoredClassifier(**SMALL),
    "half-space": HalfSpaceSGDClassifier(**SMALL, loss="logistic", n_epochs=20),
}


@pytest.mark.parametrize("scoring", ["roc_auc_ovr", "neg_log_loss"])
@pytest.mark.parametrize("name", MODELS)
def test_scores_of_probabilities_are_numbers(name, scoring):
    scores = quietly(cross_val_score, MODELS[name], X, Y, scoring=scoring, cv=3)
    chance = {"roc_auc_ovr": 0.5, "neg_log_loss": -np.log(3)}[scoring]
    assert (scores > chance).all()


def test_a_soft_vote_of_all_classifiers_is_right_at_least_as_often_as_the_worst():
    members = [(name, make_pipeline(StandardScaler(), model)) for name, model in MODELS.items()]
    vote = quietly(VotingClassifier(members, voting="soft").fit, X[::2], Y[::2])
    probabilities = vote.predict_proba(X[1::2])
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0)
    worst = min(member.score(X[1::2], vote.le_.transform(Y[1::2])) for member in vote.estimators_)
    assert vote.score(X[1::2], Y[1::2]) >= worst


def test_a_chain_of_labels_takes_the_classifiers():
    labels = np.column_stack([Y == 0, Y == 1]).astype(int)
    chain = ClassifierChain(NTKClassifier(depth=1), random_state=0).fit(X, labels)
    assert chain.score(X, labels) > 0.9
