"""Layers read from safetensors files, without torch."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from subquad._tensor_files import Tensors
from subquad._validation import as_matrix, as_path
from subquad.networks import LastLayer

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from subquad._typing import FloatArray
    from subquad.activations import Activation


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

    weight: FloatArray
    bias: FloatArray
    readout: FloatArray | None
    constant: FloatArray | None

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
        tensors = Tensors(opened, os.fsdecode(file))
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
