"""What a linearised fit of a layer is not sure of."""

import numpy as np

from subquad.interop._change._factors import matches
from subquad.interop._model import TorchLayer
from subquad.solvers.influence import predictive_variance_as


def deviations(change, model, X, noise):
    """Return the deviations that `LayerChange.deviations` describes."""
    mu, known = change.regularization, change._training
    if not mu:
        raise ValueError("regularization must be positive for deviations; got a fit with 0.")
    subject = TorchLayer(model, known.X, change.layer, change.bias is not None, known.batch_size)
    eps = np.finfo(subject.dtype).eps
    applied = not matches(change._print, subject.initial, eps)
    if applied and not matches(change._print, subject.initial - change._matrix, eps):
        raise ValueError(
            f"model must hold the weight of {change.layer!r} that was fitted, with or without its "
            "change; got another one."
        )
    with subject.holding(0.0 if applied else change._matrix):
        columns = [
            _of_output(
                subject.jacobian(outputs=c), subject.jacobian(X, outputs=c), change, c, noise
            )
            for c in range(change.outputs.shape[1])
        ]
    return np.column_stack(columns)


def _of_output(J, other, change, c, noise):
    """Deviations of one output at the rows of `other`."""
    mu, known = change.regularization, change._training
    weights = known.sample_weight
    weights = np.ones(J.n) if weights is None else np.asarray(weights, np.float64)
    r = known.y[:, c] - change.outputs[:, c] + J.matvec(change._matrix.astype(J.dtype))
    variances = predictive_variance_as(
        "regularization",
        J.gram(),
        r,
        mu,
        other.gram(J),
        other.diagonal(),
        weights=weights,
        noise=noise,
    )
    return np.sqrt(variances)
