"""What weight matrices, stored or not, check alike: shapes, dtypes, memory, and rows given."""

import numpy as np
import scipy.sparse

from subquad._parallel import resolve_threads
from subquad._validation import as_csr, as_matrix, integer, require_in_range, require_memory

# Refuse larger sizes: scipy.linalg.cython_blas takes 32-bit ones.
MAX_SIZE = 2**31 - 1
# Refuse networks of more layers: their kernels take hours.
MAX_DEPTH = 10_000
# Forecast the memory of products from this size on: reading what is free takes 0.1 ms.
_LARGE_PRODUCT = 2**28


def as_dtype(dtype):
    """Return the numpy dtype of float32 or float64."""
    try:
        if np.dtype(dtype) in (np.float32, np.float64):
            return np.dtype(dtype)
    except TypeError:
        pass
    raise TypeError(f"dtype must be float32 or float64; got {dtype!r}.")


def as_shape(shape):
    """Return (m_out, m_in) as ints."""
    try:
        m_out, m_in = shape
    except (TypeError, ValueError):
        raise ValueError(f"shape must be a pair (m_out, m_in); got {shape!r}.") from None
    return tuple(integer(size, "shape", maximum=MAX_SIZE) for size in (m_out, m_in))


def require_matrix_memory(shape, dtype):
    """Raise unless a matrix of this shape fits in memory."""
    n_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    what = f"A {shape[0]} x {shape[1]} weight matrix in {np.dtype(dtype)}"
    require_memory(n_bytes, what, "Use a smaller width, or float32.")


def multiply_rows(rows, name, shape, dtype, n_threads, by_dense, by_csr):
    """Return the product of the rows that a user gave, dense or sparse, with a matrix.

    Parameters
    ----------
    rows : array_like or sparse array, shape (n, n_columns)
    name : str
        What the caller's signature calls them.
    shape : pair of int
        (n_columns, n_outputs).
    dtype : float32 or float64
        They are cast to it.
    n_threads : int or None
    by_dense, by_csr : callable
        ``by_dense(rows, n_threads)`` and ``by_csr(indptr, indices, values, n_threads)`` multiply
        rows in trusted form.

    Returns
    -------
    ndarray, shape (n, n_outputs)

    Raises
    ------
    TypeError, ValueError
        If the rows are not a finite real matrix with n_columns columns, or the product overflows.
    MemoryError
        If the product does not fit.
    """
    n_threads, (n_columns, n_outputs) = resolve_threads(n_threads), shape
    if scipy.sparse.issparse(rows):
        csr = as_csr(rows, name, n_columns=n_columns, dtype=dtype)
        _require_product_memory((len(csr[0]) - 1, n_outputs), dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused
            product = by_csr(*csr, n_threads)
        return require_in_range(product, name, "the product")
    rows = as_matrix(rows, name, n_columns=n_columns, dtype=dtype)
    _require_product_memory((len(rows), n_outputs), dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        product = by_dense(rows, n_threads)
    return require_in_range(product, name, "the product")


def _require_product_memory(shape, dtype):
    """Raise unless a product of this shape fits in memory."""
    n_bytes = shape[0] * shape[1] * np.dtype(dtype).itemsize
    if n_bytes >= _LARGE_PRODUCT:
        what = f"A {shape[0]} x {shape[1]} product in {np.dtype(dtype)}"
        require_memory(n_bytes, what, "Multiply fewer rows at a time.")
