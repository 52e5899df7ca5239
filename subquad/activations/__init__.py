"""Activations of a layer: those of the papers, whose neurons are mostly silent, and smooth ones.

    ReLU, ShiftedReLU, ThresholdedReLU        compare z with a threshold; known by who fires
    GELU, SiLU, Tanh, Sigmoid, LeakyReLU      those of other networks; the derivative is dense

An activation is called on pre-activations Z and has a `derivative`. Rows of Z are data points, and
arrays keep their dtype.
"""

from typing import TYPE_CHECKING

from subquad.activations._shifted import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.activations._smooth import (
    GELU,
    LeakyReLU,
    Sigmoid,
    SiLU,
    Tanh,
    as_activation,
    has_threshold,
    is_smooth,
)

if TYPE_CHECKING:
    from subquad.activations._kinds import Activation as Activation
    from subquad.activations._kinds import ThresholdActivation as ThresholdActivation

__all__ = [
    "GELU",
    "LeakyReLU",
    "ReLU",
    "ShiftedReLU",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "ThresholdedReLU",
    "as_activation",
    "has_threshold",
    "is_smooth",
]
