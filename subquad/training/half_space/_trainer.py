"""Stochastic gradient descent that finds, evaluates and moves only the neurons that fire.

Half of the file is docstrings; the losses, the rows that move, and who fires, live beside it.
"""

from __future__ import annotations

import contextlib
import itertools
import warnings
from typing import TYPE_CHECKING

import numpy as np

from subquad._parallel import resolve_threads
from subquad._validation import (
    as_matrix,
    as_targets,
    generator,
    integer,
    one_of,
    require_memory,
)
from subquad.networks import PairedNetwork
from subquad.training import _arguments
from subquad.training._losses import as_loss
from subquad.training._records import Stopwatch, TrainingWarning, change_of_matrix, diagnostics
from subquad.training.half_space._batches import in_order, pairs, shuffled
from subquad.training.half_space._fired import EvaluatedRows, coactivation, flips
from subquad.training.half_space._record import SGDRecord
from subquad.training.half_space._rows import NetworkRows, TangentRows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, Literal, Self

    from numpy.typing import ArrayLike, NDArray

    from subquad._typing import FloatArray
    from subquad.training._losses import Loss


_PAIRS_PER_BLOCK = 2**22
_FEW_FIRING = 16
# Training has diverged when its loss is so many times the largest one that f = 0 had so far.
_DIVERGED = 1e8
# A step is divided by the square of the network's scale, which float64 must hold.
_LARGEST_SCALE = 1e150
_DYNAMICS = {"network": NetworkRows, "kernel": TangentRows}
_ITERATES = ("last", "averaged", "random")
_REPORTS = ("auto", "tree", "scan", None)


class HalfSpaceSGD:
    """Fit a `PairedNetwork` to a stream of mini-batches, at the cost of the neurons that fire.

    For a mini-batch (x_1, y_1) .. (x_b, y_b), with S_i = {r : <w_r, x_i> >= b_0} reported by a
    half-space report of the rows of W,

        f_i = B / sqrt(2 m) sum_{r in S_i} a_r (<w_r, x_i> - b_0)
        w_r <- w_r - eta / (B^2 Q(b_0)) mean_i 1[r in S_i] l'(f_i, y_i) B / sqrt(2 m) a_r x_i

    and the report is told which rows moved. The result is that of ordinary SGD on the loss l, by
    default (f - y)^2 / 2, which would evaluate all 2 m neurons at each point.

    Parameters
    ----------
    network : PairedNetwork
        Where to start; it is not changed.
    learning_rate : float or "auto"
        eta. With points of norm 1 and the squared loss, up to 1 is stable whatever the batch; up
        to 16 was, at points spread over the sphere. "auto" is b / lambda_max of the first batch's
        Gram matrix <x_i, x_j> |S_i and S_j| / (2 m Q(b_0)), divided by the curvature of the loss:
        half of what gradient descent on the batch bears. Losses with kinks bear any rate and stay
        about as far from the optimum as one step goes; theirs is divided by 1.
    batch_size : int
        b, for arrays.
    loss : {"squared", "logistic", "hinge", "huber", "absolute"} or Loss
        l, of each output; those of several outputs are added. "huber" is `HuberLoss(delta=1)`. All
        but the squared one are Lipschitz, as the theorems ask. The logistic and the hinge loss
        take labels -1 and 1, or 0 and 1.
    dynamics : {"network", "kernel"}
        "kernel" is SGD on the tangent features of the network as drawn, the limit B -> infinity:
        f(x) = B / sqrt(2 m) sum_r a_r 1[<w_r(0), x> >= b_0] <w_r - w_r(0), x>.
    iterate : {"last", "averaged", "random", None}
        What is returned. "averaged" is the mean of the iterates after each step; "random" is that
        before step t, t being uniform among the steps taken so far, as in line 34: it is drawn
        from a generator of its own, so that training is the same for all. None is "averaged"
        where `average_from` is given, and otherwise "last".
    average_from : int or None
        Let only the iterates after this step into the mean. None is 0.
    report : {"auto", "tree", "scan", None}
        Method of the `HalfSpaceReport`; None evaluates every neuron, for comparison.
    count_flips : bool
        Ask the report once more after each step, and record how many states changed.
    rng : int, numpy.random.Generator or None
        Order of the rows of arrays; for a random iterate, it spawns one that chooses.
    n_threads : int or None
        Results do not depend on it.
    callback : callable, optional
        Called with the `SGDRecord` after each step.
    diagnostics : bool
        Whether each `SGDRecord` has `Diagnostics` of the step's points. That takes 2 b m d
        operations for who fires at the network as drawn, and m d^2 for the rank of W - W(0): more
        than the step.

    Attributes
    ----------
    network : PairedNetwork
    history : list of SGDRecord
        May be cleared at any time.
    n_steps : int
    diverged : bool
        Whether the last run ended because its loss grew without bound.
    weights : ndarray, shape (width, n_features)
        W of the iterate that is returned.
    loss : Loss
    learning_rate : float or None
        eta; None before the first step of "auto".
    engine : {"tree", "scan", "dense"}
        How the neurons that fire are found at present.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described.
    MemoryError
        If the rows, their report and another iterate do not fit.

    Warns
    -----
    TrainingWarning
        If fewer than 16 neurons are expected to fire at a point.

    Notes
    -----
    [QSY23], Algorithm 1. A step costs the query, and O(k (d + C)) operations for the k pairs of a
    point and a neuron that fires at it: no pass over the 2 m neurons, but one over a bit for each.
    With the tree of a half-space report this is sublinear in m for small d; from about d = 8 on,
    the query is a scan.

    Departures: the sign of the printed update is corrected (lines 25-27), and its sum divided by b;
    the step carries 1 / (B^2 Q(b_0)), without which no one eta suits all B and m; the points of
    line 17 are the batch's; the last iterate is returned unless another is asked for (line 34).
    Line 25 is the squared loss; Theorem 5.1 and its kin are proved for Lipschitz losses, which it
    is not. A neuron exactly at its threshold moves.

    With an average or a random iterate, each row that moves takes one extra row operation; no step
    touches all rows. A random iterate is chosen anew at step t with probability 1 / t.

    Examples
    --------
    >>> from subquad.networks import PairedNetwork
    >>> X = np.random.default_rng(0).standard_normal((512, 3))
    >>> X /= np.linalg.norm(X, axis=1, keepdims=True)
    >>> trainer = HalfSpaceSGD(PairedNetwork(3, width=512, rng=0), learning_rate=4.0, rng=0)
    >>> trainer = trainer.run(X, 4 * X[:, 0] * X[:, 1], n_epochs=10)
    >>> trainer.n_steps, trainer.history[-1].loss < 0.1 * trainer.history[0].loss
    (160, True)
    """

    _diagnosed = False  # of trainers that older versions pickled

    def __init__(
        self,
        network: PairedNetwork,
        *,
        learning_rate: float | Literal["auto"] = 1.0,
        batch_size: int = 32,
        loss: Literal["squared", "logistic", "hinge", "huber", "absolute"] | Loss = "squared",
        dynamics: Literal["network", "kernel"] = "network",
        iterate: Literal["last", "averaged", "random"] | None = None,
        average_from: int | None = None,
        report: Literal["auto", "tree", "scan"] | None = "auto",
        count_flips: bool = False,
        rng: int | np.random.Generator | None = None,
        n_threads: int | None = None,
        callback: Callable[[SGDRecord], object] | None = None,
        diagnostics: bool = False,
    ) -> None:
        if not isinstance(network, PairedNetwork):
            raise TypeError(f"network must be a PairedNetwork; got {type(network).__name__}.")
        if not 1 / _LARGEST_SCALE <= network.scale <= _LARGEST_SCALE:
            raise ValueError(
                f"network must have a scale between {1 / _LARGEST_SCALE:.0e} and "
                f"{_LARGEST_SCALE:.0e}; got {network.scale:.3g}."
            )
        one_of(dynamics, "dynamics", _DYNAMICS)
        one_of(report, "report", _REPORTS)
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable; got {type(callback).__name__}.")
        self._batch_size = integer(batch_size, "batch_size")
        self.loss = as_loss(loss)
        self._iterate, self._average_from = _iterate(iterate, average_from)
        self.learning_rate = _arguments.positive_or_auto(learning_rate, "learning_rate")
        self._count_flips, self._diagnosed = bool(count_flips), bool(diagnostics)
        self._rng, self._callback = generator(rng), callback
        self._choice = _spawned(self._rng) if self._iterate == "random" else None
        _require_memory(network, self._iterate)
        _warn_of_few(network)
        self.network, self.n_steps = network, 0
        self.history: list[SGDRecord] = []
        self._rows = _DYNAMICS[dynamics](network, self._iterate, report, resolve_threads(n_threads))
        self._largest, self._other, self.diverged = 0.0, None, False

    def step(self, X: ArrayLike, y: ArrayLike) -> SGDRecord:
        """Take one step on a mini-batch.

        Parameters
        ----------
        X : array_like, shape (b, n_features)
        y : array_like, shape (b,) or (b, n_outputs)

        Returns
        -------
        SGDRecord

        Raises
        ------
        FloatingPointError
            If the outputs have grown beyond what a float holds; W is as before.
        """
        X, y = self._batch(X, y)
        return self._step(X, y)

    def _step(self, X, y):
        """Trusted twin of `step`: [QSY23], Algorithm 1, lines 14-32."""
        rows, watch = self._rows, Stopwatch()
        with watch.phase("query"):
            fired = rows.query(X)
            tested = rows.tested_fraction
        with watch.phase("forward"):
            f = rows.outputs(X, fired)
            loss = self._mean_loss(f, y)
            if self.learning_rate is None:
                self.learning_rate = _stable_rate(self.network, self.loss, X, fired)
            coefficients = self._coefficients(X, self.loss._derivative(f, y))
        with watch.phase("update"):
            self.n_steps += 1
            self._other = None
            if self._choice is not None and self._choice.integers(self.n_steps) == 0:
                rows.earlier.choose()
            moved = rows.move(X, fired, coefficients, self._lateness())
        with watch.phase("report"):
            rows.tell(moved)
        with watch.phase("diagnose") if self._diagnosed else contextlib.nullcontext():
            diagnosed = self._diagnostics(X) if self._diagnosed else None
        width = self.network.width
        return self._note(
            step=self.n_steps,
            loss=loss,
            fired_fraction=len(fired[1]) / (len(X) * width),
            moved_fraction=sum(len(indices) for indices, _ in moved) / width,
            flips=flips(fired, rows.query(X), width) if self._count_flips else None,
            tested_fraction=tested,
            seconds=watch.stop(),
            diagnostics=diagnosed,
        )

    def _diagnostics(self, X):
        """Compare W and G at the points of a batch with those of the network as drawn."""
        rows, network = self._rows, self.network
        first = EvaluatedRows().query(network.weights, X, network.shift)
        now = rows.query(X)
        X = X.astype(np.float64)
        K = network.factor**2 * (X @ X.T)
        grams = [K * coactivation(fired, network.width) for fired in (now, first)]
        change, size = rows.change()
        move = change_of_matrix(change, network.dtype, size)
        return diagnostics(grams[:1], grams[1:], [move], flips(now, first, network.width))

    def _note(self, **facts):
        """Keep the record of a step, and show it."""
        record = SGDRecord(**facts)
        self.history.append(record)
        if self._callback is not None:
            self._callback(record)
        return record

    def run(
        self,
        X: ArrayLike | Iterable[Any],
        y: ArrayLike | None = None,
        *,
        n_epochs: int = 1,
        max_steps: int | None = None,
    ) -> Self:
        """Take steps over an array, shuffled, or over a stream of mini-batches.

        Parameters
        ----------
        X : array_like, shape (n, n_features), or iterable
            With y, an array; without, anything that yields pairs (X, y), endless or not.
        y : array_like, shape (n,) or (n, n_outputs), optional
        n_epochs : int
            Passes over an array.
        max_steps : int or None
            Most steps.

        Returns
        -------
        HalfSpaceSGD

        Warns
        -----
        TrainingWarning
            If the loss grows without bound; the run ends there.

        Notes
        -----
        An interrupted run (Ctrl-C) keeps the iterate it has: the exception passes, and training
        may go on.
        """
        n_epochs = integer(n_epochs, "n_epochs")
        if max_steps is not None:
            max_steps = integer(max_steps, "max_steps", minimum=0)
        if y is None:
            batches = (self._batch(*pair) for pair in pairs(X))
        else:
            batches = shuffled(*self._batch(X, y), self._batch_size, n_epochs, self._rng)
        return self._follow(itertools.islice(batches, max_steps))

    def partial_fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Take one pass over an array in the order given, `batch_size` rows a step.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        y : array_like, shape (n,) or (n, n_outputs)

        Returns
        -------
        HalfSpaceSGD
        """
        return self._follow(in_order(*self._batch(X, y), self._batch_size))

    def outputs(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return f at the rows of X, of the iterate that is returned.

        Parameters
        ----------
        X : array_like, shape (n, n_features)

        Returns
        -------
        ndarray of float64, shape (n, n_outputs)
        """
        network = self.network
        X = as_matrix(X, "X", n_columns=network.n_features, dtype=network.dtype)
        rows = self._returned()
        out = np.empty((len(X), network.n_outputs))
        step = max(1, int(_PAIRS_PER_BLOCK / (network.width * network.firing_probability)))
        for i in range(0, len(X), step):
            block = X[i : i + step]
            out[i : i + step] = rows.outputs(block, rows.query(block))
        return out

    @property
    def weights(self) -> FloatArray:
        """W of the iterate that is returned, shape (width, n_features)."""
        return self._returned().weights()

    @property
    def engine(self) -> Literal["tree", "scan", "dense"]:
        """How the neurons that fire are found at present: "tree", "scan" or "dense"."""
        return self._rows.engine

    def __getstate__(self):
        """Leave out the rows of another iterate, which are computed anew."""
        return {**vars(self), "_other": None}

    def _follow(self, batches):
        for X, y in batches:
            record = self._step(X, y)
            self.diverged = record.loss > _DIVERGED * self._largest > 0
            if self.diverged:
                warnings.warn(
                    f"The loss has grown to {record.loss:.1e} after {self.n_steps} steps, and the "
                    "run ends. Lower learning_rate.",
                    TrainingWarning,
                    stacklevel=3,
                )
                break
        return self

    def _batch(self, X, y):
        """Return X and y (b, C) in trusted form."""
        network = self.network
        X = as_matrix(X, "X", n_columns=network.n_features, dtype=network.dtype)
        y = as_targets(self.loss._numbers(y), len(X), network.n_outputs)
        return X, self.loss._admitted(y)

    def _mean_loss(self, f, y):
        """Mean over the batch of the losses of the outputs; that of f = 0 is remembered."""
        with np.errstate(over="ignore", invalid="ignore"):
            loss = float(self.loss._value(f, y).sum() / len(y))
        if not (np.isfinite(loss) and np.isfinite(f).all()):
            raise FloatingPointError(
                f"The outputs overflow after {self.n_steps} steps. Lower learning_rate."
            )
        with np.errstate(over="ignore"):
            at_zero = float(self.loss._value(np.zeros_like(f), y).sum() / len(y))
        self._largest = max(self._largest, at_zero)
        return loss

    def _coefficients(self, X, slopes):
        """What each point of the batch adds of itself to the rows that fire at it."""
        with np.errstate(over="ignore", invalid="ignore"):
            coefficients = -self._factor / len(X) * slopes
            reach = float(np.abs(coefficients).sum(axis=1) @ np.abs(X).max(axis=1).astype(float))
        if not reach <= float(np.finfo(X.dtype).max) / 4:
            raise FloatingPointError(
                f"The step after {self.n_steps} steps overflows {X.dtype}. Lower learning_rate."
            )
        return coefficients

    @property
    def _factor(self):
        """The step eta / (B^2 Q) times the B / sqrt(2 m) of the gradient."""
        network = self.network
        return self.learning_rate * network.factor / network.scale**2 / network.firing_probability

    def _lateness(self):
        """How many of the averaged iterates a step comes too late for."""
        return max(0, self.n_steps - 1 - (self._average_from or 0))

    def _returned(self):
        """The rows of the iterate that is returned."""
        n_averaged = self.n_steps - (self._average_from or 0)
        if self._iterate == "last" or n_averaged <= 0:
            return self._rows
        if self._other is None:
            averaged = self._iterate == "averaged"
            self._other = self._rows.mean(n_averaged) if averaged else self._rows.chosen()
        return self._other


def _iterate(iterate, average_from):
    """Return which iterate is wanted, and the step after which an average begins."""
    if iterate is None:
        iterate = "last" if average_from is None else "averaged"
    one_of(iterate, "iterate", (*_ITERATES, None))
    if average_from is None:
        return iterate, None
    if iterate != "averaged":
        raise ValueError(
            f"average_from must be None for the {iterate} iterate; got {average_from}."
        )
    return iterate, integer(average_from, "average_from", minimum=0)


def _spawned(rng):
    """Return a generator of its own numbers; that of the order of rows goes on as without."""
    try:
        return rng.spawn(1)[0]
    except TypeError:
        raise TypeError(
            "rng must be able to spawn another for a random iterate; got one without a "
            "SeedSequence. Give a seed."
        ) from None


def _require_memory(network, iterate):
    """Refuse a network whose copies (rows, report and another iterate) do not fit."""
    copies = 4 + 3 * (iterate != "last")
    moments = 4 * network.width * (iterate == "random")
    require_memory(
        copies * network.weights.nbytes + moments,
        f"Training {network.width} neurons of {network.n_features} features",
        "Use fewer neurons, or float32.",
    )


def _warn_of_few(network):
    expected = network.width * network.firing_probability
    if expected < _FEW_FIRING:
        warnings.warn(
            f"width must let more neurons fire: {expected:.1f} are expected per data point (width "
            f"{network.width}, shift {network.shift:.3g}); below {_FEW_FIRING} some may not be "
            "fitted. Raise width or lower shift.",
            TrainingWarning,
            stacklevel=3,
        )


def _stable_rate(network, loss, X, fired):
    """The rate b / lambda_max of the Gram matrix of a batch, over the curvature of the loss.

    It is 1 where nothing fires.
    """
    X = X.astype(np.float64)
    counts = coactivation(fired, network.width)
    with np.errstate(over="ignore", invalid="ignore"):
        gram = (X @ X.T) * counts / (network.width * network.firing_probability)
    if not np.isfinite(gram).all():
        raise ValueError(
            "X must have rows whose inner products float64 holds; got an overflow. Scale the rows."
        )
    largest = np.linalg.eigvalsh(gram)[-1]
    if largest <= 0:
        return 1.0
    return float(len(X) / largest) / (loss.curvature if np.isfinite(loss.curvature) else 1.0)
