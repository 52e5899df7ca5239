"""Kernels where deviations differ from point to point: each pair of points by itself."""

import numpy as np

from subquad._parallel import blocks
from subquad.ntk._moments import angles
from subquad.ntk._profile import combine, require_firing, require_range

_PAIRS_PER_BLOCK = 2**14
# Below this squared half chord, the next layer's is computed from distances: the correlation's
# rounding error, 1.1e-16, would be too large a part of it.
_CLOSE = 2.0**-8


def fill_pairs(dual, depth, kinds, between, norms, outs, *, symmetric):
    """Fill kernels a block of rows at a time; of symmetric ones at least the lower halves."""
    for size in norms:
        for p in _deviations(dual, depth, size):
            require_firing(p)
    left, right = (_deviations(dual, depth, size) for size in norms)
    for rows in blocks(len(between), _PAIRS_PER_BLOCK // between.shape[1]):
        columns = slice(rows.stop if symmetric else None)
        p, q = [x[rows, None] for x in left], [x[columns] for x in right]
        kernels, slopes = _pair_layers(dual, p, q, between[rows, columns])
        for kind, out in zip(kinds, outs, strict=True):
            found = combine(kind, kernels, slopes)
            require_range(float(np.max(found)), out.dtype)
            out[rows, columns] = found


def _deviations(dual, depth, p):
    """Deviations of the pre-activations of layers 1 .. L, and of what would be the next."""
    found = [p]
    for _ in range(depth):
        distinct, back = np.unique(found[-1], return_inverse=True)
        found.append(np.sqrt(dual._second_moments(distinct))[back])
    return found


def _pair_layers(dual, left, right, angle):
    """Return what `layers` does, for deviations (rows, 1) and (columns,) of each layer."""
    supplement = np.pi - angle
    kernels, slopes = [left[0] * right[0] * np.cos(angle)], []
    for p, q, p_next, q_next in zip(left, right, left[1:], right[1:], strict=False):
        value, slope = dual._moments(*np.broadcast_arrays(p, q, angle, supplement))
        kernels.append(2 * value)
        slopes.append(2 * slope)
        size = p_next * q_next
        half = np.clip(0.5 - 0.5 * kernels[-1] / size, 0.0, 1.0)
        near = (half < _CLOSE) & (angle < 1.5)
        if near.any():
            sizes = [np.broadcast_to(x, near.shape)[near] for x in (p, q, p_next, q_next)]
            half[near] = np.clip(dual._squared_distances(*sizes, angle[near]) / 4, 0.0, 1.0)
        angle, supplement = angles(half, 1 - half)
    return kernels, slopes
