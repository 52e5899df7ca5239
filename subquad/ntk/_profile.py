"""The recursion over layers, and the functions of one angle that it comes down to.

With equal deviations, or an activation for which they factor out, every entry of every kernel is a
function of the angle between two inputs, however deep the network. Such a function is tabulated
once for each network, in pieces that the compiled kernel evaluates.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import special

from subquad._kernels.dual_activation import PIECES_PER_OCTAVE, TERMS
from subquad.ntk._moments import angles

# A table has an offset of 2 to this power where its functions are as smooth as one layer of ReLU.
_OFFSET = -3
# No offset need be below 2 to this power: half chords up to twice the rounding error count as 0.
_SMALLEST_OFFSET = -52
# The map of a callable is taken to bend as much as that of ShiftedReLU(2) at small angles.
_BEND = 0.3
# (tolerance, least, most): chords of near points are computed from the points themselves where
# half a rounding error of the correlation would change the function by more than the tolerance, as
# a part of its value at angle 0. Squared half chords up to `least` always are, and none above
# `most`.
_CLOSE = {
    np.dtype(np.float64): (5e-13, 2.0**-21, 2.0**-8),
    np.dtype(np.float32): (4e-6, 2.0**-11, 2.0**-6),
}


def layers(dual, depth, p, angle, supplement):
    """Return the kernels K_0 .. K_L and slopes 2 E phi' phi' of layers 1 .. L at deviations p.

    p is one number for all points. [SZZ24], Definition E.3. Departures: layer l has its input's
    covariance K_{l-1} (the definition's index is off by one), and thresholds follow the layer.
    """
    kernels, slopes = [p * p * (1 - 2 * np.square(np.sin(angle / 2)))], []
    for _ in range(depth):
        value, slope, gap = dual._steps(p, angle, supplement)
        square = float(dual._second_moments(np.asarray(p)))
        require_firing(square)
        kernels.append(value)
        slopes.append(slope)
        p = math.sqrt(square)
        half = np.clip(gap / (2 * square), 0.0, 1.0)
        angle, supplement = angles(half, 1 - half)
    return kernels, slopes


def require_firing(squares):
    """Refuse a layer that is silent: its kernel is zero, and has no angles."""
    if not np.min(squares) > 0:
        raise ValueError(
            "activation must let neurons fire on every row; got a threshold so large, or a row so "
            "small, that none does. A relative threshold follows the rows."
        )


def require_range(largest, dtype):
    """Refuse a kernel whose entries overflow."""
    limit = float(np.finfo(dtype).max)
    if not largest <= limit:
        raise ValueError(
            f"depth must keep the kernel below {limit:.2g} in {dtype}; got an entry of "
            f"{largest:.2g}. Take fewer layers, a smaller shift or shorter rows, or use float64."
        )


def combine(kind, kernels, slopes):
    """Return the kernel of this kind: "ntk", "last" or the number of a layer."""
    if kind == "ntk":
        total = kernels[0]
        for kernel, slope in zip(kernels[1:], slopes, strict=True):
            total = total * slope + kernel
        return total
    if kind == "last":
        return kernels[-2] * (slopes[-1] / 2)
    return kernels[kind]


@dataclass(frozen=True)
class Profile:
    """A function of the angle: its value at 0, and pieces in half the chord plus `offset`.

    [0, 1] has pieces of the lengths offset / 32, twice that, and so on, 32 of each.
    """

    table: np.ndarray
    offset: float
    at_zero: float

    def derivative(self):
        """The derivative by half the chord, on each side of the right angle its own."""
        _, widths = _pieces(len(self.table) // 2, self.offset)
        table = np.zeros_like(self.table)
        table[:, :-1] = self.table[:, 1:] * np.arange(1, TERMS)
        return Profile(table / np.tile(widths / 2, 2)[:, None], self.offset, 0.0)

    def close(self, dtype):
        """Return the squared half chord below which correlations of this dtype know too little."""
        tolerance, least, most = _CLOSE[np.dtype(dtype)]
        if self.at_zero == 0:
            return most
        start, width = _pieces(len(self.table) // 2, self.offset)
        middle = start + width / 2
        for_r = np.abs(self.table[: len(start), 1]) / (width / 2) / (4 * middle)
        errors = for_r * np.finfo(dtype).eps / self.at_zero
        return min(max(least, np.max(middle**2, where=errors > tolerance, initial=0.0)), most)


# The kind whose profile is the angle itself.
ANGLE = "angle"


def profiles(dual, depth, kinds, p=1.0):
    """Return the `Profile` of each kind at deviation p."""
    if not dual._exact:
        offset, *samples = _samples(dual, depth, p)
        return [_profile(offset, kind, *samples) for kind in kinds]
    return [_known_profile(dual.activation, depth, kind, p) for kind in kinds]


# Profiles of the package's activations are kept: they take from some milliseconds to make, for few
# layers, to some seconds, for 50 and more.
@lru_cache(maxsize=256)
def _known_profile(activation, depth, kind, p):
    """The profile of one kind."""
    offset, *samples = _known_samples(activation, depth, p)
    return _profile(offset, kind, *samples)


@lru_cache(maxsize=8)
def _known_samples(activation, depth, p):
    """The samples that the profiles of all kinds are made of."""
    from subquad.ntk._dual import DualActivation

    return _samples(DualActivation(activation), depth, p)


def _profile(offset, kind, angle, inner, ends):
    """Profile of a kind from samples in the pieces and at angle 0."""
    if kind == ANGLE:
        return Profile(_coefficients(angle), offset, 0.0)
    with np.errstate(over="ignore"):
        at_zero = float(combine(kind, *ends)[0])
    require_range(at_zero, np.dtype(np.float64))
    return Profile(_coefficients(combine(kind, *inner)), offset, at_zero)


def _samples(dual, depth, p):
    """Return the offset, angles at the nodes of each piece, layers there, and layers at angle 0."""
    ends = layers(dual, depth, p, np.zeros(1), np.full(1, np.pi))
    power = _log_offset(dual, *ends)
    start, width = _pieces(-power * PIECES_PER_OCTAVE, 2.0**power)
    nodes = np.cos((np.arange(TERMS) + 0.5) * np.pi / TERMS)
    s = np.clip(start[:, None] + width[:, None] * (nodes + 1) / 2, 0.0, 1.0)
    s[start > math.sqrt(0.5) + 1e-6] = 0.5  # not in use
    square = s * s
    angle, supplement = angles(
        np.concatenate([square, 1 - square]), np.concatenate([1 - square, square])
    )
    return 2.0**power, angle, layers(dual, depth, p, angle, supplement), ends


def _pieces(n_pieces, offset):
    """Return the half chord at which each piece of one side begins, and the piece's length."""
    octave, place = np.divmod(np.arange(n_pieces), PIECES_PER_OCTAVE)
    width = offset * 2.0**octave / PIECES_PER_OCTAVE
    return width * (PIECES_PER_OCTAVE + place) - offset, width


def _log_offset(dual, kernels, slopes):
    """Return log2 of the offset, from the layers at angle 0: small where functions change quickly.

    At r = -1 functions go like exp(-h^2 / (2 s^2)), which is nothing below h / 9. At r = 1 a layer
    makes a t (1 - c t + ...) of an angle t, and all layers together about A t / (1 + C t), where A
    is the product of all a, and C the sum of each c times the product of the earlier a. The pole of
    this is at the half chord -1 / 2C, and the pieces at 0 must be short beside it.
    """
    squares = [float(kernel[0]) for kernel in kernels]
    if len(slopes) == 0 or (dual._exact and dual.activation.jumps and len(slopes) > 1):
        return _SMALLEST_OFFSET  # angles keep their digits, and jumps take them to their roots
    total, product = 0.0, 1.0
    for square, after, slope in zip(squares, squares[1:], slopes, strict=False):
        bend = _BEND
        if dual._exact:
            h = float(dual._thresholds(np.asarray(math.sqrt(square))))
            bend = 1 / (3 * math.pi * float(special.erfcx(h / math.sqrt(2))))
        total += bend * product
        product *= math.sqrt(max(float(slope[0]), 0.0) * square / after)
    smallest = min(2.0**_OFFSET, 1 / max(4 * total, 1e-9))
    if dual._exact:
        h = float(dual._thresholds(np.asarray(math.sqrt(squares[0]))))
        smallest = min(smallest, h / 9 if h > 0 else smallest)
    return max(_SMALLEST_OFFSET, math.floor(math.log2(smallest)))


def _coefficients(samples):
    """Powers of x in [-1, 1] from samples at the Chebyshev nodes, one row per piece."""
    k = np.arange(TERMS)
    cosines = np.cos(np.outer(k, k + 0.5) * np.pi / TERMS)
    chebyshev = samples @ cosines.T * (2 / TERMS)
    chebyshev[:, 0] /= 2
    return np.ascontiguousarray(chebyshev @ _chebyshev_polynomials())


@lru_cache(maxsize=1)
def _chebyshev_polynomials():
    """Powers of the Chebyshev polynomials, one in each row."""
    rows = [np.polynomial.chebyshev.cheb2poly(np.eye(k + 1)[k]) for k in range(TERMS)]
    return np.array([np.pad(row, (0, TERMS - len(row))) for row in rows])
