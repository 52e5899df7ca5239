"""A trainer reports success, and returns iterates, only on what it evaluated.

The iterate returned is the one that its factors stand for: no worse than the start, and finite.
"""

import contextlib
import itertools
import warnings

import numpy as np
import pytest

from subquad.networks import FactoredNetwork, PairedNetwork, TwoLayerNetwork, WideNetwork
from subquad.solvers import Solution, gram_solve
from subquad.training import (
    FactoredGaussNewton,
    FactoredGradientDescent,
    HalfSpaceSGD,
    LastLayerGaussNewton,
    TrainingWarning,
    TwoLayerGaussNewton,
)

pytestmark = pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
KINDS = ["last layer", "two layers", "factored"]


def trained(kind, X, y, **options):
    """The trainer after its run, and the outputs of the network with what it returned."""
    d, dtype, C = X.shape[1], X.dtype, 1 if y.ndim == 1 else y.shape[1]
    options = {"max_steps": 12} | options
    if kind == "last layer":
        layer = WideNetwork(d, width=256 * C, n_outputs=C, rng=0, dtype=dtype).last_layer(X)
        trainer = LastLayerGaussNewton(layer, y, **options).run()
        return trainer, layer.outputs(trainer.factors)
    if kind == "two layers":
        network = TwoLayerNetwork(d, width=256 * C, n_outputs=C, rng=0, dtype=dtype)
        trainer = TwoLayerGaussNewton(network, X, y, **options).run()
        return trainer, network.outputs(X, trainer.factors)
    network = FactoredNetwork(d, width=256, inner_size=4, n_outputs=C, rng=0, dtype=dtype)
    trainer = FactoredGaussNewton(network, X, y, **options).run()
    return trainer, network.outputs(X, trainer.weights)


def data(n, d, dtype, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, d))
    return (X / np.linalg.norm(X, axis=1, keepdims=True)).astype(dtype), rng.standard_normal(n)


@pytest.mark.parametrize("d", [1, 2])
@pytest.mark.parametrize("regularization", [0.0, 1e-3])
def test_float32_conjugate_gradients_bear_kernels_of_low_rank(d, regularization):
    """The block of the landmarks is singular to float32, which a shift of 1e-10 does not mend."""
    X, y = np.random.default_rng(0).standard_normal((200, d)).astype(np.float32), np.arange(200.0)
    trainer, _ = trained(
        "two layers", X, y, solver="pcg", regularization=regularization, rng=0, max_steps=3
    )
    assert trainer.relative_residual <= 1.0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("regularization", [0.0, 1e-6])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_float32_fits_of_repeated_rows_are_no_worse_than_the_start(kind, regularization, n_outputs):
    """Coefficients of equal rows are large and cancel: rounded one by one, they did not."""
    for seed in (0, 3):
        X, y = data(15, 4, np.float32, seed)
        X = np.repeat(X, 4, axis=0)
        y = np.random.default_rng(seed).standard_normal((60, n_outputs))
        trainer, outputs = trained(kind, X, y, regularization=regularization, max_steps=20)
        start, _ = trained(kind, X, y, max_steps=0)
        first = np.linalg.norm(start.outputs - y)
        left = np.linalg.norm(outputs.reshape(y.shape) - y)
        assert left <= (1 + 1e-5) * first
        assert left == pytest.approx(trainer.residual_norm, rel=1e-4)
        means = y.reshape(15, 4, n_outputs).mean(axis=1).repeat(4, axis=0)
        if trainer.converged:
            assert left <= np.linalg.norm(means - y) + 2e-3 * first


class Rough:
    """A solver whose solutions are off by a given factor, and which says that they are right."""

    name = "rough"

    def __init__(self, factor):
        self.factor = factor

    def solve(self, J, c, damping=0.0, weights=None):
        x = gram_solve(J, c, "exact", damping=damping, weights=weights).x
        return Solution(self.factor * x, 0, 0.0, True, "")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("factor", [0.7, 1.5, 1e300, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_success_does_not_rest_on_what_a_solver_says(kind, factor, dtype):
    """A direction that promises nothing is no minimum, and a NaN that silences neurons no fit."""
    X, y = data(20, 5, dtype)
    for regularization, size in itertools.product((0.0, 1.0), (1.0, 1e-3)):
        options = {"regularization": regularization, "tol": 1e-4}
        rough, outputs = trained(kind, X, size * y, solver=Rough(factor), **options)
        assert np.isfinite(outputs).all()
        assert rough.relative_residual <= 1 + 1e-6
        if not rough.converged:
            continue
        if regularization == 0.0:
            first = rough.residual_norm / rough.relative_residual
            assert np.linalg.norm(outputs[:, 0] - size * y) <= 1.1e-4 * first
        else:
            exact, _ = trained(kind, X, size * y, max_steps=50, **options)
            assert rough.history[-1].objective <= 1.02 * exact.history[-1].objective


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e-30), (np.float64, 1e-150)])
def test_a_change_that_the_precision_does_not_hold_is_not_returned(kind, dtype, scale):
    X, y = data(12, 5, dtype)
    for regularization in (0.0, 1e-300):
        trainer, outputs = trained(kind, X * dtype(scale), y, regularization=regularization)
        assert np.isfinite(outputs).all()
        assert np.isfinite([trainer.residual_norm, trainer.change_norm]).all()
        left = np.linalg.norm(outputs[:, 0] - y)
        assert left <= (1 + 1e-5) * np.linalg.norm(y) or not trainer.converged
        if trainer.converged and regularization == 0.0:
            assert left <= 1e-5 * np.linalg.norm(y)


@pytest.mark.parametrize("kind", ["two layers", "factored"])
def test_a_network_whose_outputs_overflow_is_refused(kind):
    X, y = data(6, 5, np.float64)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"float64 holds|finite"):
        trained(kind, X * 1e308, y)


def test_gradient_descent_names_the_argument_where_its_kernel_vanishes():
    X, y = data(6, 5, np.float32)
    network = FactoredNetwork(5, width=256, inner_size=4, n_outputs=2, rng=0, dtype=np.float32)
    with pytest.raises(ValueError, match="X must have rows whose tangent kernel"):
        FactoredGradientDescent(network, X * np.float32(1e-30), np.column_stack([y, y]))


def test_half_space_sgd_never_reports_a_loss_that_is_not_finite():
    rng = np.random.default_rng(0)
    for dtype, rate, size in itertools.product(
        (np.float32, np.float64), (1.0, 1e10, 1e300, "auto"), (0.0, 1.0, 1e100, 1e300)
    ):
        X = rng.standard_normal((64, 3)).astype(dtype)
        trainer = HalfSpaceSGD(PairedNetwork(3, width=512, rng=0, dtype=dtype), learning_rate=rate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingWarning)
            with contextlib.suppress(FloatingPointError):
                trainer.run(X, size * X[:, 0].astype(float))
        assert np.isfinite([record.loss for record in trainer.history]).all()
        assert np.isfinite(trainer.weights).all()
