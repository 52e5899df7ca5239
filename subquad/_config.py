"""What this installation consists of."""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

import numpy as np
import scipy

from subquad import __version__
from subquad._kernels import _simd
from subquad._parallel import resolve_threads
from subquad.sketch import fft_backend

if TYPE_CHECKING:
    from typing import Any


def show_config() -> dict[str, Any]:
    """Print versions, instruction set, OpenMP, BLAS and threads: what a bug report needs.

    Examples
    --------
    >>> show_config()  # doctest: +SKIP
    subquad   0.1.0
    python    3.11.7 (Linux x86_64)
    numpy     2.4.6
    scipy     1.17.1
    SIMD      avx512 (best here: avx512; set SUBQUAD_SIMD_LEVEL to lower it)
    OpenMP    yes
    BLAS      scipy-openblas 0.3.30
    FFT       pyfftw (set SUBQUAD_FFT_BACKEND to choose)
    threads   2
    """
    for name, value in _configuration().items():
        print(f"{name:<9} {value}")


def _configuration():
    """The lines of `show_config`."""
    best = _simd.best_level()
    blas = scipy.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "subquad": __version__,
        "python": f"{platform.python_version()} ({platform.system()} {platform.machine()})",
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "SIMD": f"{_simd.level()} (best here: {best}; set SUBQUAD_SIMD_LEVEL to lower it)",
        "OpenMP": "yes" if _simd.has_openmp() else "no: the kernels run on one thread",
        "BLAS": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "FFT": f"{fft_backend()} (set SUBQUAD_FFT_BACKEND to choose)",
        "threads": resolve_threads(None),
    }
