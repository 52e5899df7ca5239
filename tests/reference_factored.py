"""Factored networks in plain numpy and float64: [AS22], Sections 4 and 5, as corrected.

f_c(x) = s / sqrt(m) sum_r a_cr phi(W_r x),  W = A B C         (Section 5; A = I in Section 4)
df_c(x_i) / dB = u_ic v_i^T,  u_ic = s / sqrt(m) A^T (a_c o phi'(W x_i)),  v_i = C x_i
B <- B - eta sum_ic (f_c(x_i) - y_ic) u_ic v_i^T               (the printed sign is the other)
"""

import numpy as np
import scipy.linalg


class Factored:
    """A network of dense factors A (m, k), B (k, l), C (l, d); the activation has a shift."""

    def __init__(self, A, B, C, readout, shift=0.0, scale=1.0, jumps=False):
        self.A, self.B, self.C, self.readout = A, B, C, readout
        self.shift, self.scale, self.jumps = shift, scale, jumps

    @classmethod
    def of(cls, network):
        """The definition of a FactoredNetwork, from its dense factors."""
        activation = network.activation
        return cls(
            network.outer_matrix(),
            network.weights.astype(np.float64),
            network.inner_matrix(),
            network.readout.astype(np.float64),
            activation.shift,
            activation.scale,
            activation.jumps,
        )

    def _layer(self, X):
        """Pre-activations, thresholds as a column, and which neurons fire."""
        V = X @ self.C.T
        Z = V @ self.B.T @ self.A.T
        tau = self.shift * np.linalg.norm(V, axis=1, keepdims=True)
        return Z, tau, Z > tau

    def outputs(self, X):
        Z, tau, fired = self._layer(X)
        phi = self.scale * fired * (Z if self.jumps else Z - tau)
        return phi @ self.readout.T / np.sqrt(Z.shape[1])

    def fired(self, X):
        return self._layer(X)[2]

    def jacobian(self, X):
        """Rows (c, i) of vec(u_ic v_i^T), shape (C n, k l)."""
        Z, _, fired = self._layer(X)
        V = X @ self.C.T
        rows = []
        for a in self.readout:
            U = (self.scale * fired * a) @ self.A / np.sqrt(Z.shape[1])
            rows.append(np.einsum("ik,il->ikl", U, V).reshape(len(X), -1))
        return np.concatenate(rows)

    def gradient_step(self, X, Y, eta):
        """B after one step down the gradient of half the sum of squares."""
        residual = (self.outputs(X) - Y).T.reshape(-1)
        gradient = residual @ self.jacobian(X)
        return self.B - eta * gradient.reshape(self.B.shape)


def transformed(y, signs):
    """(H D_1 y, H D_2 y, ...) for every row y; D_j are the rows of `signs`."""
    H = scipy.linalg.hadamard(y.shape[1]).astype(np.float64)
    return np.concatenate([(y * d) @ H for d in signs], axis=1)


def transformed_back(w, signs):
    """sum_j D_j H w_j, the transpose."""
    p = signs.shape[1]
    H = scipy.linalg.hadamard(p).astype(np.float64)
    return sum(d * (w[:, j * p : (j + 1) * p] @ H) for j, d in enumerate(signs))


def bits_of(mask):
    """Bit r % 64 of word r / 64 says mask[:, r]."""
    n, m = mask.shape
    padded = np.zeros((n, -(-m // 64) * 64), bool)
    padded[:, :m] = mask
    return np.packbits(padded, axis=1, bitorder="little").view(np.uint64)
