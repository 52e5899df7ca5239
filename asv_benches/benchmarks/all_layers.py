"""A step of gradient descent on all layers, against dense matrices in numpy and torch."""

import numpy as np

from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.training import LowRankGradientDescent

from .suite import torch

POINTS = 64
IMPLEMENTATIONS = ["flush", "recompress", "numpy", "torch"]


def problem(width, dtype=np.float32):
    """Return a network of three layers in which 2 % of the neurons fire, data, and a step size."""
    X = np.random.default_rng(0).standard_normal((POINTS, 16))
    network = WideNetwork(
        16, width=width, depth=3, activation=ShiftedReLU(2.05), rng=0, dtype=dtype
    )
    X, y = X.astype(dtype), np.sign(X[:, :1])
    trainer = LowRankGradientDescent(network, step_size="auto", rank_budget=np.inf)
    trainer.step(X, y)
    return network, X, y, trainer.step_size


class SubquadDescent:
    """The package."""

    def __init__(self, network, step_size, **options):
        self.trainer = LowRankGradientDescent(network, step_size=step_size, **options)

    def step(self, X, y):
        """Take a step; return the loss before it."""
        return self.trainer.step(X, y).loss


class NumpyDescent:
    """Dense matrices by numpy and BLAS."""

    def __init__(self, network, step_size):
        self.weights = [W.to_dense() for W in network.weights]
        self.readout, self.phi, self.std = network.readout, network.activation, network.weight_std
        self.step_size = network.dtype.type(step_size)

    def step(self, X, y):
        """Take a step; return the loss before it."""
        inputs, slopes, norms, H = [], [], [], X
        for W in self.weights:
            H = H / norms[-1] if norms else X
            inputs.append(H)
            Z = H @ W.T
            thresholds = self.phi.thresholds(np.linalg.norm(H.astype(float), axis=1), self.std)
            slopes.append(self.phi.derivative(Z, thresholds))
            H = self.phi(Z, thresholds)
            norms.append(np.maximum(np.linalg.norm(H, axis=1, keepdims=True), 1e-30))
        residual = H @ self.readout.T - y
        U = slopes[-1] * (residual.astype(X.dtype) @ self.readout)
        for level in range(len(self.weights) - 1, -1, -1):
            W, V = self.weights[level], inputs[level]
            back = U @ W if level else None
            W -= self.step_size * (U.T @ V)
            if level:
                back -= V * np.einsum("ij,ij->i", V, back)[:, None]
                U = back * slopes[level - 1] / norms[level - 1]
        return float(np.square(residual).sum() / 2)


class TorchDescent:
    """Torch as most people write it: a loss, its gradient, and a step."""

    def __init__(self, network, step_size):
        if torch is None:
            raise NotImplementedError("torch is not installed")
        self.weights = [torch.tensor(W.to_dense(), requires_grad=True) for W in network.weights]
        self.readout, self.phi = torch.from_numpy(network.readout), network.activation
        self.std, self.step_size = network.weight_std, step_size

    def step(self, X, y):
        """Take a step; return the loss before it."""
        H, y = torch.from_numpy(X), torch.from_numpy(y.astype(X.dtype))
        for number, W in enumerate(self.weights, 1):
            thresholds = self.std * self.phi.shift * H.detach().norm(dim=1, keepdim=True)
            H = self.phi.scale * torch.relu(H @ W.T - thresholds)
            if number < len(self.weights):
                H = torch.nn.functional.normalize(H, eps=1e-30)
        loss = (H @ self.readout.T - y).square().sum() / 2
        loss.backward()
        with torch.no_grad():
            for W in self.weights:
                W -= self.step_size * W.grad
                W.grad = None
        return float(loss.detach())


def contender(implementation, network, step_size):
    """Return an implementation; raise NotImplementedError, which asv skips, without torch."""
    if implementation in ("flush", "recompress"):
        options = {"when_full": implementation, "rtol": 1e-6}
        return SubquadDescent(network, step_size, **options)
    return {"numpy": NumpyDescent, "torch": TorchDescent}[implementation](network, step_size)


class Step:
    """A step, the mean of sixteen with the flushes among them, at 64 points, float32."""

    params = [IMPLEMENTATIONS, [2048, 4096, 8192]]
    param_names = ["implementation", "width"]
    number = 16
    warmup_time = 0

    def setup(self, implementation, width):
        network, self.X, self.y, step_size = problem(width)
        self.descent = contender(implementation, network, step_size)
        self.descent.step(self.X, self.y)

    def time_step(self, implementation, width):
        self.descent.step(self.X, self.y)


class Losses:
    """The loss after ten steps, which is the same for every implementation."""

    params = [IMPLEMENTATIONS, [2048]]
    param_names = ["implementation", "width"]

    def setup(self, implementation, width):
        network, self.X, self.y, step_size = problem(width)
        self.descent = contender(implementation, network, step_size)

    def track_loss(self, implementation, width):
        return [self.descent.step(self.X, self.y) for _ in range(11)][-1]

    track_loss.unit = "half a sum of squares"
