"""Gradient descent on W = BC and W = ABC, against the rate that the theorems give."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from experiments.as22._kernel import kernel, norm
from subquad.networks import FactoredNetwork
from subquad.training import FactoredGradientDescent


def residuals(
    network: FactoredNetwork, X: NDArray, y: NDArray, eta: float, n_steps: int
) -> NDArray:
    """Return |u - y|² at the start and after each step."""
    trainer = FactoredGradientDescent(network, X, y, learning_rate=eta)
    start = trainer.residual_norm
    return np.square([start] + [trainer.step().residual_norm for _ in range(n_steps)])


def printed_growth(
    network: FactoredNetwork, X: NDArray, y: NDArray, eta: float, n_steps: int
) -> float:
    """Return |u - y| over that of the start after steps with the printed sign, which ascend."""
    B, norms = np.array(network.weights), []
    for _ in range(n_steps + 1):
        residual = network.outputs(X, B)[:, 0] - y
        norms.append(np.linalg.norm(residual))
        A, V = network.jacobian(X, B).adjoint(residual)
        B = B + eta * A.T @ V
    return float(norms[-1] / norms[0])


def excess(squares: Sequence[float], eta: float, lambda_0: float) -> float:
    """Return the largest |u(t) - y|² over (1 - η λ_0 / 2)^t |u(0) - y|², t from 1."""
    t = np.arange(1, len(squares))
    return float(np.max(np.array(squares[1:]) / ((1 - eta * lambda_0 / 2) ** t * squares[0])))


def measured_rate(squares: Sequence[float], eta: float) -> float:
    """Return λ for which |u(t) - y|² falls like (1 - η λ)^t over the last half of the steps."""
    half = len(squares) // 2
    return float(-np.log(squares[-1] / squares[half]) / (len(squares) - 1 - half) / eta)


def quotients(
    network: FactoredNetwork, X: NDArray, y: NDArray, lambda_0: float, n_steps: int
) -> list[float]:
    """Return `excess` for η = λ_0/n² and 1/λ_max, growth as printed, rate over λ_0, and λ_0."""
    small, large = lambda_0 / len(X) ** 2, 1 / norm(kernel(network, X))
    slow, fast = (residuals(network, X, y, eta, n_steps) for eta in (small, large))
    return [
        excess(slow, small, lambda_0),
        excess(fast, large, lambda_0),
        printed_growth(network, X, y, large, 10),
        measured_rate(fast, large) / lambda_0,
        lambda_0,
    ]
