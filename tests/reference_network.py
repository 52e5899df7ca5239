"""Networks of shifted activations by their definitions: explicit matrices, float64, plain numpy.

Written to be read beside the papers, and without anything of the package. Row i is data point i. A
layer of ``m`` neurons on ``m_in`` inputs has the weights W (m, m_in). With C outputs the Jacobian
has row ``i * C + c`` for output c of data point i, so that it acts on ``residual.ravel()`` of an
(n, C) residual.

Key: [SZZ24] Song, Zhang, Zhang. "Corrected" marks a printed formula that does not hold as it
stands; the docstring then says what is used instead.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr


# ---- the shifted activations
def tail(b):
    """Q(b) = P(z > b), the chance that a neuron fires ([SZZ24] Fact G.4, corrected: no bound)."""
    return ndtr(-np.asarray(b, dtype=float))


def density(z):
    """Density of the standard normal."""
    return np.exp(-0.5 * np.square(z)) / np.sqrt(2.0 * np.pi)


def hard_constant(b):
    """c with 2 c E[(z 1[z > b])^2] = 1 ([SZZ24] Lemma G.6; Definition F.3 prints the root)."""
    return 0.5 / (tail(b) + b * density(b))


def shifted_constant(b):
    """c with 2 c E[max(z - b, 0)^2] = 1 (the activation of [SZZ24] Section 2, printed unscaled)."""
    return 0.5 / ((1.0 + b * b) * tail(b) - b * density(b))


def activate(Z, tau, scale, jumps=False):
    """Return scale * max(z - tau, 0); jumps: scale * z * 1[z > tau] ([SZZ24] Definition F.3)."""
    tau = np.asarray(tau, dtype=float).reshape(-1, 1)
    return scale * np.where(Z > tau, Z if jumps else Z - tau, 0.0)


# ---- networks
def unit_rows(X):
    """Return x_i / ||x_i||."""
    return X / np.linalg.norm(X, axis=1, keepdims=True)


def sphere(n, d, rng):
    """Return n points drawn uniformly from the unit sphere of R^d."""
    return unit_rows(rng.standard_normal((n, d)))


def forward(X, weights, b, scale, *, jumps=False, relative=True, normalised=True):
    """Return [h_1, ..., h_L], h_l = phi(W_l h_{l-1}), tau = std b (||h_{l-1}|| if relative).

    std = sqrt(2 / m_l). [SZZ24] Section 2.2, corrected: relative thresholds and unit layers
    (``normalised``) make Lemma F.8 true. The last layer is never normalised: f = a^T h_L.
    """
    layers, h = [], X
    for number, W in enumerate(weights, start=1):
        std = np.sqrt(2.0 / W.shape[0])
        tau = std * b * (np.linalg.norm(h, axis=1) if relative else np.ones(len(h)))
        h = activate(h @ W.T, tau, scale, jumps)
        layers.append(h)
        if normalised and number < len(weights):
            h = unit_rows(h)
            layers[-1] = h
    return layers


@dataclass(frozen=True)
class Layer:
    """The last hidden layer, f(W) = phi(V W^T) a^T with V and a fixed."""

    V: np.ndarray  # (n, m_in), the features h_{L-1}
    W: np.ndarray  # (m, m_in), the weights at the start
    readout: np.ndarray  # (C, m)
    tau: np.ndarray  # (n,)
    scale: float
    jumps: bool = False

    def mask(self, W):
        """Return D (n, m), D_ir = 1[z_ir > tau_i]."""
        return self.V @ W.T > self.tau[:, None]

    def outputs(self, W):
        """Return f (n, C)."""
        return activate(self.V @ W.T, self.tau, self.scale, self.jumps) @ self.readout.T

    def jacobian(self, W):
        """Return J (n C, m m_in), row (i, c) = vec((s a_c o D_i) v_i^T) ([SZZ24] Algorithm 2)."""
        u = self.scale * self.readout[None, :, :] * self.mask(W)[:, None, :]
        n, n_outputs, width = u.shape
        return np.einsum("icr,ij->icrj", u, self.V).reshape(n * n_outputs, width * self.V.shape[1])


def coactivation(D):
    """S_ij = how many neurons fire on both i and j, as an exact integer."""
    D = np.asarray(D, dtype=bool)
    return np.array([[int(np.count_nonzero(p & q)) for q in D] for p in D])


def gram(layer, W):
    """G_(ic),(je) = s^2 <v_i, v_j> sum_r a_cr a_er D_ir D_jr, one (i, j) at a time."""
    D, K, a = layer.mask(W).astype(float), layer.V @ layer.V.T, layer.readout
    n, n_outputs = len(K), len(a)
    G = np.empty((n, n_outputs, n, n_outputs))
    for i in range(n):
        for j in range(n):
            G[i, :, j, :] = layer.scale**2 * K[i, j] * (a * (D[i] * D[j])) @ a.T
    return G.reshape(n * n_outputs, n * n_outputs)


# ---- layers to test with
def random_layer(rng, n=7, m_in=5, m=24, n_outputs=1, b=0.4, jumps=False):
    """Return a layer whose features are not unit rows and whose readout is not +-1."""
    constant = hard_constant(b) if jumps else shifted_constant(b)
    V = rng.standard_normal((n, m_in))
    std = np.sqrt(2.0 / m)
    return Layer(
        V=V,
        W=std * rng.standard_normal((m, m_in)),
        readout=rng.standard_normal((n_outputs, m)),
        tau=std * b * np.linalg.norm(V, axis=1),
        scale=np.sqrt(constant),
        jumps=jumps,
    )


def golden():
    """Return (X, W1, layer, y, norms of h_1): n = 4, d = 3, m = 32, L = 2, b = 0.5, by formula."""
    n, d, m, b = 4, 3, 32, 0.5
    scale, std = np.sqrt(shifted_constant(b)), np.sqrt(2.0 / m)
    i, j, r = np.arange(n)[:, None], np.arange(d)[None, :], np.arange(m)[:, None]
    X = unit_rows(np.cos(i + 0.7 * j))
    W1 = std * np.sqrt(2.0) * np.sin(1.0 + 7.0 * r + 3.0 * j + r * j)
    j = np.arange(m)[None, :]
    W2 = std * np.sqrt(2.0) * np.cos(2.0 + 5.0 * r + 11.0 * j + 0.5 * r * j)
    r = r.ravel()
    a = np.where((r * r + r // 3) % 2 == 0, 1.0, -1.0)
    H = activate(X @ W1.T, np.full(n, std * b), scale)
    norms = np.linalg.norm(H, axis=1)
    layer = Layer(unit_rows(H), W2, a[None, :], np.full(n, std * b), scale)
    return X, W1, layer, np.array([1.0, -1.0, 0.5, 2.0]), norms
