"""Small last layers with targets, their twins in the reference, and how a test trains them."""

import warnings

import numpy as np
import reference_network as reference

from subquad.activations import ShiftedReLU
from subquad.networks import LastLayer
from subquad.training import LastLayerGaussNewton

# Readouts of every kind: (what `problem` calls it, number of outputs).
OUTPUTS = [("single", 1), ("real", 1), ("partition", 3), ("dense", 3), ("real", 3)]


def problem(
    seed=0, *, n=24, m=360, m_in=12, shift=0.5, readout="single", n_outputs=1, cls=ShiftedReLU
):
    """Return a LastLayer, the same as a dense reference layer, and standard normal targets."""
    rng = np.random.default_rng(seed)
    activation, std = cls(shift), np.sqrt(2.0 / m)
    V = reference.sphere(n, m_in, rng)
    W = std * rng.standard_normal((m, m_in))
    a = rng.choice([-1.0, 1.0], (n_outputs, m))
    if readout == "partition":
        a *= np.arange(m) * n_outputs // m == np.arange(n_outputs)[:, None]
    elif readout == "real":
        a = rng.standard_normal((n_outputs, m))
    layer = LastLayer(V, V @ W.T, a, activation)
    dense = reference.Layer(V, W, a, np.full(n, std * shift), activation.scale, activation.jumps)
    return layer, dense, rng.standard_normal((n, n_outputs))


def residual_norms(trainer, layer, y):
    """|r_0|, |r_1|, ..."""
    start = np.linalg.norm(layer.outputs() - np.reshape(y, (layer.n, -1)))
    return np.array([start] + [record.residual_norm for record in trainer.history])


def change(trainer):
    """W_L - W_L(0)."""
    A, V = trainer.factors
    return A.T @ V


def quietly(function, *arguments, **options):
    """Call with the package's warnings silenced: they have tests of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **options)


def fit(layer, y, **options):
    """Run a trainer, warnings silenced."""
    return quietly(lambda: LastLayerGaussNewton(layer, y, **options).run())
