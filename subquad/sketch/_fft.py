"""Real Fourier transforms of blocks of rows, by pyfftw where it is installed, else by scipy.fft.

Rows of even length s are transformed as s / 2 complex numbers, which the libraries do in a half to
two thirds of the time of their real transforms, and stay in this form for products. FFTW plans
without measuring: the same plan, hence the same digits, comes out every time. Set
SUBQUAD_FFT_BACKEND to "scipy" or "pyfftw" to choose.
"""

from __future__ import annotations

import functools
import importlib.util
import math
import os
import threading
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from subquad._kernels import count_sketch as kernels
from subquad._kernels.half_spectrum import multiply_halves
from subquad._parallel import blocks, map_in_threads
from subquad.sketch._base import useful_threads
from subquad.sketch._rows import entries

if TYPE_CHECKING:
    from typing import Literal


BACKENDS = ("pyfftw", "scipy")
# Keep up to this many workspaces for their next use.
_KEPT = 8
# Keep no workspace of more bytes than this.
_LARGEST_KEPT = 2**25
# Aim at this many reals a block, so that two of them and their transforms nearly stay in the second
# cache. Half as many take 4 to 9 % longer, since a block costs some 50 microseconds of Python.
_REALS = 2**16
# A block has at least 8 and at most 128 rows.
_ROWS = 8, 128
# Rows of which only sums are kept come in larger blocks, which need not stay in the second cache:
# 2^18 reals and 256 rows took two thirds of the time of 2^15 reals at s = 1024. There are at least
# so many blocks to divide among threads.
_SUMMED_REALS, _SUMMED_ROWS, _SUMMED_BLOCKS = 2**18, 256, 16
# Hand this many reals of rows to the threads at a time, a third of a second of work: Ctrl-C is
# heard between two such calls.
_REALS_PER_CALL = 2**25

_chosen = None
_idle = []
_lock = threading.Lock()


def fft_backend() -> str:
    """Return the name of the library that transforms: "pyfftw" or "scipy".

    Examples
    --------
    >>> fft_backend() in ("pyfftw", "scipy")
    True
    """
    global _chosen
    if _chosen is None:
        _chosen = _default_backend()
    return _chosen


def use_fft_backend(name: Literal["pyfftw", "scipy"] | None) -> None:
    """Choose the library that transforms from now on; None goes back to the default.

    Raises
    ------
    ValueError
        If `name` is neither "pyfftw" nor "scipy", or pyfftw is not installed.
    """
    global _chosen
    _chosen = None if name is None else _checked(name, "name")


def block_rows(n, size):
    """Return how many of n rows to transform at once."""
    least, most = _ROWS
    return _even(n, min(most, max(least, _REALS // size)))


def summed_rows(n, size):
    """Return how many of n rows to transform at once where only sums by group are kept."""
    most = min(_SUMMED_ROWS, _SUMMED_REALS // size, n // _SUMMED_BLOCKS)
    return _even(n, max(block_rows(n, size), most))


def _even(n, most):
    """Return the size of the fewest blocks of at most so many rows."""
    count = -(-n // most)
    return -(-n // count)


def all_blocks(work, n, size, n_threads):
    """Call work(rows) for every block of n rows, in n_threads; return whether all were true."""
    count = block_rows(n, size)
    return all([done for _, done in each_block(work, n, size, count, n_threads)])


def each_block(work, n, size, count, n_threads):
    """Yield (rows, work(rows)) for blocks of `count` of n rows, as n_threads get them done."""
    every = list(blocks(n, count))
    per_call = _REALS_PER_CALL // (count * size)
    for some in blocks(len(every), per_call):
        done = map_in_threads(work, every[some], n_threads)
        yield from zip(every[some], done, strict=True)


def transform_threads(X, size, n_threads):
    """Return the number of threads to use for transforming the rows of X."""
    return useful_threads(n_threads, entries(X) + 4 * X.shape[0] * size)


class Borrowed:
    """Context manager that lends a Workspace, which no other thread has at the time."""

    def __init__(self, rows, size, dtype):
        self._key = fft_backend(), rows, size, dtype

    def __enter__(self):
        with _lock:
            for i, idle in enumerate(_idle):
                if idle.key == self._key:
                    self._lent = _idle.pop(i)
                    return self._lent
            # Plans are made one at a time: FFTW's planner is not to be entered by two threads.
            self._lent = Workspace(*self._key)
        return self._lent

    def __exit__(self, *_):
        if self._lent.nbytes <= _LARGEST_KEPT:
            with _lock:
                _idle.append(self._lent)
                del _idle[:-_KEPT]


class Workspace:
    """Rows `real` (rows, size), their transforms `transform` (rows, size), scratch for a kernel.

    A transform of even size is that of size / 2 complex numbers: see the kernel half_spectrum. One
    of odd size is the coefficient of frequency 0, which is real, and then complex ones.
    """

    def __init__(self, backend, rows, size, dtype):
        self.key = backend, rows, size, dtype
        self.size = size
        self.scratch = np.empty(kernels.ROWS * size, dtype)
        self.real, self.transform = np.zeros((2, rows, size), dtype)
        self.nbytes = self.scratch.nbytes + 2 * self.real.nbytes
        self._complex = np.result_type(dtype, np.complex64)
        self._plans = None
        if size % 2 == 0 and backend == "pyfftw":
            self._plan()

    def _plan(self):
        import pyfftw

        self.real = pyfftw.zeros_aligned(self.real.shape, self.real.dtype)
        self.transform = pyfftw.zeros_aligned(self.real.shape, self.real.dtype)
        pair = self.real.view(self._complex), self.transform.view(self._complex)
        plan = functools.partial(pyfftw.FFTW, axes=(1,), flags=("FFTW_ESTIMATE",), threads=1)
        self._plans = plan(*pair), plan(*pair[::-1], direction="FFTW_BACKWARD")

    def forward(self):
        """Transform `real`."""
        if self.size % 2:
            self.transform = _packed(scipy.fft.rfft(self.real))
        elif self._plans:
            self._plans[0].execute()
        else:
            self.transform = scipy.fft.fft(self.real.view(self._complex)).view(self.real.dtype)

    def backward(self):
        """Transform back to `real`, which is `gain` times the rows."""
        if self.size % 2:
            Y = _unpacked(self.transform, self._complex)
            self.real = scipy.fft.irfft(Y, self.size, norm="forward")
        elif self._plans:
            self._plans[1].execute()
        else:
            Z = scipy.fft.ifft(self.transform.view(self._complex), norm="forward")
            self.real = Z.view(self.real.dtype)

    @property
    def gain(self):
        """What the transform and then the one back multiply rows by."""
        return self.size if self.size % 2 else self.size // 2


def multiply_transforms(product, transforms):
    """Turn transforms of rows into those of their cyclic convolutions with others, in place."""
    size = product.shape[1]
    if size % 2 == 0:
        multiply_halves(product, transforms, _turns(size, product.dtype))
        return
    kind = np.result_type(product.dtype, np.complex64)
    pairs = product[:, 1:].view(kind)
    with np.errstate(all="ignore"):  # NaN and infinity are noticed afterwards
        product[:, 0] *= transforms[:, 0]
        pairs *= transforms[:, 1:].view(kind)


def isometric(transforms):
    """Weight transforms, in place, so that inner products are size / 2 times those of the rows.

    Transforms of even size are so; of odd size, complex coefficients stand for two frequencies.
    """
    if transforms.shape[1] % 2:
        transforms[:, 0] *= transforms.dtype.type(math.sqrt(0.5))


def _packed(Y):
    """Return a transform of odd length, made of the complex numbers of rfft."""
    reals = Y.view(Y.real.dtype)
    return np.concatenate([reals[:, :1], reals[:, 2:]], axis=1)


def _unpacked(transform, kind):
    """Return the complex numbers that `_packed` was made of."""
    Y = np.empty((len(transform), transform.shape[1] // 2 + 1), kind)
    Y[:, 0] = transform[:, 0]
    Y[:, 1:] = transform[:, 1:].view(kind)
    return Y


@functools.lru_cache(maxsize=16)
def _turns(size, dtype):
    """Return (1 + exp(-4 pi i k / size)) / 4 for 0 < k < size / 4, real and imaginary parts."""
    angles = 4 * np.pi / size * np.arange(1, (size // 2 - 1) // 2 + 1)
    turns = np.stack([1 + np.cos(angles), -np.sin(angles)], axis=1) / 4
    return turns.ravel().astype(dtype)


def _default_backend():
    """Return what the environment asks for, else pyfftw where it is installed, else scipy."""
    asked = os.environ.get("SUBQUAD_FFT_BACKEND")
    if asked:
        return _checked(asked, "SUBQUAD_FFT_BACKEND")
    return "pyfftw" if _has_pyfftw() else "scipy"


def _checked(name, argument):
    if not isinstance(name, str) or name not in BACKENDS:
        raise ValueError(f"{argument} must be one of {', '.join(BACKENDS)}; got {name!r}.")
    if name == "pyfftw" and not _has_pyfftw():
        raise ValueError(
            f"{argument} must name an installed library; got 'pyfftw'. "
            "Install it with: pip install 'subquad[fftw]'."
        )
    return name


@functools.cache
def _has_pyfftw():
    return importlib.util.find_spec("pyfftw") is not None
