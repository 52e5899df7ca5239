"""The sketch of x (x) ... (x) x: the convolution of any number of count sketches of x."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import numpy as np

from subquad.sketch._base import MAX_SIZE, destination
from subquad.sketch._count_sketch import encoded, sketch_rows
from subquad.sketch._fft import (
    Borrowed,
    all_blocks,
    block_rows,
    multiply_transforms,
    transform_threads,
)
from subquad.sketch._rows import as_rows, is_finite, require_finite_entries

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from subquad._typing import FloatArray
    from subquad.sketch._rows import Rows


__all__ = ["MAX_SIZE", "as_rows", "encoded", "is_finite", "polynomial_sketch"]


def polynomial_sketch(
    X: FloatArray | Rows,
    codes: NDArray[np.int32],
    size: int,
    gamma: float,
    coef0: float,
    n_threads: int | None = None,
) -> FloatArray:
    """Return sketches of the features of (gamma <x, y> + coef0)^degree, shape (n, size).

    X is an ndarray or Rows. Row k of `codes` (degree, m or m + 1) is the code of count sketch k.
    Where coef0 is not 0, its last entry belongs to the constant coordinate sqrt(coef0).
    """
    n, m = X.shape
    count = block_rows(n, size)
    out = destination(None, (n, size), X.dtype, ())

    def sketch(code, rows, room):
        """Return the count sketches of (sqrt(gamma) x, sqrt(coef0)) for a block of rows x."""
        real = room.real[: rows.stop - rows.start]
        sketch_rows(X[rows], code[:m], real, 1, room.scratch)
        if gamma != 1:
            real *= real.dtype.type(math.sqrt(gamma))
        if coef0 != 0:
            real[:, code[m] >> 1] += (1 - 2 * (code[m] & 1)) * real.dtype.type(math.sqrt(coef0))
        return real

    def one_block(rows):
        with contextlib.ExitStack() as rooms:
            first = rooms.enter_context(Borrowed(count, size, X.dtype))
            real = sketch(codes[0], rows, first)
            if len(codes) == 1:
                out[rows] = real
                return is_finite(real)
            second = rooms.enter_context(Borrowed(count, size, X.dtype))
            first.forward()
            for code in codes[1:]:
                sketch(code, rows, second)
                second.forward()
                multiply_transforms(first.transform, second.transform)
            finite = is_finite(first.transform[: len(real), 0])
            first.backward()
            np.multiply(first.real[: len(real)], out.dtype.type(1 / first.gain), out=out[rows])
            return finite

    with np.errstate(all="ignore"):
        finite = all_blocks(one_block, n, size, transform_threads(X, size, n_threads))
    if not finite:
        require_finite_entries(X, "X")
    return out
