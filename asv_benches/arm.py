"""Synthetic data of the size and kind of kin8nm, which is itself the output of a simulation."""

import numpy as np

N_LINKS = 8
# The target of kin8nm has this standard deviation; errors are published in its unit.
SPREAD = 0.264
# The noise has this standard deviation, in units of SPREAD.
NOISE = 0.05


def arm(n, rng, noise=NOISE):
    """Return joint angles (n, 8) and the distance of the hand of an 8-link arm from a target.

    Forward kinematics in the plane: eight links of length 1/8, each joint uniform within 90
    degrees to either side. The arm of kin8nm moves in space and its noise is not known, so errors
    are of the same order and no more comparable than that.
    """
    angles = rng.uniform(-np.pi / 2, np.pi / 2, (n, N_LINKS))
    headings = np.cumsum(angles, axis=1)
    hand = np.stack([np.cos(headings), np.sin(headings)]).mean(axis=2)
    distance = np.linalg.norm(hand - np.array([[0.1], [0.1]]), axis=0)
    return angles, SPREAD * (distance / 0.208 + noise * rng.standard_normal(n))


def inputs(angles):
    """Return standardised angles and a constant, rows of norm about 1."""
    X = angles / (np.pi / np.sqrt(12))
    return np.column_stack([X, np.ones(len(X))]) / 3
