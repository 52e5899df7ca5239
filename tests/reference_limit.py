"""Kernels of infinitely wide networks in closed form, float64, plain numpy and Owen's T function.

Keys: [SZZ24] Song, Zhang, Zhang; [Owen 1956] Tables for computing bivariate normal probabilities.
"Corrected" marks a printed formula that does not hold as it stands; the docstring then says what is
used instead.
"""

import numpy as np
from reference_network import density, hard_constant, shifted_constant, tail
from scipy.special import ndtr, owens_t


def orthant(h, k, r):
    """P(z1 > h, z2 > k) for unit normals of correlation r, by Owen's T function [Owen 1956]."""
    if abs(r) == 1.0:
        return float(min(tail(h), tail(k)) if r > 0 else max(ndtr(-h) + ndtr(-k) - 1.0, 0.0))
    if h == 0.0 and k == 0.0:
        return 0.25 + np.arcsin(r) / (2.0 * np.pi)
    x, y, w = -h, -k, np.sqrt((1.0 - r) * (1.0 + r))

    def part(p, q):
        slope = (q - r * p) / (p * w) if p != 0.0 else np.copysign(np.inf, q)
        return 0.5 * ndtr(p) - owens_t(p, slope)

    beta = 0.0 if x * y > 0.0 or (x * y == 0.0 and x + y >= 0.0) else 0.5
    return float(part(x, y) + part(y, x) - beta)


def kappa(b, r, jumps=False):
    """2 c E[phi(z1) phi(z2)], the correlation after one layer; b >= 0, kappa(1) = 1.

    Replaces the arc-cosine kernel of [SZZ24] Lemma E.4, which holds at b = 0 only.
    """
    if abs(r) == 1.0:
        return max(float(r), 0.0)
    w = np.sqrt((1.0 - r) * (1.0 + r))
    c = hard_constant(b) if jumps else shifted_constant(b)
    both_fire = orthant(b, b, r)
    edge = density(b) * tail((b - r * b) / w)
    first = (1.0 + r) * edge  # E[z1; both fire]
    second = r * both_fire + 2.0 * r * b * edge  # E[z1 z2; both fire]
    second += w / (2.0 * np.pi) * np.exp(-b * b / (1.0 + r))
    return float(2.0 * c * (second if jumps else second - 2.0 * b * first + b * b * both_fire))


def limit_kernels(X, n_layers, b, jumps=False):
    """Return (K_{L-1}, lim G_L / m): K_l,ij = q_i q_j kappa(K_ij / (q_i q_j)), q_i^2 = K_ii.

    [SZZ24] Definition E.3, corrected: the index of Sigma; the factor K_{L-1} in the last.
    """
    K = X @ X.T
    c = hard_constant(b) if jumps else shifted_constant(b)

    def through(function):
        q = np.sqrt(np.diag(K))
        r = np.clip(K / np.outer(q, q), -1.0, 1.0)
        np.fill_diagonal(r, 1.0)
        return np.outer(q, q), np.vectorize(function)(r)

    for _ in range(n_layers - 1):
        q, correlation = through(lambda t: kappa(b, t, jumps))
        K = q * correlation
    return K, K * c * through(lambda t: orthant(b, b, t))[1]
