"""Columns of a matrix stored compactly, in one or two bytes a number.

bfloat16 numbers are the upper halves of float32 numbers, in uint16; int8 numbers are whole
multiples of one scale. All of it trusts its arguments.
"""

import numpy as np
import scipy.special

from subquad._parallel import blocks

STORAGES = {"bfloat16": np.dtype(np.uint16), "int8": np.dtype(np.int8)}
BFLOAT16_MAX = float(np.uint32(0x7F7F0000).view(np.float32))
_INT8_MAX = 127
# Temporaries of about so many entries stay in cache.
_ENTRIES_PER_CALL = 2**20


def blocks_by_cache(shape):
    """Return slices of the rows of an array of this shape whose temporaries stay in cache."""
    return blocks(shape[0], _ENTRIES_PER_CALL // shape[1])


class CompactColumns:
    """The columns of a matrix, W[:, j] = scale * stored[j] for int8, decoded to float32."""

    dtype = np.dtype(np.float32)

    def __init__(self, stored, scale=1.0):
        self.stored, self.scale = stored, np.float32(scale)

    @classmethod
    def empty(cls, shape, storage, scale=1.0):
        """Return columns to be filled."""
        return cls(np.empty(shape, STORAGES[storage]), scale)

    @property
    def storage(self):
        """Name of the format."""
        return "int8" if self.stored.dtype == np.int8 else "bfloat16"

    @property
    def shape(self):
        """(m_in, m_out)."""
        return self.stored.shape

    @property
    def nbytes(self):
        """Memory, in bytes."""
        return self.stored.nbytes

    def __len__(self):
        return len(self.stored)

    def copy(self):
        """Return columns with their own memory."""
        return CompactColumns(self.stored.copy(), self.scale)

    def decoded(self, which=slice(None)):
        """Return some of the columns in float32."""
        stored = self.stored[which]
        if self.storage == "int8":
            return np.multiply(stored, self.scale, dtype=np.float32)
        bits = stored.astype(np.uint32)
        bits <<= 16
        return bits.view(np.float32)

    def fill(self, which, columns):
        """Store some columns, given as floats, each number rounded to the nearest one."""
        if self.storage == "int8":
            self.stored[which] = np.rint(columns / float(self.scale))
        else:
            self.stored[which] = _upper_halves(columns.astype(np.float32))


def compressed(matrix, storage):
    """Return CompactColumns of a matrix (m_out, m_in), and the largest rounding error."""
    scale = 1.0
    if storage == "int8":
        peak = max(float(matrix.max()), -float(matrix.min()))
        # No smaller than a float32 can be divided by, for a matrix of zeros.
        scale = max(np.float32(peak / _INT8_MAX), np.finfo(np.float32).tiny)
        if float(scale) * (_INT8_MAX + 0.5) < peak:  # its own rounding must not push 127 over
            scale = np.nextafter(np.float32(scale), np.float32(np.inf))
    columns = CompactColumns.empty(matrix.shape[::-1], storage, scale)
    error = 0.0
    for which in blocks_by_cache(columns.shape):
        given = np.ascontiguousarray(matrix[:, which].T)
        columns.fill(which, given)
        error = max(error, float(np.abs(columns.decoded(which) - given.astype(float)).max()))
    return columns, error


def int8_normals():
    """Return 256 equally likely int8 numbers, and the scale that gives them variance one."""
    quantiles = scipy.special.ndtri((np.arange(256) + 0.5) / 256)
    steps = np.rint(quantiles * (_INT8_MAX / quantiles[-1]))
    return steps.astype(np.int8), 1.0 / np.sqrt(np.mean(steps**2))


def _upper_halves(numbers):
    """Round float32 numbers to bfloat16, ties to even, as uint16."""
    bits = numbers.view(np.uint32)
    return ((bits + (((bits >> 16) & 1) + 0x7FFF)) >> 16).astype(np.uint16)
