"""Synthetic data of the size and kind of kin8nm, which is itself the output of a simulation."""

import numpy as np

N_LINKS = 8
SPREAD = 0.264  # standard deviation of the target of kin8nm, in whose units errors are published
NOISE = 0.05  # of the spread


def arm(n, rng, noise=NOISE):
    """Return joint angles (n, 8) and the distance of the hand of an 8-link arm from a target.

    Forward kinematics in the plane: eight links of length 1/8, each joint uniform within 90
    degrees to either side. kin8nm's own arm is in space, and its noise is not known: errors are of
    the same order, not comparable digit by digit.
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
