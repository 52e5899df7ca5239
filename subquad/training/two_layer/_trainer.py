"""Gauss-Newton training of a network of one hidden layer.

Most of the file is the class docstring; the trainer is that of the last layer, with V = X.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for, resolve_threads
from subquad._validation import as_matrix, integer, one_of, require_memory
from subquad.networks import TwoLayerNetwork
from subquad.solvers import PcgSolver
from subquad.solvers.gram import cost
from subquad.training import _arguments
from subquad.training._gauss_newton import GaussNewtonTrainer
from subquad.training.last_layer import last_layer_state, require_same_fit
from subquad.training.two_layer._matrix_free import MatrixFreeState

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from numpy.typing import ArrayLike

    from subquad._ranks import Communicator
    from subquad._typing import FloatArray
    from subquad.solvers import Solver
    from subquad.training._losses import Loss
    from subquad.training._records import StepRecord


# A forecast counts on so many iterations of conjugate gradients.
_ITERATIONS = 30
_NAMES = ("auto", "exact", "sketch", "pcg", "sketch-pcg")


class TwoLayerGaussNewton(GaussNewtonTrainer):
    """Fit f(W) = a phi(W X^T) to y, from W(0), moving W alone.

    The step is that of `LastLayerGaussNewton` with V = X: with D the neurons that fire,

        (G + mu I) g = f - y,   G = (X X^T) o (U U^T),   U = s a o D,   W <- W - U^T diag(g) X.

    Two ways to hold it. Where G fits, G: n^2 m / 64 operations to count co-active neurons, n^3 / 3
    to solve. For many points, neither G nor any array of n m numbers: products J (J^T g) of
    4 m n d operations, preconditioned conjugate gradients, memory linear in n.

    Parameters
    ----------
    network : TwoLayerNetwork
    X : array_like, shape (n, d)
        Cast to the dtype of the network.
    y : array_like, shape (n,) or (n, C)
        Targets, in float32 or float64.
    solver : {"auto", "exact", "sketch", "pcg", "sketch-pcg"} or object
        "exact" and "sketch" form G. "pcg" never does: G is preconditioned by 512 of its columns.
        "sketch-pcg" is [BPSW21] at its own cost: no G either, nor an array of n m numbers, and a
        TensorSketch of 4 n columns as preconditioner, n^2 numbers and n^3 operations; "exact" and
        "pcg" measured faster. "auto" is "exact" or "pcg", by forecast and by what fits. An object
        is used with G formed, except a `PcgSolver` with landmarks or forms_gram=False.
    regularization, damping, tol, max_steps, search_kinks, centred, loss, sample_weight, min_active
        As in `LastLayerGaussNewton`. Without G, regularization="loo" is not available; where n
        exceeds the m d weights, so that J J^T is singular, one of regularization and damping must
        be positive then.
    rng : int, numpy.random.Generator or None
        Draws sketches and preconditioning columns.
    n_threads : int or None
        Of the kernels; BLAS keeps its own.
    callback : callable, optional
        Called with the `StepRecord` after each step.
    diagnostics : bool
        As in `LastLayerGaussNewton`; G is formed for them, also where no step forms it.
    comm : mpi4py.MPI.Intracomm, optional
        Its ranks share the neurons, each making the same calls with the same arguments. G is then
        formed, and there are no diagnostics.

    Attributes
    ----------
    solver : str
        What was chosen: a name of those, or that of the object.
    history, outputs, residual_norm, relative_residual, change_norm, converged, stationarity,
    message, regularization_, loo_error
        As in `LastLayerGaussNewton`.

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
    [BPSW21], Algorithm 1, with the safeguards of `LastLayerGaussNewton`. Departures: exact steps
    where G fits, which measured faster; conjugate gradients for the printed gradient descent in
    Algorithm 2, which needs a sketch of more than 39 n rows to converge; for many points a
    preconditioner of fewer columns than points, since any sketch that embeds n rows takes n^2
    numbers. The widths of the theorem (m > n^4 / lambda^4) are not asked for: a first ratio of 1/2
    was seen at m near n^2 / 64.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((20, 4))
    >>> network = TwoLayerNetwork(4, width=512, rng=0)
    >>> trainer = TwoLayerGaussNewton(network, X, X[:, 0] * X[:, 1]).run()
    >>> trainer.converged, trainer.solver
    (True, 'exact')
    >>> np.allclose(network.outputs(X, trainer.factors), trainer.outputs)
    True
    """

    def __init__(
        self,
        network: TwoLayerNetwork,
        X: ArrayLike,
        y: ArrayLike,
        *,
        solver: Literal["exact", "sketch", "pcg", "auto"] | Solver = "auto",
        regularization: float | Literal["loo"] = 0.0,
        damping: float = 0.0,
        tol: float | None = None,
        max_steps: int = 50,
        search_kinks: bool = True,
        centred: bool = False,
        loss: Literal["squared", "logistic", "huber"] | Loss = "squared",
        sample_weight: ArrayLike | None = None,
        min_active: int = 16,
        rng: int | np.random.Generator | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        diagnostics: bool = False,
        comm: Communicator | None = None,
    ) -> None:
        if not isinstance(network, TwoLayerNetwork):
            raise TypeError(f"network must be a TwoLayerNetwork; got {type(network).__name__}.")
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
            search_kinks=search_kinks,
            loss=loss,
            diagnostics=diagnostics,
        )
        _arguments.require_active_neurons(network, integer(min_active, "min_active", minimum=0))
        n_threads = resolve_threads(n_threads)
        layer = None
        if comm is not None:
            layer = self._shared(network.last_layer(X, comm=comm), y, weights, centred, solver)
            network, solver = layer, "exact"
        undamped = regularization == 0 and damping == 0
        if isinstance(solver, str) and solver == "auto":
            needs_gram = regularization == "loo" or (undamped and _is_singular(network, len(X)))
            solver = "exact" if needs_gram or _exact_is_cheaper(network, len(X)) else "pcg"
        if isinstance(solver, str):
            one_of(solver, "solver", _NAMES)
        self.solver = solver if isinstance(solver, str) else getattr(solver, "name", None)
        solver, matrix_free = _chosen(solver, rng)
        if matrix_free:
            _require_matrix_free(network, len(X), regularization, undamped, self.solver)
            _require_memory_for_products(network, len(X), solver)
        else:
            chooses = isinstance(regularization, str)
            makes = layer is None
            _arguments.require_memory_for(network, len(X), makes_layer=makes, chooses=chooses)
        with blas_threads_for(len(X)):
            if matrix_free:
                state = MatrixFreeState(network, X, weights, solver)
            else:
                layer = network.last_layer(X) if layer is None else layer
                state = last_layer_state(layer, weights, n_threads, None, solver)
        self._begin(state, y, weights, centred)

    def _shared(self, layer, y, weights, centred, solver):
        """Return a layer that ranks share, if they share this fit."""
        if not isinstance(solver, str) or solver not in ("auto", "exact"):
            got = repr(solver) if isinstance(solver, str) else type(solver).__name__
            raise ValueError(f"solver must be 'auto' or 'exact' for ranks to share; got {got}.")
        require_same_fit(layer, y, weights, centred, self._options, self._diagnosed)
        self._layer = layer
        return layer

    # The layer that ranks share, where they do.
    _layer = None

    @property
    def change(self) -> FloatArray:
        """W - W(0) of the best iterate, shape (width, n_features).

        Where ranks share the neurons, they put it together: each of them must ask.
        """
        A, V = self._fit.state.factors(self._fit.best.terms)
        if self._layer is not None:
            return self._layer._product_with_features(A)
        return A.T if isinstance(self._fit.state, MatrixFreeState) else A.T @ V

    @property
    def factors(self) -> tuple[FloatArray, FloatArray]:
        """(A, V) of the best iterate: W = W(0) + A^T V, A (d, width) and V the identity.

        As `change`, where ranks share the neurons.
        """
        A = np.ascontiguousarray(self.change.T)
        return A, np.eye(len(A), dtype=A.dtype)


def _chosen(solver, rng):
    """The solver (None: exact, built in), and whether to do without the Gram matrix."""
    if isinstance(solver, str) and solver == "pcg":
        return PcgSolver(landmarks=cost.LANDMARKS, rng=rng), True
    if isinstance(solver, str) and solver == "sketch-pcg":
        return PcgSolver(forms_gram=False, rng=rng), True
    solver = _arguments.chosen_solver(solver, rng)
    if not isinstance(solver, PcgSolver):
        return solver, False
    return solver, solver.landmarks is not None or not solver.forms_gram


def _exact_is_cheaper(network, n):
    """Whether a step with G is forecast to be cheaper than one without, and fits."""
    m, d, C = network.width, network.n_features, network.n_outputs
    exact = cost.two_layer_exact(n, m, C, _arguments.bytes_for(network, n, makes_layer=True))
    matrix_free = cost.two_layer_matrix_free_seconds(n, m, d, C, cost.LANDMARKS, _ITERATIONS)
    return cost.where_it_fits(exact) < matrix_free


def _is_singular(network, n):
    """Whether there are fewer weights than data points."""
    return n > network.width * network.n_features


def _require_matrix_free(network, n, regularization, undamped, name):
    """Refuse what products alone cannot do."""
    m, d = network.width, network.n_features
    if regularization == "loo":
        raise ValueError(
            "regularization must be a number where no Gram matrix is formed; got 'loo'. "
            "Choose it with solver='exact' on a part of the data."
        )
    if undamped and _is_singular(network, n):
        raise ValueError(
            f"regularization or damping must be positive for solver={name!r} with more data points "
            f"({n}) than weights ({m * d}); got 0. The network cannot interpolate."
        )


def _require_memory_for_products(network, n, solver):
    """Refuse bits, products and a preconditioner that do not fit."""
    m, d = network.width, network.n_features
    preconditioner = 2 * 8 * n * cost.LANDMARKS  # columns of G and their factor, one output's
    if not solver.forms_gram:
        preconditioner = 8 * n * (3 * n + 2 * solver._size(n))
    products = 8 * network.dtype.itemsize * n * network.n_outputs * d
    require_memory(
        n * m // 4 + preconditioner + products + 2**22,
        f"Training {n} data points at width {m}",
        "Use fewer data points or a smaller width.",
    )
