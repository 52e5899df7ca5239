"""Forecasts of what a Gram equation costs by each method: operations times measured rates.

The rates are those of one core of an AMD EPYC with OpenBLAS. Only their ratios decide, and
these move little from machine to machine; `asv_benches/crossover_table.py` prints them beside
measurements. More BLAS threads speed up the dense products of all methods alike.
"""

import math
from dataclasses import dataclass

from subquad._machine import available_memory
from subquad._products import SPARSE_GRAM_DENSITY

# Precondition conjugate gradients by so many columns of G where there are many points.
LANDMARKS = 512
# Use landmarks above so many points: n x n arrays then cost more than the iterations they save.
SKETCHED_POINTS = 2048
# Asking the system for its memory takes longer than to solve what needs fewer bytes than these.
ALWAYS_THERE = 2**26

# Seconds per floating-point operation: in a product of large float64 matrices, in a Cholesky
# factorisation, in a product with few columns, and in a sparse product.
_GEMM, _CHOLESKY, _SKINNY, _SPARSE = 2.8e-11, 1e-10, 1.5e-10, 1e-9
# Seconds per entry that a count sketch moves, per entry and level of a Fourier transform, and per
# pair of 64-bit words of a population count.
_SCATTER, _FOURIER, _POPCOUNT = 1.5e-9, 3e-10, 4e-11

# A smooth kernel with some damping takes so many iterations with landmarks for a decimal digit.
_ITERATIONS_PER_DIGIT = 10
# Many small calls cost any solver so many seconds, a sketch as much again, and each iteration less.
_OVERHEAD, _ITERATION_OVERHEAD = 3e-4, 5e-5


@dataclass(frozen=True)
class Forecast:
    """Seconds and bytes that a method is expected to need."""

    seconds: float
    bytes: float


def exact(J):
    """Form G, factor it."""
    n = J.n
    return Forecast(_OVERHEAD + gram_seconds(J) + _CHOLESKY * n**3 / 3, 3 * 8 * n * n)


def sketch(J, sketch_size):
    """Sketch, take the Gram matrix of the sketch, factor it; one product for the residual."""
    n = J.n
    seconds = sketch_seconds(J, sketch_size) + _CHOLESKY * n**3 / 3
    seconds += min(gram_seconds(J), product_seconds(J))
    return Forecast(seconds, 8 * (3 * n * n + 2 * n * sketch_size))


def pcg(J, sketch_size, rtol):
    """The same with more products, by G where that is cheaper in the end."""
    n, iterations = J.n, pcg_iterations(J.n, sketch_size, rtol)
    seconds = sketch_seconds(J, sketch_size) + _CHOLESKY * n**3 / 3
    seconds += iterations * (2 * n * n * _SKINNY + _ITERATION_OVERHEAD)
    seconds += products_seconds(J, iterations + 1)
    return Forecast(seconds, 8 * (3 * n * n + 2 * n * sketch_size))


def landmark_pcg(J, n_landmarks, rtol):
    """Columns of G at p points, their factorisation, products without G."""
    n, p, iterations = J.n, n_landmarks, math.ceil(_ITERATIONS_PER_DIGIT * -math.log10(rtol))
    entries = _sum_over_layers(J, lambda layer: sum(_sizes(layer)[2:]))
    seconds = _GEMM * (2 * p * entries + 2 * n * p * p)
    seconds += iterations * (4 * n * p * _SKINNY + product_seconds(J))
    return Forecast(seconds, 8 * 3 * n * p)


def pcg_iterations(n, sketch_size, rtol):
    """Products until rtol: the error falls by sqrt(n / s) each, for a sketch without structure."""
    rate = math.log(min(max(sketch_size / n, 1.5), 1e4)) / 2
    return min(2 * n, math.ceil(math.log(2 / rtol) / rate))


def products_seconds(J, count):
    """`count` products G g, in the cheaper of the two ways."""
    return min(count * product_seconds(J), formed_seconds(J, count))


def forming_pays(J, count):
    """Whether `count` products are cheaper with G formed."""
    if not getattr(J, "forms_gram", False):
        return False
    return formed_seconds(J, count) <= count * product_seconds(J)


def formed_seconds(J, count):
    """G formed, unless it is, then `count` products with it."""
    forming = 0.0 if J.formed else gram_seconds(J)
    return forming + count * 2 * _SKINNY * J.n**2


def gram_seconds(J):
    """Time to form G: what J says if it knows a way of its own."""
    if hasattr(J, "gram_seconds"):
        return J.gram_seconds()
    return _sum_over_layers(J, _layer_gram_seconds)


def product_seconds(J):
    """J (J^T g) without G."""
    return _sum_over_layers(J, _layer_product_seconds)


def sketch_seconds(J, s):
    """Scatter both factors, transform both, n x n Gram matrix of the sketch."""
    levels = max(1.0, math.log2(s))
    transforms = 2 * s * levels * _FOURIER * max(map(_n_rows, getattr(J, "parts", (J,))))
    scatter = _SCATTER * _sum_over_layers(J, lambda layer: sum(_sizes(layer)[2:]))
    return 2 * _OVERHEAD + scatter + transforms + _GEMM * J.n**2 * s


def _layer_gram_seconds(J):
    """(U U^T) o (V V^T)."""
    if getattr(J, "groups", None) is not None:
        return _GEMM * 2 * min(J.gram_work().values())
    m_u, m_v, nnz_u, nnz_v = _sizes(J)
    return _self_product_seconds(J.n, m_u, nnz_u) + _self_product_seconds(J.n, m_v, nnz_v)


def _layer_product_seconds(J):
    """J (J^T g) of one layer."""
    (m_u, m_v, nnz_u, nnz_v), n_rows = _sizes(J), _n_rows(J)
    rate = _SKINNY if nnz_u == n_rows * m_u else _SPARSE
    return rate * 4 * nnz_u * min(m_v, max(1.0, nnz_v / n_rows))


def _n_rows(J):
    """Rows of U and V, of which a row of J may be a sum."""
    return getattr(J, "n_rows", J.n)


def _sizes(J):
    """(m_u, m_v, nnz(U), nnz(V)); of a Jacobian of unknown structure, as of a dense matrix U."""
    if hasattr(J, "nnz_u"):
        return J.m_u, J.m_v, J.nnz_u, J.nnz_v
    return J.shape[1], 1, J.n * J.shape[1], J.n


def _sum_over_layers(J, seconds):
    """The sum over the layers of a `JacobianSum`, or the value of a single one."""
    return sum(seconds(layer) for layer in getattr(J, "parts", (J,)))


def _self_product_seconds(n, m, nnz):
    """U U^T."""
    if nnz < SPARSE_GRAM_DENSITY * n * m:
        return _SPARSE * nnz**2 / m
    return _GEMM * n * n * m


def where_it_fits(forecast):
    """Its seconds, or infinity where its arrays exceed the memory that is free."""
    if forecast.bytes <= ALWAYS_THERE:
        return forecast.seconds
    available = available_memory()
    return math.inf if available is not None and forecast.bytes > available else forecast.seconds


def two_layer_exact(n, m, n_outputs, n_bytes):
    """A two-layer step with G: co-activations counted, one factorisation for each output."""
    seconds = _POPCOUNT * n * n * m / 128 + n_outputs * _CHOLESKY * n**3 / 3
    return Forecast(seconds, n_bytes)


def two_layer_matrix_free_seconds(n, m, d, n_outputs, n_landmarks, iterations):
    """A two-layer step without G: its products, one kernel, run at four times the rate."""
    p = n_landmarks
    columns = _GEMM * (n * p * m + 2 * n_outputs * n * p * p)
    return columns + iterations * _SKINNY * n * (m * d + 4 * n_outputs * p)
