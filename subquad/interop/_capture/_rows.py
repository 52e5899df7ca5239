"""Rows of factors, dense or CSR: which belong to which sample, put into this order, and kept."""

import math
from dataclasses import dataclass

import numpy as np
import scipy.sparse


@dataclass(frozen=True)
class Plan:
    """How a call lists its rows.

    Attributes
    ----------
    layout : int or str
        The lead axis of the samples, or "major" or "minor" where samples and positions share the
        first one: samples in the outer or in the inner loop.
    repeated : bool
        Whether the call serves all samples at once.
    """

    layout: object
    repeated: bool = False

    def fits(self, call, n):
        """Return whether the call of a batch of n samples has this layout."""
        if isinstance(self.layout, str):
            return bool(call.lead) and call.lead[0] % n == 0
        return len(call.lead) > self.layout and call.lead[self.layout] == n

    def order(self, call, n):
        """Return the numbers of the rows of every sample, shape (n, positions)."""
        rows = np.arange(math.prod(call.lead)).reshape(call.lead)
        if self.layout == "major":
            rows = rows.reshape(n, -1)
        elif self.layout == "minor":
            rows = rows.reshape(-1, n, *call.lead[1:]).swapaxes(0, 1).reshape(n, -1)
        else:
            rows = np.moveaxis(rows, self.layout, 0).reshape(n, -1)
        return (rows[:, :, None] * call.inner + np.arange(call.inner)).reshape(n, -1)

    def sorted(self, matrix, call, n):
        """Return the rows of a matrix by sample."""
        if self.layout in (0, "major"):
            return matrix
        return matrix[self.order(call, n).ravel()]


class Plans:
    """The `Plan` of every call of every layer, by layer and number of the call."""

    def __init__(self):
        self._plans = {}

    def add(self, layer, plan):
        """Append the plan of a call of a layer; None where no output depends on the call."""
        self._plans.setdefault(layer.name, []).append(plan)

    def of(self, layer, number):
        """Return the plan of a call; further calls are as the last one."""
        known = self._plans.get(layer.name)
        return known[min(number, len(known) - 1)] if known else None


def candidates(call, n):
    """Return the plans that the shape of a call allows."""
    layouts = [axis for axis, size in enumerate(call.lead) if size == n]
    if call.lead and call.lead[0] % n == 0 and call.lead[0] != n:
        layouts += ["major", "minor"]
    return [Plan(layout, call.repeated) for layout in layouts]


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


def entries(x):
    """Return the numbers that a matrix stores."""
    return x.data if scipy.sparse.issparse(x) else x


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
