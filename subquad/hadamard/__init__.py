"""Fast Walsh-Hadamard transforms of arrays.

What happens when `fwht` is called: `_arguments` checks; integers and half precision go through
floats that hold all sums (`_exact`); for a sequency or dyadic order the input is permuted
(`_orders`), then multiplied by the signs; `_levels` calls the kernels.
"""

from subquad.hadamard._levels import next_length
from subquad.hadamard._levels import order_of as order_of
from subquad.hadamard._transforms import fwht, ifwht

__all__ = ["fwht", "ifwht", "next_length"]
