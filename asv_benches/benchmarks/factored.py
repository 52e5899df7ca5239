"""Gradient descent of dense and factored networks: one step of each, float32."""

import numpy as np

from subquad._kernels import coactivation
from subquad.networks import FactoredNetwork
from subquad.training import FactoredGradientDescent

# Pass over 16 points at a time between two products with W: 1 MiB of pre-activations.
POINTS = 16


def problem(n, d, dtype=np.float32):
    """Return points on the sphere, and targets of +-1."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d), dtype)
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X, rng.choice(np.array([-1, 1], dtype), n)


def largest_eigenvalue(H, iterations=100):
    """Return the largest eigenvalue of a symmetric matrix, by the power method."""
    x = np.ones(len(H))
    for _ in range(iterations):
        x = H @ (x / np.linalg.norm(x))
    return float(np.linalg.norm(x))


class DenseNumpy:
    """Gradient descent of f(x) = a relu(W x) / sqrt(m) by W (m, d), in place."""

    def __init__(self, X, y, m):
        rng = np.random.default_rng(1)
        self.X, self.y = X, y
        self.W = rng.standard_normal((m, X.shape[1]), X.dtype)
        self.a = rng.choice(np.array([-1, 1], X.dtype), m) / np.sqrt(X.dtype.type(m))
        self.gradient = np.empty_like(self.W)
        self.Z = np.empty((len(X), m), X.dtype)
        self.eta = X.dtype.type(1 / largest_eigenvalue(self.kernel()))
        self.loss = np.nan

    def kernel(self):
        """Return H = X X^T o D D^T / m at the start, from the bits of the neurons that fire."""
        n, m = len(self.X), len(self.W)
        K = self.X.astype(np.float64)
        fired = np.packbits(self.X @ self.W.T > 0, axis=1, bitorder="little")
        fired = np.ascontiguousarray(np.pad(fired, ((0, 0), (0, -fired.shape[1] % 8))))
        H, counts = np.empty((n, n)), np.empty((1, coactivation.GRAM_COUNTS), np.int32)
        coactivation.coactivation_gram(fired.view(np.uint64), K @ K.T, 1 / m, H, counts, 1)
        return H

    def step(self):
        """Take one step; `loss` is |f - y|^2 before it."""
        self.loss = 0.0
        np.matmul(self.X, self.W.T, out=self.Z)
        for start in range(0, len(self.X), POINTS):
            Z, y = self.Z[start : start + POINTS], self.y[start : start + POINTS]
            np.maximum(Z, 0, out=Z)
            residual = Z @ self.a - y
            self.loss += float(residual @ residual)
            np.sign(Z, out=Z)
            Z *= self.a
            Z *= residual[:, None]
        np.matmul(self.Z.T, self.X, out=self.gradient)
        self.gradient *= self.eta
        self.W -= self.gradient


class DenseTorch:
    """The same descent by torch's autograd."""

    def __init__(self, numpy):
        import torch

        self.torch = torch
        self.X, self.y, self.a = (torch.from_numpy(x) for x in (numpy.X, numpy.y, numpy.a))
        self.W = torch.from_numpy(numpy.W.copy()).requires_grad_(True)
        self.eta = float(numpy.eta)

    def step(self):
        """Take one step."""
        f = self.torch.relu(self.X @ self.W.T) @ self.a
        (0.5 * (f - self.y).square().sum()).backward()
        with self.torch.no_grad():
            self.W -= self.eta * self.W.grad
            self.W.grad = None


def factored(X, y, m, l, k, sketch="srht", dtype=np.float32):  # noqa: E741
    """Return the package's trainer."""
    network = FactoredNetwork(
        X.shape[1], width=m, inner_size=l, outer_size=k, sketch=sketch, rng=1, dtype=dtype
    )
    return FactoredGradientDescent(network, X, y, tol=0.0)


def steps_of(implementation, n, width, inner_size, outer_size):
    """Return the object that takes the steps of an implementation; d = n."""
    X, y = problem(n, n)
    if implementation == "subquad":
        return factored(X, y, width, inner_size, outer_size)
    if implementation == "subquad-BC":
        return factored(X, y, width, inner_size, None)
    dense = DenseNumpy(X, y, width)
    if implementation == "numpy":
        return dense
    try:
        return DenseTorch(dense)
    except ImportError:
        raise NotImplementedError("torch is not installed") from None


class GradientStep:
    """One step of A (m, k), B (k, l), C (l, d), or of W (m, d)."""

    params = [["subquad", "subquad-BC", "numpy", "torch"], [64, 512], [1024, 4096], [32], [64]]
    param_names = ["implementation", "n", "width", "inner_size", "outer_size"]

    def setup(self, *parameters):
        self.trainer = steps_of(*parameters)
        self.trainer.step()

    def time_step(self, *parameters):
        self.trainer.step()


class FirstSteps:
    """The part of the residual that 20 steps leave."""

    params = [["subquad", "subquad-BC"], [64, 512], [1024]]
    param_names = ["implementation", "n", "width"]

    def setup(self, implementation, n, width):
        self.trainer = steps_of(implementation, n, width, 32, 64)

    def track_relative_residual(self, implementation, n, width):
        for _ in range(20):
            self.trainer.step()
        return self.trainer.relative_residual

    track_relative_residual.unit = "|r| / |r_0|"
