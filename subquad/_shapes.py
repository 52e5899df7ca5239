"""Shapes and dtypes of weight matrices, checked."""

import numpy as np

from subquad._validation import integer, require_memory

MAX_SIZE = 2**31 - 1  # scipy.linalg.cython_blas takes 32-bit sizes


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
