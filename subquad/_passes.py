"""Whoever asks is told how far a pass over generated weights is, between calls of its kernel."""

from __future__ import annotations

import contextlib
import contextvars
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_callback: contextvars.ContextVar[Callable[[int, int], object] | None]
_callback = contextvars.ContextVar("subquad_passes", default=None)


def watch_passes(
    callback: Callable[[int, int], object],
) -> contextlib.AbstractContextManager[None]:
    """Call `callback(done, total)` during every pass over generated weights.

    A pass is a product with `GaussianWeights`, or their being written down as an array. Between the
    calls of its kernel, which take a fraction of a second each, Python is in command: it tells how
    far the pass is, and a signal is heard.

    Parameters
    ----------
    callback : callable
        Called with (0, total) when a pass begins, and with (total, total) when it ends, if it does.
        The two are numbers of equal parts of the work. An exception that it raises ends the pass.

    Returns
    -------
    context manager
        The passes in its block are told of.

    Raises
    ------
    TypeError
        If `callback` cannot be called.

    Notes
    -----
    Passes of other Python threads are not told of. What is left of a pass takes
    (total - done) / done times as long as what is done has taken.

    Examples
    --------
    >>> import numpy as np
    >>> from subquad.weights import GaussianWeights
    >>> with watch_passes(lambda done, total: print(f"{done} of {total}")):
    ...     Z = GaussianWeights((128, 100), seed=0).apply(np.ones((3, 100)))
    0 of 6
    6 of 6
    """
    if not callable(callback):
        raise TypeError(f"callback must be callable; got {type(callback).__name__}.")
    return _watched(callback)


@contextlib.contextmanager
def _watched(callback: Callable[[int, int], object]) -> Iterator[None]:
    """Have a callback told of passes, and afterwards whoever was told before."""
    before = _callback.get()
    try:
        _callback.set(callback)
        yield
    finally:
        _callback.set(before)


class Pass:
    """One pass, of so many parts."""

    def __init__(self, total: int) -> None:
        self._done, self._total, self._tell = 0, total, _callback.get()
        self.advance(0)

    def advance(self, count: int) -> None:
        """Note that so many parts more are done."""
        self._done += count
        if self._tell is not None and self._total:
            self._tell(self._done, self._total)
