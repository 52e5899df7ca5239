"""Linear models for a comparison: those of scikit-learn, without the time that its import takes.

The one that is chosen is fitted by scikit-learn itself.
"""

from dataclasses import dataclass, replace

import numpy as np

from subquad._command.models import folding

# Penalties of ridge, per row, for columns of deviation 1; leave-one-out chooses.
PENALTIES = np.logspace(-6, 3, 19)
# Inverse penalties of logistic regression, of which cross-validation chooses on so many rows.
INVERSE_PENALTIES = np.logspace(-3, 2, 6)
ROWS_FOR_PENALTY, FOLDS_FOR_PENALTY = 1000, 3
MOST_STEPS = 1000
# A fit that only tells penalties apart need not be as exact.
MOST_STEPS_OF_CHOICE = 20
# The gradient of the mean loss at which a fit ends is scikit-learn's.
_GRADIENT = 1e-4
# Iterations for a step of Newton's method, at most, and the part of one that is still tried.
_MOST_ITERATIONS, _SHORTEST = 100, 1e-6


@dataclass
class Linear:
    """Outputs X coef + intercept: predictions (n,), or scores (n, n_classes) of `classes`."""

    coef: np.ndarray
    intercept: np.ndarray
    penalty: float
    classes: np.ndarray | None = None

    def predict(self, X):
        """Return predictions (n,)."""
        outputs = X @ self.coef + self.intercept
        return outputs if self.classes is None else self.classes[outputs.argmax(axis=1)]

    def by_scikit_learn(self):
        """Return the same as an estimator of scikit-learn's."""
        from sklearn.linear_model import LogisticRegression, Ridge

        if self.classes is None:
            estimator = Ridge(alpha=self.penalty)
            estimator.coef_, estimator.intercept_ = self.coef, float(self.intercept)
        else:
            estimator = LogisticRegression(C=self.penalty, max_iter=MOST_STEPS)
            coef, intercept = self.coef.T, np.atleast_1d(self.intercept)
            if len(self.classes) == 2:
                coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
            estimator.coef_, estimator.intercept_ = coef, intercept
            estimator.classes_ = self.classes
        estimator.n_features_in_ = len(self.coef)
        return estimator


def ridge(X, y, penalties=None):
    """Return ridge with the penalty of least leave-one-out error; y (n,) or (n, n_outputs)."""
    penalties = len(X) * PENALTIES if penalties is None else penalties
    penalty = penalties[int(np.argmin(leave_one_out(X, y, penalties)))]
    mean, centre = X.mean(axis=0), y.mean(axis=0)
    rows, targets = X - mean, y - centre
    wide = rows.shape[1] > len(rows)
    gram = rows @ rows.T if wide else rows.T @ rows
    gram.flat[:: len(gram) + 1] += penalty
    solved = np.linalg.solve(gram, targets if wide else rows.T @ targets)
    coef = rows.T @ solved if wide else solved
    return Linear(coef, centre - mean @ coef, float(penalty))


def ridge_of_classes(X, y, penalties):
    """Return ridge on indicators +1 and -1, of two classes as well as of more."""
    classes = np.unique(y)
    return replace(ridge(X, 2.0 * (y[:, None] == classes) - 1.0, penalties), classes=classes)


def leave_one_out(X, y, penalties):
    """Return the mean squared leave-one-out error of ridge with an intercept, for each penalty.

    With the thin decomposition X - mean = U S V^T, e_i = r_i / (1 - 1/n - sum_j U_ij^2 s_j^2 /
    (s_j^2 + penalty)): U S are products with eigenvectors of the smaller Gram matrix.
    """
    rows, targets = X - X.mean(axis=0), y - y.mean(axis=0)
    n, d = rows.shape
    if d <= n:
        squares, V = np.linalg.eigh(rows.T @ rows)
        scaled = rows @ V  # U S
        along, shares = scaled.T @ targets, np.square(scaled)
        residuals = [targets - scaled @ _over(along, squares + p) for p in penalties]
        left = [1 - 1 / n - shares @ (1 / (squares + p)) for p in penalties]
    else:
        squares, U = np.linalg.eigh(rows @ rows.T)
        squares = np.maximum(squares, 0.0)
        along, shares = U.T @ targets, np.square(U)
        residuals = [p * (U @ _over(along, squares + p)) for p in penalties]
        left = [shares @ (p / (squares + p)) - 1 / n for p in penalties]
    pairs = zip(residuals, left, strict=True)
    return [float(np.mean(np.square(_over(r, np.maximum(h, 1e-12))))) for r, h in pairs]


def _over(rows, numbers):
    """Rows, each divided by its number."""
    return (rows.T / numbers).T


def logistic(X, y, penalty):
    """Return logistic regression, of several classes multinomial, with an inverse penalty."""
    classes, labels = np.unique(y, return_inverse=True)
    W = _minimum(X, labels, len(classes), penalty, None, MOST_STEPS)
    return Linear(W[:-1], W[-1], float(penalty), classes)


def inverse_penalty(X, y, seed):
    """Return the inverse penalty of least cross-validated log loss.

    Along the path from the strongest penalty each fit begins where the one before it ended, and the
    path ends where the loss rises.
    """
    some = np.random.default_rng(seed).permutation(len(X))[:ROWS_FOR_PENALTY]
    classes, labels = np.unique(y[some], return_inverse=True)
    if len(classes) < 2 or np.bincount(labels).min() < FOLDS_FOR_PENALTY:
        return 1.0
    folds, X = folding.stratified(labels, FOLDS_FOR_PENALTY), X[some]
    found, losses = [None] * len(folds), []
    for C in INVERSE_PENALTIES:
        data = len(classes), C
        for k, (inside, _) in enumerate(folds):
            found[k] = _minimum(X[inside], labels[inside], *data, found[k], MOST_STEPS_OF_CHOICE)
        pairs = zip(found, folds, strict=True)
        losses.append(np.mean([_log_loss(W, X[rows], labels[rows]) for W, (_, rows) in pairs]))
        if losses[-1] > min(losses):
            break
    return float(INVERSE_PENALTIES[int(np.argmin(losses))])


def _minimum(X, labels, n_classes, C, start, most_steps):
    """Weights (d + 1, n_classes), intercepts last, of least penalised log loss.

    Newton's method, each step by conjugate gradients and halved until the loss falls: the loss is
    convex.
    """
    A = np.column_stack([X, np.ones(len(X))])
    # Of two classes scikit-learn penalises the difference of their weights, twice as large as each.
    ridge = np.full((A.shape[1], 1), (2 if n_classes == 2 else 1) / (C * len(X)))
    ridge[-1] = 0.0
    W = np.zeros((A.shape[1], n_classes)) if start is None else start
    loss, P = _loss(A @ W, labels, W, ridge)
    for _ in range(most_steps):
        errors = P.copy()
        errors[np.arange(len(A)), labels] -= 1.0
        gradient = A.T @ errors / len(A) + ridge * W
        if np.abs(gradient).max() <= _GRADIENT:
            break
        step = -_newton_step(A, P, ridge, gradient)
        slope, length = float(np.vdot(gradient, step)), 1.0
        while length > _SHORTEST:
            trial = W + length * step
            after, chances = _loss(A @ trial, labels, trial, ridge)
            if after <= loss + 1e-4 * length * slope:
                break
            length /= 2
        else:  # rounding is all that is left
            break
        W, loss, P = trial, after, chances
    return W


def _loss(scores, labels, W, ridge):
    """The penalised mean log loss, and the probabilities (n, C)."""
    P, told = _chances(scores, labels)
    return float(0.5 * np.sum(ridge * np.square(W)) - told.mean()), P


def _newton_step(A, P, ridge, gradient):
    """S with H S = gradient, roughly: the closer to the minimum, the better."""
    size = np.linalg.norm(gradient)
    goal = min(0.1, np.sqrt(size)) * size
    S, r = np.zeros_like(gradient), gradient.copy()
    d, square = r.copy(), size**2
    for _ in range(_MOST_ITERATIONS):
        moved = P * (A @ d)
        moved -= P * moved.sum(axis=1, keepdims=True)
        bent = A.T @ moved / len(A) + ridge * d
        length = square / float(np.vdot(d, bent))
        S += length * d
        r -= length * bent
        before, square = square, float(np.vdot(r, r))
        if square <= goal**2:
            break
        d = r + square / before * d
    return S


def _chances(scores, labels):
    """Probabilities (n, C), and the logarithms of those of the labels (n,)."""
    scores = scores - scores.max(axis=1, keepdims=True)
    told = scores[np.arange(len(labels)), labels]
    np.exp(scores, out=scores)
    sums = scores.sum(axis=1)
    scores /= sums[:, None]
    return scores, told - np.log(sums)


def _log_loss(W, X, labels):
    """The mean log loss of rows."""
    return -_chances(X @ W[:-1] + W[-1], labels)[1].mean()
