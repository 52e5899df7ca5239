"""Sketches by their definitions, in plain numpy, and what their tests share.

[SZZ24], Appendix D.1 and D.2.
"""

import numpy as np
import scipy.sparse


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


def sparse(rng, shape, dtype):
    """A sparse matrix with an empty row and an empty column."""
    X = rng.standard_normal(shape).astype(dtype) * (rng.random(shape) < 0.3)
    X[min(1, len(X) - 1)] = 0
    X[:, min(2, X.shape[1] - 1)] = 0
    return scipy.sparse.csr_array(X)


def sides(rng, n, dtype, m_u=13, m_v=21):
    """U (n, m_u) and V (n, m_v), two fifths of them zeros."""
    U, V = rng.standard_normal((n, m_u)), rng.standard_normal((n, m_v))
    U *= rng.random(U.shape) < 0.6
    V *= rng.random(V.shape) < 0.6
    return U.astype(dtype), V.astype(dtype)


def close(actual, expected, dtype):
    """Within what some dozens of additions and a transform can lose, and no dtype but this."""
    assert actual.dtype == dtype
    size = max(1.0, np.abs(expected).max(initial=0.0))
    np.testing.assert_allclose(actual, expected, rtol=0, atol=200 * np.finfo(dtype).eps * size)
