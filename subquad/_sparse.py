"""Sparse matrices, checked before scipy converts them: its conversions trust what they are given.

A caller may change the arrays of a sparse matrix at any time, and scipy neither checks them again
nor forgets that they were sorted once. Out-of-range indices then crash its compiled conversions.
"""

import itertools

import numpy as np
import scipy.sparse

_LARGEST_OFFSET = 2**30


def require_sound(x, name):
    """Raise ValueError unless x, a sparse matrix of any format, stores entries that exist.

    O(nnz) operations; nothing but booleans of the size of the indices is allocated, except for
    LIL and DOK, whose indices are Python objects.
    """
    _CHECKS[x.format](x, name)


def canonical(x):
    """Return x, a sound CSR matrix, or a copy of it with sorted columns and no duplicates.

    The flags by which scipy remembers that a matrix was canonical are not believed.
    """
    nnz = int(x.indptr[-1])
    rising = x.indices[1:nnz] > x.indices[: max(nnz - 1, 0)]
    starts = x.indptr[1:-1]
    rising[starts[(starts > 0) & (starts < nnz)] - 1] = True
    if rising.all():
        return x
    parts = x.data[:nnz], x.indices[:nnz], x.indptr
    copy = scipy.sparse.csr_array(parts, shape=x.shape, copy=True)
    copy.sum_duplicates()
    return copy


def _check_csr(x, name):
    _check_compressed(x, name, *x.shape, ("row", "column"))


def _check_csc(x, name):
    _check_compressed(x, name, *x.shape[::-1], ("column", "row"))


def _check_bsr(x, name):
    data = np.asarray(x.data)
    block = data.shape[1:]
    if len(block) != 2 or 0 in block or any(np.mod(x.shape, block)):
        raise ValueError(f"{name} must have blocks that fill {x.shape}; got blocks of {block}.")
    n_major, n_minor = np.floor_divide(x.shape, block)
    _check_compressed(x, name, n_major, n_minor, ("row", "column"))


def _check_compressed(x, name, n_major, n_minor, words):
    """Check (indptr, indices, data) of n_major compressed rows, columns or rows of blocks."""
    major, minor = words
    indptr = _integers(x.indptr, name, f"{major} pointers")
    indices = _integers(x.indices, name, f"{minor} indices")
    n_stored = min(indices.size, len(x.data))
    sound = indptr.size == n_major + 1 and indptr[0] == 0 and indptr[-1] <= n_stored
    if not sound or (indptr[1:] < indptr[:-1]).any():
        raise ValueError(
            f"{name} must have {major} pointers rising from 0 to its number of entries."
        )
    _require_range(indices[: indptr[-1]], name, f"{minor} indices", n_minor)


def _check_coo(x, name):
    for indices, size, what in zip((x.row, x.col), x.shape, ("row", "column"), strict=True):
        indices = _integers(indices, name, f"{what} indices")
        if indices.size != len(x.data):
            raise ValueError(
                f"{name} must have one {what} index for each of its {len(x.data)} entries; "
                f"got {indices.size}."
            )
        _require_range(indices, name, f"{what} indices", size)


def _check_dia(x, name):
    offsets = _integers(x.offsets, name, "offsets")
    if np.ndim(x.data) != 2 or len(x.data) != offsets.size:
        raise ValueError(
            f"{name} must have one offset for each row of its data; got {offsets.size} offsets "
            f"and data of shape {np.shape(x.data)}."
        )
    # scipy leaves out diagonals beyond the matrix, after sums in 32 bits that must not wrap.
    if offsets.size and max(offsets.max(), -int(offsets.min())) > _LARGEST_OFFSET:
        raise ValueError(
            f"{name} must have offsets of at most {_LARGEST_OFFSET}; "
            f"got [{offsets.min()}, {offsets.max()}]."
        )


def _check_lil(x, name):
    lengths = [[len(row) for row in rows] for rows in (x.rows, x.data)]
    if len(lengths[0]) != x.shape[0] or lengths[0] != lengths[1]:
        raise ValueError(f"{name} must have {x.shape[0]} rows with a value for each column index.")
    indices = np.array([*itertools.chain.from_iterable(x.rows)] or [0])
    indices = _integers(indices, name, "column indices")
    _require_range(indices, name, "column indices", x.shape[1])


def _check_dok(x, name):
    for i, what in enumerate(("row", "column")):
        indices = _integers(np.array([key[i] for key in x.keys()] or [0]), name, f"{what} indices")
        _require_range(indices, name, f"{what} indices", x.shape[i])


_CHECKS = {
    "csr": _check_csr,
    "csc": _check_csc,
    "bsr": _check_bsr,
    "coo": _check_coo,
    "dia": _check_dia,
    "lil": _check_lil,
    "dok": _check_dok,
}


def _integers(array, name, what):
    """Return an array of a sparse format, once it holds integers along one axis."""
    array = np.asarray(array)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(
            f"{name} must have {what} that are integers along one axis; "
            f"got {array.dtype} of shape {array.shape}."
        )
    return array


def _require_range(indices, name, what, size):
    """Raise unless all indices are in [0, size)."""
    if indices.size and (indices.min() < 0 or indices.max() >= size):
        raise ValueError(
            f"{name} must have {what} in [0, {size}); got [{indices.min()}, {indices.max()}]."
        )
