"""Training of a factored network: gradient descent, or Gauss-Newton.

Half of the file is the class docstring; what decides about steps, and what holds B, live beside it.
"""

from subquad._parallel import resolve_threads
from subquad._validation import integer, real, require_memory
from subquad.networks import FactoredNetwork
from subquad.networks._factored_layer import FactoredLayer
from subquad.training import _checks
from subquad.training._factored_rules import GradientStep
from subquad.training._factored_state import EXPLICIT_GRAM, FactoredState
from subquad.training._trainer import GaussNewtonTrainer

_STEPS = {"gradient": 200, "gauss-newton": 50}
_GRADIENT_TOL = 1e-3


class FactoredGradientDescent(GaussNewtonTrainer):
    """Fit f(B) = a phi(A B C X) / sqrt(m) to y, from B(0), moving B alone.

    With u_ic = A^T (a_c o phi'(z_i)) / sqrt(m), v_i = C x_i and r = f - y a step is

        gradient        B <- B - eta sum_ic r_ic u_ic v_i^T,  eta = 1 / lambda_max(H(0))
        gauss-newton    B <- B - sum_ic g_ic u_ic v_i^T,  (H + mu I) g = r

    where H = J J^T is the network's own tangent kernel: H_ij = (u_i . u_j) (v_i . v_j).

    Parameters
    ----------
    network : FactoredNetwork
    X : array_like, shape (n, n_features)
    y : array_like, shape (n,) or (n, C)
        Targets, in float32 or float64.
    method : {"gradient", "gauss-newton"}
    learning_rate : float or None
        eta; only with method="gradient". None: 1 / lambda_max of this network's H at the start,
        weighted as the residuals are. That of another network will not do: lambda_max grows as l
        and k shrink, sixfold for l = 8.
    regularization : float or "loo"
        mu of |f - y|^2 + mu ||B - B(0)||_F^2, only with "gauss-newton"; 0 interpolates, "loo"
        takes the mu of least leave-one-out error at the first linearisation.
    damping : float
        First Levenberg-Marquardt damping, only with "gauss-newton" and regularization=0.
    tol : float or None
        Goal for |r| / |r_0|; with regularization, for the decrease of the objective in a step, as
        a fraction of |r_0|^2. None: 1e-3 with "gradient"; else 1e-10 in float64, 1e-6 in float32
        or with regularization. For a number of steps that is fixed, call `step`.
    max_steps : int or None
        Of one `run`. None: 200 with "gradient", 50 with "gauss-newton".
    centred : bool
        Fit f - f_0 instead of f: the network as drawn is noise of the size of the targets.
    sample_weight : array_like, shape (n,), optional
        Weights w_i >= 0 of the squared residuals.
    solver : {"exact", "sketch", "pcg", "auto"} or object
        How "gauss-newton" solves its system, as in `LastLayerGaussNewton`. Several outputs share
        B and are one system of n C rows: "exact" then takes conjugate gradients to 1e-8,
        preconditioned by the system of each output, while the others, `ExactSolver()` among them,
        are given all rows at once and may form (n C)^2 numbers.
    min_active : int
        Fewest neurons that must be expected to fire at a data point.
    n_threads : int or None
        At most so many; small fits use fewer. Results do not depend on it.
    callback : callable, optional
        Called with the `StepRecord` after each step.

    Attributes
    ----------
    history : list of StepRecord
        `damping` and `n_iterations` are 0 with "gradient"; `flips` counts pairs.
    weights : ndarray, shape of network.weights
        B of the best iterate: for `FactoredNetwork.outputs`.
    outputs : ndarray, shape (n, C)
        f, or f - f_0 if centred, of the best iterate.
    residual_norm, relative_residual, change_norm : float
        |r|, |r| / |r_0| and ||B - B(0)||_F of the best iterate.
    learning_rate : float or None
        eta in use; None with "gauss-newton".
    converged : bool
    message : str
        How the last `run` ended.
    regularization_ : float
        mu; None before the first step of "loo".
    loo_error : float or None
        Mean squared leave-one-out error at the last linearisation, with regularization only.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; ValueError also if fewer than `min_active` neurons are
        expected to fire, or if none fires at any data point.
    MemoryError
        If the arrays of a step do not fit.

    Warns
    -----
    TrainingWarning
        If fewer than 32 neurons are expected to fire, if none fires at a data point, or if a run
        ends without convergence.

    Notes
    -----
    [AS22], Sections 4 and 5. A gradient step costs what outputs and their transpose cost:
    O(n k l + n m log k) with A from Hadamard transforms, O(n m l) without A; against O(n m d) for
    the dense layer. C X is computed once. Gauss-Newton adds n^2 (k + l) for H, n^3 / 3 for the
    solution, C times, and with several outputs conjugate gradients, since they share B.

    Departures: the sign of the printed update is corrected; the step size is measured and not
    lambda_0 / n^2; Gauss-Newton and several outputs are extensions. As long as no neuron changes
    sides, eta = 1 / lambda_max makes |r| fall at every step. The best iterate is returned.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).standard_normal((20, 16))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> network = FactoredNetwork(16, width=2048, inner_size=16, outer_size=64, rng=0)
    >>> trainer = FactoredGradientDescent(network, X, np.sign(X[:, 0]), tol=0.1).run()
    >>> trainer.converged, trainer.relative_residual < 0.1
    (True, True)
    >>> np.allclose(network.outputs(X, trainer.weights), trainer.outputs)
    True
    """

    def __init__(
        self,
        network,
        X,
        y,
        *,
        method="gradient",
        learning_rate=None,
        regularization=0.0,
        damping=0.0,
        tol=None,
        max_steps=None,
        centred=False,
        sample_weight=None,
        solver="exact",
        min_active=16,
        n_threads=None,
        callback=None,
    ):
        if not isinstance(network, FactoredNetwork):
            raise TypeError(f"network must be a FactoredNetwork; got {type(network).__name__}.")
        if not isinstance(method, str) or method not in _STEPS:
            raise ValueError(f"method must be 'gradient' or 'gauss-newton'; got {method!r}.")
        if max_steps is None:
            max_steps = _STEPS[method]
        if tol is None and method == "gradient":
            tol = _GRADIENT_TOL
        self._set_options(network.dtype, regularization, damping, tol, max_steps, callback)
        solver = _checks.solver(solver)
        _refuse_options_of_the_other(method, regularization, damping, solver, learning_rate)
        n_threads = resolve_threads(n_threads)
        layer = FactoredLayer(network, network.features(X), n_threads)
        y = _checks.targets(y, network, layer.n)
        weights = _checks.sample_weight(sample_weight, layer.n)
        _checks.active_neurons(network, integer(min_active, "min_active", minimum=0))
        _require_memory(layer, method, solver)
        state = FactoredState(layer, weights, method == "gauss-newton", solver, n_threads)
        if not state.active.any():
            raise ValueError(
                "X must have a row at which some neuron fires; got none. Raise width or lower "
                "shift."
            )
        self._begin(state, y, weights, centred)
        if method == "gradient":
            if learning_rate is None:
                learning_rate = 1.0 / state.largest_eigenvalue()
            self._rule = GradientStep(learning_rate, weights)

    @property
    def weights(self):
        """B of the best iterate."""
        return self._fit.state.weights(self._fit.best.terms)

    @property
    def learning_rate(self):
        """Eta in use; None with "gauss-newton"."""
        return getattr(self._rule, "learning_rate", None)

    def _closing_message(self):
        if not getattr(self._rule, "diverged", False):
            return super()._closing_message()
        return (
            f"Training diverges after {len(self.history)} steps; the best iterate is kept. Lower "
            f"learning_rate, which is {self.learning_rate:.3g}, or let it be None."
        )


def _refuse_options_of_the_other(method, regularization, damping, solver, learning_rate):
    """Refuse what this method would not look at."""
    if method == "gradient":
        if solver is not None:
            raise ValueError(
                "solver must be 'exact' with method='gradient', which solves no system; "
                f"got {solver.name!r}."
            )
        for name, value in (("regularization", regularization), ("damping", damping)):
            if value != 0:
                raise ValueError(f"{name} must be 0 with method='gradient'; got {value!r}.")
        if learning_rate is not None:
            real(learning_rate, "learning_rate", minimum=0.0, exclusive_minimum=True)
    elif learning_rate is not None:
        raise ValueError(
            f"learning_rate must be None with method='gauss-newton'; got {learning_rate!r}."
        )


def _require_memory(layer, method, solver):
    """Refuse a fit whose arrays do not fit."""
    network, n, C = layer.network, layer.n, layer.n_outputs
    n_bytes = 2 * n * layer.outer.padded / 8 + 6 * network.weights.nbytes
    if layer.outer.narrow:
        n_bytes += (2 + C) * n * network.weights.shape[0] * network.dtype.itemsize
    if method == "gauss-newton" or (C == 1 and n <= EXPLICIT_GRAM):
        n_bytes += 8 * n * n * (3 * C + 2)
    if solver is not None:  # U and V of all rows, U once more in float64, and G
        n_bytes += n * C * len(network.weights) * (network.dtype.itemsize + 8)
        n_bytes += C * layer.V.nbytes + (24 * (n * C) ** 2 if C > 1 else 0)
    require_memory(
        n_bytes,
        f"Training {n} data points with B of shape {network.weights.shape}",
        "Use fewer data points, a smaller outer_size, float32, or method='gradient'.",
    )
