"""A forward pass of a wide network that remembers what the derivative of the outputs needs.

    z_l = (W_l + dW_l) h_{l-1},   h_l = phi(z_l), divided by its norm for l < L,   f = a h_L

    u_L = a o phi'(z_L),
    u_{l-1} = phi'(z_{l-1}) o (P_{l-1} (W_l + dW_l)^T u_l) / |phi(z_{l-1})|

with P_l = I - h_l h_l^T from the division by the norm, or, in a network without it, P_l = I and no
denominator. The derivative of f by W_l is u_l (x) h_{l-1}.
"""

import numpy as np
import scipy.sparse

from subquad._factors import LowRankFactors
from subquad._validation import as_matrix
from subquad.networks._last_layer import _norms, divide_by_norms, thresholds_of
from subquad.networks._silence import warn_of_silence

# Below this density of u_l the product with W_l^T takes it in CSR.
_FEW = 0.4


class ForwardPass:
    """What n data points make of every layer.

    Parameters
    ----------
    network : WideNetwork
    X : ndarray, shape (n, d)
        In the dtype of the network.
    n_threads : int
    changes : sequence, optional
        dW_l for every layer: objects with `add_product(out, Y)`, which adds dW_l y_i to out[i], and
        `add_transposed_product(out, X)`, which adds dW_l^T x_i.
    start : ForwardPass, optional
        A pass of the same points through the same W_l without changes, whose `preactivations` were
        kept. What W_l (h_{l-1} - h'_{l-1}) and dW_l h_{l-1} add to its z'_l is summed by itself:
        near it, a sum of small numbers, of which rounding leaves as much less to the outputs.
    keep : bool
        Whether to keep `preactivations`.

    Attributes
    ----------
    inputs : list of ndarray
        h_0 .. h_{L-1}, shapes (n, d) and (n, m).
    fired : list of ndarray of bool, shape (n, m)
        Which neurons of each layer fire.
    response : ndarray, shape (n, m)
        h_L.
    preactivations : list of ndarray, shape (n, m)
        z_l, where they are kept.
    """

    def __init__(self, network, X, n_threads, changes=None, *, start=None, keep=False):
        self._network, self._changes, self._n_threads = network, changes, n_threads
        self.inputs, self.fired, self._norms, H = [], [], [], X
        self.preactivations = []
        for level in range(network.depth):
            self.inputs.append(H)
            Z = self._multiplied(level, H, start)
            if keep:
                self.preactivations.append(Z.copy())
            H, norms = self._respond(Z, H)
            if network.normalise and level < network.depth - 1:
                divide_by_norms(H, norms)
        self.response = H

    def _multiplied(self, level, H, start):
        """z of a layer, (W + dW) h."""
        W = self._network.weights[level]
        if start is None:
            apply = self._network._apply if level else _product
            Z = apply(W, H, self._n_threads)
        elif level:
            Z = _product(W, H - start.inputs[level], self._n_threads)
        else:
            Z = np.zeros((len(H), W.shape[0]), H.dtype)
        if self._changes is not None:
            self._changes[level].add_product(Z, H)
        if start is not None:
            Z += start.preactivations[level]
        return Z

    def _respond(self, Z, H):
        """Note which neurons fire; return their response, in the memory of Z, and its norms."""
        phi = self._network.activation
        input_norms = _norms(H)
        thresholds = thresholds_of(phi, input_norms, self._network.weight_std, H.dtype)
        self.fired.append(phi._derivative(Z, thresholds) != 0)
        H = phi._apply(Z, thresholds, out=Z)
        norms = _norms(H)
        if not self._network.normalise:
            warn_of_silence(len(self.fired), norms, input_norms)
        norms[norms == 0] = 1  # no neuron fires there: h and its derivative are zero
        largest = np.finfo(H.dtype).max  # a norm may be larger though no entry is
        self._norms.append(np.minimum(norms, largest)[:, None].astype(H.dtype))
        return H, norms

    def outputs(self):
        """Return f in float64, shape (n, C)."""
        return self.response.astype(np.float64) @ self._network.readout.T.astype(np.float64)

    def slopes(self, level):
        """Return phi'(z) of a layer, counted from 0, shape (n, m)."""
        dtype = self._network.dtype
        return np.multiply(self.fired[level], dtype.type(self._network.activation.scale))

    def output_derivatives(self):
        """Return d f_c(x_i) / d z_L in rows (i, c), shape (n C, m)."""
        rows = self.slopes(-1)[:, None, :] * self._network.readout
        return rows.reshape(-1, rows.shape[-1])

    def derivatives(self, U=None, lowest=0):
        """Yield (level, u) from the last layer down to `lowest`, counted from 0.

        U has rows (i, c), C for each data point: d f_c(x_i) / d z_L by default, shape (n C, m).
        """
        U = self.output_derivatives() if U is None else U
        for level in range(self._network.depth - 1, lowest - 1, -1):
            yield level, U
            if level > lowest:
                U = self._one_layer_down(U, level)

    def _one_layer_down(self, U, level):
        """Take u of a layer to u of the one below."""
        back = self._transposed(U, level)
        if not self._network.normalise:
            return back * np.repeat(self.slopes(level - 1), len(U) // len(self.fired[0]), axis=0)
        n = len(self.fired[0])
        back = back.reshape(n, len(U) // n, -1)
        H = self.inputs[level][:, None, :]
        back -= H * np.einsum("icj,icj->ic", np.broadcast_to(H, back.shape), back)[:, :, None]
        back *= (self.slopes(level - 1) / self._norms[level - 1])[:, None, :]
        return back.reshape(len(U), -1)

    def _transposed(self, U, level):
        """(W + dW)^T u for rows u."""
        W = self._network.weights[level]
        few = np.count_nonzero(U) < _FEW * U.size
        out = W.apply_transposed(scipy.sparse.csr_array(U) if few else U, self._n_threads)
        if self._changes is not None:
            self._changes[level].add_transposed_product(out, U)
        return out


def _product(W, H, n_threads):
    """Return rows W h_i, zero or not, of either sign."""
    return W._apply_dense(H, n_threads)


def is_list_of_pairs(factors):
    """Return whether there is a pair for every layer, rather than one for the last.

    Matrices may be lists of rows: what the first entry holds, matrices or rows, tells.
    """
    if not isinstance(factors, (tuple, list)) or not factors:
        return False
    return isinstance(factors[0], (tuple, list)) and any(map(_is_matrix, factors[0]))


def _is_matrix(x):
    rows = isinstance(x, (tuple, list)) and len(x) > 0 and not np.isscalar(x[0])
    return rows or getattr(x, "ndim", 0) == 2


def as_changes(network, factors):
    """Return dW_l of every layer from a list of pairs, checked."""
    if len(factors) != network.depth:
        raise ValueError(
            f"factors must have one pair for each of the {network.depth} layers; "
            f"got {len(factors)}."
        )
    changes = []
    for level, (pair, W) in enumerate(zip(factors, network.weights, strict=True)):
        name = f"factors[{level}]"
        if len(pair) != 2:
            raise ValueError(f"{name} must be a pair (A, V); got {len(pair)} arrays.")
        sizes = {"dtype": network.dtype, "min_rows": 0}
        A = as_matrix(pair[0], f"{name}[0]", n_columns=W.shape[0], **sizes)
        V = as_matrix(pair[1], f"{name}[1]", n_columns=W.shape[1], n_rows=len(A), **sizes)
        changes.append(LowRankFactors.adopting(A, V))
    return changes
