"""The recursion over layers, and the functions of one angle that it comes down to.

With equal deviations, or an activation for which they factor out, every entry of every kernel is a
function of the angle between two inputs, however deep the network. Such a function is tabulated
once for each network, in pieces that the compiled kernel evaluates.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from subquad._kernels.dual_activation import PIECES_PER_OCTAVE, TERMS
from subquad.ntk._moments import angles

# Half chords below 2 to this power share pieces of one length.
_OFFSET = -3
_SMALLEST_OFFSET = -30


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
    """A function of the angle: its value at 0, and pieces in half the chord plus `offset`."""

    table: np.ndarray
    offset: float
    at_zero: float

    def derivative(self):
        """The derivative by half the chord, on each side of the right angle its own."""
        octave = np.arange(len(self.table) // 2) // PIECES_PER_OCTAVE
        half_widths = self.offset * 2.0**octave / PIECES_PER_OCTAVE / 2
        table = np.zeros_like(self.table)
        table[:, :-1] = self.table[:, 1:] * np.arange(1, TERMS)
        return Profile(table / np.tile(half_widths, 2)[:, None], self.offset, 0.0)


# The kind whose profile is the angle itself.
ANGLE = "angle"


def profiles(dual, depth, kinds, p=1.0):
    """Return the `Profile` of each kind at deviation p."""
    if not dual._exact:
        offset, *samples = _samples(dual, depth, p)
        return [_profile(offset, kind, *samples) for kind in kinds]
    return [_known_profile(dual.activation, depth, kind, p) for kind in kinds]


# Those of activations of the package are kept, since they take some milliseconds to make.
@lru_cache(maxsize=256)
def _known_profile(activation, depth, kind, p):
    """The profile of one kind."""
    offset, *samples = _known_samples(activation, depth, p)
    return _profile(offset, kind, *samples)


@lru_cache(maxsize=8)
def _known_samples(activation, depth, p):
    """What all kinds are made of."""
    from subquad.ntk._dual import DualActivation

    return _samples(DualActivation(activation), depth, p)


def _profile(offset, kind, angle, inner, ends):
    """Profile of a kind from samples in the pieces and at angle 0."""
    if kind == ANGLE:
        return Profile(_coefficients(angle), offset, 0.0)
    at_zero = float(combine(kind, *ends)[0])
    return Profile(_coefficients(combine(kind, *inner)), offset, at_zero)


def _samples(dual, depth, p):
    """Offset, angles at the Chebyshev nodes of each piece, layers there, and layers at angle 0."""
    octaves = -_octaves(dual, depth)
    offset = 2.0**-octaves
    piece = np.arange(octaves * PIECES_PER_OCTAVE)
    start = offset * 2.0 ** (piece // PIECES_PER_OCTAVE)
    width = start / PIECES_PER_OCTAVE
    start = start + piece % PIECES_PER_OCTAVE * width
    nodes = np.cos((np.arange(TERMS) + 0.5) * np.pi / TERMS)
    s = np.clip(start[:, None] - offset + width[:, None] * (nodes + 1) / 2, 0.0, 1.0)
    s[start - offset > math.sqrt(0.5) + 1e-6] = 0.5  # not in use
    square = s * s
    angle, supplement = angles(
        np.concatenate([square, 1 - square]), np.concatenate([1 - square, square])
    )
    ends = layers(dual, depth, p, np.zeros(1), np.full(1, np.pi))
    return offset, angle, layers(dual, depth, p, angle, supplement), ends


def _octaves(dual, depth):
    """Log2 of the offset: small where the functions change at small scales."""
    if dual._exact and dual.activation.jumps and depth > 1:
        return _SMALLEST_OFFSET  # they go like powers of the chord below 1
    if not dual._exact or dual.activation.shift == 0:
        return _OFFSET
    # At r = -1 they go like exp(-b^2 / (2 s^2)), which is nothing below b / 9.
    return max(_SMALLEST_OFFSET, min(_OFFSET, math.floor(math.log2(dual.activation.shift / 9))))


def _coefficients(samples):
    """Powers of x in [-1, 1] from samples at the Chebyshev nodes, one row per piece."""
    k = np.arange(TERMS)
    cosines = np.cos(np.outer(k, k + 0.5) * np.pi / TERMS)
    chebyshev = samples @ cosines.T * (2 / TERMS)
    chebyshev[:, 0] /= 2
    powers = [np.pad(row, (0, TERMS - len(row))) for row in map(_polynomial, k)]
    return np.ascontiguousarray(chebyshev @ np.array(powers))


def _polynomial(k):
    """Powers of the k-th Chebyshev polynomial."""
    return np.polynomial.chebyshev.cheb2poly(np.eye(k + 1)[k])
