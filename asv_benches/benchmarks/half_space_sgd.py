"""A step of half-space SGD at b = 32, against SGD that evaluates every neuron."""

import importlib.util

import numpy as np

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD

BATCH = 32
IMPLEMENTATIONS = ["subquad", "numpy", "torch", "torch-autograd"]


def batches(d, count, dtype=np.float32, seed=1):
    """Yield mini-batches: points of the unit sphere of R^d, and the targets 3 x1 x2."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        X = rng.standard_normal((BATCH, d))
        X /= np.linalg.norm(X, axis=1, keepdims=True)
        yield X.astype(dtype), 3 * X[:, 0] * X[:, 1]


class SubquadSGD:
    """The package."""

    def __init__(self, network, n_threads=None, **options):
        self.trainer = HalfSpaceSGD(network, n_threads=n_threads, **options)

    def step(self, X, y):
        """Take a step; return the loss before it."""
        return self.trainer.step(X, y).loss


class NumpySGD:
    """Dense W by numpy and BLAS, with neurons as rows."""

    def __init__(self, network, n_threads=None):
        self.W, self.shift = network.weights.copy(), network.dtype.type(network.shift)
        self.readout = (network.factor * network.signs).astype(network.dtype)
        self.rate = 1.0 / (network.scale**2 * network.firing_probability)

    def step(self, X, y):
        """Take a step; return the loss before it."""
        Z = self.W @ X.T
        Z -= self.shift
        np.maximum(Z, 0, out=Z)
        residual = y[:, None] - (self.readout.T @ Z).T
        np.multiply(Z > 0, self.readout, out=Z)
        self.W += Z @ (self.rate / len(X) * residual * X).astype(X.dtype)
        return float(np.square(residual).mean() / 2)


class TorchSGD:
    """The same by torch on the CPU, in place: the fastest form found of whole arrays.

    A neuron fired where the ReLU is not 0, so the sign of the ReLU is the mask.
    """

    def __init__(self, network, n_threads=None):
        import torch

        self.torch = torch
        if n_threads is not None:
            torch.set_num_threads(n_threads)
        self.W = torch.from_numpy(network.weights.copy())
        self.readout = torch.from_numpy((network.factor * network.signs).astype(network.dtype))
        self.shift = torch.tensor(-network.shift, dtype=self.W.dtype)
        self.rate = 1.0 / (network.scale**2 * network.firing_probability)

    def step(self, X, y):
        """Take a step; return the loss before it."""
        torch = self.torch
        with torch.inference_mode():
            X, y = torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))[:, None]
            Z = torch.addmm(self.shift, self.W, X.T).relu_()
            residual = y - (self.readout.T @ Z).T
            self.W.addmm_(Z.sign_().mul_(self.readout), residual * X, alpha=self.rate / len(X))
            return float(residual.square().mean() / 2)


class TorchAutogradSGD(TorchSGD):
    """Torch as most people write it: a loss, its gradient, and a step."""

    def __init__(self, network, n_threads=None):
        super().__init__(network, n_threads)
        self.W.requires_grad_(True)

    def step(self, X, y):
        """Take a step; return the loss before it."""
        torch = self.torch
        X, y = torch.from_numpy(X), torch.from_numpy(y.astype(np.float32))[:, None]
        outputs = torch.relu(X @ self.W.T + self.shift) @ self.readout
        loss = (outputs - y).square().mean() / 2
        self.W.grad = None
        loss.backward()
        with torch.no_grad():
            self.W -= self.rate * self.W.grad
        return float(loss.detach())


CONTENDERS = {
    "subquad": SubquadSGD,
    "numpy": NumpySGD,
    "torch": TorchSGD,
    "torch-autograd": TorchAutogradSGD,
}


def contender(implementation, network, n_threads=None):
    """Return an implementation; raise NotImplementedError, which asv skips, without torch."""
    if implementation.startswith("torch") and importlib.util.find_spec("torch") is None:
        raise NotImplementedError("torch is not installed")
    return CONTENDERS[implementation](network, n_threads)


class Step:
    """One step at eta = 1, B = 8, float32."""

    params = [IMPLEMENTATIONS, [3, 5], [1 << 10, 1 << 15, 1 << 18, 1 << 21]]
    param_names = ["implementation", "dimension", "width"]

    def setup(self, implementation, dimension, width):
        network = PairedNetwork(dimension, width=width, rng=0, dtype=np.float32)
        self.sgd = contender(implementation, network)
        self.batches = list(batches(dimension, 16))
        self.sgd.step(*self.batches[0])  # builds the report and touches pages
        self.next = 0

    def time_step(self, implementation, dimension, width):
        self.next = (self.next + 1) % len(self.batches)
        self.sgd.step(*self.batches[self.next])


class Losses:
    """The loss after some steps, which is the same for every implementation."""

    params = [IMPLEMENTATIONS, [3, 5], [1 << 10, 1 << 14]]
    param_names = ["implementation", "dimension", "width"]

    def setup(self, implementation, dimension, width):
        network = PairedNetwork(dimension, width=width, rng=0, dtype=np.float32)
        self.sgd = contender(implementation, network)

    def track_loss(self, implementation, dimension, width):
        return float(np.mean([self.sgd.step(X, y) for X, y in batches(dimension, 50)][-10:]))

    track_loss.unit = "mean of |f - y|^2 / 2"


class Passes:
    """Passes over 1024 points of the sphere, with every change of W entered in the report."""

    params = [["auto", "tree", "scan", "none"], [3, 8], [1 << 10, 1 << 14]]
    param_names = ["implementation", "dimension", "width"]

    def setup(self, implementation, dimension, width):
        report = None if implementation == "none" else implementation
        network = PairedNetwork(dimension, width=width, rng=0)
        self.trainer = HalfSpaceSGD(network, report=report)
        pairs = list(batches(dimension, 32, np.float64))
        self.X, self.y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        self.trainer.partial_fit(self.X, self.y)

    def time_pass(self, implementation, dimension, width):
        self.trainer.partial_fit(self.X, self.y)
