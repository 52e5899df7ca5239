"""The probe of method "auto": whether a tree skips enough points to be faster than a scan.

It counts what a tree of a sample tests, and times nothing: equal points get equal engines.
"""

import numpy as np

from subquad.halfspace._search import Search
from subquad.halfspace._store import Store

# Try a tree on sets of at least this many points only.
_FEWEST = 8192
# Try the tree on at most this many points.
_SAMPLE = 1 << 15
# Ask this many queries, each of which reports this fraction of the sample.
_QUERIES = 8
_REPORTED = 0.01
# Of m times as many points in d dimensions a tree tests a fraction that is smaller by this power of
# m, over d: 1.4 to 1.8 for Gaussian points in 5 to 10 dimensions, from the sample to 10^6 points.
_SHRINKS = 1.5
# A tree that tests less than this fraction of the points, by bytes of a number, is faster than a
# scan: with AVX2, 30,000 to 10^6 points, both were equal at 0.12 to 0.18 in float32, at 0.1 in
# float64, in which the codes of a scan are no longer.
_WORTHWHILE = {4: 0.16, 8: 0.1}


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
    tested = n_tested / (len(sample) * len(A))
    return tested * (len(sample) / n) ** (_SHRINKS / rows.shape[1]) < _WORTHWHILE[rows.itemsize]
