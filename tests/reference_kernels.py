"""What each kernel computes, in plain numpy and float64, and how far rounding may move it.

Tolerances are the a priori bounds of floating-point arithmetic. A sum of k rounded products,
evaluated in any order, with fused multiply-adds or without, differs from the exact one by at most

    gamma_k * sum |terms|,    gamma_k = k u / (1 - k u),    u = eps / 2,

(Higham, Accuracy and Stability of Numerical Algorithms, 2nd edition, section 3.1). Each definition
that needs one returns (value, magnitude), the magnitude being the same sum over absolute values.
"""

import numpy as np

WORD = 64


def gamma(k, dtype):
    """gamma_k = k u / (1 - k u)."""
    ku = k * np.finfo(dtype).eps / 2
    return ku / (1 - ku)


def assert_within_rounding(actual, value_and_magnitude, n_terms, dtype):
    """Fail unless |actual - value| <= bound * magnitude for sums of n_terms products in dtype.

    The bound is gamma_(n_terms + 4): two roundings for scaling each term, one for adding the sum
    to what was there, one for storing it; and as much again in float64, for the definition's own.
    """
    value, magnitude = value_and_magnitude
    bound = gamma(n_terms + 4, dtype) + gamma(n_terms + 4, np.float64)
    error = np.abs(np.asarray(actual, dtype=np.float64) - value)
    assert error.shape == value.shape
    assert np.all(error <= bound * magnitude), (
        f"largest error is {np.max(error / np.maximum(magnitude, 1e-300)):.2e} of the magnitude, "
        f"allowed are {bound:.2e}"
    )


# ---- bits
def pack_bits(mask):
    """(rows, count) bool -> (rows, words) uint64, entry c as bit c % 64 of word c // 64."""
    rows, count = mask.shape
    words = -(-count // WORD)
    padded = np.zeros((rows, words * WORD), bool)
    padded[:, :count] = mask
    as_bytes = np.packbits(padded, axis=1, bitorder="little")
    return np.ascontiguousarray(as_bytes).view("<u8").reshape(rows, words).astype(np.uint64)


def unpack_bits(bits, count):
    """Inverse of pack_bits; fails when a bit beyond the count is set."""
    rows = len(bits)
    as_bytes = np.ascontiguousarray(bits.astype("<u8")).view(np.uint8).reshape(rows, -1)
    mask = np.unpackbits(as_bytes, axis=1, bitorder="little").astype(bool)
    assert not mask[:, count:].any(), "a bit of the padding is set"
    return mask[:, :count]


# ---- column_product
def column_product(columns, H, out):
    """Out + H columns, for H dense here."""
    columns, H, out = (np.asarray(x, np.float64) for x in (columns, H, out))
    return out + H @ columns, np.abs(out) + np.abs(H) @ np.abs(columns)


def csr(H):
    """Canonical (indptr, indices, values) of a dense H."""
    rows, indices = np.nonzero(H)
    indptr = np.searchsorted(rows, np.arange(len(H) + 1)).astype(np.intp)
    return indptr, indices.astype(np.intp), H[rows, indices]


# ---- coactivation
def fired(Z, thresholds):
    """D (n, m): whether neuron r fires at data point i."""
    return Z > thresholds[:, None]


def coactivation_counts(D):
    """S = D D^T for D (n, m)."""
    return D.astype(np.int64) @ D.T.astype(np.int64)


def weighted_gram(D, weights, K):
    """K o D^T diag(weights) D for D (m, n)."""
    D = D.astype(np.float64)
    return K * (D.T @ (weights[:, None] * D)), np.abs(K) * (D.T @ (np.abs(weights)[:, None] * D))


# ---- gauss_newton
def padded_size(n, dtype):
    """Data points of a row padded to whole 64-byte vectors."""
    lanes = 64 // np.dtype(dtype).itemsize
    return -(-n // lanes) * lanes


def tiled(K, ld, tile):
    """K (n, n), padded with zeros to (n, ld), as a flat array of tiles of so many columns."""
    padded = np.zeros((len(K), ld))
    padded[:, : len(K)] = K
    tiles = [padded[:, first : first + tile].ravel() for first in range(0, ld, tile)]
    return np.concatenate([[], *tiles])


def moved(change, D, moves, readout, keep, output_of):
    """Return keep * change + readout o (D moves_c), for D (m, n) and c the output of a neuron."""
    steps = np.array([D[r].astype(np.float64) @ moves[c] for r, c in enumerate(output_of)])
    sizes = np.array([D[r].astype(np.float64) @ np.abs(moves[c]) for r, c in enumerate(output_of)])
    value = keep * change.astype(np.float64) + readout[:, None] * steps
    return value, np.abs(keep * change) + np.abs(readout)[:, None] * sizes


def response(base, change, readout, jump):
    """Return sum_r readout_r 1[base + change > 0] (base + change + jump) over neurons r."""
    z = base.astype(np.float64) + change.astype(np.float64)
    terms = readout[:, None] * np.where(z > 0, z + jump, 0.0)
    # base + change cancels near the threshold: its rounding is relative to its parts.
    parts = np.abs(base) + np.abs(change) + np.abs(jump)
    return terms.sum(axis=0), (np.abs(readout)[:, None] * parts).sum(axis=0, dtype=np.float64)


def linear_response(base, change, readout):
    """Return sum_r readout_r 1[base + change > 0] change over neurons r."""
    change = change.astype(np.float64)
    terms = readout[:, None] * np.where(base.astype(np.float64) + change > 0, change, 0.0)
    return terms.sum(axis=0), (np.abs(readout)[:, None] * np.abs(change)).sum(axis=0)


# ---- low_rank
def flush(columns, U, V):
    """Columns + V^T U."""
    columns, U, V = (np.asarray(x, np.float64) for x in (columns, U, V))
    return columns + V.T @ U, np.abs(columns) + np.abs(V).T @ np.abs(U)


def accumulate(D, coefficients, readout, A):
    """A + diag(coefficients) D diag(readout) for D (n, m)."""
    terms = coefficients[:, None] * np.where(D, readout, 0.0)
    return A + terms, np.abs(A) + np.abs(terms)
