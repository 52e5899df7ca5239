"""Truncated moments of two standard normals, with small relative errors.

For standard normals z1, z2 of correlation r = cos(angle) and thresholds h, k >= 0, by Price's
theorem twice (dM/dr = L, dL/dr = the density at (h, k)),

    L = P(z1 > h, z2 > k)          = integral of e(t) dt / 2 pi
    M = E (z1 - h)_+ (z2 - k)_+    = integral of e(t) (cos(angle) - cos t) dt / 2 pi

over t from `angle` to pi, with e(t) = exp(-(h - k)^2 / (2 sin^2 t) - h k / (2 cos^2(t / 2))).
Nothing cancels, since the integrands are positive, and the double exponential rule (Takahasi and
Mori, 1974) resolves what they do at both ends. Angles come with their supplements pi - angle, each
to full relative precision: a correlation near 1 or -1 has no digits left for them.
"""

import numpy as np
from scipy import special

from subquad._parallel import blocks

_STEP = 1 / 64
# A temporary of so many numbers stays in cache.
_BLOCK = 2**14


def _double_exponential():
    """Nodes on (0, 1), their distances from 1, and weights."""
    u = np.arange(-204, 205) * _STEP
    inner = np.pi / 2 * np.sinh(u)
    weights = _STEP * np.pi / 4 * np.cosh(u) / np.cosh(inner) ** 2
    return special.expit(2 * inner), special.expit(-2 * inner), weights


_NODES, _REST, _WEIGHTS = _double_exponential()
_LEGENDRE = tuple(0.5 * x for x in np.polynomial.legendre.leggauss(32))


def angles(square, rest):
    """Return the angle and its supplement from (1 - r) / 2 and (1 + r) / 2."""
    smaller = 2 * np.arcsin(np.sqrt(np.minimum(square, rest)))
    acute = square <= rest
    return np.where(acute, smaller, np.pi - smaller), np.where(acute, np.pi - smaller, smaller)


def orthant_moments(h, k, angle, supplement):
    """Return (L, M); all arguments broadcast."""
    if not np.any(h) and not np.any(k):
        return _centred_moments(angle, supplement)
    h, k, angle, supplement = np.broadcast_arrays(h, k, angle, supplement)
    shape = angle.shape
    arguments = [np.ravel(x).astype(np.float64) for x in (h, k, angle, supplement)]
    L, M = np.empty(angle.size), np.empty(angle.size)
    for part in blocks(angle.size, _BLOCK // len(_NODES)):
        L[part], M[part] = _integrals(*(x[part, None] for x in arguments))
    return L.reshape(shape), M.reshape(shape)


def _centred_moments(angle, supplement):
    """L and M for h = k = 0, the arc-cosine kernels of Cho and Saul (2009)."""
    square = np.square(supplement)
    series, term = np.zeros_like(square), supplement * square / (6 * np.pi)
    for k in range(1, 9):  # of (sin x - x cos x) / 2 pi, which cancels for small x
        series = series + term
        term = -term * square * ((k + 1) / (k * (2 * k + 2) * (2 * k + 3)))
    closed = (np.sin(angle) + supplement * np.cos(angle)) / (2 * np.pi)
    return supplement / (2 * np.pi), np.where(supplement < 0.7, series, closed)


def _integrals(h, k, angle, supplement):
    """L and M of columns."""
    before, after = supplement * _NODES, supplement * _REST  # t - angle, pi - t
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        cosine = np.sin(after / 2)  # cos(t / 2)
        exponent = np.where(h * k == 0, 0.0, h * k / np.square(cosine))
        if (h != k).any():
            sine = np.where(angle + before < 1.5, np.sin(angle + before), np.sin(after))
            exponent += np.where(h == k, 0.0, np.square((h - k) / sine))
        e = np.exp(-0.5 * exponent) * (_WEIGHTS / (2 * np.pi))
    e = np.where(np.isnan(e), 0.0, e)  # where the angle is pi
    # cos(angle) - cos t, of which neither factor cancels
    climb = 2 * np.sin(before / 2) * np.sin((after + supplement) / 2)
    width = supplement[:, 0]
    return width * e.sum(axis=1), width * (e * climb).sum(axis=1)


def lost_moments(b, angle):
    """Return (L, M) at angle 0 minus (L, M) at angles up to 1.6, for equal thresholds b.

    L loses the integral of e(t) / 2 pi over t up to the angle, and M

        Q(b) (1 - cos(angle)) - the integral of e(t) (cos t - cos(angle)) / 2 pi,

    both without cancellation at small angles.
    """
    shape, angle = angle.shape, np.ravel(angle)
    lost_L, lost_M = np.empty_like(angle), np.empty_like(angle)
    for part in blocks(len(angle), _BLOCK // len(_LEGENDRE[0])):
        lost_L[part], lost_M[part] = _lost_integrals(b, angle[part])
    return lost_L.reshape(shape), lost_M.reshape(shape)


def _lost_integrals(b, angle):
    """The two integrals for a vector of angles."""
    x, weights = _LEGENDRE
    square = np.square(np.sin(angle[:, None] / 2 * (x + 0.5)))  # of sin(t / 2)
    e = np.exp(-b * b / 2 / (1 - square)) * (weights / (2 * np.pi))
    end = np.square(np.sin(angle / 2))
    fall = 2 * (end[:, None] - square)  # cos t - cos(angle)
    return angle * e.sum(axis=1), 2 * special.ndtr(-b) * end - angle * (e * fall).sum(axis=1)


def product_moment(h, k, angle, supplement, L):
    """Return E z1 z2 1[z1 > h] 1[z2 > k], given L."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        sine = np.where(angle < 1.5, np.sin(angle), np.sin(supplement))
        half = np.sin(angle / 2) / np.sin(supplement / 2)  # tan(angle / 2)
        lean = np.where(h == k, 0.0, (k - h) / sine)
        A = lean + np.where(h == 0, 0.0, h * half)
        B = -lean + np.where(k == 0, 0.0, k * half)
        # At the angle pi one of them is infinity less infinity; its limit is infinity.
        A, B = (np.where(np.isnan(x), np.inf, x) for x in (A, B))
        apart = np.where(h == k, 0.0, np.square((h - k) / sine))
        together = np.where(h * k == 0, 0.0, h * k / np.square(np.sin(supplement / 2)))
        density = np.exp(-0.5 * (apart + together)) * sine / (2 * np.pi)
    r = np.cos(angle)
    terms = L + h * _pdf(h) * special.ndtr(-A) + k * _pdf(k) * special.ndtr(-B)
    return r * terms + np.where(np.isnan(density), 0.0, density)


def lost_product_moment(b, angle, lost_L, lost_M):
    """Return the product moment at angle 0 minus that at `angle`, for equal thresholds b."""
    bend = np.square(np.sin(angle / 2))
    means = bend + 0.5 * (1 + np.cos(angle)) * special.erf(b * np.tan(angle / 2) / np.sqrt(2))
    return lost_M + 2 * b * _pdf(b) * means - b * b * lost_L


def _pdf(x):
    return np.exp(-0.5 * np.square(x)) / np.sqrt(2 * np.pi)
