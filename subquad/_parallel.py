"""How many threads a call uses."""

import os

from subquad._machine import available_processors
from subquad._validation import integer

_MAX_THREADS = 1024  # OpenMP runtimes end the process when they cannot start a thread


def resolve_threads(n_threads=None):
    """Return the number of threads that `n_threads` stands for.

    Parameters
    ----------
    n_threads : int or None
        None means all: the value of OMP_NUM_THREADS where it is set, else every processor this
        process may use. A positive number means itself; a negative one counts back from all, so
        -1 is all and -2 all but one, never less than one.

    Returns
    -------
    int, at least 1

    Raises
    ------
    TypeError
        If `n_threads` is neither None nor an integer.
    ValueError
        If `n_threads` is 0 or above 1024.

    Examples
    --------
    >>> resolve_threads(3)
    3
    >>> resolve_threads(-10_000)
    1
    """
    if n_threads is None:
        return _all_threads()
    n_threads = integer(n_threads, "n_threads", minimum=None, maximum=_MAX_THREADS)
    if n_threads == 0:
        raise ValueError("n_threads must be positive, negative or None; got 0. Use -1 for all.")
    return n_threads if n_threads > 0 else max(1, _all_threads() + 1 + n_threads)


def _all_threads():
    """OMP_NUM_THREADS (its outermost level) if it is a positive number, else the processors."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return min(int(asked), _MAX_THREADS)
    return available_processors()
