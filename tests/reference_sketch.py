"""Sketches by their definitions, in plain numpy. [SZZ24], Appendix D.1 and D.2."""

import numpy as np


def count_sketch_matrix(buckets, signs, sketch_size):
    """S[h(j), j] = sigma(j), all else 0."""
    S = np.zeros((sketch_size, len(buckets)))
    for j, (bucket, sign) in enumerate(zip(buckets, signs, strict=True)):
        S[bucket, j] = sign
    return S


def tensor_sketch(u, v, halves, sketch_size):
    """Definition D.2, with two sign functions: sum over i, j with h1(i) + h2(j) = r mod s."""
    (h1, sigma1), (h2, sigma2) = halves
    out = np.zeros(sketch_size)
    for i in range(len(u)):
        for j in range(len(v)):
            out[(h1[i] + h2[j]) % sketch_size] += sigma1[i] * sigma2[j] * u[i] * v[j]
    return out


def khatri_rao(U, V):
    """Rows vec(u_i v_i^T), entry (j, k) at j m_v + k."""
    return np.stack([np.outer(u, v).ravel() for u, v in zip(U, V, strict=True)])
