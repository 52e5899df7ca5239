"""A fit's memory and time, counted from the algorithm; nothing large is made.

Memory is what the arrays of the fit take together, beside Python and its libraries. Time divides
operation counts by the rates of a short probe of this machine.
"""

import time
from dataclasses import dataclass

import numpy as np

from subquad._parallel import blas_threads_for
from subquad.weights import GaussianWeights

# This many arrays of shape (n, width) are alive at the peak of a step: features, Z0, Z, the factor
# A, what is proposed in their place, and scratch.
ARRAYS_PER_SAMPLE = 7
# So are these float64 matrices of shape (n, n): the Gram matrix of every output, twice while the
# regularisation is chosen, and the workspace in which one of them is decomposed.
GRAMS_PER_OUTPUT = 2
GRAM_WORKSPACE = 4
# These multiples of n^3 operations, at the rate of a matrix product, agree with measured seconds.
EIGEN_OPERATIONS = 9.0
CHOLESKY_OPERATIONS = 2 / 3
# Above so many rows, the estimators iterate with the Gram matrix instead of factoring it, and
# choose the regularisation on fewer rows. These are the numbers of `subquad.estimators`, which a
# plan does not wait for.
EXACT_ROWS = 4096
ROWS_FOR_QUICK_CHOICE = 1024
LANDMARKS = 1024
# A step of 8,192 rows took 27 iterations, which is rounded up.
ITERATIONS = 30
# The probe multiplies square matrices of this size: large enough that BLAS reaches its rate.
PROBE_SIZE = 512


@dataclass(frozen=True)
class Fit:
    """What a fit's cost depends on: rows n, width m, depth L, input dimension d, outputs C."""

    n: int
    width: int
    depth: int
    n_features: int
    n_outputs: int = 1
    shift: float = 0.0
    dtype: str = "float64"
    readout: str = "partition"
    weights: str = "dense"

    @property
    def itemsize(self):
        """Bytes of a number."""
        return np.dtype(self.dtype).itemsize

    @property
    def hidden_weights(self):
        """Numbers of the matrices between hidden layers."""
        return (self.depth - 1) * self.width**2

    @property
    def weight_bytes(self):
        """Bytes of all weights as they are kept."""
        if self.weights == "implicit":
            return 0
        kept = {"dense": self.itemsize, "int8": 1}[self.weights]
        return self.width * self.n_features * self.itemsize + self.hidden_weights * kept

    @property
    def expected_active(self):
        """Neurons of a layer expected to fire on one row."""
        from subquad.activations import ShiftedReLU

        return ShiftedReLU(self.shift).expected_active(self.width)

    @property
    def solver(self):
        """How the estimators solve the equation of a step: "exact", or "pcg" for many rows."""
        coupled = self.readout != "partition" and self.n_outputs > 1
        return "exact" if self.n <= EXACT_ROWS or coupled else "pcg"

    @property
    def n_blocks(self):
        """Blocks of neurons that do not share an output."""
        return self.n_outputs if self.readout == "partition" else 1


@dataclass(frozen=True)
class Rates:
    """What this machine does in a second."""

    products: float
    products64: float
    copied_bytes: float
    normals: float


def memory(fit):
    """Bytes by purpose, and their total."""
    n, m = fit.n, fit.width
    grams = (GRAMS_PER_OUTPUT * fit.n_outputs + GRAM_WORKSPACE) * n * n
    if fit.solver == "pcg":  # one for each output and two that they share; columns of one of them
        grams = (fit.n_outputs + 2) * n * n + 3 * LANDMARKS * n
    parts = {
        "weights": fit.weight_bytes,
        "activations": ARRAYS_PER_SAMPLE * m * n * fit.itemsize,
        "gram": 8 * grams,
    }
    return {**parts, "total": sum(parts.values())}


def seconds(fit, rates, n_steps):
    """Seconds by phase of the work, and their total."""
    n, m = fit.n, fit.width
    n_weights = m * fit.n_features + fit.hidden_weights
    n_drawn = n_weights if fit.weights == "dense" else n_weights - fit.hidden_weights
    forward = max(2 * n * n_weights / rates.products, fit.weight_bytes / rates.copied_bytes)
    cube = fit.n_outputs * n**3 / rates.products64
    solution, chosen = CHOLESKY_OPERATIONS * cube, cube
    if fit.solver == "pcg":
        products = ITERATIONS * 8 * n * n / rates.copied_bytes  # G is read once for each
        factor = 2 * n * LANDMARKS**2 / rates.products64
        solution = fit.n_outputs * (factor + products)
        chosen = fit.n_outputs * ROWS_FOR_QUICK_CHOICE**3 / rates.products64
    step = 2 * m * n * n / rates.products + solution
    phases = {
        "weights": n_drawn / rates.normals,
        "features": forward,
        "regularization": EIGEN_OPERATIONS * chosen,
        "steps": n_steps * step,
    }
    return {**phases, "total": sum(phases.values())}


def product_rate():
    """Operations in a second of products in float64; `probe` measures more, for longer."""
    square = np.random.default_rng(0).standard_normal((PROBE_SIZE // 2, PROBE_SIZE // 2))
    with blas_threads_for(len(square)):
        return _rate_of_product(square)


def probe(dtype):
    """Measure this machine's rates in less than a fifth of a second."""
    rng = np.random.default_rng(0)
    square = rng.standard_normal((PROBE_SIZE, PROBE_SIZE))
    target = np.empty(2**22)
    made = GaussianWeights((PROBE_SIZE, PROBE_SIZE), 0, "float32", dtype=dtype)
    return Rates(
        products=_rate_of_product(square.astype(dtype)),
        products64=_rate_of_product(square),
        copied_bytes=target.nbytes / _best(lambda: target.fill(1.0)),
        normals=square.size / _best(lambda: made.columns(0, PROBE_SIZE)),
    )


def peak_memory():
    """Bytes of the most memory this process has held, or None where the system does not tell."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            # Unlike getrusage, this does not count what a parent held before it started us.
            line = next(line for line in status if line.startswith("VmHWM:"))
        return 1024 * int(line.split()[1])
    except (OSError, StopIteration):
        return _peak_from_usage()


def _peak_from_usage():
    """Peak memory from getrusage, where there is no /proc."""
    import sys

    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _rate_of_product(square):
    """Operations in a second of a matrix's product with itself."""
    return 2 * len(square) ** 3 / _best(lambda: square @ square)


def _best(work, repeats=3):
    """Least seconds of a few calls; the first warms up and does not count."""
    work()
    elapsed = []
    for _ in range(repeats):
        started = time.perf_counter()
        work()
        elapsed.append(time.perf_counter() - started)
    return min(elapsed)
