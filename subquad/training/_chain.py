"""Fine-tuning tasks on one frozen network: each its own factors, alone or in sums."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_matrix, require_memory
from subquad.networks import WideNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray
    from subquad.networks import LastLayer


class TaskChain:
    """The changes A_k^T V_k of the last hidden layer that tasks made, one or several at a time.

    The network itself never changes: a task is switched on by giving its factors to
    ``network.outputs``. A task may stand on others, as one that was trained where these had ended;
    its factors are then those of all of them.

    Parameters
    ----------
    network : WideNetwork
        The frozen network.

    Raises
    ------
    TypeError
        If the network is of another class.

    Notes
    -----
    A task of rank r takes 2 r m numbers. `subquad.io.save_model` and `load_model` save a chain with
    its network. For a layer of a torch model, whose tasks are `LayerChange` objects, the same sums
    are made by stacking their factors.

    [SZZ24], Section 4, where a chain of tasks is proposed.

    Examples
    --------
    >>> import numpy as np
    >>> from subquad.training import LastLayerGaussNewton
    >>> X = np.random.default_rng(0).standard_normal((20, 4))
    >>> chain = TaskChain(WideNetwork(4, width=512, rng=0))
    >>> chain.add("sum", LastLayerGaussNewton(chain.layer(X), X.sum(axis=1)).run())
    >>> later = LastLayerGaussNewton(chain.layer(X, "sum"), X[:, 0] * X[:, 1]).run()
    >>> chain.add("product", later, on="sum")
    >>> np.allclose(chain.network.outputs(X, chain["product"])[:, 0], X[:, 0] * X[:, 1])
    True
    >>> np.allclose(chain.network.outputs(X, chain["sum"])[:, 0], X.sum(axis=1))
    True
    """

    def __init__(self, network: WideNetwork) -> None:
        if not isinstance(network, WideNetwork):
            raise TypeError(f"network must be a WideNetwork; got {type(network).__name__}.")
        self.network = network
        self._tasks: dict[str, tuple[Any, tuple[str, ...]]] = {}

    def __repr__(self) -> str:
        return f"TaskChain({self.network!r}, tasks={list(self._tasks)})"

    def __len__(self) -> int:
        return len(self._tasks)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __contains__(self, name: object) -> bool:
        return name in self._tasks

    def __getitem__(self, name: str) -> tuple[FloatArray, FloatArray]:
        """(A, V) of the network after a task, with those that it stands on."""
        return self.factors(name)

    def add(self, name: str, task: Any, *, on: str | tuple[str, ...] = ()) -> None:
        """Keep what a task changed.

        Parameters
        ----------
        name : str
            A name that no task has.
        task : LastLayerGaussNewton, or pair of array_like
            A trainer, or whatever has `factors`; or the factors, A (r, width) and V (r, m_in). They
            are copied.
        on : str or tuple of str
            The tasks that the change stands on: those that were given to `layer`.

        Raises
        ------
        TypeError, ValueError
            If the factors are not finite real matrices of these shapes, or a name is not as
            described. The chain is then as before.
        """
        if not isinstance(name, str):
            raise TypeError(f"name must be a string; got {type(name).__name__}.")
        if name in self._tasks:
            raise ValueError(f"name must be that of no task; got {name!r}. Remove the task first.")
        on = (on,) if isinstance(on, str) else on
        if not isinstance(on, (tuple, list)):
            raise TypeError(f"on must be a name or a tuple of names; got {type(on).__name__}.")
        self._with_others(on, "on")
        pair = tuple(np.array(factor) for factor in self._checked(getattr(task, "factors", task)))
        for factor in pair:
            factor.flags.writeable = False
        self._tasks[name] = pair, tuple(on)

    def remove(self, name: str) -> None:
        """Give up a task.

        Parameters
        ----------
        name : str

        Raises
        ------
        TypeError, ValueError
            If there is no such task, or another one stands on it.
        """
        self._with_others([name], "name")
        standing = [other for other, (_, on) in self._tasks.items() if name in on]
        if standing:
            raise ValueError(
                f"name must be of a task that no other stands on; got {name!r}, on which "
                f"{standing[0]!r} does."
            )
        del self._tasks[name]

    def own_factors(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Return (A, V) of one task alone, without those that it stands on.

        Parameters
        ----------
        name : str

        Returns
        -------
        pair of ndarray, shapes (r, width) and (r, m_in)
            Not to be written to.

        Raises
        ------
        TypeError, ValueError
            If there is no such task.
        """
        self._with_others([name], "name")
        return self._tasks[name][0]

    def factors(self, *names: str) -> tuple[FloatArray, FloatArray]:
        """Return (A, V) of the sum of tasks and of those that they stand on, each of them once.

        Parameters
        ----------
        *names : str
            None for the network as it came.

        Returns
        -------
        pair of ndarray, shapes (r, width) and (r, m_in)
            What ``network.outputs(X, factors)`` takes; one row of 0 where there is no task.

        Raises
        ------
        TypeError, ValueError
            If there is no such task.
        """
        return self._stacked(self._with_others(names, "names"))

    def layer(self, X: ArrayLike, *names: str, n_threads: int | None = None) -> LastLayer:
        """Return the `LastLayer` at rows of data where tasks have ended, to train another there.

        Parameters
        ----------
        X : array_like, shape (n, n_features)
        *names : str
            Tasks, whose sum is where the layer starts; with those that they stand on.
        n_threads : int or None

        Returns
        -------
        LastLayer

        Raises
        ------
        TypeError, ValueError
            If X is not as the network asks, there is no such task, or pre-activations overflow.
        """
        found = self._with_others(names, "names")
        layer = self.network.last_layer(X, n_threads)
        if not found:
            return layer
        require_memory(layer.preactivations.nbytes, "A layer", "Give fewer rows.")
        return layer._moved_by(*self._stacked(found))

    def _checked(self, factors):
        """A and V of a change, in trusted form."""
        if not isinstance(factors, (tuple, list)) or len(factors) != 2:
            raise TypeError(
                "task must have factors, or be a pair (A, V) of them; got "
                f"{type(factors).__name__}."
            )
        sizes = self.network.width, self.network.weights[-1].shape[1]
        dtype = self.network.dtype
        A = as_matrix(factors[0], "factors[0]", n_columns=sizes[0], dtype=dtype)
        V = as_matrix(factors[1], "factors[1]", n_columns=sizes[1], n_rows=len(A), dtype=dtype)
        return A, V

    def _stacked(self, names):
        """Factors of some tasks as one pair."""
        pairs = [self._tasks[name][0] for name in names]
        if not pairs:
            sizes = self.network.width, self.network.weights[-1].shape[1]
            return tuple(np.zeros((1, size), self.network.dtype) for size in sizes)
        return tuple(np.concatenate(side) for side in zip(*pairs, strict=True))

    def _with_others(self, names, argument):
        """Return names with those that they stand on, each once, in the order of the chain."""
        found, open_names = set(), list(names)
        while open_names:
            name = open_names.pop()
            if not isinstance(name, str):
                raise TypeError(f"{argument} must be strings; got {type(name).__name__}.")
            if name not in self._tasks:
                raise ValueError(f"{argument} must be of tasks {list(self._tasks)}; got {name!r}.")
            if name not in found:
                found.add(name)
                open_names.extend(self._tasks[name][1])
        return [name for name in self._tasks if name in found]
