"""Whatever crosses the border is in trusted form, and what cannot be is refused by name."""

import itertools
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse

from subquad import _validation
from subquad._validation import (
    as_csr,
    as_matrix,
    as_vector,
    generator,
    integer,
    real,
    require_memory,
)

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4))
SPARSE = scipy.sparse.random_array((6, 9), density=0.4, rng=1)
SPARSE_FORMATS = ["bsr", "coo", "csc", "csr", "dia", "dok", "lil"]


def unaligned(x):
    buffer = np.zeros(x.nbytes + 1, dtype=np.uint8)[1:]
    copy = buffer.view(x.dtype).reshape(x.shape)
    copy[...] = x
    return copy


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_trusted_array_passes_as_it_is(dtype):
    matrix, vector = read_only(X.astype(dtype)), read_only(X[0].astype(dtype))
    assert as_matrix(matrix, "X") is matrix
    assert as_vector(vector, "y", dtype=dtype) is vector


@pytest.mark.parametrize(
    "given",
    [
        np.asfortranarray(X),
        np.repeat(X, 2, axis=1)[:, ::2],
        X[::-1][::-1],
        X.astype(">f8"),
        unaligned(X),
        X.tolist(),
    ],
    ids=["Fortran", "strided", "reversed twice", "big-endian", "unaligned", "list"],
)
def test_any_layout_becomes_contiguous_aligned_and_native(given):
    matrix = as_matrix(given, "X", n_rows=5, n_columns=4)
    np.testing.assert_array_equal(matrix, X)
    assert matrix.flags.c_contiguous
    assert matrix.flags.aligned
    assert matrix.dtype.isnative


def test_the_dtype_is_kept_unless_another_is_asked_for():
    single = X.astype(np.float32)
    assert as_matrix(single, "X").dtype == np.float32
    np.testing.assert_array_equal(as_matrix(X, "X", dtype=np.float32), single)
    assert as_vector([1.0], "y", dtype=np.float32).dtype == np.float32


def test_finite_numbers_whose_sum_is_not_finite_are_accepted():
    as_vector([1.7e308, 1.7e308], "y")


def test_a_matrix_without_rows_is_accepted_on_request():
    assert as_matrix(np.empty((0, 4)), "U", min_rows=0).shape == (0, 4)


@pytest.mark.parametrize("layout", SPARSE_FORMATS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_sparse_format_becomes_the_same_canonical_csr(layout, dtype):
    given = SPARSE.astype(dtype).asformat(layout)
    indptr, indices, values = as_csr(given, "Y", n_columns=9)
    assert indptr.dtype == indices.dtype == np.intp
    assert values.dtype == dtype
    rebuilt = scipy.sparse.csr_array((values, indices, indptr), shape=(6, 9))
    assert rebuilt.has_canonical_format
    np.testing.assert_array_equal(rebuilt.toarray(), given.toarray())


def test_dense_rows_become_csr_without_their_zeros():
    indptr, indices, values = as_csr([[0.0, 2.0], [0.0, 0.0]], "Y", dtype=np.float32)
    assert (indptr.tolist(), indices.tolist(), values.tolist()) == ([0, 1, 1], [1], [2.0])
    assert values.dtype == np.float32


def test_duplicates_are_summed_and_columns_sorted_in_a_copy():
    given = scipy.sparse.csr_array(([1.0, 2.0, 4.0], [2, 0, 2], [0, 3]), shape=(1, 3))
    indptr, indices, values = as_csr(given, "Y")
    assert (indptr.tolist(), indices.tolist(), values.tolist()) == ([0, 2], [0, 2], [2.0, 5.0])
    assert given.indices.tolist() == [2, 0, 2]


@pytest.mark.parametrize(
    ("attribute", "corrupt", "message"),
    [
        ("indices", [0, 3], "Y must have column indices in [0, 3); got [0, 3]."),
        ("indices", [-1, 0], "Y must have column indices in [0, 3); got [-1, 0]."),
        ("indptr", [0, 2, 1], "Y must have row pointers rising from 0"),
        ("indptr", [0, 1, 7], "Y must have row pointers rising from 0"),
        ("indptr", [1, 1, 2], "Y must have row pointers rising from 0"),
        ("indptr", [0, 2], "Y must have row pointers rising from 0"),
    ],
)
def test_a_corrupt_csr_array_never_reaches_a_kernel(attribute, corrupt, message):
    given = scipy.sparse.csr_array(([1.0, 2.0], [0, 1], [0, 1, 2]), shape=(2, 3))
    setattr(given, attribute, np.array(corrupt, dtype=np.int32))
    with pytest.raises(ValueError, match=re.escape(message)):
        as_csr(given, "Y")


@pytest.mark.parametrize("layout", SPARSE_FORMATS)
def test_corrupt_matrices_of_every_format_are_refused_before_they_are_converted(layout):
    tests = Path(__file__).resolve().parent
    done = subprocess.run(
        [sys.executable, str(tests / "corrupt_sparse.py"), layout],
        cwd=tests,
        env={**os.environ, "PYTHONPATH": str(Path(_validation.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"ended by {done.returncode}\n{done.stderr}"
    answers = json.loads(done.stdout)
    assert answers
    for corruption, answer in answers.items():
        assert answer.startswith("ValueError: H must have "), f"{corruption}: {answer}"


@pytest.mark.parametrize("layout", ["csr", "csc", "coo", "bsr"])
def test_a_matrix_whose_indices_were_permuted_after_scipy_saw_them_sorted_is_sorted(layout):
    given = scipy.sparse.csr_array([[1.0, 2.0, 0.0], [0.0, 3.0, 4.0]]).asformat(layout)
    given.sum_duplicates()  # scipy remembers from here on that there are none
    for array in (given.row, given.col) if layout == "coo" else (given.indices,):
        array[:] = array[::-1].copy() if layout == "coo" else array[0]
    dense = given.tocoo(copy=True).toarray()
    indptr, indices, values = as_csr(given, "Y")
    for start, stop in itertools.pairwise(indptr):
        assert (np.diff(indices[start:stop]) > 0).all()
    rebuilt = scipy.sparse.csr_array((values, indices, indptr), shape=given.shape)
    np.testing.assert_array_equal(rebuilt.toarray(), dense)


def test_diagonals_outside_of_the_matrix_hold_nothing():
    given = scipy.sparse.dia_array((np.ones((3, 3)), [-7, 0, 5]), shape=(3, 3))
    indptr, indices, values = as_csr(given, "Y")
    assert (indptr.tolist(), indices.tolist(), values.tolist()) == (
        [0, 1, 2, 3],
        [0, 1, 2],
        [1] * 3,
    )


def test_numbers_of_any_kind_become_python_numbers():
    assert type(integer(np.int32(3), "width")) is int
    assert type(real(np.float32(0.5), "shift")) is float
    assert real(2, "shift", minimum=2) == 2.0
    assert integer(-4, "n", minimum=None) == -4


def test_a_seed_gives_one_stream_and_a_generator_is_used_itself():
    assert generator(3).integers(1 << 60) == generator(np.int64(3)).integers(1 << 60)
    rng = np.random.default_rng()
    assert generator(rng) is rng
    assert generator(None).integers(1 << 60) != generator(None).integers(1 << 60)


def test_memory_that_cannot_be_had_is_refused_with_sizes_and_a_remedy(monkeypatch):
    monkeypatch.setattr(_validation, "available_memory", lambda: 10**9)
    require_memory(10**9, "The Gram matrix", "Use fewer data points.")
    message = (
        "The Gram matrix must fit in memory; needs 2.5 GB (2500000000 bytes) and 1 GB are "
        "available. Use fewer data points."
    )
    with pytest.raises(MemoryError, match=re.escape(message)):
        require_memory(2.5e9, "The Gram matrix", "Use fewer data points.")


def test_memory_is_granted_where_none_can_tell(monkeypatch):
    monkeypatch.setattr(_validation, "available_memory", lambda: None)
    require_memory(10**18, "The Gram matrix", "Use fewer data points.")


def test_small_requests_ask_for_free_memory_once_in_a_while(monkeypatch):
    asked = []
    monkeypatch.setattr(_validation, "available_memory", lambda: asked.append(1) or 10**6)
    monkeypatch.setattr(_validation.time, "monotonic", lambda: 100.0)
    for _ in range(5):
        _validation.require_memory(1000, "A vector", "Use a shorter one.")
    assert len(asked) == 1
    with pytest.raises(MemoryError, match="A vector must fit in memory"):
        _validation.require_memory(2_000_000, "A vector", "Use a shorter one.")
    assert len(asked) == 1
    with pytest.raises(MemoryError, match="A matrix must fit in memory"):
        _validation.require_memory(2**30, "A matrix", "Use a smaller one.")
    assert len(asked) == 2


def test_positions_come_back_as_given():
    given = np.array([[2, 9], [0, 9], [2, 9]], np.int16)[:, 0]
    positions = _validation.as_positions(given, "points", 3)
    assert positions.dtype == np.intp
    assert positions.flags.c_contiguous
    np.testing.assert_array_equal(positions, [2, 0, 2])
    assert _validation.as_positions([], "points", 3).dtype == np.intp
