"""The entries of GaussianWeights are random as promised: their law, and that they are independent.

Statistics are of fixed seeds. Each bound states how often it would fail for an ideal generator;
together they would do so for one choice of the seeds in 10 000.
"""

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats

from subquad._implicit import GaussianWeights
from subquad._implicit_products import int8_law

SIZE = 2000  # of the square block that statistics are made of
SIGMAS = 5.0  # standard errors a normal statistic may be off: probability 5.7e-7
RARE = 1e-6  # probability allowed to other statistics
GRIDS = pytest.mark.parametrize("grid", ["int8", "float32"])


def moments_of(grid):
    """E z^2, E z^4, E z^6, E z^8 of the law with variance one."""
    if grid == "float32":
        return 1.0, 3.0, 15.0, 105.0
    numbers = int8_law()[0].astype(float)
    return [np.mean((numbers / np.sqrt(np.mean(numbers**2))) ** k) for k in (2, 4, 6, 8)]


@pytest.fixture(scope="module", params=["int8", "float32"])
def sample(request):
    """(grid, block of SIZE x SIZE entries with variance one)."""
    return request.param, GaussianWeights((SIZE, SIZE), 2024, request.param).to_dense()


def assert_uncorrelated(x, y, what):
    """Fail where the correlation of two samples of mean 0 is off by SIGMAS standard errors."""
    correlation = np.mean(x * y) / np.sqrt(np.mean(x * x) * np.mean(y * y))
    assert abs(correlation) * np.sqrt(x.size) < SIGMAS, what


@pytest.mark.parametrize("std", [1.0, 0.3])
def test_the_variance_of_the_int8_grid_is_exact(std):
    W = GaussianWeights((1, 1), 0, std=std)
    numbers = W.step * int8_law()[0]
    assert abs(numbers.sum()) == 0
    assert np.mean(numbers**2) == pytest.approx(std**2, rel=1e-15)
    assert np.abs(numbers).max() < 2.891 * std
    assert len(set(numbers)) == 163


def test_moments_are_those_of_the_law(sample):
    """Four tests of probability 5.7e-7."""
    grid, z = sample
    second, fourth, sixth, eighth = moments_of(grid)
    assert second == pytest.approx(1.0, rel=1e-14)
    for power, mean, square in [(1, 0, 1), (2, 1, fourth), (3, 0, sixth), (4, fourth, eighth)]:
        error = np.sqrt((square - mean**2) / z.size)
        assert abs(np.mean(z**power) - mean) < SIGMAS * error, power


def test_the_distribution_is_the_law(sample):
    """Kolmogorov-Smirnov, probability 1e-6; less for a law of steps."""
    grid, z = sample
    z = np.sort(z.ravel())
    bound = scipy.stats.kstwobign.isf(RARE) / np.sqrt(z.size)
    if grid == "float32":
        law = scipy.special.ndtr(z)
        ranks = np.arange(z.size + 1) / z.size
        assert max(np.max(ranks[1:] - law), np.max(law - ranks[:-1])) < bound
    else:
        numbers, scale = int8_law()
        values, counts = np.unique(numbers, return_counts=True)
        below = np.searchsorted(z, scale * (values + 0.5)) / z.size
        assert np.max(np.abs(below - np.cumsum(counts) / 256)) < bound


@pytest.mark.parametrize(
    ("rows", "columns", "seeds"),
    [(16, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)],
    ids=["same word", "next word", "next column", "next seed"],
)
def test_pairs_of_integers_are_equally_probable(rows, columns, seeds):
    """Chi-square over all pairs of numbers, probability 1e-6."""
    first, second = (
        GaussianWeights((SIZE + 16, SIZE + 1), 2025 + seed).integers(start, start + SIZE)
        for seed, start in [(0, 0), (seeds, columns)]
    )
    pairs = 256 * first[:, :SIZE].view(np.uint8).astype(int)
    pairs += second[:, rows : rows + SIZE].view(np.uint8)
    law = np.bincount(int8_law()[0].view(np.uint8), minlength=256) / 256
    expected = np.outer(law, law).ravel() * pairs.size
    counts = np.bincount(pairs.ravel(), minlength=expected.size)
    possible = expected > 0
    assert not counts[~possible].any()
    chi2 = np.sum((counts - expected)[possible] ** 2 / expected[possible])
    assert RARE / 2 < scipy.stats.chi2.sf(chi2, possible.sum() - 1) < 1 - RARE / 2


@pytest.mark.parametrize("lag", [1, 2, 3, 4, 8, 15, 16, 17, 32, 48, 64, 128, 1024])
def test_entries_of_a_row_and_of_a_column_are_uncorrelated(sample, lag):
    """So are their squares; four tests of probability 5.7e-7 for each lag."""
    _, z = sample
    for values, kind in ((z, "entries"), (z**2 - 1, "squares")):
        assert_uncorrelated(values[lag:], values[:-lag], f"{kind} of columns")
        assert_uncorrelated(values[:, lag:], values[:, :-lag], f"{kind} of rows")


@GRIDS
@pytest.mark.parametrize("seed", [0, 2**32 - 1, 2**63])
def test_seeds_give_uncorrelated_matrices(grid, seed):
    """Also with rows and columns exchanged; probability 2.3e-6."""
    first = GaussianWeights((1000, 1000), seed, grid).to_dense()
    second = GaussianWeights((1000, 1000), seed + 1, grid).to_dense()
    assert_uncorrelated(first, second, "entries")
    assert_uncorrelated(first**2 - 1, second**2 - 1, "squares")
    assert_uncorrelated(first, second.T, "exchanged")
    assert_uncorrelated(first[:, 1:], second[:, :-1], "next column")


@pytest.mark.parametrize("axis", [0, 1])
def test_sums_over_rows_and_columns_vary_as_they_should(sample, axis):
    """A chi-square with SIZE degrees of freedom, and the largest of SIZE normals; 2e-6."""
    _, z = sample
    sums = z.sum(axis=axis) / np.sqrt(SIZE)
    p = scipy.stats.chi2.sf(np.sum(sums**2), SIZE)
    assert RARE / 2 < p < 1 - RARE / 2
    assert np.max(np.abs(sums)) < scipy.stats.norm.isf(RARE / 2 / SIZE)


def test_the_spectrum_is_that_of_marchenko_and_pastur(sample):
    """Eigenvalues of W W^T / SIZE: the law on [0, 4], and both of its edges.

    The largest, centred and scaled, follows Tracy and Widom's law: beyond -8 and 8 with probability
    exp(-8^3 / 24) + exp(-2/3 8^1.5) = 3e-7. The smallest singular value of W, times sqrt(SIZE), is
    below 1e-6 with probability 1e-6, and above 5 with exp(-5^2 / 2 - 5) = 3e-8. Between the edges
    the number of eigenvalues below any point deviates by less than 2 (its variance is of order
    log SIZE / pi^2); 20 are allowed.
    """
    _, z = sample
    eigenvalues = scipy.linalg.eigvalsh(z @ z.T)
    root = np.sqrt(SIZE - 1) + np.sqrt(SIZE)
    scale = root * (1 / np.sqrt(SIZE - 1) + 1 / np.sqrt(SIZE)) ** (1 / 3)
    assert abs(eigenvalues[-1] - root**2) < 8 * scale
    assert 1e-12 < eigenvalues[0] * SIZE < 25
    points = np.clip(eigenvalues / SIZE, 0, 4)
    half = np.arcsin(np.sqrt(points) / 2)
    law = 2 / np.pi * (half + np.sin(half) * np.cos(half))
    assert np.max(np.abs(law * SIZE - np.arange(SIZE) - 0.5)) < 20
