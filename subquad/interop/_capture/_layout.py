"""Which rows of a call belong to which sample."""

import math
from dataclasses import dataclass

import numpy as np


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
