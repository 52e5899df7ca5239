"""Rows of factors, dense or CSR, brought into the order of samples and kept."""

import numpy as np
import scipy.sparse


def weave(blocks, n):
    """Return the rows of several blocks, each of n samples with equally many rows, by sample."""
    if len(blocks) == 1:
        return blocks[0]
    if not any(scipy.sparse.issparse(block) for block in blocks):
        width = blocks[0].shape[1]
        return np.concatenate([x.reshape(n, -1, width) for x in blocks], axis=1).reshape(-1, width)
    stacked = scipy.sparse.vstack([scipy.sparse.csr_array(x) for x in blocks], format="csr")
    starts = np.cumsum([0, *(x.shape[0] for x in blocks)])
    numbers = [
        start + np.arange(x.shape[0]).reshape(n, -1)
        for start, x in zip(starts[:-1], blocks, strict=True)
    ]
    return scipy.sparse.csr_array(stacked[np.concatenate(numbers, axis=1).ravel()])


def with_constant(V):
    """Return V with a last column of ones: a bias is the weight of a constant input."""
    ones = np.ones((V.shape[0], 1), V.dtype)
    return np.concatenate([V, ones], axis=1)


class Rows:
    """A matrix of known width whose rows come in blocks; dense ones go where they stay.

    Parameters
    ----------
    n_rows : int
        How many are expected. Memory for more is taken where more come.
    """

    def __init__(self, n_rows):
        self._n_rows, self._dense, self._sparse, self._end = n_rows, None, [], 0

    def append(self, block):
        """Copy rows to the end."""
        if scipy.sparse.issparse(block):
            self._sparse.append(block)
            return
        stop = self._end + len(block)
        if self._dense is None or stop > len(self._dense):
            grown = np.empty((max(stop, self._n_rows), block.shape[1]), block.dtype)
            if self._dense is not None:
                grown[: self._end] = self._dense[: self._end]
            self._dense = grown
        self._dense[self._end : stop] = block
        self._end = stop

    def matrix(self):
        """Return all rows."""
        if self._sparse:
            return scipy.sparse.csr_array(scipy.sparse.vstack(self._sparse, format="csr"))
        return self._dense[: self._end]
