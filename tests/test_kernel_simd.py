"""The instruction-set level is chosen at import, may be lowered, and changes rounding alone."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import reference_kernels

from subquad._kernels import _simd, coactivation
from subquad._kernels.column_product import column_product, scratch_bytes

AVAILABLE_LEVELS = _simd.LEVELS[: _simd.LEVELS.index(_simd.best_level()) + 1]


def level_of_a_new_process(value):
    """Run a process with SUBQUAD_SIMD_LEVEL set; return (exit code, output, error output)."""
    environment = {**os.environ, "SUBQUAD_SIMD_LEVEL": value}
    command = [
        sys.executable,
        "-P",
        "-c",
        "from subquad._kernels import _simd; print(_simd.level())",
    ]
    done = subprocess.run(
        command,
        env=environment,
        cwd=Path(_simd.__file__).parents[2],  # so that it finds the package that is tested
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr


@pytest.mark.parametrize("level", AVAILABLE_LEVELS)
def test_the_variable_chooses_the_level(level):
    assert level_of_a_new_process(level)[:2] == (0, level)


def test_an_empty_variable_means_the_best_level():
    assert level_of_a_new_process("")[:2] == (0, _simd.best_level())


def test_an_unknown_level_is_refused_with_the_known_ones():
    code, _, error = level_of_a_new_process("sse9")
    assert code != 0
    assert "must be one of baseline, avx2, avx512; got 'sse9'." in error


@pytest.mark.skipif(
    AVAILABLE_LEVELS == _simd.LEVELS, reason="this processor has every level there is"
)
def test_a_level_the_processor_lacks_is_refused():
    with pytest.raises(ValueError, match=f"at most '{_simd.best_level()}' on this processor"):
        _simd.use_level(_simd.LEVELS[len(AVAILABLE_LEVELS)])


def test_a_refused_level_leaves_the_one_in_use(simd_level):
    with pytest.raises(ValueError, match="must be one of"):
        _simd.use_level("none")
    assert _simd.level() == simd_level


def test_has_openmp_is_a_plain_answer():
    assert _simd.has_openmp() in (True, False)


def test_levels_count_alike(rng, simd_level):
    bits = reference_kernels.pack_bits(rng.random((70, 1000)) < 0.3)
    counts, scratch = {}, np.empty((1, coactivation.GRAM_COUNTS), np.int32)
    for level in ("baseline", simd_level):
        _simd.use_level(level)
        counts[level] = np.empty((70, 70))
        ones = np.ones((70, 70))
        coactivation.coactivation_gram(bits, ones, 1.0, counts[level], scratch, 1)
    np.testing.assert_array_equal(counts["baseline"], counts[simd_level])


def test_levels_differ_by_rounding_only(rng, dtype, simd_level):
    columns = rng.standard_normal((200, 530)).astype(dtype)
    H = (rng.standard_normal((8, 200)) * (rng.random((8, 200)) < 0.3)).astype(dtype)
    products = {}
    for level in ("baseline", simd_level):
        _simd.use_level(level)
        products[level] = np.zeros((8, 530), dtype)
        csr = reference_kernels.csr(H)
        sizes = len(H), *columns.shape, len(csr[1]), dtype.itemsize, dtype.itemsize, 1
        scratch = np.empty(scratch_bytes(*sizes), np.uint8)
        column_product(columns, *csr, products[level], scratch, 1)
    _, magnitude = reference_kernels.column_product(columns, H, products["baseline"] * 0)
    difference = np.abs(products["baseline"].astype(np.float64) - products[simd_level])
    assert np.all(difference <= 2 * reference_kernels.gamma(200, dtype) * magnitude)
