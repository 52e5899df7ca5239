"""Calls of a communicator that wait without a busy processor, and for no rank that has gone.

A collective call is started, and then looked at until it is complete: Ctrl-C is heard meanwhile,
and whether a rank that the call needs has ended. `watch_departures` is told how to find out.
"""

import itertools
import time

# A collective call of ranks that are at the same place takes less; longer waits are spent asleep,
_SPIN = 3e-4
# for so long at a time, which what is received in pieces still keeps up with.
_NAP = 1e-4
# Look so often, in seconds, whether a rank has gone.
_LOOK = 0.2

# Who knows which ranks have gone, in a list of one; empty before `watch_departures`.
_watches = []
# Calls that an exception ended before they were complete, and their arrays.
_abandoned = []


def watch_departures(watch):
    """Have the waits of this process end where a rank has gone.

    Parameters
    ----------
    watch : object
        ``members(comm)`` returns what names the ranks of a communicator, to each of them alike;
        ``missing(members, number)`` the rank that has ended with fewer than `number` calls made
        with these members, or None. ``entered(members)`` counts a call and returns its number.
        ``prepare()`` waits until ranks can tell each other that they end.
    """
    _watches[:] = [watch]


class Calls:
    """The collective calls of a communicator of mpi4py, or of what has the same methods.

    Where it has no calls that return before they are complete, those that block are made.
    """

    def __init__(self, comm):
        self._comm = comm
        self._watch = _watches[0] if _watches and hasattr(comm, "Get_group") else None
        self._members = self._watch.members(comm) if self._watch else None
        if self._watch:
            self._watch.prepare()

    def __call__(self, name, *arguments, **options):
        """Make a call by its name, such as "Allreduce", and wait until it is complete."""
        number = self._watch.entered(self._members) if self._watch else 0
        start = getattr(self._comm, f"I{name.lower()}", None)
        if start is None:
            getattr(self._comm, name)(*arguments, **options)
        else:
            request = start(*arguments, **options)
            try:
                self._wait(request, number)
            except BaseException:  # MPI may still write to the arrays
                _abandoned.append((request, arguments))
                raise

    def _wait(self, request, number):
        started = looked = time.perf_counter()
        while not request.Test():
            now = time.perf_counter()
            if now - started < _SPIN:
                continue
            if self._watch and now - looked > _LOOK:
                self._require_all(number)
                looked = now
            time.sleep(_NAP)

    def _require_all(self, number):
        """Raise if a rank that has not made this call has ended."""
        rank = self._watch.missing(self._members, number)
        if rank is not None:
            raise RuntimeError(
                f"comm must have all its ranks until each has made the same calls; rank {rank} "
                f"has ended, and rank {self._comm.Get_rank()} waits for it."
            )


def edges_of(sizes):
    """The slices of consecutive parts of so many elements."""
    return slices_between(itertools.accumulate(sizes, initial=0))


def slices_between(edges):
    """The slices between each edge and the next."""
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
