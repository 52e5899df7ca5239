"""Gauss-Newton on the last layer, one class for each implementation, all taking the same steps.

subquad             the package
numpy, torch        W dense, Z = V W^T and W <- W - (g o U)^T V at each step, the structured
Gram matrix G = K o (U U^T) with K = V V^T computed once ([SZZ24],
Algorithm 2, without its data structure)
numpy-structured    Z = Z0 + K A instead, as subquad, but in plain numpy
"""

import importlib.util
import time

import numpy as np
import scipy.linalg

from subquad.networks import LastLayer
from subquad.training import LastLayerGaussNewton

# Torch is looked up here and imported where it is used, since importing it takes seconds.
HAS_TORCH = importlib.util.find_spec("torch") is not None


class SubquadSteps:
    """The package; `restart` goes back to W(0)."""

    def __init__(self, problem, n_threads=None):
        self._layer = LastLayer(
            problem.V,
            problem.Z0,
            problem.readout,
            problem.activation,
            thresholds=problem.thresholds,
        )
        self._y, self._n_threads = problem.y, n_threads
        self.restart()

    def restart(self):
        """Forget the steps taken."""
        self._trainer = LastLayerGaussNewton(self._layer, self._y, n_threads=self._n_threads)

    def step(self):
        """Take one step."""
        self._trainer.step()

    def residual_norm(self):
        """Return |f - y| after the steps taken."""
        return self._trainer.residual_norm


class NumpySteps:
    """Dense W by numpy and BLAS. `restart` does nothing: every step costs the same."""

    def __init__(self, problem, n_threads=None):
        self.p, self.W = problem, problem.W.copy()
        self.K = problem.V @ problem.V.T
        self.scale = np.float32(problem.activation.scale)
        self.thresholds = problem.thresholds.astype(np.float32)[:, None]

    def restart(self):
        """Do nothing."""

    def step(self):
        """Take one step."""
        fired, residual = self._linearise()
        U = self.scale * fired * self.p.readout
        G = self.K * (U @ U.T)
        g = scipy.linalg.solve(G, residual, assume_a="pos", check_finite=False)
        self._move(g[:, None] * U)

    def residual_norm(self):
        """Return |f - y| after the steps taken."""
        return float(np.linalg.norm(self._linearise()[1]))

    def _linearise(self):
        """Return which neurons fire, and f - y."""
        above = self._preactivations() - self.thresholds
        fired = (above > 0).astype(np.float32)
        above *= fired
        return fired, self.scale * (above @ self.p.readout) - self.p.y

    def _preactivations(self):
        return self.p.V @ self.W.T

    def _move(self, step):
        # W -= step^T V as one GEMM in place: W.T -= V^T step in Fortran order.
        scipy.linalg.blas.sgemm(
            -1.0, self.p.V.T, step.T, beta=1.0, c=self.W.T, trans_b=True, overwrite_c=True
        )


class StructuredSteps(NumpySteps):
    """Z = Z0 + K A by numpy and BLAS, which never reads W."""

    def __init__(self, problem, n_threads=None):
        self.p, self.A = problem, np.zeros_like(problem.Z0)
        self.K = problem.V @ problem.V.T
        self.scale = np.float32(problem.activation.scale)
        self.thresholds = problem.thresholds.astype(np.float32)[:, None]

    def _preactivations(self):
        return self.p.Z0 + self.K @ self.A

    def _move(self, step):
        self.A -= step


class TorchSteps:
    """Dense W by torch on the CPU. `restart` does nothing: every step costs the same."""

    def __init__(self, problem, n_threads=None):
        import torch

        if n_threads is not None:
            torch.set_num_threads(n_threads)
        V, W = torch.from_numpy(problem.V), torch.from_numpy(problem.W.copy())
        readout, y = torch.from_numpy(problem.readout), torch.from_numpy(problem.y)
        thresholds = torch.from_numpy(problem.thresholds.astype(np.float32))
        self._begin(torch, V, W, readout, y, problem.activation.scale, thresholds)

    @classmethod
    def from_tensors(cls, *parts):
        """Return steps from W, which they change in place; `scale` is that of the activation."""
        import torch

        self = cls.__new__(cls)
        self._begin(torch, *parts)
        return self

    def _begin(self, torch, V, W, readout, y, scale, thresholds):
        self.torch, self.V, self.W, self.readout, self.y = torch, V, W, readout, y
        self.scale, self.thresholds = scale, thresholds[:, None]
        self.K = V @ V.T

    def restart(self):
        """Do nothing."""

    def step(self):
        """Take one step."""
        with self.torch.inference_mode():
            self._step_from(*self._linearise())

    def fit(self, tol, max_steps=20):
        """Step until |f - y| is `tol` of what it was; return (clock, |f - y|) before each step.

        One product with W tells both how good a step was and where the next one starts.
        """
        with self.torch.inference_mode():
            history = []
            while True:
                fired, residual = self._linearise()
                history.append((time.perf_counter(), float(self.torch.linalg.norm(residual))))
                if history[-1][1] <= tol * history[0][1] or len(history) > max_steps:
                    return history
                self._step_from(fired, residual)

    def residual_norm(self):
        """Return |f - y| after the steps taken."""
        with self.torch.inference_mode():
            return float(self.torch.linalg.norm(self._linearise()[1]))

    def _step_from(self, fired, residual):
        U = self.scale * fired * self.readout
        G = self.K * (U @ U.T)
        g = self.torch.cholesky_solve(residual[:, None], self.torch.linalg.cholesky(G))
        self.W.addmm_((g * U).T, self.V, alpha=-1)

    def _linearise(self):
        """Return which neurons fire, and f - y."""
        above = self.V @ self.W.T - self.thresholds
        fired = (above > 0).to(self.torch.float32)
        above *= fired
        return fired, self.scale * (above @ self.readout) - self.y


CONTENDERS = {
    "subquad": SubquadSteps,
    "numpy-structured": StructuredSteps,
    "numpy": NumpySteps,
    "torch": TorchSteps,
}
NEEDS_WEIGHTS = ("numpy", "torch")


def contender(implementation, problem, n_threads=None):
    """Return the steps of an implementation; raise NotImplementedError, for asv, without torch."""
    if implementation == "torch" and not HAS_TORCH:
        raise NotImplementedError("torch is not installed")
    return CONTENDERS[implementation](problem, n_threads)


def step_seconds(steps, n_steps=3):
    """Return the seconds of each of the first steps of a fit."""
    steps.restart()
    seconds = []
    for _ in range(n_steps):
        start = time.perf_counter()
        steps.step()
        seconds.append(time.perf_counter() - start)
    return seconds


def slope(widths, seconds):
    """Return the exponent of seconds ~ width^exponent, by least squares in logarithms."""
    return float(np.polyfit(np.log(widths), np.log(seconds), 1)[0])
