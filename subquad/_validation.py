"""The border of the package: whatever a user passes becomes a form the kernels may trust.

A public method checks its arguments here, once, and calls its underscore twin, which trusts.
Every message reads `<argument> must <requirement>; got <what came>.` The file is long so that each
rule is written once, in one place.
"""

import functools
import math
import numbers
import operator
import os
import sys
import time

import numpy as np
import scipy.sparse

from subquad._machine import available_memory
from subquad._sparse import canonical, require_sound

_REAL = (np.float32, np.float64)
# Compare requests of up to so many bytes with the memory that was free within the last so many
# seconds: asking anew takes a millisecond, a hundred times as long as a product of small matrices.
_SMALL, _SECONDS = 2**24, 0.1
# Sums of larger weights overflow, and squares of residuals lose their digits with smaller ones.
_LARGEST_WEIGHT = 1e303


def as_array(x, name, dtype=None, *, also=()):
    """Return x as a C-contiguous, aligned, native ndarray of real numbers of any shape.

    As `as_matrix` otherwise, except that NaN and infinity pass, and that dtypes are accepted whose
    names are in `also`.
    """
    if scipy.sparse.issparse(x):
        raise TypeError(f"{name} must be a dense array; got {_describe(x)}. Use .toarray().")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} must not be masked; got {_describe(x)}. Use .filled() first.")
    x = even_array(x, name)
    _require_real(x.dtype, name, also)
    return _native(x, dtype)


def even_array(x, name):
    """Return x as an ndarray of whatever shape and dtype it has."""
    try:
        return np.asarray(x)
    except ValueError:
        raise ValueError(f"{name} must have rows of equal length; got ragged ones.") from None


def as_matrix(x, name, *, n_columns=None, n_rows=None, min_rows=1, dtype=None, finite=True):
    """Return x as a C-contiguous, aligned, native, finite real matrix; itself if it is one.

    Parameters
    ----------
    x : array_like, shape (n_rows, n_columns)
        Real numbers in float32 or float64. Never written to.
    name : str
        What the caller's signature calls x.
    n_columns, n_rows : int, optional
        Sizes to insist on.
    min_rows : int
        Fewest rows accepted.
    dtype : float32 or float64, optional
        Cast to it; otherwise the dtype of x is kept.
    finite : bool
        Refuse NaN and infinity. Who passes False calls `require_finite` when they show.

    Returns
    -------
    ndarray, shape (n_rows, n_columns)

    Raises
    ------
    TypeError
        If x is sparse, masked, or holds anything but float32 or float64 numbers.
    ValueError
        If x has a wrong shape, or holds NaN or infinity.
    """
    x = as_array(x, name, dtype)
    expected = f"({_size(n_rows)}, {_size(n_columns)})"
    if x.ndim != 2 or n_columns not in (None, x.shape[1]) or n_rows not in (None, x.shape[0]):
        hint = " Row i is data point i." if x.ndim == 2 else ""
        raise ValueError(f"{name} must have shape {expected}; got {x.shape}.{hint}")
    _require_entries(x.shape, name, min_rows)
    if finite:
        require_finite(x, name)
    return x


def as_vector(x, name, *, size=None, dtype=None):
    """Return x as a contiguous, aligned, native, finite real vector; as `as_matrix` otherwise."""
    x = as_array(x, name, dtype)
    if x.ndim != 1 or size not in (None, x.size):
        raise ValueError(f"{name} must have shape ({_size(size)},); got {x.shape}.")
    if x.size == 0:
        raise ValueError(f"{name} must have at least 1 entry; got none.")
    require_finite(x, name)
    return x


def as_gram(G, name, *, size=None):
    """Return G as a C-contiguous float64 square matrix of which only the lower half is trusted.

    Not inspected for NaN, since the upper half may hold anything: whoever factors it notices.
    """
    G = as_array(G, name, np.float64)
    if G.ndim != 2 or G.shape[0] != G.shape[1] or 0 in G.shape or size not in (None, len(G)):
        expected = "(n, n)" if size is None else f"({size}, {size})"
        raise ValueError(f"{name} must have shape {expected}; got {G.shape}.")
    return G


def as_targets(y, n_rows, n_outputs):
    """Return y as a trusted float64 matrix; of one output it may be a vector."""
    y = as_array(y, "y")
    if y.ndim == 1 and n_outputs == 1:
        return as_vector(y, "y", size=n_rows, dtype=np.float64)[:, None]
    return as_matrix(y, "y", n_rows=n_rows, n_columns=n_outputs, dtype=np.float64)


def as_csr(x, name, *, n_columns=None, min_rows=1, dtype=None):
    """Return (indptr, indices, values) of x in canonical CSR: sorted, without duplicates.

    Parameters
    ----------
    x : sparse array or array_like, shape (n_rows, n_columns)
        Any scipy.sparse format, or a dense matrix, whose zeros are dropped. Never written to.
    name, n_columns, min_rows, dtype
        As in `as_matrix`.

    Returns
    -------
    indptr : ndarray of intp, shape (n_rows + 1,)
    indices : ndarray of intp, shape (nnz,)
    values : ndarray of float32 or float64, shape (nnz,)

    Raises
    ------
    TypeError, ValueError
        As `as_matrix`; ValueError also if the pointers, indices or offsets of x are corrupt.
    """
    if not scipy.sparse.issparse(x):
        sizes = {"n_columns": n_columns, "min_rows": min_rows}
        x = scipy.sparse.csr_array(as_matrix(x, name, dtype=dtype, **sizes))
    if x.ndim != 2 or n_columns not in (None, x.shape[1]):
        raise ValueError(f"{name} must have shape (any, {_size(n_columns)}); got {x.shape}.")
    _require_entries(x.shape, name, min_rows)
    _require_real(x.dtype, name)
    require_sound(x, name)
    x = canonical(x.tocsr())
    nnz = int(x.indptr[-1])
    values = _native(x.data[:nnz], dtype)
    require_finite(values, f"{name}.data")
    return _native(x.indptr, np.intp), _native(x.indices[:nnz], np.intp), values


def as_integers(x, name):
    """Return x as an ndarray of intp of any shape; bools and fractions are refused."""
    if scipy.sparse.issparse(x) or isinstance(x, np.ma.MaskedArray):
        raise TypeError(f"{name} must be an array of integers; got {_describe(x)}.")
    x = even_array(x, name)
    if x.dtype.kind not in "iu":
        raise TypeError(f"{name} must be an array of integers; got {x.dtype}.")
    largest = np.iinfo(np.intp).max
    if x.size and x.max() > largest:
        raise ValueError(f"{name} must hold integers of at most {largest}; got {x.max()}.")
    return _native(x, np.intp)


def integer(value, name, *, minimum=1, maximum=sys.maxsize):
    """Return value as an int in [minimum, maximum]; bools and fractions are refused.

    What numbers anything in a program is at most `sys.maxsize`, which maximum is by default.
    """
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer; got {_describe(value)}.") from None
    _require_range(value, name, minimum, maximum)
    return value


def real(value, name, *, minimum=None, maximum=None, exclusive_minimum=False):
    """Return value as a finite float in [minimum, maximum], or above `minimum` if exclusive."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number; got {_describe(value)}.")
    try:
        value = float(value)
    except OverflowError:  # of a rational number; float("1e999") is infinite
        value = math.inf if value > 0 else -math.inf
    if not math.isfinite(value):
        raise ValueError(f"{name} must be finite; got {value}.")
    if exclusive_minimum and value <= minimum:
        raise ValueError(f"{name} must be greater than {minimum}; got {value}.")
    _require_range(value, name, minimum, maximum)
    return value


def true_or_false(value, name):
    """Return a bool, refusing whatever else counts as true or false."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False; got {value!r}.")
    return bool(value)


def one_of(value, name, options):
    """Return value, which must be one of a few strings, or None where that is among them."""
    if (value is None or isinstance(value, str)) and value in options:
        return value
    *others, last = map(repr, options)
    raise ValueError(f"{name} must be {', '.join(others)} or {last}; got {_describe(value)}.")


def as_positions(value, name, size):
    """Return value as a vector of intp in [0, size), in any order and with repetitions."""
    value = even_array(value, name)
    if value.ndim != 1:
        raise ValueError(f"{name} must have shape (any,); got {value.shape}.")
    if value.size == 0:
        return np.empty(0, np.intp)
    if value.dtype.kind not in "iu":
        raise TypeError(f"{name} must hold integers; got {value.dtype}.")
    if value.min() < 0 or value.max() >= size:
        raise ValueError(f"{name} must be in [0, {size}); got [{value.min()}, {value.max()}].")
    return np.ascontiguousarray(value, np.intp)


def as_path(path, name="path"):
    """Return a path as the string, or the bytes, that it stands for."""
    try:
        path = os.fspath(path)
    except TypeError:
        kind = type(path).__name__
        raise TypeError(f"{name} must be a string or path-like; got {kind}.") from None
    if ("\0" if isinstance(path, str) else b"\0") in path:
        raise ValueError(f"{name} must name a file; got {path!r}, with a null character.")
    return path


def generator(rng):
    """Return the numpy Generator that `rng` stands for: a seed, a Generator (itself) or None."""
    if isinstance(rng, (bool, np.bool_)) or not isinstance(
        rng, (type(None), numbers.Integral, np.random.Generator)
    ):
        raise TypeError(
            f"rng must be None, an integer seed or a numpy.random.Generator; got {_describe(rng)}."
        )
    if isinstance(rng, numbers.Integral) and rng < 0:
        raise ValueError(f"rng must be a non-negative seed; got {rng}.")
    return np.random.default_rng(rng)


def require_finite(x, name):
    """Raise unless x is finite; a sum first, since it allocates nothing."""
    with np.errstate(all="ignore"):
        if np.isfinite(x.sum()):
            return
    wrong = ~np.isfinite(x)
    if count := np.count_nonzero(wrong):
        first = tuple(int(i) for i in np.unravel_index(wrong.argmax(), x.shape))
        raise ValueError(
            f"{name} must be finite in {x.dtype}; got {_plural(count, 'NaN or infinite value')}, "
            f"the first at index {first[0] if x.ndim == 1 else first}."
        )


def require_weights_in_range(weights, name):
    """Raise unless all weights that are not 0 are between 1e-303 and 1e303."""
    wrong = (weights != 0) & ((weights < 1 / _LARGEST_WEIGHT) | (weights > _LARGEST_WEIGHT))
    if wrong.any():
        raise ValueError(
            f"{name} must be 0 or between {1 / _LARGEST_WEIGHT:.0e} and {_LARGEST_WEIGHT:.0e}; "
            f"got {weights[wrong.argmax()]:.3g}. Scale all of them by one factor."
        )


def require_in_range(result, names, what):
    """Return a result of finite arguments, or raise where the arithmetic has overflowed."""
    with np.errstate(all="ignore"):
        if np.isfinite(result.sum()) or np.isfinite(result).all():
            return result
    raise ValueError(
        f"{names} must keep {what} within the range of {result.dtype}; got an overflow. Scale down."
    )


def require_output(out, shape, dtype, like=""):
    """Raise unless `out` can take a result of this shape and dtype, which are those of `like`."""
    as_like = f" as {like}" if like else ""
    if not isinstance(out, np.ndarray):
        raise TypeError(f"out must be an ndarray; got {type(out).__name__}.")
    if out.dtype.type is not dtype.type:
        article = "an" if dtype.kind == "i" else "a"
        raise TypeError(f"out must be {article} {dtype} array{as_like}; got {out.dtype}.")
    if out.shape != shape:
        raise ValueError(f"out must have shape {shape}{as_like}; got {out.shape}.")
    if not out.flags.writeable:
        raise ValueError("out must be writeable; got a read-only array.")


def require_memory(n_bytes, what, remedy):
    """Raise MemoryError, naming `what` and the `remedy`, where n_bytes cannot be had."""
    if n_bytes > _SMALL:
        available = available_memory()
    else:
        available = _lately(available_memory, int(time.monotonic() / _SECONDS))
    if available is not None and n_bytes > available:
        raise MemoryError(
            f"{what} must fit in memory; needs {n_bytes / 1e9:.3g} GB ({int(n_bytes)} bytes) "
            f"and {available / 1e9:.3g} GB are available. {remedy}"
        )


@functools.lru_cache(maxsize=1)
def _lately(ask, _now):
    """Return ask(), or what it gave a moment ago."""
    return ask()


def _native(x, dtype):
    """x in native byte order, contiguous and aligned; cast to `dtype` if one is given."""
    dtype = np.dtype(x.dtype.type if dtype is None else dtype)
    if x.dtype is dtype and x.flags.c_contiguous and x.flags.aligned:
        return x  # as np.require would, microseconds later
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes inf, and is then refused
        return np.require(x, dtype=dtype, requirements=["C", "A"])


def _require_entries(shape, name, min_rows):
    if shape[0] < min_rows or shape[1] == 0:
        raise ValueError(
            f"{name} must have at least {_plural(min_rows, 'row')} and 1 column; got {shape}."
        )


def _require_real(dtype, name, also=()):
    if dtype.type not in _REAL and dtype.name not in also:
        *others, last = ("float32", "float64", *also)
        raise TypeError(
            f"{name} must be a {', '.join(others)} or {last} array; got {dtype}. "
            "Convert it with .astype(np.float64)."
        )


def _require_range(value, name, minimum, maximum):
    if minimum is not None and value < minimum:
        raise ValueError(f"{name} must be at least {minimum}; got {value}.")
    if maximum is not None and value > maximum:
        raise ValueError(f"{name} must be at most {maximum}; got {value}.")


def _size(size):
    return "any" if size is None else size


def _plural(count, noun):
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _describe(value):
    """Say what came, short enough for a message: its type, and its value if it is a scalar."""
    kind = type(value).__name__
    return f"{value!r} ({kind})" if np.isscalar(value) or value is None else kind
