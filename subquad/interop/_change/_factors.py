"""The change of a weight as factors: A^T V, A (r, m_u) and V (r, m_v)."""

import numpy as np
import scipy.linalg
import scipy.sparse


def product(A, V):
    """Return A^T V, shape (m_u, m_v)."""
    return A.T @ V


def bounded(pairs):
    """Return factors, in float64, of the sum of the A^T V of some pairs, dense or CSR.

    The pairs are stacked as long as their rank stays below the sizes of the matrix; beyond, the
    matrix itself is one of the factors and the identity the other.
    """
    m_u, m_v = pairs[0][0].shape[1], pairs[0][1].shape[1]
    pairs = [(A, V) for A, V in pairs if A.shape[0] > 0]
    sparse = any(scipy.sparse.issparse(x) for pair in pairs for x in pair)
    rank = sum(A.shape[0] for A, _ in pairs)
    if rank <= min(m_u, m_v) and not sparse:
        empty = np.zeros((0, m_u)), np.zeros((0, m_v))
        A, V = (np.concatenate(side) for side in zip(empty, *pairs, strict=True))
        return A, V
    D = np.zeros((m_u, m_v))
    for A, V in pairs:
        D += A.astype(np.float64).T @ V.astype(np.float64)
    return (np.eye(m_u), D) if m_u <= m_v else (np.ascontiguousarray(D.T), np.eye(m_v))


def balanced(A, V):
    """Return the same product from rows of nearly equal norms: they are scaled by powers of two."""
    a, v = (np.linalg.norm(x, axis=1) for x in (A, V))
    with np.errstate(divide="ignore", invalid="ignore"):
        exponents = np.round(np.log2(v / a) / 2)
    scales = np.exp2(np.where(np.isfinite(exponents), exponents, 0.0))[:, None]
    return scales * A, V / scales


def recompressed(A, V, rank):
    """Return the best factors of at most this rank, and their error relative to A^T V.

    QR of both sides and the singular values of a matrix r x r; errors are Frobenius norms.
    """
    Q_a, R_a = scipy.linalg.qr(A.T, mode="economic")
    Q_v, R_v = scipy.linalg.qr(V.T, mode="economic")
    X, s, Yt = scipy.linalg.svd(R_a @ R_v.T)
    root = np.sqrt(s[:rank, None])
    total = float(np.linalg.norm(s))
    error = float(np.linalg.norm(s[rank:])) / total if total else 0.0
    return root * (X[:, : len(root)].T @ Q_a.T), root * (Yt[: len(root)] @ Q_v.T), error


def fingerprint(matrix):
    """Return W p for a fixed vector p: it tells a weight from others without keeping it."""
    return matrix.astype(np.float64, copy=False) @ _probe(matrix)


def matches(known, matrix, eps):
    """Whether a weight is the one of a fingerprint, up to the rounding of its entries."""
    bound = 2 * eps * (np.abs(matrix).astype(np.float64) @ np.abs(_probe(matrix)))
    return bool((np.abs(fingerprint(matrix) - known) <= bound).all())


def _probe(matrix):
    return np.random.default_rng(0).standard_normal(matrix.shape[1])
