"""The networks of [SZZ24], printed and corrected, in plain numpy.

W_l has entries from N(0, 2 / m), and h_l = phi(W_l h_{l-1}) with phi(z) = s (z - tau) or s z where
z > tau, and 0 elsewhere. What differs is the scale s, the threshold tau, and the jump:

    section_2(b)       s (z - tau), s = 1,              tau = b sqrt(2 / m)
    definition_f3(b)   s z,         s^2 as printed,     tau = b sqrt(2 / m)
    lemma_g6(b)        s z,         s keeps norms,      tau = b sqrt(2 / m)
    shifted(b)         s (z - tau), s keeps norms,      tau = b sqrt(2 / m) |h_{l-1}|
"""

import dataclasses

import numpy as np
from numpy.typing import NDArray

from subquad.activations import ShiftedReLU, ThresholdedReLU


@dataclasses.dataclass(frozen=True)
class Law:
    """An activation: its shift, its scale, whether it jumps and what its threshold follows."""

    shift: float
    scale: float
    jumps: bool = False
    relative: bool = False
    normalised: bool = False


def section_2(b: float) -> Law:
    """max(x - b, 0), without a scale."""
    return Law(b, 1.0)


def definition_f3(b: float) -> Law:
    """Definition F.3: c_b has a root too many."""
    return Law(b, ThresholdedReLU(b).norm_constant ** 0.25, jumps=True)


def lemma_g6(b: float, *, relative: bool = False) -> Law:
    """Lemma G.6, whose constant keeps norms where the threshold follows them."""
    return Law(b, ThresholdedReLU(b).scale, jumps=True, relative=relative)


def shifted(b: float, *, relative: bool = True, normalised: bool = False) -> Law:
    """The shifted ReLU of section 2 with the scale that keeps norms."""
    return Law(b, ShiftedReLU(b).scale, relative=relative, normalised=normalised)


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer at n points: inputs (n, m_in), pre-activations and outputs (n, m), who fires."""

    inputs: NDArray
    Z: NDArray
    thresholds: NDArray
    outputs: NDArray

    @property
    def D(self) -> NDArray:
        """Who fires, (n, m)."""
        return self.thresholds[:, None] < self.Z


def draw(d: int, width: int, depth: int, seed: int) -> list[NDArray]:
    """Return W_1 (m, d), W_2, ..., W_L (m, m)."""
    rng = np.random.default_rng([seed, 4])
    shapes = [(width, d)] + [(width, width)] * (depth - 1)
    return [np.sqrt(2 / width) * rng.standard_normal(shape) for shape in shapes]


def phi(Z: NDArray, thresholds: NDArray, law: Law) -> NDArray:
    """Return phi(Z)."""
    excess = Z if law.jumps else Z - thresholds[:, None]
    return law.scale * excess * (thresholds[:, None] < Z)


def forward(weights: list[NDArray], X: NDArray, law: Law) -> list[Layer]:
    """Return the layers 1, ..., L at the rows of X."""
    h, layers = X, []
    for W in weights:
        tau = law.shift * np.sqrt(2 / len(W)) * np.ones(len(h))
        if law.relative:
            tau *= np.linalg.norm(h, axis=1)
        Z = h @ W.T
        layers.append(Layer(h, Z, tau, phi(Z, tau, law)))
        h = layers[-1].outputs
        if law.normalised:
            h = h / np.linalg.norm(h, axis=1, keepdims=True)
    return layers


def backward(
    weights: list[NDArray], layers: list[Layer], law: Law, readout: NDArray
) -> list[NDArray]:
    """Return U_l = d f / d z_l, (n, m), for l = 1, ..., L; thresholds count as constants."""
    U = [law.scale * layers[-1].D * readout]
    for W, layer in zip(weights[:0:-1], layers[-2::-1], strict=True):
        back = U[0] @ W
        if law.normalised:
            norms = np.linalg.norm(layer.outputs, axis=1, keepdims=True)
            h = layer.outputs / norms
            back = (back - h * np.sum(back * h, axis=1, keepdims=True)) / norms
        U.insert(0, law.scale * layer.D * back)
    return U


def readout(width: int, seed: int) -> NDArray:
    """Return a, m signs."""
    return np.random.default_rng([seed, 5]).choice([-1.0, 1.0], width)


def last_gram(layer: Layer, law: Law) -> NDArray:
    """Return G = s^2 (V V^T) o (D D^T) of the last layer, not divided by m."""
    D = layer.D.astype(float)
    return law.scale**2 * (layer.inputs @ layer.inputs.T) * (D @ D.T)
