"""Layers read from safetensors files, without torch."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from subquad._validation import as_matrix, as_path
from subquad.networks import LastLayer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad.activations import Activation


# safetensors allows no larger header.
_LARGEST_HEADER = 10**8
_PREFIX = 8
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


@dataclass(frozen=True, eq=False)
class StoredLayer:
    """A linear layer, and perhaps the head that follows its activation.

    Attributes
    ----------
    weight : ndarray, shape (width, m_in)
    bias : ndarray, shape (width,)
        Zeros where the file has none.
    readout : ndarray, shape (n_outputs, width), or None
        The weight of the head, and None without a head.
    constant : ndarray, shape (n_outputs,), or None
        The bias of the head.
    """

    weight: np.ndarray
    bias: np.ndarray
    readout: np.ndarray | None
    constant: np.ndarray | None

    def __repr__(self) -> str:
        width, m_in = self.weight.shape
        head = "" if self.readout is None else f", n_outputs={len(self.readout)}"
        return f"StoredLayer(width={width}, m_in={m_in}{head}, dtype={self.weight.dtype})"

    def last_layer(self, features: ArrayLike, activation: Activation | None = None) -> LastLayer:
        """Return the `LastLayer` of some inputs; its outputs lack `constant`.

        Parameters
        ----------
        features : array_like, shape (n, m_in)
            What enters the layer, in float32 or float64.
        activation : one of `subquad.activations`
            ReLU by default.

        Returns
        -------
        LastLayer

        Raises
        ------
        TypeError, ValueError
            If the layer was read without a head, or an argument is not as described.
        """
        if self.readout is None:
            raise ValueError("head must be given to load_layer for this; got None.")
        V = as_matrix(features, "features", n_columns=self.weight.shape[1])
        Z = V @ self.weight.astype(V.dtype).T + self.bias.astype(V.dtype)
        return LastLayer(V, Z, self.readout.astype(V.dtype), activation)


def load_layer(file: str | os.PathLike[str], layer: str, *, head: str | None = None) -> StoredLayer:
    """Read a linear layer from a safetensors file, without torch.

    Only the arrays that are asked for are read.

    Parameters
    ----------
    file : str or path-like
    layer : str
        The file holds ``layer + ".weight"``, shape (width, m_in), and perhaps ``layer + ".bias"``.
    head : str, optional
        The linear layer that follows the activation, named likewise.

    Returns
    -------
    StoredLayer
        float64 as stored; float32, and bfloat16 and float16 in float32, which holds them exactly.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is no safetensors file, is truncated, has no such layer, or holds it in another type
        of numbers, such as a quantized one.

    Examples
    --------
    >>> stored = load_layer("model.safetensors", "fc1", head="fc2")  # doctest: +SKIP
    >>> stored.last_layer(features, GELU())  # doctest: +SKIP
    LastLayer(n=100, width=512, n_outputs=1, activation=GELU(approximate='none'), dtype=float32)
    """
    file = as_path(file, "file")
    with open(file, "rb") as opened:
        tensors = _Tensors(opened, os.fsdecode(file))
        weight, bias = _linear(tensors, layer, "layer")
        readout = constant = None
        if head is not None:
            readout, constant = _linear(tensors, head, "head")
            if readout.shape[1] != len(weight):
                raise ValueError(
                    f"head must have {len(weight)} columns, the rows of {layer!r}; "
                    f"got {readout.shape[1]}."
                )
    return StoredLayer(weight, bias, readout, constant)


def _linear(tensors, name, argument):
    """Return (weight, bias) of a layer."""
    if not isinstance(name, str):
        raise TypeError(f"{argument} must be the name of a layer; got {type(name).__name__}.")
    weight = tensors.read(f"{name}.weight", argument)
    if weight.ndim != 2:
        raise ValueError(
            f"{argument} must name a linear layer, whose weight is a matrix; got {name!r} with a "
            f"weight of shape {weight.shape}."
        )
    bias = np.zeros(len(weight), weight.dtype)
    if tensors.has(f"{name}.bias"):
        bias = tensors.read(f"{name}.bias", argument)
    if bias.shape != weight.shape[:1]:
        raise ValueError(
            f"{argument} must have a bias of shape {weight.shape[:1]}; got {bias.shape}."
        )
    return weight, bias


class _Tensors:
    """The arrays of an open safetensors file; nothing in it is trusted."""

    def __init__(self, opened, path):
        self._file, self._path = opened, path
        self._size = os.fstat(opened.fileno()).st_size
        length = int.from_bytes(opened.read(_PREFIX), "little")
        self._start = _PREFIX + length
        if self._size < _PREFIX or not 0 < length <= _LARGEST_HEADER or self._start > self._size:
            raise self._damaged("its header does not fit")
        try:
            header = json.loads(opened.read(length))
            self._entries = {k: v for k, v in header.items() if k != "__metadata__"}
        except (ValueError, AttributeError, RecursionError):
            raise self._damaged("its header is not the JSON of one") from None
        for name in self._entries:
            self._described(name)

    def has(self, name):
        """Whether the file has this array."""
        return name in self._entries

    def read(self, name, argument):
        """Return an array in float32 or float64."""
        if name not in self._entries:
            names = sorted(
                k.removesuffix(".weight") for k in self._entries if k.endswith(".weight")
            )
            listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise ValueError(
                f"{argument} must be one of the layers of {self._path}; got {name!r}, which is not "
                f"there. It has: {listed or 'none'}."
            )
        kind, shape, start, n_bytes = self._described(name)
        if kind not in _DTYPES:
            raise ValueError(
                f"{argument} must hold numbers in F64, F32, F16 or BF16; got {name!r} in {kind}, "
                "which is quantized, or newer than this version."
            )
        if n_bytes != math.prod(shape) * np.dtype(_DTYPES[kind]).itemsize:
            raise self._damaged(f"{name!r} has another size than its shape")
        self._file.seek(self._start + start)
        x = np.frombuffer(self._file.read(n_bytes), _DTYPES[kind]).reshape(shape)
        return _widened(x, kind)

    def _described(self, name):
        """Return (type, shape, start, bytes) of an array within the file."""
        try:
            entry = self._entries[name]
            kind, shape = str(entry["dtype"]), tuple(entry["shape"])
            start, end = entry["data_offsets"]
            sound = all(type(k) is int and k >= 0 for k in (*shape, start, end))
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound or not start <= end <= self._size - self._start:
            raise self._damaged(f"{name!r} does not lie within it")
        return kind, shape, start, end - start

    def _damaged(self, reason):
        return ValueError(
            f"file must be a safetensors file; got {self._path}, of another kind, truncated or "
            f"damaged: {reason}."
        )


def _widened(x, kind):
    """Return numbers in native float32 or float64, which hold the narrower types exactly."""
    if kind == "BF16":  # the upper half of a float32
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float64 if kind == "F64" else np.float32)
