"""Fixtures that run a test once for every dtype, instruction-set level and thread count."""

import numpy as np
import pytest

from subquad._kernels import _simd

AVAILABLE_LEVELS = _simd.LEVELS[: _simd.LEVELS.index(_simd.best_level()) + 1]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return np.dtype(request.param)


@pytest.fixture(params=AVAILABLE_LEVELS)
def simd_level(request):
    """Use one instruction-set level during the test."""
    level_before = _simd.level()
    _simd.use_level(request.param)
    yield request.param
    _simd.use_level(level_before)


@pytest.fixture(params=[2, 3], ids=["2 threads", "3 threads"])
def n_threads(request):
    """More than one thread: more than a chunk divides evenly among, too."""
    return request.param


@pytest.fixture
def rng():
    return np.random.default_rng(20240229)


@pytest.fixture
def own_folder(monkeypatch, tmp_path_factory):
    """Run the test in an empty folder: the command saves its model where it is run."""
    folder = tmp_path_factory.mktemp("folder")
    monkeypatch.chdir(folder)
    return folder
