"""The types that signatures name for activations; only type checkers import this module."""

from typing import TypeAlias

from subquad.activations._shifted import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.activations._smooth import GELU, LeakyReLU, Sigmoid, SiLU, Tanh

ThresholdActivation: TypeAlias = ReLU | ShiftedReLU | ThresholdedReLU
Activation: TypeAlias = ThresholdActivation | GELU | LeakyReLU | Sigmoid | SiLU | Tanh
