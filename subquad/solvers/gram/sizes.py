"""How large a sketch of the rows of J is, and how accurate a solution: rules of theory and use.

For a sketch of s columns, n rows and eps = (1 + sqrt(n / s))^2 - 1, the law of sketches without
structure, ||G^-1/2 G' G^-1/2 - I|| is about eps: sizes are derived from that, not from the bounds
of [SZZ24], Lemmas D.5 and D.9, which ask for n^2 columns and more.
"""

import math

from subquad._validation import integer, one_of, real
from subquad.hadamard import next_length
from subquad.sketch import OF_PAIRS

# Steps with sketched equations, measured: of 12 fits each (digits and the sphere, n = 64 and 128),
# all ended at relative residuals of 3e-2 to .3 with 2 n columns and of 2e-4 to 1e-2 with 4 n, after
# 50 steps (one with 2 n after 22); with 8 n all converged to 1e-10 in 31 to 36 steps, with 16 n in
# 19 to 21.
LEAST_SKETCHED, SKETCHED = 8, 16
# Conjugate gradients take 36 to 105 iterations to 1e-12 with 2 n columns, 27 to 46 with 4 n.
LEAST_PRECONDITIONED, PRECONDITIONED = 2, 4
# The theorems ask for a precision of at most this.
_COARSEST = 1 / 6


def as_kind(kind):
    """Return the name of a sketch of pairs."""
    return one_of(kind, "kind", tuple(OF_PAIRS))


def as_size(sketch_size, epsilon):
    """Return a sketch size, or None, and an embedding error: a number, "theorem" or None."""
    if sketch_size is not None:
        sketch_size = integer(sketch_size, "sketch_size")
        if epsilon is not None:
            raise ValueError("epsilon must be None where sketch_size is given; got both.")
    if epsilon is None or is_theorem(epsilon, "epsilon"):
        return sketch_size, epsilon
    # Below, n columns would be more than 10^12 n.
    return sketch_size, real(epsilon, "epsilon", minimum=1e-6, maximum=3.0)


def is_theorem(value, name):
    """Return whether a precision is to be that of the theorems, refusing any other name."""
    if isinstance(value, str) and value != "theorem":
        raise ValueError(f"{name} must be a number or 'theorem'; got {value!r}.")
    return isinstance(value, str)


def at_least_n(sketch_size, n, *, sketched):
    """Return a sketch size that is at least n; a smaller one cannot embed n rows.

    `sketched` says whether the sketched equation is solved, or preconditions the true one.
    """
    if sketch_size >= n:
        return sketch_size
    if sketched:
        least, good = LEAST_SKETCHED, SKETCHED
        advice = f"Training steps converge from {least} n = {least * n} on; {good * n} is good"
    else:
        least, good = LEAST_PRECONDITIONED, PRECONDITIONED
        advice = f"{least * n} is the smallest sensible size for 'pcg', {good * n} a good one"
    raise ValueError(
        f"sketch_size must be at least n={n}, the number of rows; got {sketch_size}. {advice}."
    )


def error_of(sketch_size, n):
    """Return eps = (1 + sqrt(n / s))^2 - 1."""
    return (1 + math.sqrt(n / sketch_size)) ** 2 - 1


def size_for(epsilon, J, kind):
    """Return the s whose eps is `epsilon`; no more than a TensorSRHT of these factors can have."""
    size = math.ceil(J.n / (math.sqrt(1 + epsilon) - 1) ** 2)
    if kind == "TensorSRHT":
        layers = [layer for layer in getattr(J, "parts", (J,)) if hasattr(layer, "m_u")]
        orders = (next_length(layer.m_u) * next_length(layer.m_v) for layer in layers)
        size = max(J.n, min(size, *orders))
    return size


def theorem_precision(least, mean, n):
    """Return sqrt(lambda / n), at most 1/6: [SZZ24], Algorithm 2, line 17, [BPSW21], line 5.

    lambda is the least eigenvalue of G in units of the mean diagonal entry, which in the theorems
    is 1 up to a constant; so the precision does not depend on the scale of the outputs.
    """
    if not (least > 0 and mean > 0):
        return _COARSEST
    return min(math.sqrt(least / (mean * n)), _COARSEST)
