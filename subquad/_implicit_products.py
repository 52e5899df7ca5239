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

from subquad._compact import int8_normals
from subquad._kernels import gaussian
from subquad._parallel import blocks
from subquad._passes import Pass
from subquad._products import SPARSE_COST, blocks_by_work, threads_for_work

# The sums of so many rows over a panel stay in the second-level cache.
_ROWS = 512
# A plan takes about 40 bytes for each nonzero of its rows.
_NONZEROS_PER_PLAN = 2**22
# Sort the nonzeros of a block of rows where there are so many times as many columns.
_FEW = 64
# Making an entry costs as much as so many multiply-adds; less with AVX-512.
_COST = {"int8": 15.0, "float32": 60.0}


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
    keys, first = W._keys_between(start, stop)
    for rows, useful in _made_at_once(W, block, n_threads):
        gaussian.fill(keys, W._table, W.step, first + rows.start, block[rows], useful)
    return block


def integers_block(W, start, stop, n_threads):
    """Return the integers of W[:, start:stop]^T on the int8 grid."""
    block = np.empty((stop - start, W.shape[0]), np.int8)
    keys, first = W._keys_between(start, stop)
    for rows, useful in _made_at_once(W, block, n_threads):
        gaussian.fill_integers(keys, W._table, first + rows.start, block[rows], useful)
    return block


def _made_at_once(W, block, n_threads):
    """Yield slices of the rows of a block of entries for calls of bounded length, and threads."""
    useful = threads_for_work(n_threads, _COST[W.grid] * block.size)
    passing = Pass(len(block))
    for rows in blocks_by_work(len(block), SPARSE_COST * _COST[W.grid] * W.shape[0]):
        yield rows, useful
        passing.advance(rows.stop - rows.start)


def product(W, rows, n_threads, transposed):
    """Return H W^T, or H W, for the rows of H (DenseRows or SparseRows), a block at a time."""
    n, keys = len(rows), W._keys
    m_out, m_in = W.shape[::-1] if transposed else W.shape
    out, n_panels = np.zeros((n, m_out), W.dtype), -(-m_out // gaussian.TILE)
    passing = Pass(n * n_panels)
    for block in blocks(n, min(_ROWS, _NONZEROS_PER_PLAN * n / max(rows.nnz, 1))):
        indptr, indices, values = rows.csr(block)
        sources, *runs = _plan(indptr, indices, values, m_in, W.step)
        cost = (_COST[W.grid] * len(sources) + indptr[-1] - indptr[0]) * gaussian.TILE
        useful = threads_for_work(min(n_threads, n_panels), cost * m_out / gaussian.TILE)
        size = gaussian.TILE * (gaussian.BLOCK + 1 + len(out[block]))
        scratch = np.empty((useful, size), W.dtype)
        slow = SPARSE_COST * W.dtype.itemsize / 4  # BLAS and the kernel halve their rate in float64
        for panels in blocks_by_work(n_panels, slow * cost):
            gaussian.product(
                keys, W._table, transposed, sources, *runs, panels.start, panels.stop,
                out[block], scratch, useful,
            )  # fmt: skip
            passing.advance((block.stop - block.start) * (panels.stop - panels.start))
    return out


def _plan(indptr, indices, values, m_in, scale):
    """Return the sources and runs of sparse rows, see `gaussian.plan`."""
    indices = indices[: indptr[-1]]
    if len(indices) * _FEW < m_in:
        sources, places = np.unique(indices[indptr[0] :], return_inverse=True)
        indices = np.concatenate([np.zeros(indptr[0], np.intp), places])
        rank = np.arange(len(sources))
    else:
        needed = np.zeros(m_in, bool)
        needed[indices[indptr[0] :]] = True
        sources = np.flatnonzero(needed)
        rank = np.cumsum(needed, dtype=np.intp) - 1
    n_blocks, nnz = -(-len(sources) // gaussian.BLOCK), indptr[-1] - indptr[0]
    groups = np.empty((n_blocks, gaussian.RUN + 1), np.intp)
    points, columns = np.empty(nnz, np.int32), np.empty(nnz, np.uint8)
    ordered = np.empty(nnz, values.dtype)
    cursor = np.empty((n_blocks, 2 * gaussian.RUN), np.intp)
    gaussian.plan(indptr, indices, values, rank, scale, groups, points, columns, ordered, cursor)
    return sources, groups, points, columns, ordered
