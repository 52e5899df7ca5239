"""What the ranks of a communicator do together: agree, gather and sum, the same bits on each.

Nothing here imports MPI: a communicator is whatever has the methods of mpi4py's. All ranks must
make the same calls in the same order.
"""

from __future__ import annotations

import itertools
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np

from subquad._ranks._checksums import another_solution, digest_of
from subquad._ranks._communicator import Communicator
from subquad._ranks._waiting import Calls, edges_of, slices_between, watch_departures

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from subquad._typing import FloatArray

__all__ = [
    "NEURONS_PER_CHUNK",
    "PARTS",
    "Communicator",
    "Ranks",
    "StoppedTogether",
    "another_solution",
    "digest_of",
    "watch_departures",
]

# Sums over neurons are those of chunks of so many, added in order. One thread of one rank adds up a
# chunk, whoever it is.
NEURONS_PER_CHUNK = 256
# Other sums are those of so many parts, added in order: a number that 2, 3, 4, 6 and 12 ranks
# divide. More ranks than parts have nothing to do in them.
PARTS = 12


class StoppedTogether(KeyboardInterrupt):
    """Ctrl-C, raised on every rank at the same place, so that what they have can be gathered."""


# What ranks draw by a generator.
_DRAWN = "network", "landmarks", "rows_left_out"
_METHODS = ("Get_rank", "Get_size", "Allgatherv", "Allreduce", "Alltoallv", "Gatherv")


class Ranks:
    """A communicator of mpi4py.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm

    Attributes
    ----------
    rank, size : int

    Raises
    ------
    TypeError
        If `comm` is something else.
    """

    def __init__(self, comm: Communicator) -> None:
        if isinstance(comm, type) or not all(callable(getattr(comm, m, None)) for m in _METHODS):
            kind = comm.__name__ if isinstance(comm, type) else type(comm).__name__
            raise TypeError(
                f"comm must be a communicator of mpi4py; got {kind}. `subquad.distributed.world()` "
                "is one; it needs the extra mpi, pip install 'subquad[mpi]'."
            )
        self._comm = comm
        self.rank, self.size = int(comm.Get_rank()), int(comm.Get_size())
        self._call = Calls(comm)

    def require_same(self, **values: object) -> None:
        """Raise a ValueError on every rank unless each value is the same on all of them.

        Values are arrays, compared by a checksum of 16 bytes, have a `repr` that tells, or are
        tuples or lists of such.
        """
        own = {name: digest_of(value) for name, value in values.items()}
        first, *others = self.allgather(own)
        for rank, theirs in enumerate(others, start=1):
            for name, digest in theirs.items():
                if digest != first[name]:
                    remedy = " Give rng the same seed on each." if name in _DRAWN else ""
                    raise ValueError(
                        f"{name} must be the same on every rank; got another on rank {rank} than "
                        f"on rank 0.{remedy}"
                    )

    def require_same_solution(self, solution: NDArray[Any]) -> None:
        """Raise a ValueError on every rank unless all have solved an equation alike."""
        first, *others = self.allgather(digest_of(solution))
        for rank, theirs in enumerate(others, start=1):
            if theirs != first:
                raise ValueError(another_solution(rank))

    def agreed(self, function: Callable[[], Any]) -> Any:
        """Return what a function returns; where it raises on any rank, raise that on all."""
        result = error = None
        try:
            result = function()
        except (ValueError, TypeError, MemoryError) as raised:
            error = raised
        for theirs in self.allgather(error):
            if theirs is not None:
                raise theirs from error
        return result

    def share(self, size: int) -> slice:
        """Return this rank's of so many things, nearly as many for each."""
        return self.shares(size)[self.rank]

    def shares(self, size: int) -> list[slice]:
        """Return the share of each rank."""
        return slices_between([size * rank // self.size for rank in range(self.size + 1)])

    def gathered(self, columns: FloatArray, edges: NDArray[np.intp]) -> FloatArray:
        """Return the matrix of which each rank has columns edges[rank] to edges[rank + 1] - 1."""
        n = len(columns)
        out = np.empty((n, edges[-1]), columns.dtype)
        received = np.empty(out.size, columns.dtype)
        sent = np.ascontiguousarray(columns)
        self._call("Allgatherv", sent, [received, n * np.diff(edges)])
        for start, stop in itertools.pairwise(edges):
            out[:, start:stop] = received[n * start : n * stop].reshape(n, stop - start)
        return out

    def gathered_at_first(self, columns: FloatArray) -> FloatArray | None:
        """Return the columns of all ranks side by side on rank 0, and None on others."""
        n, sent = len(columns), np.ascontiguousarray(columns)
        if self.size == 1:
            return sent
        sizes = [n * count for count in self.allgather(columns.shape[1])]
        received = np.empty(sum(sizes) if self.rank == 0 else 0, columns.dtype)
        self._call("Gatherv", sent, [received, sizes] if self.rank == 0 else None, root=0)
        if self.rank > 0:
            return None
        return np.concatenate([received[own].reshape(n, -1) for own in edges_of(sizes)], axis=1)

    def allgather(self, thing: object) -> list[Any]:
        """Return what each rank has, pickled on the way."""
        sent = np.frombuffer(pickle.dumps(thing), np.uint8)
        return [pickle.loads(part.tobytes()) for part in self.joined(sent)]

    def joined(self, vector: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the vectors of all ranks, which may have different lengths."""
        sizes = np.empty(self.size, np.int64)
        ones = np.ones(self.size, np.int64)
        self._call("Allgatherv", np.array([vector.size]), [sizes, ones])
        received = np.empty(sizes.sum(), vector.dtype)
        self._call("Allgatherv", np.ascontiguousarray(vector), [received, sizes])
        return [received[own] for own in edges_of(sizes.tolist())]

    def filled(self, rows: NDArray[Any], edges: list[int]) -> None:
        """Fill a contiguous array of which a rank has rows edges[rank] to edges[rank + 1] - 1."""
        own = np.array(rows[edges[self.rank] : edges[self.rank + 1]])
        sizes = np.diff(edges) * (rows.size // max(1, len(rows)))
        self._call("Allgatherv", own, [rows.reshape(-1), sizes])

    def summed(self, integers: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return the sum of arrays of integers, which has no order."""
        total = np.empty_like(integers)
        self._call("Allreduce", np.ascontiguousarray(integers), total)
        return total

    def added(self, values: FloatArray) -> FloatArray:
        """Return the sum of arrays of floats, added in the order of ranks."""
        return np.sum(self.allgather(values), axis=0)

    def all(self, truth: bool) -> bool:
        """Whether something holds on every rank."""
        return all(self.allgather(bool(truth)))

    def summed_chunks(
        self,
        partial: NDArray[np.float64],
        n_rows: int,
        first: NDArray[np.intp],
        extra: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Sum rows in groups that begin at rows `first`, in an order that no rank changes.

        Parameters
        ----------
        partial : ndarray, shape (own rows, columns)
            The rows of each rank are its `share` of them all.
        n_rows : int
            How many rows all ranks have.
        first : ndarray
            As in `numpy.add.reduceat`, counted over the rows of all ranks.
        extra : ndarray, shape (any,)
            Numbers of this rank that all shall have.

        Returns
        -------
        sums : ndarray, shape (len(first), columns)
        extras : ndarray, shape (size, any)

        Notes
        -----
        Each rank is sent its share of the columns and adds them up; the sums then go to all.
        """
        sums = np.add.reduceat(self._own_columns(partial, n_rows), first)
        sent = np.concatenate([sums.ravel(), extra])
        n_columns = self._lengths(partial.shape[1])
        sizes = np.array([len(first) * count + len(extra) for count in n_columns])
        received = np.empty(sizes.sum())
        self._call("Allgatherv", sent, [received, sizes])
        parts = np.split(received, np.cumsum(sizes)[:-1])
        columns = [
            part[: len(part) - len(extra)].reshape(len(first), count)
            for part, count in zip(parts, n_columns, strict=True)
        ]
        extras = [part[len(part) - len(extra) :] for part in parts]
        return np.concatenate(columns, axis=1), np.array(extras)

    def summed_parts(self, partial: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of PARTS vectors, of which each rank has its `share`, in their order."""
        return self.summed_chunks(partial, PARTS, np.array([0]), np.empty(0))[0][0]

    def _own_columns(self, partial, n_rows):
        """Return this rank's share of the columns, of the rows of all ranks."""
        n_columns = partial.shape[1]
        sent = np.concatenate([partial[:, share].ravel() for share in self.shares(n_columns)])
        lengths, rows = self._lengths(n_columns), np.array(self._lengths(n_rows))
        own = lengths[self.rank]
        received = np.empty(n_rows * own)
        counts = [len(partial) * length for length in lengths]
        self._call("Alltoallv", [sent, counts], [received, rows * own])
        return received.reshape(n_rows, own)

    def _lengths(self, size):
        """Return the length of each rank's share."""
        return [share.stop - share.start for share in self.shares(size)]
