"""Gauss-Newton training of the last hidden layer of a wide network.

Half of the file is the class docstring; what decides about steps, and what holds Z, live beside it.
"""

import warnings

import numpy as np

from subquad._parallel import blas_threads_for, resolve_threads
from subquad._validation import integer, real
from subquad.networks import LastLayer
from subquad.training import _checks
from subquad.training._fit import Fit, ratio
from subquad.training._record import StepRecord, Stopwatch, TrainingWarning
from subquad.training._safeguards import LevenbergMarquardt, ProximalStep

_PATIENCE = 20  # steps without a gain of 0.1 % that count as stagnation


class LastLayerGaussNewton:
    """Fit f(W) = readout phi(W V^T) to y, from W(0), moving W alone.

    With D the neurons that fire, s the scale of the activation and K = V V^T, a step solves

        (G + mu I) g = f - y,   G = K o (U U^T),   U = s a o D,   and sets   W <- W - U^T diag(g) V,

    so that W - W(0) = A^T V always: Z = V W(0)^T + K A, and no width x m_in array is touched.

    Parameters
    ----------
    layer : LastLayer
        n data points, `width` neurons, C outputs.
    y : array_like, shape (n,) or (n, C)
        Targets, in float32 or float64.
    regularization : float or "loo"
        mu of the objective |f - y|^2 + mu ||W - W(0)||_F^2. 0 is the papers' interpolation;
        "loo" takes the mu whose leave-one-out error is least at the first linearisation (with
        several outputs, under the mean of their Gram matrices).
    damping : float
        First Levenberg-Marquardt damping, only with regularization=0.
    tol : float or None
        Goal for |r| / |r_0|; with regularization, for the decrease of the objective in a step, as a
        fraction of |r_0|^2. None: 1e-10 in float64, 1e-6 in float32, where the floor is near 3e-7;
        with regularization 1e-6.
    max_steps : int
        Of one `run`.
    centred : bool
        Fit f - f_0 instead of f: the network as drawn is noise of the size of the targets.
    sample_weight : array_like, shape (n,), optional
        Weights w_i >= 0 of the squared residuals.
    maintenance : LowRankMaintenance, optional
        Holds W(0), without change: then every step is its `update` and every forward pass its
        `query`, as printed in [SZZ24]. The same trajectory to rounding, much slower.
    min_active : int
        Fewest neurons per output that must be expected to fire at a data point.
    n_threads : int or None
        At most so many; small fits use fewer. Results do not depend on it.
    callback : callable, optional
        Called with the `StepRecord` after each step.

    Attributes
    ----------
    history : list of StepRecord
    outputs : ndarray, shape (n, C)
        f, or f - f_0 if centred, of the best iterate.
    residual_norm, relative_residual, change_norm : float
        |r|, |r| / |r_0| and ||W - W(0)||_F of the best iterate.
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
    a data point, and 3 m n numbers beside those of the layer.

    Departures: the sign of the printed update is corrected (line 18); the system is solved exactly,
    which measured faster than sketching it; the width is not what the convergence theorem asks
    (m > n^4 / lambda^4 is pessimistic beyond use), and steps are safeguarded instead: a step is
    accepted if |r| falls below the largest of the last 5, else mu grows from 0 tenfold
    (non-monotone Levenberg-Marquardt), and the best iterate is returned.

    Examples
    --------
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

    def __init__(
        self,
        layer,
        y,
        *,
        regularization=0.0,
        damping=0.0,
        tol=None,
        max_steps=50,
        centred=False,
        sample_weight=None,
        maintenance=None,
        min_active=16,
        n_threads=None,
        callback=None,
    ):
        if not isinstance(layer, LastLayer):
            raise TypeError(f"layer must be a LastLayer; got {type(layer).__name__}.")
        y = _checks.targets(y, layer)
        mu = _checks.regularization(regularization)
        weights = _checks.sample_weight(sample_weight, layer.n)
        self._max_steps = integer(max_steps, "max_steps", minimum=0)
        self._tol = _checks.tolerance(tol, layer.dtype, regularized=mu != 0)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable; got {type(callback).__name__}.")
        self._callback = callback
        damping = real(damping, "damping", minimum=0.0)
        _checks.active_neurons(layer, integer(min_active, "min_active", minimum=0))
        _checks.memory(layer)
        state = _checks.state(layer, weights, resolve_threads(n_threads), maintenance)
        self._layer, self._fit = layer, Fit(state, y, weights, centred)
        self._rule = LevenbergMarquardt(damping) if mu == 0 else ProximalStep(mu, self._tol)
        self.history, self.message = [], "Not run."
        self._warned_silent = False

    def step(self):
        """Take one step, and return its `StepRecord`.

        Notes
        -----
        [SZZ24], Algorithm 2, lines 8-19. Lines 9-15 (forward computation, D, u) are the state's
        `linearise`, line 17 the system's `solve`, lines 18 and 11 the state's `propose`.
        """
        fit, watch = self._fit, Stopwatch()
        before = fit.norm
        with watch.phase("linearise"):
            system = fit.state.linearise()
        self._warn_silent(system.active)
        move = self._rule.move(fit, system, watch)
        if move.trial is not None:
            with watch.phase("move"):
                fit.accept(move, self.regularization_)
        record = StepRecord(
            step=len(self.history) + 1,
            residual_norm=fit.norm,
            relative_residual=ratio(fit.norm, fit.initial_norm),
            ratio=ratio(fit.norm, before),
            objective=fit.objective(self.regularization_),
            active_fraction=system.active_fraction,
            min_active=int(system.active.min()),
            flips=0 if move.trial is None else move.trial.flips,
            damping=move.damping,
            step_length=move.length,
            n_trials=move.n_trials,
            n_iterations=move.n_iterations,
            seconds=watch.stop(),
        )
        self.history.append(record)
        if self._callback is not None:
            self._callback(record)
        return record

    def choose_regularization(self):
        """Fix mu, if it is still to be chosen, and return the leave-one-out error it has here.

        Returns
        -------
        float
            Mean squared leave-one-out error of the fit linearised at the present iterate: what
            hyperparameters outside the trainer can be compared by, without a step.

        Raises
        ------
        ValueError
            If the trainer interpolates.
        """
        if not isinstance(self._rule, ProximalStep):
            raise ValueError("regularization must be positive or 'loo' for this; got 0.")
        self._rule.linearise(self._fit, self._fit.state.linearise())
        return self.loo_error

    def run(self):
        """Take steps until convergence, stagnation or `max_steps`; return the trainer.

        Notes
        -----
        An interrupted run (Ctrl-C) keeps its best iterate: the exception passes, and every
        attribute is valid.
        """
        self.message = "Interrupted; the best iterate so far is kept."
        with blas_threads_for(self._layer.n):
            try:
                for _ in range(self._max_steps):
                    if self._is_done():
                        break
                    self.step()
            finally:
                self._fit.return_to_best(self.regularization_)
        self.message = self._closing_message()
        if not self.converged and self._max_steps > 0:
            warnings.warn(self.message, TrainingWarning, stacklevel=2)
        return self

    @property
    def factors(self):
        """(A, V) of the best iterate: W = W(0) + A^T V, A (n, width), V (n, m_in)."""
        return self._fit.state.accumulator(self._fit.best.terms), self._layer.features

    @property
    def outputs(self):
        """f, or f - f_0 if centred, at the best iterate, shape (n, C)."""
        return self._fit.best.outputs - self._fit.offset

    @property
    def residual_norm(self):
        """|f - y| at the best iterate, with sample weights if there are any."""
        return self._fit.best.norm

    @property
    def relative_residual(self):
        """|f - y| at the best iterate / |f_0 - y|."""
        return ratio(self._fit.best.norm, self._fit.initial_norm)

    @property
    def change_norm(self):
        """||W - W(0)||_F of the best iterate."""
        return float(np.sqrt(max(self._fit.best.square_of_change, 0.0)))

    @property
    def regularization_(self):
        """The mu in use; None before the first step of "loo"."""
        return self._rule.regularization

    @property
    def loo_error(self):
        """Mean squared leave-one-out error at the last linearisation; None if not regularised."""
        return self._rule.loo_error()

    @property
    def converged(self):
        """Whether the goal set by `tol` is reached."""
        if isinstance(self._rule, ProximalStep):
            return self._rule.settled
        goal = max(self._tol * self._fit.initial_norm, self._fit.rounding)
        return bool(self._fit.best.norm <= goal)

    def _is_done(self):
        if self.converged:
            self._fit.return_to_best(self.regularization_)  # where float32 may prove it wrong
        return self.converged or self._rule.stuck or self._stagnates()

    def _stagnates(self):
        """Whether the last steps together gained less than 0.1 %."""
        norms = [self._fit.initial_norm] + [record.residual_norm for record in self.history]
        if len(norms) <= _PATIENCE or isinstance(self._rule, ProximalStep):
            return False
        return min(norms[-_PATIENCE:]) > (1 - 1e-3) * min(norms[:-_PATIENCE])

    def _closing_message(self):
        steps, relative = len(self.history), self.relative_residual
        if self.converged:
            return f"Converged after {steps} steps at relative residual {relative:.1e}."
        if isinstance(self._rule, ProximalStep):
            return (
                f"Training stopped at max_steps={self._max_steps} while the objective still fell "
                f"by more than tol={self._tol:.0e} of its first value per step; raise max_steps "
                "or tol."
            )
        if not (self._rule.stuck or self._stagnates()):
            return (
                f"Training stopped at max_steps={self._max_steps} with relative residual "
                f"{relative:.1e}, above tol={self._tol:.0e}; raise max_steps or width."
            )
        return (
            f"Training stagnates after {steps} steps at relative residual {relative:.1e}, above "
            f"tol={self._tol:.0e}. Equal data points may have different targets (this is then "
            "their least-squares value), some may have too few active neurons (raise width or "
            "lower shift), or the precision is exhausted (float32 ends near 3e-7)."
        )

    def _warn_silent(self, active):
        """Name, once, the data points whose residual cannot move."""
        if active.all() or self._warned_silent:
            return
        self._warned_silent = True
        points = np.flatnonzero((active == 0).any(axis=1))
        named = ", ".join(map(str, points[:10])) + (", ..." if len(points) > 10 else "")
        warnings.warn(
            f"No neuron fires at data point {named}: its residual cannot change. Raise width, "
            "lower shift, or remove a row of zeros.",
            TrainingWarning,
            stacklevel=4,
        )
