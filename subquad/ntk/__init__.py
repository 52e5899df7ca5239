"""Tangent kernels: of networks of infinite width in closed form, and of networks as they are.

DualActivation                          E phi(u) phi(v), E phi'(u) phi'(v) for normal u and v
layer_kernels, last_layer_ntk, ntk      the limits of [SZZ24], Appendix E, and of all layers
empirical_ntk                           Gram matrices of a network's Jacobians
spectrum, required_width                what the limits say about training
predict                                 regression by the limits
"""

from subquad.ntk._dual import DualActivation
from subquad.ntk._empirical import empirical_ntk
from subquad.ntk._limit import last_layer_ntk, layer_kernels, ntk
from subquad.ntk._panels import ntk_and_slope
from subquad.ntk._predict import Prediction, predict
from subquad.ntk._spectrum import RequiredWidth, Spectrum, required_width, spectrum

__all__ = [
    "DualActivation",
    "Prediction",
    "RequiredWidth",
    "Spectrum",
    "empirical_ntk",
    "last_layer_ntk",
    "layer_kernels",
    "ntk",
    "ntk_and_slope",
    "predict",
    "required_width",
    "spectrum",
]
