"""Sketches: random linear maps that nearly keep norms, drawn once and applied many times.

Of vectors, S (s, m)
    CountSketch      one signed entry a column; costs one addition for each nonzero
    SRHT             signs, a Walsh-Hadamard transform, and a sample of its entries
    GaussianSketch   normal entries; needs the fewest rows for a guarantee, and costs the most
Of pairs of vectors u (x) v, S (s, m_u m_v), which are never formed
    TensorSketch     the convolution of two count sketches
    TensorSRHT       a sample of the products of two Walsh-Hadamard transforms
The library of the Fourier transforms, pyfftw or scipy
    fft_backend, use_fft_backend
"""

from subquad.sketch._count_sketch import CountSketch
from subquad.sketch._fft import fft_backend, use_fft_backend
from subquad.sketch._gaussian import GaussianSketch
from subquad.sketch._srht import SRHT
from subquad.sketch._tensor_sketch import TensorSketch
from subquad.sketch._tensor_srht import TensorSRHT

# Sketches of pairs, by name.
OF_PAIRS = {"TensorSketch": TensorSketch, "TensorSRHT": TensorSRHT}

__all__ = [
    "SRHT",
    "CountSketch",
    "GaussianSketch",
    "TensorSRHT",
    "TensorSketch",
    "fft_backend",
    "use_fft_backend",
]
