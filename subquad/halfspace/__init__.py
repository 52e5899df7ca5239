"""Which points of a large, changing set have <x, a> >= b: threshold inner-product search."""

from subquad.halfspace._report import HalfSpaceReport

__all__ = ["HalfSpaceReport"]
