"""The outer factor A (m, k) of a factored layer: none, dense, or of Hadamard transforms.

The rows of each have unit norm, on average, so that neurons start as with independent weights.

    block          size of the transforms that the kernel applies; None where it is given z
    signs          diagonals of the D_j, (m,); empty without a transform
    padded         number of neurons, rounded up to whole words of bits and whole transforms
    narrow         whether k < m by construction, so that U (n, k) may be kept
    n_forward      number of columns of V forward(B)^T, which the kernel is given
"""

import numpy as np
import scipy.linalg

from subquad.networks._initial import normals
from subquad.sketch import SRHT

# Neurons are padded to whole words of bits.
_WORD = 64


class _Outer:
    """Defaults of a factor that the kernel does not apply."""

    block = None
    narrow = True
    is_dense = False

    def __init__(self, width, outer_size, dtype):
        self.width, self.size = width, outer_size
        self.padded = -(-width // _WORD) * _WORD
        self.signs = np.empty(0, dtype)
        self.n_forward = width

    def forward(self, weights):
        """Return the matrix by which V is multiplied before the kernel."""
        return weights

    def backward(self, out):
        """Return what came out of the kernel, as (points, k)."""
        return out[:, : self.size]


class Absent(_Outer):
    """W = B C."""

    narrow = False

    def __init__(self, width, dtype):
        super().__init__(width, width, dtype)

    def matrix(self):
        """Return A as an array."""
        return np.eye(self.width)


class Dense(_Outer):
    """Entries from N(0, 1 / k)."""

    is_dense = True

    def __init__(self, width, outer_size, rng, dtype):
        super().__init__(width, outer_size, dtype)
        self._matrix = normals((width, outer_size), rng, dtype)
        self._matrix /= np.sqrt(dtype.type(outer_size))

    def forward(self, weights):
        """Return A, since B has been applied."""
        return self._matrix

    def backward(self, out):
        """Return the rows of what came out of the kernel times A."""
        return out[:, : self.width] @ self._matrix

    def multiply(self, factor):
        """Multiply A by a number."""
        self._matrix *= self._matrix.dtype.type(factor)

    def matrix(self):
        """Return A as an array."""
        return self._matrix.astype(np.float64)


class OneTransform(Dense):
    """A = (P H D / sqrt(k))^T: k columns of one randomised Hadamard transform of order m."""

    def __init__(self, width, outer_size, rng, dtype):
        _Outer.__init__(self, width, outer_size, dtype)
        transposed = SRHT(width, outer_size, rng=rng).matrix()
        self._matrix = np.ascontiguousarray(transposed.T, dtype)


class HadamardStack(_Outer):
    """A = k^-1/2 (H_p D_1; H_p D_2; ...), the first m rows and k columns, p = 2^a >= k."""

    def __init__(self, width, outer_size, rng, dtype):
        super().__init__(width, outer_size, dtype)
        self.block = 1 << (outer_size - 1).bit_length()
        step = max(self.block, _WORD)
        self.padded = -(-width // step) * step
        self.n_forward = outer_size
        signs = np.zeros((self.padded // self.block, self.block), dtype)
        used = -(-width // self.block)
        bits = rng.integers(0, 2, (used, outer_size), dtype=np.int8)
        signs[:used, :outer_size] = (2.0 * bits - 1.0) / np.sqrt(outer_size)
        self.signs = signs.reshape(-1)

    def multiply(self, factor):
        """Multiply A by a number."""
        self.signs *= self.signs.dtype.type(factor)

    def matrix(self):
        """Return A as an array."""
        H = scipy.linalg.hadamard(self.block).astype(np.float64)
        transforms = self.signs.reshape(-1, 1, self.block).astype(np.float64) * H
        return transforms.reshape(-1, self.block)[: self.width, : self.size]
