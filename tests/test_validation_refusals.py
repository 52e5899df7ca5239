"""What cannot be trusted is refused in one sentence that names the argument and what came."""

import re
from fractions import Fraction

import numpy as np
import pytest
import scipy.sparse

from subquad._validation import (
    as_csr,
    as_gram,
    as_matrix,
    as_positions,
    as_vector,
    generator,
    integer,
    one_of,
    real,
)

X = np.random.default_rng(0).standard_normal((5, 4))
SPARSE = scipy.sparse.coo_array(([1.0], ([0], [0])), shape=(6, 9))

REFUSED = {
    "integers": (
        lambda: as_matrix([[1, 2]], "X"),
        TypeError,
        "X must be a float32 or float64 array; got int64. Convert it with .astype(np.float64).",
    ),
    "integers although a dtype is given": (
        lambda: as_vector([True], "y", dtype=np.float64),
        TypeError,
        "y must be a float32 or float64 array; got bool.",
    ),
    "half precision": (
        lambda: as_matrix(X.astype(np.float16), "X"),
        TypeError,
        "X must be a float32 or float64 array; got float16.",
    ),
    "complex": (lambda: as_matrix(X + 0j, "X"), TypeError, "got complex128."),
    "objects": (lambda: as_matrix(X.astype(object), "X"), TypeError, "got object."),
    "text": (lambda: as_matrix([["a"]], "X"), TypeError, "got <U1."),
    "nothing": (lambda: as_matrix(None, "X"), TypeError, "got object."),
    "ragged": (
        lambda: as_matrix([[1.0], [1.0, 2.0]], "X"),
        ValueError,
        "X must have rows of equal length; got ragged ones.",
    ),
    "masked": (
        lambda: as_matrix(np.ma.masked_less(X, 0), "X"),
        TypeError,
        "X must not be masked; got MaskedArray. Use .filled() first.",
    ),
    "sparse where dense is needed": (
        lambda: as_matrix(SPARSE, "X"),
        TypeError,
        "X must be a dense array; got coo_array. Use .toarray().",
    ),
    "a vector for a matrix": (
        lambda: as_matrix([1.0], "X"),
        ValueError,
        "X must have shape (any, any); got (1,).",
    ),
    "a matrix for a vector": (
        lambda: as_vector(X, "y", size=5),
        ValueError,
        "y must have shape (5,); got (5, 4).",
    ),
    "wrong columns": (
        lambda: as_matrix(X, "U", n_columns=512),
        ValueError,
        "U must have shape (any, 512); got (5, 4). Row i is data point i.",
    ),
    "wrong rows": (
        lambda: as_matrix(X, "V", n_rows=3, n_columns=4),
        ValueError,
        "V must have shape (3, 4); got (5, 4). Row i is data point i.",
    ),
    "no rows": (
        lambda: as_matrix(np.empty((0, 4)), "X"),
        ValueError,
        "X must have at least 1 row and 1 column; got (0, 4).",
    ),
    "no columns": (
        lambda: as_matrix(np.empty((3, 0)), "X", min_rows=2),
        ValueError,
        "X must have at least 2 rows and 1 column; got (3, 0).",
    ),
    "an empty vector": (
        lambda: as_vector(np.empty(0), "y"),
        ValueError,
        "y must have at least 1 entry; got none.",
    ),
    "NaN and infinity": (
        lambda: as_matrix([[1.0, np.inf], [np.nan, -np.inf]], "X"),
        ValueError,
        "X must be finite in float64; got 3 NaN or infinite values, the first at index (0, 1).",
    ),
    "one NaN": (
        lambda: as_vector([1.0, np.nan], "y"),
        ValueError,
        "y must be finite in float64; got 1 NaN or infinite value, the first at index 1.",
    ),
    "too large for float32": (
        lambda: as_vector([1e300], "y", dtype=np.float32),
        ValueError,
        "y must be finite in float32; got 1 NaN or infinite value, the first at index 0.",
    ),
    "a Gram matrix that is not square": (
        lambda: as_gram(X, "G"),
        ValueError,
        "G must have shape (n, n); got (5, 4).",
    ),
    "a Gram matrix of another size": (
        lambda: as_gram(X[:4], "G", size=5),
        ValueError,
        "G must have shape (5, 5); got (4, 4).",
    ),
    "sparse integers": (
        lambda: as_csr(scipy.sparse.eye_array(3, dtype=int), "Y"),
        TypeError,
        "Y must be a float32 or float64 array; got int64.",
    ),
    "sparse with wrong columns": (
        lambda: as_csr(SPARSE, "Y", n_columns=4),
        ValueError,
        "Y must have shape (any, 4); got (6, 9).",
    ),
    "sparse NaN": (
        lambda: as_csr(scipy.sparse.csr_array([[0.0, np.nan]]), "Y"),
        ValueError,
        "Y.data must be finite in float64; got 1 NaN or infinite value, the first at index 0.",
    ),
    "a fraction": (
        lambda: integer(1.5, "width"),
        TypeError,
        "width must be an integer; got 1.5 (float).",
    ),
    "a bool": (
        lambda: integer(np.True_, "width"),
        TypeError,
        "width must be an integer; got np.True_ (bool).",
    ),
    "too small": (
        lambda: integer(0, "rank_budget"),
        ValueError,
        "rank_budget must be at least 1; got 0.",
    ),
    "too large": (
        lambda: integer(5, "depth", maximum=4),
        ValueError,
        "depth must be at most 4; got 5.",
    ),
    "text for a number": (
        lambda: real("1", "shift"),
        TypeError,
        "shift must be a real number; got '1' (str).",
    ),
    "an array for a number": (
        lambda: real(np.ones(3), "shift"),
        TypeError,
        "shift must be a real number; got ndarray.",
    ),
    "a bool for a number": (lambda: real(True, "shift"), TypeError, "shift must be a real number"),
    "NaN for a number": (
        lambda: real(float("nan"), "shift"),
        ValueError,
        "shift must be finite; got nan.",
    ),
    "a negative number": (
        lambda: real(-1, "damping", minimum=0.0),
        ValueError,
        "damping must be at least 0.0; got -1.0.",
    ),
    "zero where it must be positive": (
        lambda: real(0, "rtol", minimum=0, exclusive_minimum=True),
        ValueError,
        "rtol must be greater than 0; got 0.0.",
    ),
    "a number that no float holds": (
        lambda: real(-(10**400), "shift"),
        ValueError,
        "shift must be finite; got -inf.",
    ),
    "a fraction that no float holds": (
        lambda: real(Fraction(10**400), "shift"),
        ValueError,
        "shift must be finite; got inf.",
    ),
    "more than can be counted": (
        lambda: integer(2**63, "width"),
        ValueError,
        "width must be at most 9223372036854775807; got 9223372036854775808.",
    ),
    "an array for one of a few names": (
        lambda: one_of(np.array(["a"]), "kind", ("a", "b", None)),
        ValueError,
        "kind must be 'a', 'b' or None; got ndarray.",
    ),
    "None for one of a few names": (
        lambda: one_of(None, "kind", ("a", "b")),
        ValueError,
        "kind must be 'a' or 'b'; got None (NoneType).",
    ),
    "positions with a fraction": (
        lambda: as_positions([0.5], "points", 3),
        TypeError,
        "points must hold integers; got float64.",
    ),
    "a position beyond the last": (
        lambda: as_positions(np.array([3], np.uint8), "points", 3),
        ValueError,
        "points must be in [0, 3); got [3, 3].",
    ),
    "ragged positions": (
        lambda: as_positions([[1], [1, 2]], "points", 3),
        ValueError,
        "points must have rows of equal length; got ragged ones.",
    ),
    "sparse rows that are none": (
        lambda: as_csr(scipy.sparse.csr_array((0, 4)), "Y"),
        ValueError,
        "Y must have at least 1 row and 1 column; got (0, 4).",
    ),
    "a legacy generator": (
        lambda: generator(np.random.RandomState(0)),
        TypeError,
        "rng must be None, an integer seed or a numpy.random.Generator; got RandomState.",
    ),
    "a negative seed": (
        lambda: generator(-1),
        ValueError,
        "rng must be a non-negative seed; got -1.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_trusted_is_refused_in_a_sentence_that_names_it(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        call()
