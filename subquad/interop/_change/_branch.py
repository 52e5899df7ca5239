"""A low-rank branch beside a linear layer. Imported where torch is."""

import torch
from torch.nn import functional


class LowRankBranch(torch.nn.Module):
    """x -> base(x) + (x V^T) A + b, the layer of a model with a change that is not merged.

    Attributes
    ----------
    base : torch.nn.Linear
        The layer as it was.
    A, V : torch.nn.Parameter, shapes (r, m_out) and (r, m_in)
    b : torch.nn.Parameter, shape (m_out,), or None
        All three frozen.
    """

    def __init__(self, base, A, V, b):
        super().__init__()
        self.base = base
        self.A, self.V, self.b = (
            None if x is None else torch.nn.Parameter(x, requires_grad=False) for x in (A, V, b)
        )
        self.train(base.training)

    def forward(self, x):
        """Return what the changed layer makes of x."""
        change = functional.linear(functional.linear(x, self.V), self.A.T, self.b)
        return self.base(x) + change
