"""A communicator of one rank."""


class Alone:
    """The communicator of a single rank, without MPI."""

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 1

    def Allgatherv(self, sent, received):
        received[0][...] = sent.ravel()

    def Allreduce(self, sent, received):
        received[...] = sent

    def Gatherv(self, sent, received, root=0):
        received[0][...] = sent.ravel()

    def Alltoallv(self, sent, received):
        received[0][...] = sent[0]
