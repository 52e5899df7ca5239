"""Training of a factored network by gradient descent: the algorithm of [AS22].

Half of the file is the class docstring; what holds B lives beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import real
from subquad.training._gauss_newton import Move
from subquad.training.factored._trainer import FactoredTrainer, require_factored

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike

    from subquad.networks import FactoredNetwork
    from subquad.training._records import StepRecord


# Training has diverged when the residual is so many times the first one.
_DIVERGED = 10.0
_TOL = 1e-3


class FactoredGradientDescent(FactoredTrainer):
    """Fit f(B) = a phi(A B C X) / sqrt(m) to y, from B(0), moving B alone, down the gradient.

    With u_ic = A^T (a_c o phi'(z_i)) / sqrt(m), v_i = C x_i and r = f - y a step is

        B <- B - eta sum_ic r_ic u_ic v_i^T,   eta = 1 / lambda_max(H(0)),

    where H = J J^T is the network's own tangent kernel: H_ij = (u_i . u_j) (v_i . v_j).
    `FactoredGaussNewton` solves with H instead.

    Parameters
    ----------
    network : FactoredNetwork
    X : array_like, shape (n, n_features)
    y : array_like, shape (n,) or (n, C)
        Targets, in float32 or float64.
    learning_rate : float or None
        eta. None: 1 / lambda_max of this network's H at the start, weighted as the residuals are.
        That of another network will not do: lambda_max grows as l and k shrink, sixfold for l = 8.
    tol : float
        Goal for |r| / |r_0|. For a number of steps that is fixed, call `step`.
    max_steps : int
        Of one `run`.
    centred : bool
        Fit f - f_0 instead of f: the network as drawn is noise of the size of the targets.
    sample_weight : array_like, shape (n,), optional
        Weights w_i >= 0 of the squared residuals.
    min_active : int
        Fewest neurons that must be expected to fire at a data point.
    n_threads : int or None
        At most so many; small fits use fewer. Results do not depend on it.
    callback : callable, optional
        Called with the `StepRecord` after each step.
    diagnostics : bool
        As in `LastLayerGaussNewton`; G is made for them in each step.

    Attributes
    ----------
    history : list of StepRecord
        `damping` and `n_iterations` are 0; `flips` counts pairs.
    weights : ndarray, shape of network.weights
        B of the best iterate: for `FactoredNetwork.outputs`.
    outputs : ndarray, shape (n, C)
        f, or f - f_0 if centred, of the best iterate.
    residual_norm, relative_residual, change_norm : float
        |r|, |r| / |r_0| and ||B - B(0)||_F of the best iterate.
    learning_rate : float
        eta in use.
    converged : bool
    message : str
        How the last `run` ended.

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
    [AS22], Sections 4 and 5. A step costs what outputs and their transpose cost:
    O(n k l + n m log k) with A from Hadamard transforms, O(n m l) without A; against O(n m d) for
    the dense layer. C X is computed once.

    Departures: the sign of the printed update is corrected; the step size is measured and not
    lambda_0 / n^2; several outputs are an extension. As long as no neuron changes sides,
    eta = 1 / lambda_max makes |r| fall at every step. The best iterate is returned.

    Examples
    --------
    >>> from subquad.networks import FactoredNetwork
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
        network: FactoredNetwork,
        X: ArrayLike,
        y: ArrayLike,
        *,
        learning_rate: float | None = None,
        tol: float = _TOL,
        max_steps: int = 200,
        centred: bool = False,
        sample_weight: ArrayLike | None = None,
        min_active: int = 16,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        diagnostics: bool = False,
    ) -> None:
        require_factored(network)
        tol = _TOL if tol is None else tol
        self._set_options(
            network.dtype, 0.0, 0.0, tol, max_steps, callback, diagnostics=diagnostics
        )
        if learning_rate is not None:
            learning_rate = real(
                learning_rate, "learning_rate", minimum=0.0, exclusive_minimum=True
            )
        weights = self._stand_at(
            network, X, y, sample_weight, centred, False, None, min_active, n_threads
        )
        if learning_rate is None:
            learning_rate = self._stable_rate()
        self._rule = GradientStep(learning_rate, weights)

    def _stable_rate(self):
        """1 / lambda_max, refused where float64 does not hold it."""
        state = self._fit.state
        with blas_threads_for(state.layer.n), np.errstate(over="ignore", invalid="ignore"):
            largest = state.largest_eigenvalue()
        if not 1e-300 < largest < 1e300:
            raise ValueError(
                "learning_rate must be given where the tangent kernel vanishes or overflows; got "
                f"None, and a largest eigenvalue of {largest:.3g}. Scale X."
            )
        return 1.0 / largest

    @property
    def learning_rate(self) -> float:
        """eta in use."""
        return self._rule.learning_rate

    def _closing_message(self):
        if not self._rule.diverged:
            return super()._closing_message()
        return (
            f"Training diverges after {len(self.history)} steps; the best iterate is kept. Lower "
            f"learning_rate, which is {self.learning_rate:.3g}, or let it be None."
        )


class GradientStep:
    """B <- B - eta J^T W (f - y) ([AS22], Sections 4 and 5, with the sign corrected)."""

    regularization = caution = 0.0
    settled = searching = False
    stationarity = None

    def __init__(self, learning_rate, weights):
        self.learning_rate = learning_rate
        self._weights = 1.0 if weights is None else weights[:, None]
        self.diverged = self.stuck = False

    def move(self, fit, activity, watch):
        """Return the step down the gradient."""
        with watch.phase("move"):
            trial = fit.state.propose(-self.learning_rate * self._weights * fit.residual, keep=1.0)
        norm = fit.norm_of(trial.outputs)
        if not norm <= _DIVERGED * fit.initial_norm:  # or NaN
            self.diverged = self.stuck = True
            return Move(None, 0.0, 0.0, 1, 0)
        change = trial.terms
        square = float(np.einsum("kl,kl->", change, change, dtype=np.float64))
        self.stuck = change is fit.state.terms or np.array_equal(change, fit.state.terms)
        return Move(trial, 0.0, 1.0, 1, 0, square)

    def search(self, fit):
        """Begin no search around kinks; return whether there is one."""
        return False

    def loo_error(self):
        """There is none."""
        return None
