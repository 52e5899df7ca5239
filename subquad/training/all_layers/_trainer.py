"""Gauss-Newton training of all hidden layers of a wide network.

Most of the file is the class docstring; the steps are those of all Gauss-Newton trainers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import resolve_threads
from subquad._validation import as_matrix, integer, require_memory
from subquad.networks import WideNetwork
from subquad.training import _arguments
from subquad.training._gauss_newton import GaussNewtonTrainer
from subquad.training.all_layers._state import AllLayersState

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from numpy.typing import ArrayLike

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray
    from subquad.solvers import Solver
    from subquad.training._losses import Loss
    from subquad.training._records import StepRecord


class AllLayersGaussNewton(GaussNewtonTrainer):
    """Fit f(x) of a deep network to y, from its weights W_l(0), moving every hidden layer.

    The derivative of an output by W_l is u_l (x) h_{l-1}, so that the Gram matrices of the layers
    add, and one n x n equation moves all of them:

        (G + mu I) g = f - y,   G = sum_l (U_l U_l^T) o (V_l V_l^T),

        W_l <- W_l - U_l^T diag(g) V_l,

    with V_l the inputs h_{l-1} of layer l. A step changes a layer by a matrix of rank n, which is
    kept as its factors: there are few steps, and no W_l is written to, or need be stored.

    Parameters
    ----------
    network : WideNetwork
        Its readout stays fixed. Weights of every kind ("dense", "int8", "implicit") serve.
    X : array_like, shape (n, n_features)
        Cast to the dtype of the network.
    y : array_like, shape (n,) or (n, C)
        Targets, in float32 or float64.
    regularization, damping, tol, max_steps, centred, loss, sample_weight, solver, min_active
        As in `LastLayerGaussNewton`. Outputs share the lower layers: with C of them the equation
        has n C rows, and leave-one-out errors are those of the outputs one by one.
    rng : int, numpy.random.Generator or None
        As in `LastLayerGaussNewton`.
    n_threads : int or None
    callback : callable, optional
        Called with the `StepRecord` after each step.
    diagnostics : bool
        As in `LastLayerGaussNewton`; `Diagnostics` has an entry for each layer.
    comm : mpi4py.MPI.Intracomm, optional
        Its ranks share the products with the weights, which must be implicit, each making the same
        calls with the same arguments. Each has all factors, and the memory of one rank: to apply
        factors of its own neurons alone it would add an n x n matrix up with the others for every
        layer and earlier step, in each pass.

    Attributes
    ----------
    factors : list of pairs
        (A_l, B_l) for every layer: W_l = W_l(0) + A_l^T B_l at the best iterate. What
        `network.outputs(X, factors)` takes.
    rank : int
        Rows of each factor: n for each step.
    layer_changes : ndarray, shape (L,)
        ||W_l - W_l(0)||_F at the best iterate.
    history, outputs, residual_norm, relative_residual, change_norm, converged, stationarity,
    message, regularization_, loo_error
        As in `LastLayerGaussNewton`; `StepRecord.flips` counts the neurons of all layers.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; ValueError if fewer than `min_active` neurons per output
        are expected to fire, or ranks of `comm` have different arguments.
    MemoryError
        If the arrays of a step do not fit.

    Warns
    -----
    TrainingWarning
        As `LastLayerGaussNewton`.

    Notes
    -----
    [SZZ24], Remark C.6 and Algorithm 2 with a sum over layers. A step with k of m neurons firing
    takes n k m operations for each forward or transposed product with a W_l, n^2 m for each Gram
    matrix and n m (rank) for what has been learnt; memory 2 n m numbers per layer and step, or
    4 n k where k < m / 4, beside 6 n m per layer. `factors` are arrays, made when asked for.

    In float32 a step's pass adds up how each layer differs from the first pass, whose own rounding
    is kept, so that residuals of 1e-6 and less can be reached. `network.outputs(X, factors)` sums
    all of it anew, and differs from `outputs` by some 1e-6 of them.

    Departures: as `LastLayerGaussNewton`, and the readout does not move. The division of a layer's
    response by its norm is part of the derivative.

    Ranks have the same bits whatever their number is; those of a fit without `comm` differ by the
    rounding of W^T u, which ranks add up in float64 from twelve parts of the rows.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((20, 4))
    >>> network = WideNetwork(4, width=256, depth=3, rng=0)
    >>> trainer = AllLayersGaussNewton(network, X, X[:, 0] * X[:, 1]).run()
    >>> trainer.converged, len(trainer.factors)
    (True, 3)
    >>> np.allclose(network.outputs(X, trainer.factors), trainer.outputs)
    True
    """

    def __init__(
        self,
        network: WideNetwork,
        X: ArrayLike,
        y: ArrayLike,
        *,
        regularization: float | Literal["loo"] = 0.0,
        damping: float = 0.0,
        tol: float | None = None,
        max_steps: int = 50,
        centred: bool = False,
        loss: Literal["squared", "logistic", "huber"] | Loss = "squared",
        sample_weight: ArrayLike | None = None,
        solver: Literal["exact", "sketch", "pcg", "auto"] | Solver = "exact",
        min_active: int = 16,
        rng: int | np.random.Generator | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        diagnostics: bool = False,
        comm: Communicator | None = None,
    ) -> None:
        if not isinstance(network, WideNetwork):
            raise TypeError(f"network must be a WideNetwork; got {type(network).__name__}.")
        X = as_matrix(X, "X", n_columns=network.n_features, dtype=network.dtype)
        loss = _arguments.gauss_newton_loss(loss)
        y = _arguments.targets(y, network, len(X), loss)
        weights = _arguments.sample_weight(sample_weight, len(X))
        self._set_options(
            network.dtype,
            regularization,
            damping,
            tol,
            max_steps,
            callback,
            loss=loss,
            diagnostics=diagnostics,
        )
        solver = _arguments.chosen_solver(solver, rng)
        _arguments.require_active_neurons(network, integer(min_active, "min_active", minimum=0))
        _require_memory_for(network, len(X))
        if comm is not None:
            network, ranks = network._shared(X, comm)
            ranks.require_same(y=y, sample_weight=weights, centred=centred, options=self._options)
            _require_repeatable(solver)
        state = AllLayersState(network, X, weights, solver, resolve_threads(n_threads))
        state._ranks = None if comm is None else ranks
        self._begin(state, y, weights, centred)

    @property
    def factors(self) -> list[tuple[FloatArray, FloatArray]]:
        """[(A_l, B_l)] of the best iterate: W_l = W_l(0) + A_l^T B_l."""
        return self._fit.state.factors(self._fit.best.terms)

    @property
    def rank(self) -> int:
        """Rows of each factor of the best iterate."""
        return len(self._fit.target) * len(self._fit.best.terms)

    @property
    def layer_changes(self) -> FloatArray:
        """||W_l - W_l(0)||_F of the best iterate, shape (L,)."""
        squares = [np.vdot(A @ A.T, B @ B.T) for A, B in self.factors]
        return np.sqrt(np.maximum(squares, 0.0))


def _require_repeatable(solver):
    """Refuse a solver that draws: ranks would solve their equations differently."""
    if solver is not None:
        raise ValueError(
            f"solver must be 'exact' for ranks to share; got a {type(solver).__name__}."
        )


def _require_memory_for(network, n):
    """Refuse a fit whose arrays do not fit: two passes, U of all outputs, factors of two steps."""
    rows = n * network.n_outputs
    numbers = (9 * n + rows) * network.width * network.depth
    require_memory(
        numbers * network.dtype.itemsize + 24 * rows * rows,
        f"Training {network.depth} layers of width {network.width} on {n} data points with "
        f"{network.n_outputs} outputs",
        "Use fewer data points, a smaller width, or float32.",
    )
