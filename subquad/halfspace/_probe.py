"""The probe of method "auto": whether a tree skips enough points to be faster than a scan."""

import numpy as np

from subquad.halfspace._search import Search
from subquad.halfspace._store import Store

# Try a tree on sets of at least this many points only.
_FEWEST = 8192
# Try the tree on at most this many points; of a larger set it skips a larger fraction.
_SAMPLE = 1 << 15
# Ask this many queries, each of which reports this fraction of the sample.
_QUERIES = 8
_REPORTED = 0.01
# A tree that tests less than this fraction of the points is faster than a scan, which reads in
# order, has nothing to sort, and reads each point once for several queries.
_WORTHWHILE = 0.4


def tree_pays(rows):
    """Return whether a tree pays, from queries along directions to some points of a sample."""
    n = len(rows)
    if n < _FEWEST:
        return False
    sample = rows[:: -(-n // _SAMPLE)].copy()
    A = sample[:: len(sample) // _QUERIES][:_QUERIES] - sample.mean(axis=0)
    b = np.quantile(sample @ A.T, 1 - _REPORTED, axis=0).astype(rows.dtype)
    ids = np.arange(len(sample))
    *_, n_tested = Search().batch(Store(ids, sample, ids.size, True), A, b, 1)
    return n_tested < _WORTHWHILE * len(sample) * len(A)
