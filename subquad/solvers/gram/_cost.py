"""Forecasts of what a Gram equation costs by each method: operations times measured rates.

The rates are those of one core of an AMD EPYC with OpenBLAS. Only their ratios decide, and
these move little from machine to machine; `asv_benches/crossover_table.py` prints them beside
measurements. More BLAS threads speed up the dense products of all methods alike.
"""

import math
from dataclasses import dataclass

from subquad._machine import available_memory

GEMM = 2.8e-11  # seconds per operation of a product of large float64 matrices
CHOLESKY = 1e-10  # per operation
SKINNY = 1.5e-10  # per operation of a product with few columns
SPARSE = 1e-9  # per multiplication of a sparse product
SCATTER = 1.5e-9  # per entry that a count sketch moves
FOURIER = 3e-10  # per entry and level of a transform
POPCOUNT = 4e-11  # per pair of 64-bit words

_ITERATIONS_PER_DIGIT = 10  # with landmarks: what a smooth kernel and some damping take
ALWAYS_THERE = 2**26  # bytes
_SPARSE_GRAM_DENSITY = 0.03
_OVERHEAD = 3e-4  # of any solver, and once more of a sketch: what many small calls cost
_ITERATION_OVERHEAD = 5e-5


@dataclass(frozen=True)
class Forecast:
    """Seconds and bytes that a method is expected to need."""

    seconds: float
    bytes: float


def exact(system):
    """Form G, factor it."""
    n = system.n
    return Forecast(_OVERHEAD + gram_seconds(system) + CHOLESKY * n**3 / 3, 3 * 8 * n * n)


def sketch(system, sketch_size):
    """Sketch, take the Gram matrix of the sketch, factor it; one product for the residual."""
    n = system.n
    seconds = sketch_seconds(system, sketch_size) + CHOLESKY * n**3 / 3
    seconds += min(gram_seconds(system), product_seconds(system))
    return Forecast(seconds, 8 * (3 * n * n + 2 * n * sketch_size))


def pcg(system, sketch_size, rtol):
    """The same with more products, by G where that is cheaper in the end."""
    n, iterations = system.n, pcg_iterations(system.n, sketch_size, rtol)
    seconds = sketch_seconds(system, sketch_size) + CHOLESKY * n**3 / 3
    seconds += iterations * (2 * n * n * SKINNY + _ITERATION_OVERHEAD)
    seconds += products_seconds(system, iterations + 1)
    return Forecast(seconds, 8 * (3 * n * n + 2 * n * sketch_size))


def landmark_pcg(system, n_landmarks, rtol):
    """Columns of G at p points, their factorisation, products without G."""
    n, p, iterations = system.n, n_landmarks, math.ceil(_ITERATIONS_PER_DIGIT * -math.log10(rtol))
    seconds = GEMM * (2 * n * p * (system.nnz_u + system.nnz_v) / n + 2 * n * p * p)
    seconds += iterations * (4 * n * p * SKINNY + product_seconds(system))
    return Forecast(seconds, 8 * 3 * n * p)


def pcg_iterations(n, sketch_size, rtol):
    """Products until rtol: the error falls by sqrt(n / s) each, for a sketch without structure."""
    rate = math.log(min(max(sketch_size / n, 1.5), 1e4)) / 2
    return min(2 * n, math.ceil(math.log(2 / rtol) / rate))


def products_seconds(system, count):
    """`count` products G g, in the cheaper of the two ways."""
    return min(count * product_seconds(system), formed_seconds(system, count))


def forming_pays(system, count):
    """Whether `count` products are cheaper with G formed."""
    if not system.forms_gram:
        return False
    return formed_seconds(system, count) <= count * product_seconds(system)


def formed_seconds(system, count):
    """G formed, unless it is, then `count` products with it."""
    forming = 0.0 if system.formed else gram_seconds(system)
    return forming + count * 2 * SKINNY * system.n**2


def gram_seconds(system):
    """Time to form G: what the system says if it knows a way of its own."""
    own = getattr(system, "gram_seconds", None)
    if own is not None:
        return own()
    return _self_product_seconds(system.n, system.m_u, system.nnz_u) + _self_product_seconds(
        system.n, system.m_v, system.nnz_v
    )


def product_seconds(system):
    """J (J^T g) without G."""
    dense_u = system.nnz_u == system.n * system.m_u
    rate = SKINNY if dense_u else SPARSE
    return rate * 4 * system.nnz_u * min(system.m_v, max(1.0, system.nnz_v / system.n))


def sketch_seconds(system, s):
    """Scatter both factors, transform both, n x n Gram matrix of the sketch."""
    levels = max(1.0, math.log2(s))
    transforms = 2 * system.n * s * levels * FOURIER
    scatter = SCATTER * (system.nnz_u + system.nnz_v)
    return 2 * _OVERHEAD + scatter + transforms + GEMM * system.n**2 * s


def _self_product_seconds(n, m, nnz):
    """U U^T."""
    if nnz < _SPARSE_GRAM_DENSITY * n * m:
        return SPARSE * nnz**2 / m
    return GEMM * n * n * m


def where_it_fits(forecast):
    """Its seconds, or infinity where its arrays exceed the memory that is free."""
    if forecast.bytes <= ALWAYS_THERE:
        return forecast.seconds
    available = available_memory()
    return math.inf if available is not None and forecast.bytes > available else forecast.seconds


def matrix_free_seconds(n, m, d, n_outputs, n_landmarks, iterations):
    """A two-layer step without G: its products, one kernel, run at four times the rate."""
    p = n_landmarks
    columns = GEMM * (n * p * m + 2 * n_outputs * n * p * p)
    return columns + iterations * SKINNY * n * (m * d + 4 * n_outputs * p)
