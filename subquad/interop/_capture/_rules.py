"""What u and v are for each kind of layer: one small class a kind.

A call of a layer has `lead` axes, among them that of the samples, and `inner` positions for each
of their entries. V and the U of every output list their rows in this order, lead axes first.
"""

import math
import sys

import numpy as np
import scipy.sparse

from subquad.interop._torch import as_numpy


class Linear:
    """W (m_out, m_in): v is the input, u the derivative by the output."""

    transposed = False

    def __init__(self, module):
        self.shape = tuple(module.weight.shape)

    @staticmethod
    def refusal(module):
        """Return why the layer cannot be captured, or None."""

    def inputs(self, module, x):
        """Return (V, lead axes, inner positions) of a call."""
        return as_numpy(x.reshape(-1, x.shape[-1])), tuple(x.shape[:-1]), 1

    def derivatives(self, dz):
        """Return U, given the derivatives by what leaves the layer."""
        return as_numpy(dz.reshape(-1, dz.shape[-1]))

    def matrix(self, weight):
        """Return an array in the shape of the weight as one of shape (m_u, m_v)."""
        return weight.reshape(self.shape)


class Transposed(Linear):
    """W^T (m_out, m_in), where the layer keeps W (m_in, m_out)."""

    transposed = True

    def __init__(self, module):
        self.shape = tuple(module.weight.shape[::-1])

    def matrix(self, weight):
        """Return the transpose."""
        return weight.T


class Convolution(Linear):
    """W (m_out, m_in / g * kernel): v is the patch under the kernel, u the derivative there.

    With g groups of channels a position has g rows, whose u is zero outside of its group.
    """

    def __init__(self, module):
        super().__init__(module)
        weight = module.weight
        self.shape, self._groups = (len(weight), math.prod(weight.shape[1:])), module.groups

    def inputs(self, module, x):
        """Return every patch of the padded input as a row, for each group of channels."""
        from torch.nn import functional

        if x.ndim != 2 + len(module.kernel_size):
            raise ValueError(
                f"model must call a convolution on batches; got an input of shape {tuple(x.shape)}."
            )
        mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
        patches = functional.pad(x, module._reversed_padding_repeated_twice, mode=mode)
        sizes = zip(module.kernel_size, module.stride, module.dilation, strict=True)
        for axis, (size, stride, dilation) in enumerate(sizes, start=2):
            patches = patches.unfold(axis, dilation * (size - 1) + 1, stride)[..., ::dilation]
        n_axes = len(module.kernel_size)
        n, channels, *positions = patches.shape[: 2 + n_axes]
        patches = patches.movedim(1, 1 + n_axes)  # samples, positions, channels, kernel
        rows = as_numpy(patches).reshape(
            -1, channels // self._groups * math.prod(module.kernel_size)
        )
        return rows, (n,), math.prod(positions) * self._groups

    def derivatives(self, dz):
        """Return one row for each position, or for each group of channels there, in CSR."""
        dense = as_numpy(dz.movedim(1, -1).reshape(-1, dz.shape[1]))
        if self._groups == 1:
            return dense
        n_rows, width = len(dense) * self._groups, dense.shape[1] // self._groups
        indptr = np.arange(n_rows + 1) * width
        columns = np.tile(np.arange(dense.shape[1]), len(dense))
        return scipy.sparse.csr_array(
            (dense.ravel(), columns, indptr), shape=(n_rows, dense.shape[1])
        )


class Embedding(Transposed):
    """W^T (dimension, number of rows): v is one-hot, in CSR, so that this is a linear layer."""

    def __init__(self, module):
        super().__init__(module)
        self._ignored = module.padding_idx

    @staticmethod
    def refusal(module):
        """Return why the layer cannot be captured, or None."""
        return "divides its gradient by frequencies" if module.scale_grad_by_freq else None

    def inputs(self, module, x):
        """Return one-hot rows; that of the padding index is empty."""
        indices = as_numpy(x).ravel()
        kept = np.ones(indices.size, bool) if self._ignored is None else indices != self._ignored
        indptr = np.concatenate([[0], np.cumsum(kept)])
        ones = np.ones(indptr[-1], as_numpy(module.weight[:0]).dtype)
        V = scipy.sparse.csr_array((ones, indices[kept], indptr), (indices.size, self.shape[1]))
        return V, tuple(x.shape), 1


class EmbeddingBag(Embedding):
    """W^T again; v counts the entries of a bag, weighted, or divided by their number."""

    @staticmethod
    def refusal(module):
        """Return why the layer cannot be captured, or None."""
        return "takes the maximum" if module.mode == "max" else Embedding.refusal(module)

    def inputs(self, module, x, offsets=None, per_sample_weights=None):
        """Return one row for each bag: samples are rows of x, or begin at the offsets."""
        indices = as_numpy(x).ravel()
        if offsets is None:
            n_bags, bags = len(x), np.repeat(np.arange(len(x)), x.shape[1])
        else:
            starts = as_numpy(offsets)
            n_bags = len(starts) - bool(module.include_last_offset)
            bags = np.searchsorted(starts[:n_bags], np.arange(indices.size), side="right") - 1
        dtype = as_numpy(module.weight[:0]).dtype
        values = np.ones(indices.size, dtype)
        if per_sample_weights is not None:
            values = as_numpy(per_sample_weights).ravel()
        kept = np.ones(indices.size, bool) if self._ignored is None else indices != self._ignored
        indices, bags, values = indices[kept], bags[kept], values[kept]
        if module.mode == "mean":
            values = values / np.bincount(bags, minlength=n_bags)[bags].astype(dtype)
        V = scipy.sparse.csr_array((values, (bags, indices)), (n_bags, self.shape[1]))
        return V, (n_bags,), 1


def rules():
    """Return the kinds of layers: (class, rule), in the order in which they are tried."""
    from torch import nn

    convolutions = [(kind, Convolution) for kind in (nn.Conv1d, nn.Conv2d, nn.Conv3d)]
    embeddings = [(nn.EmbeddingBag, EmbeddingBag), (nn.Embedding, Embedding)]
    # A model has such a layer only after this module was imported.
    transformers = sys.modules.get("transformers.pytorch_utils")
    others = [(transformers.Conv1D, Transposed)] if hasattr(transformers, "Conv1D") else []
    return [(nn.Linear, Linear), *convolutions, *embeddings, *others]
