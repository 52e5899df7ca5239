"""Random linear maps that nearly keep norms: sketches. Each is drawn once and applied many times.

CountSketch      one signed entry a column; costs one addition for each nonzero
SRHT             signs, a Walsh-Hadamard transform, and a sample of its entries
GaussianSketch   normal entries; the strongest guarantee, and the dearest product
"""

from subquad.sketch._count_sketch import CountSketch
from subquad.sketch._gaussian import GaussianSketch
from subquad.sketch._srht import SRHT

__all__ = ["SRHT", "CountSketch", "GaussianSketch"]
