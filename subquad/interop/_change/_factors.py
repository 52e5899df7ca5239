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


def recompressed(A, V, rank):
    """Return the best factors of at most this rank: singular vectors times roots of the values.

    Rounding their entries changes A^T V by no more than that, relatively, since nothing cancels: a
    Gauss-Newton step may be a sum of large terms. QR of both sides, and the singular values of a
    matrix r x r.
    """
    if len(A) == 0:
        return A, V
    Q_a, R_a = scipy.linalg.qr(A.T, mode="economic")
    Q_v, R_v = scipy.linalg.qr(V.T, mode="economic")
    X, s, Yt = scipy.linalg.svd(R_a @ R_v.T, full_matrices=False)
    root = np.sqrt(s[:rank, None])
    return root * (X[:, : len(root)].T @ Q_a.T), root * (Yt[: len(root)] @ Q_v.T)


def fingerprint(matrix):
    """Return W p for a fixed vector p: it tells a weight from others without keeping it."""
    return matrix.astype(np.float64, copy=False) @ _probe(matrix)


def matches(known, matrix, eps):
    """Whether a weight is the one of a fingerprint, up to the rounding of its entries."""
    bound = 2 * eps * (np.abs(matrix).astype(np.float64) @ np.abs(_probe(matrix)))
    return bool((np.abs(fingerprint(matrix) - known) <= bound).all())


def _probe(matrix):
    return np.random.default_rng(0).standard_normal(matrix.shape[1])
