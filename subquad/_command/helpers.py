"""What the ranks of the command tell each other: rank 0 announces fits, and all make them.

A fit is shared whole: every rank has the data and makes the same calls. Signals are rank 0's, which
asks all to stop after the same step.
"""

import contextlib
import importlib
import os
import signal
import sys
import time
import warnings

from subquad._command import stopping
from subquad._command.errors import BAD_INPUT, SUCCESS, one_line
from subquad._ranks import StoppedTogether

# Those that tell how many ranks share the processors of this machine.
_RANKS_HERE = "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE"
# A rank that waits looks so often, in seconds, whether there is something to do,
_NAP = 0.01
# gets ready for a fit where there was nothing so long, in seconds,
_READING = 1.0
# and looks so long, in seconds, whether others have failed as it has, before it ends the job.
_GRACE = 5.0
# Leave `mpiexec` so many seconds to pass a message on: what it has not read is lost in an abort.
_PAUSE = 1.0
# Tags of messages: what is to be done next, and how it went.
_WORK, _REPLY = 77, 78


class Helpers:
    """The other ranks, as the first one sees them.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm

    Attributes
    ----------
    size : int
        Ranks in all.
    """

    def __init__(self, comm):
        self._comm, self.size, self._apart = comm, comm.Get_size(), False

    def fit(self, args, estimator, X, y, checkpoint):
        """Fit by all ranks."""
        n_threads, callback = estimator.n_threads, estimator.get_params().get("callback")
        estimator.set_params(n_threads=_threads(self._comm, args.threads))
        if callback is not None:
            estimator.set_params(callback=None)  # it prints, and is no one else's
        self._tell("fit")
        done = False
        try:
            self._comm.bcast((estimator, X, y, _bare(checkpoint)))
            with contextlib.ExitStack() as stack:
                together = _Together(self._comm, callback, stack, args.signals)
                _fit(self._comm, estimator, X, y, together if callback is not None else None)
                done = True
        except BaseException as error:
            alone = isinstance(error, KeyboardInterrupt) and not isinstance(error, StoppedTogether)
            self._settle(apart=alone and not done)
            raise
        finally:
            estimator.set_params(n_threads=n_threads)
        return estimator

    def dismiss(self, status):
        """Let all ranks end; the whole job, where some cannot end by themselves."""
        if self._apart:
            sys.stdout.flush()
            sys.stderr.flush()
            self._comm.Abort(status or BAD_INPUT)
        self._tell("end")

    def say_idle(self, command):
        """Say on standard error that a subcommand is the first rank's alone."""
        said = f"{self.size} ranks, of which the first runs `subquad {command}` alone"
        print(f"subquad: {said}", file=sys.stderr)

    def _tell(self, word):
        for rank in range(1, self.size):
            self._comm.send(word, rank, _WORK)

    def _settle(self, apart):
        """Find out whether all ranks have left the fit, as this one has by an exception."""
        self._apart = apart
        if apart:  # Ctrl-C, which others do not hear, before there was anything to keep
            return
        self._tell("failed")
        until = time.monotonic() + _GRACE
        for rank in range(1, self.size):
            while not self._comm.Iprobe(rank, _REPLY):
                if time.monotonic() > until:
                    self._apart = True
                    return
                time.sleep(_NAP)
            self._comm.recv(None, rank, _REPLY)


class _Together:
    """A callback of every rank: after each step the first tells all whether to go on.

    From the first step on a signal waits for the end of the step. Before, it ends the job.
    """

    def __init__(self, comm, callback=None, stack=None, signals=None):
        self._comm, self._callback = comm, callback
        self._stack, self._signals, self._asked = stack, signals, None

    def begin(self, trainer):
        """Take over the steps of a fit that goes on."""
        if self._signals is not None:
            self._asked = self._stack.enter_context(self._signals.held())
        if hasattr(self._callback, "begin"):
            self._callback.begin(trainer)

    def __call__(self, record):
        """Show one finished step."""
        if self._callback is not None:
            self._callback(record)
        if self._comm.bcast(self._asked() if self._asked else None):
            raise StoppedTogether


def help_the_first(comm):
    """Make the fits that the first rank announces, until it ends; return the exit status."""
    for number in stopping.SIGNALS:
        signal.signal(number, signal.SIG_IGN)  # the first rank asks all to stop
    warnings.simplefilter("ignore")  # the first rank shows its own
    while (word := _next(comm, _READING)) != "end":
        if word is None:  # the first rank reads its data: what a fit needs is made ready
            importlib.import_module("subquad.estimators").TRUSTED  # noqa: B018
            continue
        if word != "fit":  # it failed after this rank was done
            comm.send(None, 0, _REPLY)
            continue
        try:
            estimator, X, y, checkpoint = comm.bcast(None)
            callback = _Together(comm, checkpoint) if "callback" in estimator.get_params() else None
            _fit(comm, estimator, X, y, callback)
        except BaseException as error:
            _answer(comm, error)
    return SUCCESS


def _next(comm, seconds=float("inf")):
    """The next word of the first rank, which is waited for without a busy processor."""
    until = time.monotonic() + seconds
    while not comm.Iprobe(0, _WORK):
        if time.monotonic() > until:
            return None
        time.sleep(_NAP)
    return comm.recv(None, 0, _WORK)


def _answer(comm, error):
    """After an exception: go on if the first rank has one as well, else end the job with it."""
    if _next(comm, _GRACE) == "failed":
        comm.send(None, 0, _REPLY)
        return
    where = f"rank {comm.Get_rank()} of {comm.Get_size()}"
    print(f"subquad: {where} failed; {one_line(error).rstrip('.')}.", file=sys.stderr, flush=True)
    time.sleep(_PAUSE)
    comm.Abort(BAD_INPUT)


def _fit(comm, estimator, X, y, callback):
    """The part of every rank."""
    from subquad._command.models.kinds import blas_threads

    if callback is not None:
        estimator.set_params(callback=callback)
    estimator._comm = comm
    try:
        with blas_threads(estimator.n_threads):
            estimator.fit(X, y)
    finally:
        del estimator._comm


def _threads(comm, asked):
    """Threads of each rank: as asked for, or the processors of a machine by the ranks on it."""
    from subquad._parallel import resolve_threads

    if asked is not None:
        return asked
    here = max(map(number_of, _RANKS_HERE)) or comm.Get_size()
    return max(1, resolve_threads() // here)


def _bare(checkpoint):
    """The checkpoint as other ranks read it."""
    from subquad.io import Checkpoint

    if checkpoint is None:
        return None
    return Checkpoint(checkpoint.path, resume=checkpoint.resume, about=checkpoint.about)


def number_of(name):
    """An environment variable as a number, or 0."""
    value = os.environ.get(name, "")
    return int(value) if value.isdecimal() else 0
