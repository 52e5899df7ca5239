"""Gauss-Newton training of the last hidden layer of a wide network.

Most of the file is the class docstring; steps, what decides about them, and what holds Z, live
beside it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import blas_threads_for, resolve_threads
from subquad._validation import integer
from subquad.activations import is_smooth
from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer, ShardedLastLayer, is_separable
from subquad.training import _arguments
from subquad.training._gauss_newton import GaussNewtonTrainer, resume, state_of
from subquad.training.last_layer._dense import DenseState, MaintainedState, SmoothState
from subquad.training.last_layer._separable import SeparableState
from subquad.training.last_layer._sharded import ShardedState, require_same_fit
from subquad.training.last_layer._streams import Stream, chosen, joined, require_same_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.solvers import Repeats, Solver
    from subquad.training._gauss_newton._trainer import State
    from subquad.training._losses import Loss
    from subquad.training._records import StepRecord


class LastLayerGaussNewton(GaussNewtonTrainer):
    """Fit f(W) = readout phi(W V^T) to y, from W(0), moving W alone.

    With D the neurons that fire, s the scale of the activation and K = V V^T, a step solves

        (G + mu I) g = f - y,   G = K o (U U^T),   U = s a o D,   and sets   W <- W - U^T diag(g) V,

    so that W - W(0) = A^T V always: Z = V W(0)^T + K A, and no width x m_in array is touched. For
    a smooth activation U = a o phi'(Z).

    Parameters
    ----------
    layer : LastLayer
        n data points, `width` neurons, C outputs. Of a `ShardedLastLayer` every rank makes the
        same calls, with the same arguments; `factors` then has its own neurons' columns of A, and
        `solver` is "exact", without `maintenance` and `diagnostics`.
    y : array_like, shape (n,) or (n, C)
        Targets, in float32 or float64.
    loss : {"squared", "logistic", "huber"} or Loss
        What is minimised, for each output by itself: 2 sum_i w_i l(f_i, y_i) + mu ||W - W(0)||_F^2,
        which is the objective below for the squared loss. The logistic loss takes labels -1 and 1,
        or 0 and 1; "huber" is `HuberLoss(delta=1)`.
    regularization : float or "loo"
        mu of the objective |f - y|^2 + mu ||W - W(0)||_F^2. 0 is the papers' interpolation;
        "loo" takes the mu whose leave-one-out error is least at the first linearisation (with
        several outputs, under the mean of their Gram matrices). With other losses than the squared
        one a fit of each mu tells the loss of the predictions that leave a row out, from ten mean
        eigenvalues down by factors of sqrt(10) until that loss rises, and of those within 2 % of
        the least the largest mu is taken; `max_steps` does not count these steps.
    damping : float
        First Levenberg-Marquardt damping, only with regularization=0.
    tol : float or None
        Goal for |r| / |r_0|; with regularization, for `stationarity`. None: 1e-10 in float64, 1e-6
        in float32, where the floor is near 3e-7; with regularization 1e-6.
    max_steps : int
        Of one `run`, beside those of a search around kinks.
    search_kinks : bool
        Whether a regularised fit that comes to a kink of its objective, where neurons begin or
        cease to fire, looks around it once by some hundreds of steps, which `max_steps` does not
        count. The objective ends up to half lower, mostly by some percent; on the tables tried,
        test errors did not change by more than 0.2 %.
    centred : bool or array_like, shape (n, C)
        Fit f - f_0 instead of f: the network as drawn is noise of the size of the targets. Or fit f
        minus these numbers.
    sample_weight : array_like, shape (n,), optional
        Weights w_i >= 0 of the squared residuals, or losses.
    repeats : Repeats, optional
        Observations that the data points stand for, of which leave-one-out leaves out one at a
        time: see `subquad.solvers.merge_repeats`, which also gives y and `sample_weight`.
    solver : {"exact", "sketch", "pcg", "auto"} or object
        How the system is solved: see `gram_solve`. An object has a `name` and
        `solve(J, c, damping)`, which returns a `Solution`; those of `subquad.solvers` take
        sketch sizes and seeds. "exact" measured fastest here at every size: K is known and the
        Gram matrix of U costs one population count per 64 neurons.
    rng : int, numpy.random.Generator or None
        Draws the sketches of a `solver` given by name: with a seed, equal calls give equal fits. An
        object has an rng of its own.
    maintenance : LowRankMaintenance, optional
        Holds W(0), without change: then every step is its `update` and every forward pass its
        `query`, as printed in [SZZ24]. The same trajectory to rounding, much slower.
    min_active : int
        Fewest neurons per output that must be expected to fire at a data point; 0 asks nothing.
        Smooth activations have none that is silent.
    n_threads : int or None
        At most so many; small fits use fewer. Results do not depend on it.
    callback : callable, optional
        Called with the `StepRecord` after each step.
    diagnostics : bool
        Whether each `StepRecord` has `Diagnostics`: lambda_min of G, its distance from that of the
        network as it came, moves of rows, flips, rank. They change no step, and take longer than
        one where n is large: their costs are stated there.

    Attributes
    ----------
    history : list of StepRecord
    rows : ndarray of intp, shape (n,)
        Numbers of the rows that are fitted, counted as they were given.
    outputs : ndarray, shape (n, C)
        f, or f - f_0 if centred, of the best iterate.
    residual_norm, relative_residual, change_norm : float
        |r|, |r| / |r_0| and ||W - W(0)||_F of the best iterate. Of other losses than the squared
        one |r|^2 stands for 2 sum_i w_i l(f_i, y_i), here and in records.
    converged : bool
        Whether the goal set by `tol` is reached.
    stationarity : float or None
        Decrease of the regularised objective that its linearisation still promises, as a fraction
        of |r_0|^2: 0 at a minimum. Kinks of the objective, where neurons begin or cease to fire,
        may keep it from falling further; the run then ends at the least objective that some
        hundreds of short steps around find, without convergence.
    message : str
        How the last `run` ended.
    regularization_ : float
        mu; None before the first step of "loo".
    loo_error : float or None
        Mean squared leave-one-out error at the last linearisation, with regularization only.
    loo_residuals : ndarray, shape (n, C), or None
        The errors themselves; of repeated data points those of observations.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; ValueError if fewer than `min_active` neurons per output
        are expected to fire.
    MemoryError
        If the arrays of a step do not fit.

    Warns
    -----
    TrainingWarning
        If fewer than 32 neurons per output are expected to fire, if none fires at a data point, or
        if a run ends without convergence.

    Notes
    -----
    [SZZ24], Algorithm 2. O(n^2 k + n^2 m / 64 + C n^3) operations per step where k neurons fire at
    a data point, and 3 m n numbers beside those of the layer. Smooth activations: O(n^2 m) by BLAS,
    and 6 m n numbers.

    Departures: the sign of the printed update is corrected (line 18); the system is solved exactly
    unless `solver` says otherwise, which measured faster than sketching it; the width is not what
    the convergence theorem asks (m > n^4 / lambda^4 is pessimistic beyond use), and steps are
    safeguarded instead: a step is accepted if |r| falls below the largest of the last 5, else mu
    grows from 0 tenfold (non-monotone Levenberg-Marquardt), and the best iterate is returned.
    Regularised steps are damped towards the present iterate, by the ratio of the decrease reached
    to the one promised.

    Other losses than the squared one: the generalised Gauss-Newton method (Schraudolph, 2002). With
    slopes l' and second derivatives h of the loss a step is that of weighted least squares,

        (G + mu (W H)^-1) g = l' / h,

    solved as W^1/2 H^1/2 G H^1/2 W^1/2 + mu I, so that vanishing h do no harm. Without
    regularization the logistic loss of labels that f can separate tends to 0 while f grows: the run
    ends at `tol`, and its message says so.

    Examples
    --------
    >>> import numpy as np
    >>> from subquad.networks import WideNetwork
    >>> X = np.random.default_rng(0).standard_normal((20, 4))
    >>> layer = WideNetwork(4, width=512, rng=0).last_layer(X)
    >>> trainer = LastLayerGaussNewton(layer, X[:, 0] * X[:, 1]).run()
    >>> trainer.converged, trainer.relative_residual < 1e-10
    (True, True)
    >>> A, V = trainer.factors
    >>> np.allclose(layer.outputs((A, V)), trainer.outputs)
    True
    """

    _resumable = True
    # Whether the fit began at W(0), with the rows of the constructor.
    _began_at_start = True

    def __init__(
        self,
        layer: LastLayer,
        y: ArrayLike,
        *,
        regularization: float | Literal["loo"] = 0.0,
        damping: float = 0.0,
        tol: float | None = None,
        max_steps: int = 50,
        search_kinks: bool = True,
        centred: bool | ArrayLike = False,
        loss: Literal["squared", "logistic", "huber"] | Loss = "squared",
        sample_weight: ArrayLike | None = None,
        repeats: Repeats | None = None,
        solver: Literal["exact", "sketch", "pcg", "auto"] | Solver = "exact",
        maintenance: LowRankMaintenance | None = None,
        min_active: int = 16,
        rng: int | np.random.Generator | None = None,
        n_threads: int | None = None,
        callback: Callable[[StepRecord], object] | None = None,
        diagnostics: bool = False,
    ) -> None:
        if not isinstance(layer, LastLayer):
            raise TypeError(f"layer must be a LastLayer; got {type(layer).__name__}.")
        loss = _arguments.gauss_newton_loss(loss, repeats)
        options = {
            **{"regularization": regularization, "damping": damping, "tol": tol},
            **{"max_steps": max_steps, "search_kinks": search_kinks, "loss": loss},
            **{"repeats": repeats, "maintenance": maintenance, "min_active": min_active},
            **{"n_threads": n_threads, "callback": callback, "diagnostics": diagnostics},
        }
        y = _arguments.targets(y, layer, layer.n, loss)
        weights = _arguments.sample_weight(sample_weight, layer.n)
        self._set_options(
            layer.dtype,
            regularization,
            damping,
            tol,
            max_steps,
            callback,
            repeats=repeats,
            search_kinks=search_kinks,
            loss=loss,
            diagnostics=diagnostics,
        )
        solver = _arguments.chosen_solver(solver, rng)
        _arguments.require_active_neurons(layer, integer(min_active, "min_active", minimum=0))
        _arguments.require_memory_for(layer, layer.n, chooses=isinstance(regularization, str))
        centred = _arguments.offset(centred, y)
        if isinstance(layer, ShardedLastLayer):
            require_same_fit(layer, y, weights, centred, self._options, diagnostics)
            self._writes = layer._ranks.rank == 0
        n_threads = resolve_threads(n_threads)
        with blas_threads_for(layer.n):
            state = last_layer_state(layer, weights, n_threads, maintenance, solver)
        self._begin(state, y, weights, centred)
        options["solver"] = "exact" if solver is None else solver
        self._stream = Stream.of(layer, y, weights, centred, options)

    def partial_fit(
        self,
        layer: LastLayer,
        y: ArrayLike,
        sample_weight: ArrayLike | None = None,
        *,
        centred: ArrayLike | None = None,
    ) -> Self:
        """Take in more rows, and go on with the fit of all rows from the present weights.

        Parameters
        ----------
        layer : LastLayer
            The same layer of the same network at the new rows, ``network.last_layer(X_new)``.
        y : array_like, shape (n_new,) or (n_new, C)
            Their targets.
        sample_weight : array_like, shape (n_new,), optional
            Their weights; 1 if not given.
        centred : array_like, shape (n_new, C), optional
            What is subtracted from their outputs, where the trainer was given such numbers.

        Returns
        -------
        LastLayerGaussNewton
            The trainer itself, which has run.

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, the layer cannot be of the same network, it is
            shared by ranks, or the trainer has `maintenance` or `repeats`. The trainer is then as
            before.
        MemoryError
            If the arrays of all rows do not fit. The trainer is then as before.

        Warns
        -----
        TrainingWarning
            As `run`.

        Notes
        -----
        Z(0) and K are extended, and A by rows of 0: what was fitted is the start, unless W(0) is
        better for all rows. `history` begins anew. Convergence is that of a fit of all rows, to the
        same goals. Interpolation then fits all rows; with regularization the objective is that of
        all rows, which may have several minima where neurons begin or cease to fire.

        "loo" keeps mu until there are twice the rows that it was chosen for: then a fit begins at
        W(0), as one of all rows does. Beside the steps, n n_new inner products of features.

        All n rows take part in every step, n^2 m operations and the solution of an equation of n
        rows: a stream of single chunks costs what its number of calls times a last step does. Where
        a linearisation will do, `partial_fit` of `GaussNewtonRegressor` takes n^2 n_new in place of
        n^2 m.

        Examples
        --------
        >>> import numpy as np
        >>> from subquad.networks import WideNetwork
        >>> X = np.random.default_rng(0).standard_normal((20, 4))
        >>> network, y = WideNetwork(4, width=1024, rng=0), X[:, 0] * X[:, 1]
        >>> trainer = LastLayerGaussNewton(network.last_layer(X[:15]), y[:15]).run()
        >>> trainer = trainer.partial_fit(network.last_layer(X[15:]), y[15:])
        >>> trainer.converged, np.allclose(network.outputs(X, trainer.factors)[:, 0], y)
        (True, True)
        >>> trainer.forget([0, 1]).rows[:3]
        array([2, 3, 4])
        """
        stream = self._stream
        stream.require_open()
        require_same_network(stream.layer, layer)
        y = _arguments.targets(y, layer, layer.n, stream.options["loss"])
        weights = _arguments.sample_weight(sample_weight, layer.n)
        if isinstance(stream.centred, bool) != (centred is None):
            wanted = "None" if isinstance(stream.centred, bool) else "an array, as at first"
            raise ValueError(f"centred must be {wanted}; got {type(centred).__name__}.")
        if centred is not None:
            offset = np.atleast_2d(_arguments.offset(np.atleast_1d(centred), y))
            centred = np.concatenate([stream.centred, offset])
        ones = [np.ones(size) for size in (stream.layer.n, layer.n)]
        pair = [w if given is None else given
                for w, given in zip(ones, (stream.weights, weights), strict=True)]  # fmt: skip
        extended = replace(
            stream,
            layer=joined(stream.layer, layer, self._fit.state.K),
            y=np.concatenate([stream.y, y]),
            weights=np.concatenate(pair),
            centred=stream.centred if centred is None else centred,
            numbers=np.append(stream.numbers, stream.n_given + np.arange(layer.n)),
            n_given=stream.n_given + layer.n,
        )
        A = np.zeros((extended.layer.n, layer.width), layer.dtype)
        A[: stream.layer.n] = self.factors[0]
        return self._go_on(extended, A)

    def forget(self, rows: ArrayLike) -> Self:
        """Give up some rows, and go on with the fit of the others.

        Parameters
        ----------
        rows : array_like of int
            Their numbers, as in `rows`.

        Returns
        -------
        LastLayerGaussNewton
            The trainer itself, which has run.

        Raises
        ------
        TypeError, ValueError
            If a row was never given or was forgotten before, none would be left, or as in
            `partial_fit`. The trainer is then as before.

        Warns
        -----
        TrainingWarning
            As `run`.

        Notes
        -----
        The rows of Z(0), K and A go. W - W(0) is then a sum over the rows left, and the fit is one
        of these, as with `partial_fit`: the same objective, though not always the same minimum.
        What the others' coefficients owe to the rows that went is where the fit begins, no more.
        """
        stream = self._stream
        stream.require_open()
        gone = stream.places_of(rows)
        kept = np.delete(np.arange(stream.layer.n), gone)
        reduced = replace(
            stream,
            layer=chosen(stream.layer, kept, self._fit.state.K),
            y=stream.y[kept],
            weights=None if stream.weights is None else stream.weights[kept],
            centred=stream.centred if isinstance(stream.centred, bool) else stream.centred[kept],
            numbers=stream.numbers[kept],
        )
        return self._go_on(reduced, self.factors[0][kept])

    @property
    def rows(self) -> NDArray[np.intp]:
        """Numbers of the rows that are fitted, in the order of `outputs`: 0 is the first given."""
        return self._stream.numbers.copy()

    def _go_on(self, stream, A):
        """Become the trainer of other rows, which begins at A^T V, and run."""
        options, n, mu = dict(stream.options), stream.layer.n, self.regularization_
        cold = stream.chooses_anew(n) or mu is None
        if not cold:
            options["regularization"] = mu
        else:
            stream = replace(stream, n_chosen=n)
        data = {"centred": stream.centred, "sample_weight": stream.weights}
        trainer = LastLayerGaussNewton(stream.layer, stream.y, **data, **options)
        if not cold:
            trainer._begin_at(A)
        trainer._stream, trainer._began_at_start = stream, False
        self.__dict__ = vars(trainer)  # at once: an exception (Ctrl-C) leaves the old fit or this
        return self.run()

    def _begin_at(self, A):
        """Begin at W(0) + A^T V where that is better than W(0)."""
        self._began_at_start = False
        with blas_threads_for(len(A)):
            self._fit.begin_at(self._fit.state.terms_of(A), self.regularization_)

    def state_dict(self) -> dict[str, Any]:
        """Return where the fit stands after its last whole step, to go on from there elsewhere.

        Returns
        -------
        dict
            Plain values and arrays: the coefficients (n, C) of every step, how they were damped,
            and the history. A file of them is small beside the factors.

        Raises
        ------
        ValueError
            If `solver` is not "exact": what others draw is not kept. Or if rows came or went since
            the trainer was made.

        Examples
        --------
        >>> import numpy as np
        >>> from subquad.networks import WideNetwork
        >>> X = np.random.default_rng(0).standard_normal((20, 4))
        >>> layer = WideNetwork(4, width=512, rng=0).last_layer(X)
        >>> first = LastLayerGaussNewton(layer, X[:, 0] * X[:, 1])
        >>> _ = first.step()
        >>> second = LastLayerGaussNewton(layer, X[:, 0] * X[:, 1])
        >>> second.load_state_dict(first.state_dict())
        >>> np.array_equal(second.run().outputs, first.run().outputs)
        True
        """
        self._require_first_rows()
        return state_of(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on where another trainer stood, of the same layer, targets and options.

        The changes of its steps are made again, without solving for them. `run` then takes the
        steps that were left to it, the same in every bit as if it had not been interrupted.

        Parameters
        ----------
        state : dict
            Of `state_dict`. This trainer must have taken no step.

        Raises
        ------
        ValueError
            If the state is of a fit of other data or options, or this machine's arithmetic
            does not lead to the residual that is told of; the trainer is of no use then.
        """
        self._require_first_rows()
        resume(self, state)

    def _require_first_rows(self):
        """Refuse states of a fit that did not begin at W(0)."""
        if not self._began_at_start:
            raise ValueError(
                "state must be of the rows that the trainer was made with; got one whose rows came "
                "or went. Save its factors, or make a trainer of the present rows."
            )

    @property
    def factors(self) -> tuple[FloatArray, FloatArray]:
        """(A, V) of the best iterate: W = W(0) + A^T V, A (n, width), V (n, m_in)."""
        return self._fit.state.factors(self._fit.best.terms)


def last_layer_state(
    layer: LastLayer,
    weights: FloatArray | None,
    n_threads: int | None,
    maintenance: LowRankMaintenance | None,
    solver: Solver | None,
) -> State:
    """Return the state that suits the readout, or that talks to `maintenance`."""
    if isinstance(layer, ShardedLastLayer):
        for value, name in ((solver, "solver"), (maintenance, "maintenance")):
            if value is not None:
                allowed = "'exact'" if name == "solver" else "None"
                raise ValueError(
                    f"{name} must be {allowed} for a layer that ranks share; got a "
                    f"{type(value).__name__}."
                )
        return ShardedState(layer, weights, n_threads)
    if is_smooth(layer.activation):
        if maintenance is not None:
            raise ValueError(
                f"maintenance must be None for {layer.activation}; got a "
                f"{type(maintenance).__name__}. It serves neurons that are mostly silent."
            )
        return SmoothState(layer, weights, solver)
    if maintenance is None:
        if is_separable(layer.readout):
            return SeparableState(layer, weights, n_threads, solver)
        return DenseState(layer, weights, solver)
    if not isinstance(maintenance, LowRankMaintenance):
        raise TypeError(
            f"maintenance must be a LowRankMaintenance; got {type(maintenance).__name__}."
        )
    shape = (layer.width, layer._inputs.shape[1])
    if maintenance.shape != shape:
        raise ValueError(f"maintenance must have shape {shape}; got {maintenance.shape}.")
    return MaintainedState(layer, weights, n_threads, maintenance, solver)
