"""Sparse matrices of every format, sound or not."""

import numpy as np
import scipy.sparse

FORMATS = ("csr", "csr", "csr", "csc", "coo", "bsr", "dia", "lil", "dok")
_FAR = (10**8, -1, -(10**8), 2**31 - 1)


def sparse(draw, shape, *, dtype=None, scales=True):
    """A sparse matrix of about this shape; unsorted, with duplicates or stored zeros at times."""
    shape = draw.shape(shape)
    if len(shape) != 2:
        shape = (1, 0)
    dtype, n_rows, n_columns = np.dtype(dtype or draw.dtype()), *shape
    n_entries = n_rows * n_columns
    n_stored = draw.between(0, n_entries // 2)
    values = draw.values((n_stored,), scales)
    if draw.chance(0.3) and n_entries:  # duplicates, whose sums are exact in any order
        places = draw.random.choices(range(n_entries), k=n_stored)
        values = np.clip(np.round(4 * values), -64, 64) / 4
    else:
        places = draw.random.sample(range(n_entries), n_stored)
    rows, columns = np.divmod(np.array(places, np.intp), max(1, n_columns))
    with np.errstate(over="ignore"):
        values = values.astype(dtype)
    if draw.extreme and not np.isfinite(values).all():
        draw.wrong = "not finite"
    kind, layout = draw.choice(("array", "matrix")), draw.choice(FORMATS)
    x = getattr(scipy.sparse, f"coo_{kind}")((values, (rows, columns)), shape=shape)
    if layout == "csr" and draw.chance(0.4):
        x = _unsorted(draw, values, rows, columns, shape, kind)
    elif layout != "coo" and 0 not in shape:
        x = x.asformat(layout)
    if draw.goes_wrong():
        x = _damaged(draw, x)
    return x


def rows_of(draw, shape, **options):
    """Rows, dense or sparse."""
    if draw.chance(0.35):
        options.pop("layouts", None)
        return sparse(draw, shape, **options)
    return draw.array(shape, **options)


def dense(x):
    """An accepted matrix as a float64 array."""
    if scipy.sparse.issparse(x):
        return np.asarray(x.astype(np.float64).toarray())
    return np.asarray(x, np.float64)


def dtype_of(x):
    """float32 or float64, the dtype of what was accepted."""
    return np.dtype((x if scipy.sparse.issparse(x) else np.asarray(x)).dtype.type)


def _unsorted(draw, values, rows, columns, shape, kind):
    """CSR with columns in any order, duplicates and stored zeros kept."""
    order = np.argsort(rows, kind="stable")
    counts = np.bincount(rows, minlength=shape[0])
    indptr = np.concatenate([[0], np.cumsum(counts)])
    build = getattr(scipy.sparse, f"csr_{kind}")
    if draw.chance(0.5):
        indptr, columns = indptr.astype(np.int64), columns.astype(np.int64)
    return build((values[order], columns[order], indptr), shape=shape)


def _damaged(draw, x):
    """The same with wrong entries, another dtype or corrupt indices."""
    kind = draw.between(0, 3)
    if kind == 0:
        draw.wrong = "of a wrong dtype"
        with np.errstate(all="ignore"):
            return (x.tocoo() * 0).astype(draw.choice(("i8", "c16", "?", "u1")))
    if kind == 1 and x.nnz and x.format in ("csr", "csc", "coo", "bsr"):
        x.data.flat[draw.between(0, x.data.size - 1)] = draw.choice((np.nan, np.inf))
        draw.wrong, draw.extreme = "not finite", True
        return x
    if x.format in ("csr", "csc", "bsr") and x.indices.size:
        return _corrupt_pointers(draw, x)
    if x.format == "coo" and x.nnz:
        draw.wrong = "corrupt"
        x.coords[draw.between(0, 1)][draw.between(0, x.nnz - 1)] = draw.choice(_FAR)
    elif x.format == "lil" and x.shape[0] and x.rows[0]:
        draw.wrong = "corrupt"
        x.rows[0][0] = draw.choice((10**8, -(10**8), 0.5))
    elif x.format == "dok" and 0 not in x.shape:
        draw.wrong = "corrupt"
        x._dict[draw.choice(((10**8, 0), (0, -(10**8)), (0.5, 0)))] = x.dtype.type(1)
    elif x.format == "dia" and x.offsets.size:
        draw.wrong = "corrupt"
        x.offsets = x.offsets[:-1]
    return x


def _corrupt_pointers(draw, x):
    """Compressed rows or columns with one part that does not fit."""
    draw.wrong = "corrupt"
    part = draw.between(0, 3)
    if part == 0:
        x.indices[draw.between(0, x.indices.size - 1)] = draw.choice(_FAR)
    elif part == 1:
        x.indptr[-1] = draw.choice((10**8, 2**31 - 1, -5))
    elif part == 2:
        x.indptr = x.indptr[:-1]
    else:
        x.indices = x.indices + 0.5
    return x
