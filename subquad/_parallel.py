"""How many threads a call uses, and the blocks of rows that it works through."""

import contextlib
import functools
import os
import threading
from concurrent.futures import ThreadPoolExecutor, wait

from subquad._kernels import _teams
from subquad._machine import available_processors
from subquad._validation import integer

_SMALL_FACTORISATION = 1536
# Refuse more threads than these: an OpenMP runtime that cannot start one ends the process.
_MAX_THREADS = 1024

_threads_allowed = False  # whether a call of this process may have started threads
_is_forked = False  # whether this process is a copy of one that may have


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
        1 in a process that was forked (`os.fork`) from one that had been given several threads:
        GNU OpenMP would wait there for threads that stayed behind in the parent.

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
    global _threads_allowed
    if n_threads is not None:
        n_threads = integer(n_threads, "n_threads", minimum=None, maximum=_MAX_THREADS)
        if n_threads == 0:
            raise ValueError("n_threads must be positive, negative or None; got 0. Use -1 for all.")
    if _is_forked:
        return 1
    if n_threads is None:
        n_threads = _all_threads()
    elif n_threads < 0:
        n_threads = max(1, _all_threads() + 1 + n_threads)
    if n_threads > 1:
        _threads_allowed = True
    return n_threads


def worth_threads(n_threads, work, work_per_thread):
    """Return how many of `n_threads` to use: one for each full share of work, at least one.

    A parallel region ends when its last thread does, and on a busy machine a thread may wait
    milliseconds for a processor. `work_per_thread` is the least work, in the unit of `work`, whose
    saving outweighs that wait; each kernel's caller states it with the time it stands for.
    """
    return max(1, min(n_threads, int(work / work_per_thread)))


def resolve_worth(n_threads, work, work_per_thread):
    """Return `worth_threads` of the number of threads that `n_threads` stands for.

    The machine is not asked how many it has, which takes microseconds, where one is enough.
    """
    if n_threads is None and work < 2 * work_per_thread:
        return 1
    return worth_threads(resolve_threads(n_threads), work, work_per_thread)


def blocks(size, step):
    """Return the slices of range(size) that are at most `step` long, in order."""
    step = max(1, int(step))
    return (slice(start, min(start + step, size)) for start in range(0, size, step))


def _all_threads():
    """OMP_NUM_THREADS (its outermost level) if it is a positive number, else the processors."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdecimal() and int(asked) > 0:
        return min(int(asked), _MAX_THREADS)
    return available_processors()


def _note_fork():
    """Go on with one thread in a child process whose OpenMP threads stayed behind in the parent.

    OpenMP is told as well: an object may hold a number of threads that was resolved before.
    """
    global _is_forked
    if _threads_allowed:
        _is_forked = True
        _teams.use_one_thread()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_fork)


@contextlib.contextmanager
def blas_threads_for(n):
    """Give BLAS one thread for factorisations of n x n matrices, unless they are large.

    A second thread gains little below n = 1536, and loses tenfold where another pool (OpenMP's, or
    another process's) holds its processor: BLAS threads wait for each other by spinning. Needs
    threadpoolctl, which comes with scikit-learn; without it BLAS keeps its threads.

    BLAS has one number of threads for the whole process. Of contexts that overlap in several
    Python threads the first one limits it and the last one to end restores it, in whatever order
    they end: each has one thread throughout, and so the bits that it has alone.
    """
    token = object()
    try:
        if n <= _SMALL_FACTORISATION:
            _limit.hold(token)
        yield
    finally:
        _limit.release(token)


class _OneBlasThread:
    """One thread for BLAS while anyone holds this; what was there before, afterwards.

    Any thread may raise an exception at any point (Ctrl-C): `release` undoes whatever part of
    `hold` was done, and does nothing where none was.
    """

    def __init__(self):
        self._lock = threading.RLock()  # a signal handler may fit, too
        self._holders = {}  # for each token: the Python thread, and what is that thread's alone
        self._before = []  # numbers of threads of libraries that have one for the process

    def hold(self, token):
        """Limit BLAS to one thread until `release(token)`."""
        with self._lock:
            alone = [(library, library.num_threads) for library in _blas_libraries(True)]
            self._holders[token] = threading.get_ident(), alone
            if not self._before:
                self._before = [(library, library.num_threads) for library in _blas_libraries()]
                _set_threads((library, 1) for library, _ in self._before)
            _set_threads((library, 1) for library, _ in alone)

    def release(self, token):
        """Give BLAS its threads back if nobody else holds this."""
        with self._lock:
            if token in self._holders:
                _set_threads(self._holders[token][1])
                del self._holders[token]
            if not self._holders:
                _set_threads(self._before)
                self._before = []

    def forget_others(self):
        """Release what threads held that a forked child does not have, their lock included."""
        self._lock = threading.RLock()
        here = threading.get_ident()
        self._holders = {token: held for token, held in self._holders.items() if held[0] == here}
        if not self._holders:
            _set_threads(self._before)
            self._before = []


_limit = _OneBlasThread()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_limit.forget_others)


def _set_threads(numbers):
    """Set the numbers of threads of libraries, from pairs of these.

    Since 3.8 threadpoolctl heeds only the Python thread that was first to set one, while it lives:
    by its public method no other thread could restore what it had found.
    """
    for library, n_threads in numbers:
        if n_threads is None:  # the library does not tell
            continue
        getattr(library, "_real_set_num_threads", library.set_num_threads)(n_threads)


@functools.cache
def _blas_libraries(of_each_thread=False):
    """Controllers of the BLAS libraries with one number of threads, or with one for each thread.

    Those built on OpenMP keep one for each Python thread. None without threadpoolctl.
    """
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return ()
    libraries = ThreadpoolController().select(user_api="blas").lib_controllers
    layers = [getattr(library, "threading_layer", None) for library in libraries]
    pairs = zip(libraries, layers, strict=True)
    return tuple(library for library, layer in pairs if (layer == "openmp") == of_each_thread)


def map_in_threads(function, items, n_threads):
    """Return [function(item) for item in items], for functions that spend their time in C.

    Each call is made by one thread and the results are in order: they do not depend on n_threads.
    The calling thread takes items as others do, all of them if need be, and waits for no thread
    that has not begun.
    """
    items = list(items)
    if min(n_threads, len(items)) <= 1:
        return [function(item) for item in items]
    results = [None] * len(items)
    left = iter(range(len(items)))

    def work():
        for i in left:
            results[i] = function(items[i])

    helpers = [_helpers.submit(work) for _ in range(min(n_threads, len(items)) - 1)]
    try:
        work()
    finally:
        for _ in left:  # after an exception nobody begins another item
            pass
        begun = [helper for helper in helpers if not helper.cancel()]
        wait(begun)
    for helper in begun:
        helper.result()
    return results


# Threads for `map_in_threads`, started as they are first needed, and kept.
_helpers = ThreadPoolExecutor(_MAX_THREADS, "subquad")


def _forget_helpers():
    """Have a forked child start threads of its own: those of its parent stayed behind."""
    global _helpers
    _helpers = ThreadPoolExecutor(_MAX_THREADS, "subquad")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_helpers)
