"""Which points of a large, changing set have <x, a> >= b: threshold inner-product search."""

from subquad.halfspace._report import HalfSpaceReport
from subquad.halfspace._shared import SharedHalfSpaceReport

__all__ = ["HalfSpaceReport", "SharedHalfSpaceReport"]
