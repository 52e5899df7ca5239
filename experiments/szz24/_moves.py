"""Changes of the last layer's weights that the lemmas allow: every row by at most R / sqrt(m)."""

import numpy as np
from numpy.typing import NDArray

from experiments.szz24._network import Layer


def common(layer: Layer, radius: float) -> NDArray[np.float64]:
    """Return Z after each row moved by radius / sqrt(m) towards the mean of the inputs.

    The inputs are correlated, and so every neuron rises at every point: all entries of the Gram
    matrix grow together.
    """
    direction = layer.inputs.mean(axis=0)
    direction /= np.linalg.norm(direction)
    return layer.Z + (radius / np.sqrt(layer.Z.shape[1])) * (layer.inputs @ direction)[:, None]


def towards(layer: Layer, radius: float, point: int) -> NDArray[np.float64]:
    """Return Z after each row moved by radius / sqrt(m) so that it changes sides at one point.

    Rows that are nearer to the threshold than they can move do; no other change of this size
    flips more neurons there.
    """
    h = layer.inputs[point] / np.linalg.norm(layer.inputs[point])
    way = np.sign(layer.thresholds[point] - layer.Z[point])
    return layer.Z + (radius / np.sqrt(layer.Z.shape[1])) * np.outer(layer.inputs @ h, way)


def flips(layer: Layer, Z: NDArray) -> NDArray[np.intp]:
    """Return how many neurons changed sides at each point."""
    return np.sum(layer.D != (layer.thresholds[:, None] < Z), axis=1)
