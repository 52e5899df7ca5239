"""Gradient descent on all hidden layers of a wide network: [SZZ24], Remark C.6.

Half of the file is the class docstring; the layers and their factors live beside it.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import warnings
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import resolve_threads
from subquad._validation import (
    as_matrix,
    generator,
    integer,
    require_in_range,
    require_memory,
)
from subquad.lowrank import is_changeable
from subquad.networks import WideNetwork
from subquad.training import _arguments
from subquad.training._records import Stopwatch, TrainingWarning
from subquad.training.all_layers._maintained import MaintainedNetwork
from subquad.training.all_layers._record import DescentRecord
from subquad.training.half_space._batches import in_order, pairs, shuffled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.lowrank import LowRankMaintenance


# Training has diverged when its mean loss is so many times the largest one that f = 0, or the
# network as drawn, had so far.
_DIVERGED = 1e4
# Flush at each step where a smaller fraction of the neurons fires: a flush then takes less than the
# products with factors that were kept.
_FEW = 1 / 8
# Warn of a run whose last steps changed nothing, though f is not y, from so many on.
_IDLE = 3


class LowRankGradientDescent:
    """Fit f(x) of a deep network to y by gradient descent, moving every hidden layer.

    With r = f - y at the points x_i of a batch, h_{i,l} what layer l gives, and u_{i,l,c} the
    derivative of output c by W_l h_{i,l-1}, a step is

        W_l <- W_l - eta sum_ic r_ic u_{i,l,c} h_{i,l-1}^T        for l = 1 .. L,

    down the gradient of the sum of |f - y|^2 / 2 over the batch. The change of a layer has at most
    the rank of the batch's size: a `LowRankMaintenance` keeps its factors.

    Parameters
    ----------
    network : WideNetwork
        Where to start; it is not changed. Its readout stays fixed.
    step_size : float or "auto"
        eta. "auto" is 1 / lambda_max of the first batch's G = J J^T, with J by the weights of all
        layers: half of what gradient descent on that batch bears.
    rank_budget : int, inf or None
        Rank at which the factors of a layer are given up, at most the width. inf keeps all factors,
        as weights need that are "int8" or "implicit" and cannot take up a change. None means inf
        for these; 1, which flushes at each step, where fewer than an eighth of the neurons are
        expected to fire; and otherwise an eighth of the layer's smaller side.
    when_full : {"flush", "recompress"}
        What happens then. "flush" adds the change to the matrix; "recompress" first replaces the
        factors by their singular value decomposition without the terms s_k <= rtol s_1, and flushes
        only if more than half of the budget remains in use.
    rtol : float or None
        Tolerance of "recompress", in [0, 1). None means rank times the machine epsilon.
    batch_size : int or None
        Rows of a mini-batch of arrays; None takes all of them in each step.
    rng : int, numpy.random.Generator or None
        Order of the rows of arrays in mini-batches.
    n_threads : int or None
        Results do not depend on it.
    callback : callable, optional
        Called with the `DescentRecord` after each step.
    diagnostics : bool
        Whether each `DescentRecord` has `Diagnostics` of the step's points, with an entry for each
        layer. That takes two more passes through the network and the products for two Gram
        matrices; and m^3 operations for the rank of a layer that has been flushed, since its
        factors are gone: with `rank_budget=inf` none is.

    Attributes
    ----------
    network : WideNetwork
    weights : list of LowRankMaintenance
        W_1 .. W_L of the last iterate; the next step changes them.
    history : list of DescentRecord
        May be cleared at any time.
    n_steps : int
    step_size : float or None
        eta; None before the first step of "auto".
    diverged : bool
        Whether the last run ended because its loss grew without bound.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described; ValueError also for a finite budget with weights that
        cannot be changed.
    MemoryError
        If the copies of the weights that flushes go into do not fit.

    Warns
    -----
    TrainingWarning
        If fewer than 32 neurons are expected to fire for an output at a data point.

    Notes
    -----
    [SZZ24], Remark C.6, with Algorithms 3-4 for every layer. Products of n points with a layer take
    n k m operations where k neurons fire, and 4 n m rank for its change; a flush takes k^2 for each
    row of the factors where k is small, and 2 m^2 where it is not.
    Where nothing is truncated, the result is that of gradient descent on dense matrices, up to
    rounding.

    What a recompression drops is told by `DescentRecord.truncation`. It bounds the distance of W_l
    from where the step would have gone, not that of later iterates, whose gradients differ.

    An interrupted step (Ctrl-C) may have moved some layers and not the others.

    Departures: as `WideNetwork`; layers are divided by their norms, and the derivative includes
    that. No step size is printed: the theory's is far smaller than what is stable.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((20, 4))
    >>> network = WideNetwork(4, width=256, depth=3, rng=0)
    >>> trainer = LowRankGradientDescent(network, step_size="auto", rank_budget=np.inf)
    >>> trainer = trainer.run(X, X[:, 0] * X[:, 1], max_steps=30)
    >>> trainer.history[-1].loss < 0.1 * trainer.history[0].loss
    True
    >>> factors = [W.factors for W in trainer.weights]
    >>> np.allclose(network.outputs(X, factors), trainer.outputs(X))
    True
    """

    _diagnosed = False  # of trainers that older versions pickled

    def __init__(
        self,
        network: WideNetwork,
        *,
        step_size: float | Literal["auto"],
        rank_budget: float | None = None,
        when_full: Literal["flush", "recompress"] = "flush",
        rtol: float | None = None,
        batch_size: int | None = None,
        rng: int | np.random.Generator | None = None,
        n_threads: int | None = None,
        callback: Callable[[DescentRecord], object] | None = None,
        diagnostics: bool = False,
    ) -> None:
        _require_wide(network)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable; got {type(callback).__name__}.")
        self.step_size = _arguments.positive_or_auto(step_size, "step_size")
        self._batch_size = None if batch_size is None else integer(batch_size, "batch_size")
        self._rng, self._callback = generator(rng), callback
        self._diagnosed = bool(diagnostics)
        rank_budget = _as_budget(rank_budget, network, when_full)
        options = {"rank_budget": rank_budget, "when_full": when_full}
        self._layers = MaintainedNetwork(network, resolve_threads(n_threads), rtol=rtol, **options)
        _require_memory_for_flushes(network, rank_budget)
        self.network, self.n_steps = network, 0
        self.history: list[DescentRecord] = []
        self._largest, self._idle, self.diverged = 0.0, 0, False

    @property
    def weights(self) -> list[LowRankMaintenance]:
        """W_1 .. W_L of the last iterate."""
        return list(self._layers.weights)

    def step(self, X: ArrayLike, y: ArrayLike) -> DescentRecord:
        """Take one step on a batch.

        Parameters
        ----------
        X : array_like, shape (b, n_features)
        y : array_like, shape (b,) or (b, n_outputs)

        Returns
        -------
        DescentRecord

        Raises
        ------
        FloatingPointError
            If the loss has grown without bound, or the step would; the weights are as before.
        MemoryError
            If the arrays of the step do not fit.
        """
        return self._step(*self._batch(X, y))

    def _step(self, X, y):
        """Trusted twin of `step`."""
        layers, watch = self._layers, Stopwatch()
        tangents = self.step_size is None or self._diagnosed
        self._require_memory_for(len(X), tangents=tangents)
        before = [(W.n_flushes, W.truncation) for W in layers.weights]
        with watch.phase("forward"):
            forward = layers.forward(X)
            residual = forward.outputs() - y
            loss = self._loss(residual, y)
        with watch.phase("backward"):
            if self.step_size is None:
                self.step_size = _stable_step(layers.largest_eigenvalue(forward))
            gradient = layers.gradient(forward, residual)
            self._require_moderate(gradient)
        with watch.phase("update"):
            self.n_steps += 1
            self._idle = 0 if loss == 0 or any(A.any() for A, _ in gradient) else self._idle + 1
            layers.move(gradient, self.step_size)
        with watch.phase("diagnose") if self._diagnosed else contextlib.nullcontext():
            diagnosed = layers.diagnostics(X) if self._diagnosed else None
        facts = zip(layers.weights, before, strict=True)
        changed = [(W.n_flushes - flushes, W.truncation - sum_) for W, (flushes, sum_) in facts]
        return self._note(
            step=self.n_steps,
            loss=loss,
            n_points=len(X),
            ranks=tuple(W.rank for W in layers.weights),
            flushes=tuple(flushes for flushes, _ in changed),
            truncation=tuple(dropped for _, dropped in changed),
            seconds=watch.stop(),
            diagnostics=diagnosed,
        )

    def _note(self, **facts):
        """Keep the record of a step, and show it."""
        record = DescentRecord(**facts)
        self.history.append(record)
        if self._callback is not None:
            self._callback(record)
        return record

    def run(
        self,
        X: ArrayLike | Iterable[Any],
        y: ArrayLike | None = None,
        *,
        n_epochs: int | None = None,
        max_steps: int | None = None,
    ) -> Self:
        """Take steps over an array, all of it or in mini-batches, or over a stream of batches.

        Parameters
        ----------
        X : array_like, shape (n, n_features), or iterable
            With y, an array; without, anything that yields pairs (X, y), endless or not.
        y : array_like, shape (n,) or (n, n_outputs), optional
        n_epochs : int or None
            Passes over an array. None means as many as `max_steps` takes, or one without it.
        max_steps : int or None
            Most steps.

        Returns
        -------
        LowRankGradientDescent

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described.
        MemoryError
            If the arrays of a step do not fit.

        Warns
        -----
        TrainingWarning
            If the loss grows without bound; the run ends there, with finite weights. Also if the
            last steps changed nothing, since no neuron fires any more.

        Notes
        -----
        A run goes on from where the last one ended.
        """
        if max_steps is not None:
            max_steps = integer(max_steps, "max_steps", minimum=0)
        if n_epochs is not None:
            n_epochs = integer(n_epochs, "n_epochs")
        elif max_steps is None:
            n_epochs = 1
        if y is None:
            batches = (self._batch(*pair) for pair in pairs(X))
        else:
            batches = self._batches(*self._batch(X, y), n_epochs)
        return self._follow(itertools.islice(batches, max_steps))

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take one pass over an array in the order given, `batch_size` rows a step.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)

        Returns
        -------
        LowRankGradientDescent
        """
        X, y = self._batch(X, y)
        return self._follow(in_order(X, y, self._batch_size or len(X)))

    def outputs(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return f at the rows of X, of the last iterate.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)
        """
        return self._layers.outputs(self._inputs(X))

    def tangents(self, X: ArrayLike) -> list[tuple[FloatArray, FloatArray]]:
        """Return h_{i,l-1} and u_{i,l,c} of every layer, at the last iterate.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        list of pairs
            (U_l, H_{l-1}) of shapes (n, n_outputs, width) and (n, width), H_0 = X: the derivative
            of output c at data point i by W_l is the outer product of U_l[i, c] and H_{l-1}[i].

        Raises
        ------
        ValueError
            If derivatives overflow, as they do at points so close to 0.
        """
        X, layers, C = self._inputs(X), self._layers, self.network.n_outputs
        self._require_memory_for(len(X), tangents=True)
        with np.errstate(over="ignore", invalid="ignore"):
            found = layers.tangents(layers.forward(X))
        for U, _ in found:
            require_in_range(U, "X and the weights", "the derivatives")
        return [(U.reshape(len(H), C, -1), H) for U, H in found]

    def gram(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return G = sum_l (U_l U_l^T) o (H_{l-1} H_{l-1}^T), at the last iterate.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray of float64, shape (n n_outputs, n n_outputs)
            The tangent kernel: row i n_outputs + c belongs to output c of data point i. A step on
            these points moves f by -eta G (f - y), to first order.

        Raises
        ------
        TypeError, ValueError
            If X is not a finite real matrix of n_features columns.
        MemoryError
            If G, or U of all layers, does not fit.
        """
        X = self._inputs(X)
        self._require_memory_for(len(X), tangents=True)
        return self._layers.gram(self._layers.forward(X))

    def gradient(self, X: ArrayLike, y: ArrayLike) -> list[tuple[FloatArray, FloatArray]]:
        """Return the gradient of the sum of |f - y|^2 / 2 by every W_l, as factors.

        Parameters
        ----------
        X : array_like, shape (b, n_features)
        y : array_like, shape (b,) or (b, n_outputs)

        Returns
        -------
        list of pairs
            (A_l, B_l) of shapes (b, width) and (b, width), or (b, n_features) for B_1: the gradient
            is A_l^T B_l, and a step on this batch subtracts eta times it.
        """
        X, y = self._batch(X, y)
        self._require_memory_for(len(X), tangents=False)
        forward = self._layers.forward(X)
        return self._layers.gradient(forward, forward.outputs() - y)

    def _follow(self, batches):
        self.diverged, self._idle, start = False, 0, self.n_steps
        for X, y in batches:
            try:
                self._step(X, y)
            except FloatingPointError as reason:
                self.diverged = True
                warnings.warn(f"{reason} The run ends.", TrainingWarning, stacklevel=3)
                break
        if self._idle and self._idle >= min(_IDLE, self.n_steps - start):
            warnings.warn(
                f"The last {self._idle} steps changed nothing: no neuron of the last layer fires "
                "at their data points. Lower step_size, and start again from the network.",
                TrainingWarning,
                stacklevel=3,
            )
        return self

    def _batches(self, X, y, n_epochs):
        """Return the batches of so many passes, or an endless row of them."""
        if self._batch_size is not None:
            return shuffled(X, y, self._batch_size, n_epochs, self._rng)
        whole = X, y
        return itertools.repeat(whole) if n_epochs is None else itertools.repeat(whole, n_epochs)

    def _inputs(self, X):
        network = self.network
        return as_matrix(X, "X", n_columns=network.n_features, dtype=network.dtype)

    def _batch(self, X, y):
        """Return X and y (b, C) in trusted form."""
        X = self._inputs(X)
        return X, _arguments.targets(y, self.network, len(X))

    def _loss(self, residual, y):
        """Return the sum of |f - y|^2 / 2, unless it has grown without bound."""
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(np.square(residual).sum() / 2)
        largest = max(self._largest, float(np.square(y).sum() / (2 * len(y))))
        if self.n_steps == 0:
            largest = max(largest, loss / len(y))
        if not (math.isfinite(loss) and loss / len(y) <= _DIVERGED * largest):
            raise FloatingPointError(self._complaint(f"The loss has grown to {loss:.1e}"))
        self._largest = largest
        return loss

    def _require_moderate(self, gradient):
        """Raise where a step would be so large that products with the weights overflow.

        The fourth root of the largest float leaves room for squares of what a layer gives.
        """
        limit = float(np.finfo(self.network.dtype).max) ** 0.25
        for A, B in gradient:
            size = self.step_size * len(A) * float(np.abs(A).max()) * float(np.abs(B).max())
            if not size <= limit:  # or NaN
                raise FloatingPointError(
                    self._complaint(f"The next step has entries of {size:.1e}")
                )

    def _require_memory_for(self, n, tangents):
        """Refuse a batch whose arrays do not fit, with u of every output if asked for."""
        network = self.network
        require_memory(
            self._layers.bytes_of_step(n, n * network.n_outputs if tangents else 0),
            f"A step of {network.depth} layers of width {network.width} on {n} data points",
            "Use a smaller batch_size, a smaller width, float32, or a finite rank_budget.",
        )

    def _complaint(self, what):
        return (
            f"{what} after {self.n_steps} steps; the weights are those before it. Lower step_size, "
            f"which is {self.step_size or math.nan:.3g}."
        )


def _require_wide(network):
    """Refuse what is no `WideNetwork`, and warn where few neurons are expected to fire."""
    if not isinstance(network, WideNetwork):
        raise TypeError(f"network must be a WideNetwork; got {type(network).__name__}.")
    _arguments.require_active_neurons(network, 1)


def _stable_step(largest_eigenvalue):
    """1 / lambda_max; 1 where nothing fires."""
    return 1.0 / largest_eigenvalue if largest_eigenvalue > 0 else 1.0


def _as_budget(rank_budget, network, when_full):
    """None, inf, or an int up to the width."""
    changeable = all(is_changeable(W) for W in network.weights)
    if rank_budget is None:
        sparse = network.activation.firing_probability < _FEW and when_full == "flush"
        return math.inf if not changeable else 1 if sparse else None
    if isinstance(rank_budget, float) and rank_budget == math.inf:
        return math.inf
    rank_budget = integer(rank_budget, "rank_budget", maximum=network.width)
    if not changeable:
        raise ValueError(
            f"rank_budget must be inf with weights that are 'int8' or 'implicit', which cannot be "
            f"changed; got {rank_budget}."
        )
    return rank_budget


def _require_memory_for_flushes(network, rank_budget):
    """Refuse a network whose copies, which the flushes go into, do not fit."""
    if rank_budget != math.inf:
        require_memory(
            network.nbytes,
            f"A copy of {network.depth} layers of width {network.width}, to be changed",
            "Give rank_budget=inf, use a smaller width, or float32.",
        )
