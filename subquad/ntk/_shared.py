"""Kernels whose blocks of rows the ranks of a communicator make, each some, and then all have."""

import math

import numpy as np

from subquad._parallel import blocks
from subquad._ranks import Ranks
from subquad.ntk._panels import _mirror, _require_room, limit_kernels

# Ranks make blocks of so many rows, of the same shapes whatever the number of ranks is.
ROWS_PER_BLOCK = 256


def shared_kernels(comm, left, right, dual, depth, kinds, n_threads):
    """Return what `limit_kernels` does, on every rank, made by all of them."""
    ranks = Ranks(comm)
    ranks.require_same(
        X=_arrays(left), Y=_arrays(right), activation=_name(dual), depth=depth, kernels=[*kinds]
    )
    n, k = len(left), len(left if right is None else right)
    ranks.agreed(lambda: _require_room(len(kinds), (n, k), left.dtype))
    outs = np.empty((len(kinds), n, k), left.dtype)
    edges = _edges(n, ranks.size, triangle=right is None)
    own = slice(*edges[ranks.rank : ranks.rank + 2])
    ranks.agreed(lambda: _fill_rows(own, left, right, outs, (dual, depth, kinds, n_threads)))
    for out in outs:
        ranks.filled(out, edges)
    if right is None:
        _mirror(outs, n_threads)
    return outs


def _fill_rows(own, left, right, outs, options):
    """Fill some rows: whole ones, or up to the diagonal."""
    for block in blocks(own.stop - own.start, ROWS_PER_BLOCK):
        rows = slice(own.start + block.start, own.start + block.stop)
        part = left.part(rows)
        if right is not None:
            outs[:, rows] = limit_kernels(part, right, *options)
            continue
        outs[:, rows, rows] = limit_kernels(part, None, *options)
        if rows.start:
            before = slice(0, rows.start)
            outs[:, rows, before] = limit_kernels(part, left.part(before), *options)


def _edges(n, n_ranks, triangle):
    """Return where the rows of each rank begin, in whole blocks: so that all have as much to do."""
    n_blocks = -(-n // ROWS_PER_BLOCK)
    shares = [r / n_ranks for r in range(n_ranks + 1)]
    if triangle:  # the first rows are short
        shares = [math.sqrt(share) for share in shares]
    return [min(n, round(n_blocks * share) * ROWS_PER_BLOCK) for share in shares]


def _arrays(points):
    """What tells points from others, by checksums."""
    if points is None:
        return None
    rows = points.rows
    parts = (rows.indptr, rows.indices, rows.data) if points.sparse else (rows,)
    return [*parts, points.norms, rows.shape]


def _name(dual):
    """What tells an activation from others, without the address of a function."""
    activation = dual.activation
    return getattr(activation, "__qualname__", repr(activation) if dual._exact else "callable")
