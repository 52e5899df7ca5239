"""Weights in a file that is mapped into memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from subquad._fixed import FixedWeights
from subquad._parallel import blocks
from subquad._products import DenseRows, multiply_csr
from subquad._shapes import MAX_SIZE, as_dtype, require_matrix_memory
from subquad._tensor_files import DTYPES, Tensors, widened
from subquad._validation import as_path, require_finite

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from subquad._typing import FloatArray


_NPY = b"\x93NUMPY"
_FLOATS = ("float16", "float32", "float64")
# What is read of the file at once has about so many entries,
_ENTRIES_PER_READ = 2**22
# and so many outputs at least: pieces of whole pages, whatever the order of the file.
_FEWEST_OUTPUTS = 2048
# List so many nonzeros of dense rows at a time.
_NONZEROS_PER_LIST = 2**24


class MappedWeights(FixedWeights):
    """A matrix W (m_out, m_in) that stays in its file, of which products read what they need.

    A product with sparse rows reads each column that any of them needs once, and no other: of a
    file in the order of rows, the pages that those columns lie in.

    Parameters
    ----------
    file : str or path-like
        A safetensors file or a .npy file, with numbers in float16, float32, float64 or, in
        safetensors, bfloat16. It must stay as it is while the weights are in use.
    name : str, optional
        Which array of a safetensors file; ``name + ".weight"`` if there is none called so. Not
        needed if the file holds a single matrix.
    dtype : float32 or float64
        Dtype of every product.

    Attributes
    ----------
    shape : tuple
        (m_out, m_in).
    dtype : numpy.dtype
    file : str
    name : str or None
    nbytes : int
        0: the system may drop the pages that were read.

    Raises
    ------
    OSError
        If the file cannot be read.
    TypeError, ValueError
        If the file is of another kind, truncated, or holds no such matrix of such numbers. Entries
        are inspected when they are read: products raise ValueError for those that are not finite.

    Notes
    -----
    2 nnz(H) m_out operations and at least one read of m_out numbers for each column that is used.
    A pickle holds the path and not the numbers.

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "W.npy")
    ...     np.save(path, np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float16))
    ...     MappedWeights(path).apply(np.array([[1.0, 0.0]]))
    array([[1., 3., 5.]], dtype=float32)
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        name: str | None = None,
        *,
        dtype: DTypeLike = np.float32,
    ) -> None:
        path = os.fsdecode(as_path(file, "file"))
        self.file, self.name, self.dtype = os.path.abspath(path), name, as_dtype(dtype)
        if not isinstance(name, (str, type(None))):
            raise TypeError(f"name must be a string or None; got {type(name).__name__}.")
        with open(self.file, "rb") as opened:
            is_npy = opened.read(len(_NPY)) == _NPY or self.file.endswith(".npy")
            opened.seek(0)
            place = None if is_npy else _place(Tensors(opened, self.file), name)
        self._kind, self._stored = _mapped_array(self.file, name) if is_npy else _mapped(*place)
        self.shape = self._stored.shape
        if self._stored.ndim != 2 or not 0 < min(self.shape) <= max(self.shape) <= MAX_SIZE:
            raise ValueError(
                f"file must hold a matrix of at most {MAX_SIZE} rows and columns, with at least "
                f"one of each; got an array of shape {self.shape}."
            )

    def __getstate__(self):
        return {"file": self.file, "name": self.name, "dtype": self.dtype}

    def __setstate__(self, state):
        self.__init__(**state)

    def __repr__(self) -> str:
        return (
            f"MappedWeights({self.file!r}, {self.name!r}, shape={self.shape}, dtype={self.dtype})"
        )

    def to_dense(self) -> FloatArray:
        """Return W as a new array, shape (m_out, m_in)."""
        require_matrix_memory(self.shape, self.dtype)
        dense = np.empty(self.shape, self.dtype)
        for rows in blocks(self.shape[0], _ENTRIES_PER_READ // self.shape[1]):
            dense[rows] = self._decoded(self._stored[rows])
        return dense

    def _decoded(self, stored):
        """Return numbers of the file in the dtype of products."""
        numbers = widened(stored, self._kind).astype(self.dtype, copy=False)
        require_finite(numbers, "file")
        return numbers

    def _apply_dense(self, H, n_threads):
        """Return rows W h_i of dense H."""
        return self._multiply_dense(H, self._stored.T, n_threads)

    def _apply_csr(self, indptr, indices, values, n_threads):
        """Return rows W h_i of H in CSR."""
        return self._multiply(indptr, indices, values, self._stored.T, n_threads)

    def _apply_transposed_dense(self, G, n_threads):
        """Return rows W^T g_i of dense G."""
        return self._multiply_dense(G, self._stored, n_threads)

    def _apply_transposed_csr(self, indptr, indices, values, n_threads):
        """Return rows W^T g_i of G in CSR."""
        return self._multiply(indptr, indices, values, self._stored, n_threads)

    def _multiply_dense(self, rows, stored, n_threads):
        """Return rows @ stored."""
        listed, n = DenseRows(rows), len(rows)
        out = np.empty((n, stored.shape[1]), self.dtype)
        for block in blocks(n, _NONZEROS_PER_LIST * n // max(listed.nnz, 1)):
            out[block] = self._multiply(*listed.csr(block), stored, n_threads)
        return out

    def _multiply(self, indptr, indices, values, stored, n_threads):
        """Return the sparse rows @ stored, some of whose columns are read at a time."""
        n_outputs = stored.shape[1]
        sources, places = np.unique(indices[indptr[0] : indptr[-1]], return_inverse=True)
        csr = indptr - indptr[0], places.astype(np.intp, copy=False).ravel(), values[indptr[0] :]
        out = np.zeros((len(indptr) - 1, n_outputs), self.dtype)
        step = max(_FEWEST_OUTPUTS, _ENTRIES_PER_READ // max(len(sources), 1))
        for outputs in blocks(n_outputs if len(sources) else 0, step):
            columns = np.ascontiguousarray(self._decoded(stored[:, outputs][sources]))
            out[:, outputs] = multiply_csr(*csr, columns, n_threads)
        return out


def _place(tensors, name):
    """Return the path of a safetensors file, and type, shape and place of one matrix."""
    matrices = tensors.matrices()
    if name is None:
        if len(matrices) != 1:
            listed = ", ".join(matrices[:12]) + (", ..." if len(matrices) > 12 else "")
            raise ValueError(
                f"name must be given for a file of {len(matrices)} matrices; got None. It has: "
                f"{listed or 'none'}."
            )
        (name,) = matrices
    elif not tensors.has(name):
        name = tensors.require(f"{name}.weight", "name")
    return tensors.path, *tensors.place(name, "name")


def _mapped(path, kind, shape, start):
    """Return the type of numbers of a safetensors file, and the array mapped."""
    if 0 in shape or len(shape) != 2:
        return kind, np.empty(shape, DTYPES[kind])  # refused by its shape
    return kind, np.memmap(path, DTYPES[kind], "r", start, shape)


def _mapped_array(path, name):
    """Return the type of numbers of a .npy file, and the array mapped."""
    if name is not None:
        raise ValueError(f"name must be None for a .npy file, which holds one array; got {name!r}.")
    try:
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError:
        raise
    except Exception as error:  # bytes of unknown origin may make the reader raise anything
        raise ValueError(
            f"file must be a whole .npy file of numbers; got {path}, truncated, damaged or of "
            "objects."
        ) from error
    if stored.dtype.name not in _FLOATS:
        raise ValueError(
            f"file must hold numbers in float16, float32 or float64; got {stored.dtype}."
        )
    return {"float64": "F64"}.get(stored.dtype.name, "F32"), stored
