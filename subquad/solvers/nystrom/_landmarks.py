"""Which rows are landmarks."""

import numpy as np

from subquad._validation import as_positions

# Pivot among so many rows for each landmark at most: the factor of M columns that pivoting keeps
# then has at most four times the numbers of the normal equations.
_POOL = 4
# Draw a tenth of the landmarks at a time, from the diagonal that the earlier ones leave.
_ROUNDS = 10
KINDS = ("uniform", "pivoted")


def checked_landmarks(landmarks):
    """Return a kind of landmarks, or positions as a vector of integers."""
    if isinstance(landmarks, str):
        if landmarks not in KINDS:
            raise ValueError(
                f"landmarks must be 'uniform', 'pivoted' or indices of rows; got {landmarks!r}."
            )
        return landmarks
    return as_positions(landmarks, "landmarks", np.iinfo(np.intp).max)


def drawn_landmarks(kernel, kind, count, present, rng):
    """Return `count` of the rows that are present, rising indices, drawn as `kind` says."""
    if kind == "uniform":
        return np.sort(rng.choice(present, count, replace=False))
    size = min(len(present), _POOL * count)
    return pivoted(kernel, np.sort(rng.choice(present, size, replace=False)), count, rng)


def pivoted(kernel, pool, count, rng):
    """Return `count` rows of the pool by block randomly pivoted Cholesky, in rising order.

    Each is drawn with a probability in proportion to what the Nystrom kernel of those before it
    lacks of its diagonal. Chen, Epperly, Tropp and Webber (2023), Algorithm 2, but for draws
    without repetition within a block. Where nothing is lacking any more, the rest are drawn
    uniformly.
    """
    left = kernel.diagonal()[pool].astype(np.float64)
    floor = len(pool) * np.finfo(np.float64).eps * left.max(initial=0.0)
    F, chosen = np.zeros((len(pool), count)), []
    while len(chosen) < count:
        left[chosen] = 0.0
        some = np.flatnonzero(left > floor)
        size = min(-(-count // _ROUNDS), count - len(chosen))
        if len(some) < size:
            others = np.setdiff1d(np.arange(len(pool)), chosen)
            chosen.extend(rng.choice(others, count - len(chosen), replace=False))
            break
        new = rng.choice(some, size, replace=False, p=left[some] / left[some].sum())
        k = len(chosen)
        columns = kernel.block(pool, pool[new]).astype(np.float64)
        columns -= F[:, :k] @ F[new, :k].T
        F[:, k : k + size] = _whitened(columns, new)
        left -= np.square(F[:, k : k + size]).sum(axis=1)
        chosen.extend(new)
    return np.sort(pool[chosen])


def _whitened(columns, points):
    """Factor of the part of a kernel that its columns at some points tell."""
    block = columns[points]
    values, vectors = np.linalg.eigh((block + block.T) / 2)
    kept = values > len(points) * np.finfo(np.float64).eps * max(values[-1], 0.0)
    factor = np.zeros_like(columns)
    factor[:, kept] = columns @ (vectors[:, kept] / np.sqrt(values[kept]))
    return factor
