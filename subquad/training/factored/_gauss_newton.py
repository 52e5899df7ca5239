"""Training of a factored network by Gauss-Newton steps.

Most of the file is the class docstring; steps, and what holds B, live beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from subquad.training import _arguments
from subquad.training.factored._trainer import FactoredTrainer, require_factored

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    import numpy as np
    from numpy.typing import ArrayLike

    from subquad.networks import FactoredNetwork
    from subquad.solvers import Solver
    from subquad.training._losses import Loss
    from subquad.training._records import StepRecord


class FactoredGaussNewton(FactoredTrainer):
    """Fit f(B) = a phi(A B C X) / sqrt(m) to y, from B(0), moving B alone, by Gauss-Newton.

    With u_ic = A^T (a_c o phi'(z_i)) / sqrt(m), v_i = C x_i and r = f - y a step is

        B <- B - sum_ic g_ic u_ic v_i^T,   (H + mu I) g = r,

    where H = J J^T is the network's own tangent kernel: H_ij = (u_i . u_j) (v_i . v_j).

    Parameters
    ----------
    network : FactoredNetwork
    X : array_like, shape (n, n_features)
    y : array_like, shape (n,) or (n, C)
        Targets, in float32 or float64.
    regularization : float or "loo"
        mu of |f - y|^2 + mu ||B - B(0)||_F^2; 0 interpolates, "loo" takes the mu of least
        leave-one-out error at the first linearisation.
    damping : float
        First Levenberg-Marquardt damping, only with regularization=0.
    tol, max_steps, search_kinks
        As in `LastLayerGaussNewton`.
    centred : bool
        Fit f - f_0 instead of f: the network as drawn is noise of the size of the targets.
    loss : {"squared", "logistic", "huber"} or Loss
        As in `LastLayerGaussNewton`.
    sample_weight : array_like, shape (n,), optional
        Weights w_i >= 0 of the squared residuals, or losses.
    solver : {"exact", "sketch", "pcg", "auto"} or object
        How the equation is solved, as in `LastLayerGaussNewton`. Several outputs share B and are
        one equation of n C rows: "exact" then takes conjugate gradients to 1e-8, preconditioned by
        the equation of each output, while the others, `ExactSolver()` among them, are given all
        rows at once and may form (n C)^2 numbers.
    rng : int, numpy.random.Generator or None
        As in `LastLayerGaussNewton`.
    min_active : int
        Fewest neurons that must be expected to fire at a data point.
    n_threads : int or None
        At most so many; small fits use fewer. Results do not depend on it.
    callback : callable, optional
        Called with the `StepRecord` after each step.
    diagnostics : bool
        As in `LastLayerGaussNewton`.

    Attributes
    ----------
    history : list of StepRecord
        `flips` counts pairs.
    weights : ndarray, shape of network.weights
        B of the best iterate: for `FactoredNetwork.outputs`.
    outputs : ndarray, shape (n, C)
        f, or f - f_0 if centred, of the best iterate.
    residual_norm, relative_residual, change_norm : float
        |r|, |r| / |r_0| and ||B - B(0)||_F of the best iterate.
    regularization_ : float
        mu; None before the first step of "loo".
    loo_error : float or None
        Mean squared leave-one-out error at the last linearisation, with regularization only.
    loo_residuals : ndarray, shape (n, C), or None
        The errors themselves; of repeated data points those of observations.
    converged, stationarity
        As in `LastLayerGaussNewton`.
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
    An extension of [AS22], which has gradient descent (`FactoredGradientDescent`). Beside outputs
    and their transpose a step takes n^2 (k + l) operations for H and n^3 / 3 for the solution, C
    times, and with several outputs conjugate gradients, since they share B.

    Examples
    --------
    >>> import numpy as np
    >>> from subquad.networks import FactoredNetwork
    >>> X = np.random.default_rng(0).standard_normal((20, 16))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> network = FactoredNetwork(16, width=2048, inner_size=16, outer_size=64, rng=0)
    >>> trainer = FactoredGaussNewton(network, X, np.sign(X[:, 0])).run()
    >>> trainer.converged, trainer.relative_residual < 1e-10
    (True, True)
    """

    def __init__(
        self,
        network: FactoredNetwork,
        X: ArrayLike,
        y: ArrayLike,
        *,
        regularization: float | Literal["loo"] = 0.0,
        damping: float = 0.0,
        tol: float | None = None,
        max_steps: int = 50,
        search_kinks: bool = True,
        centred: bool = False,
        loss: Literal["squared", "logistic", "huber"] | Loss = "squared",
        sample_weight: ArrayLike | None = None,
        solver: Literal["exact", "sketch", "pcg", "auto"] | Solver = "exact",
        min_active: int = 16,
        rng: int | np.random.Generator | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        diagnostics: bool = False,
    ) -> None:
        require_factored(network)
        self._set_options(
            network.dtype,
            regularization,
            damping,
            tol,
            max_steps,
            callback,
            search_kinks=search_kinks,
            loss=loss,
            diagnostics=diagnostics,
        )
        solver = _arguments.chosen_solver(solver, rng)
        self._stand_at(network, X, y, sample_weight, centred, True, solver, min_active, n_threads)
