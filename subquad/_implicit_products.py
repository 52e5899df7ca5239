"""Products of many rows with weights that are made as they are needed.

`W` is a GaussianWeights here: its keys and table make the integers or normals of the kernels, and
W is `step` times them. All of it trusts its arguments. No single call keeps Ctrl-C waiting for more
than about a second.

There is no path through BLAS. For a full H, the sparse kernel took this part of the time of BLAS on
blocks of W made for it (one thread, AVX-512, m = 8192):
    W    float32: n = 16  .46-.62   n = 64  .80-.82    n = 256  1.04-1.06    float64: .33-.88
    W^T  float32: n = 16  .56-1.1   n = 64  .82-1.05   n = 256  1.04-1.12    float64: .24-1.05
"""

import numpy as np

from subquad._kernels import gaussian
from subquad._products import SPARSE_COST, blocks, int8_normals

_ROWS = 512  # whose sums over a panel stay in the second-level cache
_COST = {"int8": 15.0, "float32": 60.0}  # of making an entry, in multiply-adds; less with AVX-512
# A quarter to half of a millisecond. Less is not worth another thread, which may wait longer than
# that for a processor.
_MULTIPLY_ADDS_PER_THREAD = 1e7


def int8_law():
    """Return the numbers of the 256 bytes, for bytes 0 to 127 the positive ones, and their scale.

    No quantile is nearer than 0.0006 to where its rounding would change, so that any accurate
    inverse of the normal distribution gives the same integers.
    """
    numbers, scale = int8_normals()
    return np.concatenate([numbers[128:], -numbers[128:]]), float(scale)


def columns_block(W, start, stop, n_threads):
    """Return W[:, start:stop]^T."""
    block = np.empty((stop - start, W.shape[0]), W.dtype)
    n_threads = _useful_threads(n_threads, _COST[W.grid] * block.size)
    for rows in blocks(len(block), SPARSE_COST * _COST[W.grid] * W.shape[0]):
        first = start + rows.start
        gaussian.fill(W._keys, W._table, W.step, first, block[rows], n_threads)
    return block


def product(W, indptr, indices, values, n_threads, transposed):
    """Return H W^T, or H W, for H in CSR, a block of rows of H at a time."""
    n = len(indptr) - 1
    m_out, m_in = W.shape[::-1] if transposed else W.shape
    out = np.zeros((n, m_out), W.dtype)
    scratch = np.empty((n_threads, gaussian.TILE * (gaussian.TILE + 1 + min(n, _ROWS))), W.dtype)
    for start in range(0, n, _ROWS):
        pointers = indptr[start : start + _ROWS + 1]
        sources, *runs = _plan(pointers, indices, values, m_in, W.step)
        cost = (_COST[W.grid] * len(sources) + pointers[-1] - pointers[0]) * gaussian.TILE
        useful = _useful_threads(n_threads, cost * m_out / gaussian.TILE)
        for panels in blocks(-(-m_out // gaussian.TILE), SPARSE_COST * cost):
            gaussian.product(
                W._keys, W._table, transposed, sources, *runs, panels.start, panels.stop,
                out[start : start + _ROWS], scratch, useful,
            )  # fmt: skip
    return out


def _useful_threads(n_threads, multiply_adds):
    """Return how many of the threads have enough to do."""
    return max(1, min(n_threads, int(multiply_adds / _MULTIPLY_ADDS_PER_THREAD)))


def _plan(indptr, indices, values, m_in, scale):
    """Return the sources and runs of sparse rows, see `gaussian.plan`."""
    indices = indices[: indptr[-1]]
    needed = np.zeros(m_in, bool)
    needed[indices[indptr[0] :]] = True
    sources = np.flatnonzero(needed)
    rank = np.cumsum(needed, dtype=np.intp) - 1
    n_blocks, nnz = -(-len(sources) // gaussian.TILE), indptr[-1] - indptr[0]
    groups = np.empty((n_blocks, gaussian.RUN + 1), np.intp)
    points, columns = np.empty(nnz, np.int32), np.empty(nnz, np.uint8)
    ordered = np.empty(nnz, values.dtype)
    cursor = np.empty((n_blocks, 2 * gaussian.RUN), np.intp)
    gaussian.plan(indptr, indices, values, rank, scale, groups, points, columns, ordered, cursor)
    return sources, groups, points, columns, ordered
