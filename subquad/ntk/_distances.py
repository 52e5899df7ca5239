"""Distances between what a layer makes of two normals of unequal deviations.

    2 E (phi(u) / p' - phi(v) / q')^2 = 2 - 2 r

for the correlation r of a layer's outputs and their deviations p', q', in terms that are as small
as the distance: r itself has no digits left for near points.
"""

import numpy as np
from scipy import special

from subquad._parallel import blocks
from subquad.ntk._moments import _BLOCK, _LEGENDRE, _NODES, _WEIGHTS, _pdf

# The density of a standard normal is 0 in float64 at this value and beyond it.
_FAR = 100.0


def squared_distances(activation, p, q, after_p, after_q, angle):
    """Return 2 E (phi(u) / after_p - phi(v) / after_q)^2 for thresholds `shift`; all are vectors.

    after_p^2 = 2 E phi(u)^2, and so for v. Angles are at most 1.6.
    """
    out = np.empty(len(angle))
    swap = p < q
    p, q = np.where(swap, q, p), np.where(swap, p, q)
    after_p, after_q = np.where(swap, after_q, after_p), np.where(swap, after_p, after_q)
    for part in blocks(len(angle), _BLOCK // len(_NODES)):
        columns = (x[part] for x in (p, q, after_p, after_q, angle))
        out[part] = _distances(activation, *columns)
    return out


def _distances(activation, p, q, after_p, after_q, angle):
    """The distances for p >= q: that at angle 0, and twice what the product loses from there."""
    b, slope = activation.shift, p / after_p - q / after_q
    h, k = b / p, b / q
    bias = 0.0 if activation.jumps else b
    z, weights = _rule(h, k)
    one_fires = (np.square(p[:, None] * z - bias) * _pdf(z) * weights).sum(axis=1) / after_p**2
    # The square of slope z - drop over z > k.
    drop, Q = bias * (1 / after_p - 1 / after_q), special.ndtr(-k)
    both_fire = np.square(slope) * (Q + k * _pdf(k)) - 2 * slope * drop * _pdf(k) + drop**2 * Q
    lost_L, lost = _lost_moments(h, k, angle)
    if activation.jumps:
        lost = _lost_product_moment(h, k, angle, lost_L)
    lost *= p / after_p * (q / after_q)
    return 2 * activation.norm_constant * (one_fires + both_fire + 2 * lost)


def _lost_moments(h, k, angle):
    """As `subquad.ntk._moments.lost_moments`, for thresholds h <= k."""
    t = angle[:, None] * _NODES
    square, end = np.square(np.sin(t / 2)), np.square(np.sin(angle / 2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        apart = np.where(h == k, 0.0, np.square((k - h) / np.sin(t.T))).T
    e = np.exp(-0.5 * (apart + (h * k)[:, None] / (1 - square))) * (_WEIGHTS / (2 * np.pi))
    fall = 2 * (end[:, None] - square)
    return angle * e.sum(axis=1), 2 * special.ndtr(-k) * end - angle * (e * fall).sum(axis=1)


def _lost_product_moment(h, k, angle, lost_L):
    """Return E z1 z2 1[z1 > h] 1[z2 > k] at angle 0 minus that at the angles, for h <= k."""
    sine, half = np.sin(angle), np.tan(angle / 2)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        lean = np.where(h == k, 0.0, np.minimum((k - h) / sine, _FAR))
        density = np.exp(-0.5 * (lean**2 + h * k / np.square(np.cos(angle / 2)))) * sine
    low, high = lean - k * half, lean + h * half
    z, weights = _rule(low, high)
    between = (_pdf(z) * weights).sum(axis=1)
    z, weights = _rule(h, k)
    steps = ((1 - z * z) * _pdf(z) * weights).sum(axis=1)  # k pdf(k) - h pdf(h)
    means = k * _pdf(k) * between + steps * special.ndtr(-high)
    whole = special.ndtr(-k) + k * _pdf(k)
    bend = 2 * np.square(np.sin(angle / 2))
    return bend * whole + np.cos(angle) * (lost_L + means) - density / (2 * np.pi)


def _rule(low, high):
    """Nodes and weights on each of the intervals."""
    x, weights = _LEGENDRE
    length = (high - low)[:, None]
    return (low + high)[:, None] / 2 + length * x, length * weights
