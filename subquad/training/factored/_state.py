"""Where the training of a factored network stands: B = B(0) + change, and what it responds."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from subquad.jacobian import FiredJacobian, FixedSide, SharedJacobian, kept_gram
from subquad.training._equation import Activity, CoupledEquation, Equation
from subquad.training.factored._jacobian import LayerJacobian

# The largest eigenvalue is found to this relative error: half the limit is what a step size takes.
_POWER_RTOL = 1e-3
# A Gram matrix beats products through m neurons up to so many data points.
EXPLICIT_GRAM = 4096


@dataclass(frozen=True)
class FactoredTrial:
    """What a proposed change gives; `response` is that of the layer."""

    outputs: np.ndarray
    flips: int
    terms: np.ndarray
    response: object


class FactoredState:
    """A factored layer with moving weights; `terms` is B - B(0) itself, k l numbers.

    Parameters
    ----------
    layer : FactoredLayer
    weights : ndarray, shape (n,), or None
        Sample weights.
    solves : bool
        Whether a step solves an equation, or follows the gradient.
    solver : object, optional
        How it is solved; exactly by default.
    n_threads : int

    Attributes
    ----------
    outputs : ndarray, shape (n, C)
        f(x_i), in float64.
    terms : ndarray, shape of B
        B - B(0).
    """

    has_kinks = True

    def __init__(self, layer, weights, solves, solver=None, n_threads=1):
        self.layer, self._weights, self._solves = layer, weights, solves
        self._solver, self._n_threads = solver, n_threads
        self._initial = layer.network.weights
        self._side = FixedSide(layer.V, layer.n_outputs)
        self._K = None
        self._adopt(self._evaluate(np.zeros_like(self._initial), None))

    @property
    def active(self):
        """How many neurons fire at each data point, shape (n,)."""
        return self._response.active

    @property
    def firing(self):
        """Bits of who fires, by data point."""
        return (self._response.fired,)

    @property
    def linear(self):
        """J vec(B - B(0)) at the current iterate, shape (n, C)."""
        return self._product_with(self.terms)

    def linearise(self):
        """Return the equation at the current iterate, or the `Activity` alone."""
        return self.equation() if self._solves else Activity(*self._activity())

    def equation(self):
        """Return the equation at the current iterate."""
        J, described = self._jacobian(), (*self._activity(), self._weights, self._solver)
        if self.layer.n_outputs == 1:
            return Equation([J], *described)
        return CoupledEquation(J, *described)

    def _activity(self):
        """How many neurons fire (n, C), and how many there are (C,)."""
        n_outputs = self.layer.n_outputs
        active = np.repeat(self.active[:, None], n_outputs, axis=1)
        return active, np.full(n_outputs, self.layer.network.width)

    def propose(self, coefficients, keep):
        """Return what B - B(0) = keep (B - B(0)) + J^T coefficients would give."""
        step = self.layer.pull_back(self._response.fired, coefficients)
        return self._evaluate(step if keep == 0 else keep * self.terms + step, self._response)

    def accept(self, trial):
        """Make a proposal the current iterate."""
        self._adopt(trial)

    def restore(self, terms):
        """Make an iterate the current one; return whether there was anything to do."""
        if terms is self.terms:
            return False
        self._adopt(self._evaluate(terms, self._response))
        return True

    def factors(self, terms):
        """Return (A, V) with B = B(0) + A^T V at an iterate, V the identity."""
        return terms.T, np.eye(terms.shape[1], dtype=terms.dtype)

    def _product_with(self, change):
        """J vec(change), shape (n, C)."""
        layer = self.layer
        if not layer.outer.narrow:
            return layer.push_forward(self._response.fired, change)
        moves = layer.V @ change.T
        return np.column_stack([np.einsum("ik,ik->i", U, moves) for U in self._tangents()])

    def largest_eigenvalue(self):
        """Return lambda_max of W^1/2 J J^T W^1/2, from below, to a relative error of 1e-3.

        Lanczos from a fixed start: some ten products. 0 where these vanish or overflow.
        """
        n, n_outputs = shape = self.outputs.shape
        roots = np.ones((n, 1)) if self._weights is None else np.sqrt(self._weights)[:, None]
        J = self._jacobian()
        if n_outputs == 1 and n <= EXPLICIT_GRAM:
            kept_gram(J)

        def weighted(g):
            return (roots * J.product((roots * g.reshape(shape)).ravel()).reshape(shape)).ravel()

        size = self.outputs.size
        if size == 1:
            return float(weighted(np.ones(1))[0])
        start = roots * np.ones(shape) + np.linspace(0.0, 0.5, size).reshape(shape)
        first = weighted(start.ravel())
        if not (first.any() and np.isfinite(first).all()):
            raise ValueError(
                "X must have rows whose tangent kernel float64 holds, neither 0 nor infinite; got "
                f"a largest entry of {np.abs(self.layer.V).max():.3g} in C X. Scale X."
            )
        operator = LinearOperator((size, size), matvec=weighted, dtype=np.float64)
        values = eigsh(
            operator, k=1, which="LA", tol=_POWER_RTOL, v0=start.ravel(), return_eigenvectors=False
        )
        return float(values[0])

    def _jacobian(self):
        """J of all outputs; bits count who fires if there is no A."""
        layer, fired, K = self.layer, self._response.fired, self._inner_gram()
        if layer.outer.narrow:
            return SharedJacobian(self._tangents(), self._side, K, self._n_threads)
        network = layer.network
        readout = network._scale * network.readout.astype(np.float64)
        if layer.n_outputs > 1:
            return LayerJacobian(layer, fired, readout, self._side, K, self._n_threads)
        return FiredJacobian(fired, readout[0], self._side, K, n_threads=self._n_threads)

    def _tangents(self):
        """U of every output (n, k), kept until the iterate changes; only where k is small."""
        if self._kept is None:
            layer, fired = self.layer, self._response.fired
            self._kept = [layer.tangents(fired, c) for c in range(layer.n_outputs)]
        return self._kept

    def _inner_gram(self):
        """K = V V^T, made once."""
        if self._K is None:
            self._K = self.layer.inner_gram()
        return self._K

    def _adopt(self, trial):
        self.outputs, self.terms, self._response = trial.outputs, trial.terms, trial.response
        self._kept = None

    def _evaluate(self, terms, response):
        """What the layer does at B(0) + terms."""
        before = None if response is None else response.fired
        response = self.layer.respond(self._initial + terms, before)
        flips = 0 if before is None else response.flips
        return FactoredTrial(response.outputs, flips, terms, response)
