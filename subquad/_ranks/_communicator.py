"""What is called of a communicator of mpi4py."""

from typing import Any, Protocol


class Communicator(Protocol):
    """What is called of a communicator of mpi4py."""

    def Get_rank(self) -> int:
        """Return the number of this rank."""

    def Get_size(self) -> int:
        """Return the number of ranks."""

    def Allgatherv(self, sendbuf: Any, recvbuf: Any) -> None:
        """Send an array to all ranks, and receive theirs."""

    def Allreduce(self, sendbuf: Any, recvbuf: Any) -> None:
        """Add the arrays of all ranks up."""

    def Alltoallv(self, sendbuf: Any, recvbuf: Any) -> None:
        """Send a part of an array to each rank, and receive theirs."""

    def Gatherv(self, sendbuf: Any, recvbuf: Any, root: int = 0) -> None:
        """Send an array to one rank, which receives those of all."""
