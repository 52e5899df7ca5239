"""Whether a tree leaves out enough points to be faster than testing them all."""

import numpy as np

from subquad.halfspace._search import Search
from subquad.halfspace._store import Store

_FEWEST = 8192  # points for which a tree may pay
_SAMPLE = 1 << 15  # points, at most, on which it is tried; of more it leaves out more
_QUERIES = 8
_REPORTED = 0.01
_WORTHWHILE = 0.4  # tested: a scan reads in order, needs no sorting, and shares what it reads


def tree_pays(rows):
    """Try a tree on a sample of the rows, by queries towards some of them."""
    n = len(rows)
    if n < _FEWEST:
        return False
    sample = rows[:: -(-n // _SAMPLE)].copy()
    A = sample[:: len(sample) // _QUERIES][:_QUERIES] - sample.mean(axis=0)
    b = np.quantile(sample @ A.T, 1 - _REPORTED, axis=0).astype(rows.dtype)
    ids = np.arange(len(sample))
    *_, n_tested = Search().batch(Store(ids, sample, ids.size, True), A, b, 1)
    return n_tested < _WORTHWHILE * len(sample) * len(A)
