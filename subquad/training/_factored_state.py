"""Where the training of a factored network stands: B = B(0) + change, and what it responds.

It answers the questions that `SeparableState` answers for a last layer, so that the rules for steps
serve both; `terms` is the change of B itself, k l numbers.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse.linalg import LinearOperator, eigsh

from subquad.networks._factored_layer import Response, tangent_gram
from subquad.training._factored_system import TangentSystem
from subquad.training._linear_system import BlockSystem, CoupledSystem
from subquad.training._solver_system import FiredSystem, Preparation, SolverSystem

_POWER_RTOL = 1e-3  # of the largest eigenvalue, to which a step size of half the limit is not bound
EXPLICIT_GRAM = 4096  # data points up to which a Gram matrix beats products through m neurons


@dataclass(frozen=True)
class FactoredTrial:
    """What a proposed change gives."""

    outputs: np.ndarray
    flips: int
    terms: np.ndarray
    response: Response


@dataclass(frozen=True)
class Activity:
    """What a step that solves no system is told of one."""

    active: np.ndarray
    active_fraction: float
    report: dict = field(default_factory=dict)


class FactoredState:
    """A `FactoredLayer` with moving weights.

    Attributes
    ----------
    outputs : ndarray, shape (n, C)
        f(x_i), in float64.
    terms : ndarray, shape of B
        B - B(0).
    """

    def __init__(self, layer, weights, with_system, solver=None, n_threads=1):
        self.layer, self._weights, self._with_system = layer, weights, with_system
        self._solver, self._n_threads = solver, n_threads
        self._initial = layer.network.weights
        self._K = None
        if solver is not None:
            self._rows = np.repeat(layer.V, layer.n_outputs, axis=0)
            self._prepare = Preparation(self._rows)
        self._adopt(self._evaluate(np.zeros_like(self._initial), None))

    @property
    def active(self):
        """How many neurons fire at each data point, shape (n,)."""
        return self._response.active

    @property
    def active_fraction(self):
        """Fraction of (neuron, data point) pairs that fire."""
        return float(self.active.mean() / self.layer.network.width)

    @property
    def linear(self):
        """J vec(B - B(0)) at the current iterate, shape (n, C)."""
        return self.product_with(self.terms)

    def linearise(self):
        """Return the system G + mu W^-1 at the current iterate, or the `Activity` alone."""
        if not self._with_system:
            return Activity(self.active[:, None], self.active_fraction)
        layer, n_outputs = self.layer, self.layer.n_outputs
        active = np.repeat(self.active[:, None], n_outputs, axis=1)
        described = active, np.full(n_outputs, layer.network.width), self._weights
        if self._solver is not None:
            return SolverSystem([self._block_of_rows()], self._solver, *described)
        grams = self._grams()
        if n_outputs == 1:
            return BlockSystem(grams, *described)
        return CoupledSystem(grams, self.gram_product, *described)

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

    def weights(self, terms):
        """Return B of an iterate."""
        return self._initial + terms

    def product_with(self, change):
        """J vec(change), shape (n, C)."""
        layer = self.layer
        if not layer.outer.narrow:
            return layer.push_forward(self._response.fired, change)
        moves = layer.V @ change.T
        return np.column_stack([np.einsum("ik,ik->i", U, moves) for U in self._tangents()])

    def gram_product(self, g):
        """J J^T g for g (n, C)."""
        layer = self.layer
        if not layer.outer.narrow:
            return self.product_with(layer.pull_back(self._response.fired, g))
        weighted = sum(c[:, None] * U for c, U in zip(g.T, self._tangents(), strict=True))
        return self.product_with(weighted.T.astype(layer.V.dtype, copy=False) @ layer.V)

    def largest_eigenvalue(self):
        """Return lambda_max of W^1/2 J J^T W^1/2, from below, to a relative error of 1e-3.

        Lanczos from a fixed start: some ten products.
        """
        layer, shape = self.layer, self.outputs.shape
        roots = np.ones((layer.n, 1)) if self._weights is None else np.sqrt(self._weights)[:, None]
        product = self.gram_product
        if layer.n_outputs == 1 and layer.n <= EXPLICIT_GRAM:
            product = self._grams()[0].__matmul__

        def weighted(g):
            return (roots * product(roots * g.reshape(shape))).ravel()

        if self.outputs.size == 1:
            return float(weighted(np.ones(1))[0])
        size = self.outputs.size
        operator = LinearOperator((size, size), matvec=weighted, dtype=np.float64)
        start = roots * np.ones(shape) + np.linspace(0.0, 0.5, size).reshape(shape)
        values = eigsh(
            operator, k=1, which="LA", tol=_POWER_RTOL, v0=start.ravel(), return_eigenvectors=False
        )
        return float(values[0])

    def _tangents(self):
        """U of every output (n, k), kept until the iterate changes; only where k is small."""
        if self._kept is None:
            layer, fired = self.layer, self._response.fired
            self._kept = [layer.tangents(fired, c) for c in range(layer.n_outputs)]
        return self._kept

    def _grams(self):
        """Diagonal blocks of J J^T: one per output, or one that they share if there is no A."""
        layer, K = self.layer, self._inner_gram()
        if layer.outer.narrow:
            return [tangent_gram(U, K) for U in self._tangents()]
        return [layer.shared_gram(self._response.fired, K)]

    def _inner_gram(self):
        """K = V V^T, made once."""
        if self._K is None:
            self._K = self.layer.inner_gram()
        return self._K

    def _block_of_rows(self):
        """J J^T of all outputs as one `GramSystem`; bits count who fires if there is no A."""
        layer, K, common = self.layer, self._inner_gram(), (self._prepare, self._n_threads)
        if layer.outer.narrow:
            return TangentSystem(self._tangents(), self._rows, K, *common)
        network, fired = layer.network, self._response.fired
        if layer.n_outputs == 1:
            readout = network._scale * network.readout[0].astype(np.float64)
            return FiredSystem(fired, readout, layer.V, K, *common)
        tangents = [layer.tangents(fired, c) for c in range(layer.n_outputs)]
        return TangentSystem(tangents, self._rows, K, *common)

    def _adopt(self, trial):
        self.outputs, self.terms, self._response = trial.outputs, trial.terms, trial.response
        self._kept = None

    def _evaluate(self, terms, response):
        """What the layer does at B(0) + terms."""
        before = None if response is None else response.fired
        response = self.layer.respond(self.weights(terms), before)
        flips = 0 if before is None else response.flips
        return FactoredTrial(response.outputs, flips, terms, response)
