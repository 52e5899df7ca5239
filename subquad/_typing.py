"""Types that several signatures share; only type checkers import this module."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse
from numpy.typing import ArrayLike, NDArray

# What the package returns: float32 where that was given, float64 otherwise.
FloatArray: TypeAlias = NDArray[np.floating[Any]]
IndexArray: TypeAlias = NDArray[np.intp]
# What is taken for a matrix that may be sparse, and what such a matrix is kept as.
MatrixLike: TypeAlias = ArrayLike | scipy.sparse.sparray | scipy.sparse.spmatrix
Matrix: TypeAlias = FloatArray | scipy.sparse.csr_array


class Linearisable(Protocol):
    """A network, or its last layer, whose method `jacobian` returns a Jacobian."""

    @property
    def jacobian(self) -> Callable[..., Any]:
        """The method: its arguments differ from network to network."""


class Sketch(Protocol):
    """A sketch of a tall matrix: one of `subquad.sketch`, or a user's own."""

    @property
    def sketch_size(self) -> int:
        """Rows of the sketch."""
