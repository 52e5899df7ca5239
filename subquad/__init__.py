"""Wide neural networks trained for a cost that hardly grows with their width.

All of it rests on one fact: a Jacobian row of the papers is a tensor product u_i (x) v_i. So the
Gram matrix is (U U^T) o (V V^T), a step changes W by A^T V, and sparse activations make U sparse.

Notation (capitals are matrices; row i of a matrix is data point i)
    n, m, d         data points, width, inputs of the network
    L, C            hidden layers, outputs
    b, s, tau       shift of the activation in standard deviations, its scale, its threshold
    Q(b), k         P(N(0, 1) > b), and k = m Q(b), the neurons expected to fire at a data point
    V, Z            inputs and pre-activations of the trained layer; K = V V^T
    D, S            which neurons fire; S = D D^T counts the ones that fire at two points
    U, J, G         U = s a o D; J[i] = u_i (x) v_i; G = J J^T = K o (U U^T)
    A               W = W(0) + A^T V
    mu              regularisation or damping

Modules
    activations     ReLU, ShiftedReLU, ThresholdedReLU; GELU, SiLU, Tanh, Sigmoid, LeakyReLU
    weights         DenseWeights, GaussianWeights: products with sparse rows
    hadamard        fwht, ifwht: fast Walsh-Hadamard transforms
    halfspace       HalfSpaceReport: which points have <x, a> >= b, of a set that changes
    sketch          CountSketch, SRHT, GaussianSketch, TensorSketch, TensorSRHT
    jacobian        Jacobian, KhatriRao, JacobianSum: rows u_i (x) v_i, their products and Grams
    networks        WideNetwork, TwoLayerNetwork, FactoredNetwork, PairedNetwork, LastLayer
    ntk             tangent kernels, of infinite and of finite width
    training        LastLayerGaussNewton, AllLayersGaussNewton, LowRankGradientDescent,
                    TwoLayerGaussNewton, FactoredGaussNewton, FactoredGradientDescent, HalfSpaceSGD
    estimators      for scikit-learn: GaussNewton, NTK, Factored and HalfSpaceSGD models,
                    PolynomialTensorSketch
    solvers         gram_solve, fast_regression, fast_newton, leave-one-out
    interop         capture: the Jacobian of every linear layer of a torch model; fit_layer,
                    apply_change, export_peft, load_layer: one of its layers fitted
    io, plotting    models as files, curves
    distributed     world: the ranks of MPI that share the neurons of a layer

Bibliography
    [SZZ24]   Song, Zhang, Zhang: Training multi-layer over-parametrized neural network in
              subquadratic time. ITCS 2024, arXiv:2112.07628.
    [BPSW21]  van den Brand, Peng, Song, Weinstein: Training (overparametrized) neural networks in
              near-linear time. ITCS 2021, arXiv:2006.11648.
    [QSY23]   Qin, Song, Yang: Efficient SGD neural network training via sublinear activated neuron
              identification. 2023, arXiv:2307.06565.
    [AS22]    Ailon, Shit: Efficient NTK using dimensionality reduction. 2022, arXiv:2210.04807.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

_HOME = {
    "HalfSpaceReport": "subquad.halfspace",
    "KhatriRao": "subquad.jacobian",
    "LowRankMaintenance": "subquad.lowrank",
    "fwht": "subquad.hadamard",
    "show_config": "subquad._config",
}
if TYPE_CHECKING:
    from subquad import (
        activations,
        distributed,
        estimators,
        hadamard,
        halfspace,
        interop,
        io,
        jacobian,
        lowrank,
        networks,
        ntk,
        plotting,
        sketch,
        solvers,
        training,
        weights,
    )
    from subquad._config import show_config
    from subquad.hadamard import fwht
    from subquad.halfspace import HalfSpaceReport
    from subquad.jacobian import KhatriRao
    from subquad.lowrank import LowRankMaintenance

__all__ = [
    "HalfSpaceReport",
    "KhatriRao",
    "LowRankMaintenance",
    "activations",
    "distributed",
    "estimators",
    "fwht",
    "hadamard",
    "halfspace",
    "interop",
    "io",
    "jacobian",
    "lowrank",
    "networks",
    "ntk",
    "plotting",
    "show_config",
    "sketch",
    "solvers",
    "training",
    "weights",
]
_MODULES = tuple(name for name in __all__ if name not in _HOME)


def __getattr__(name: str) -> object:
    # Imported on first use: `subquad --help` need not wait for scipy, nor a kernel's user for
    # scikit-learn.
    if name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    elif name in _MODULES:
        value = importlib.import_module(f"subquad.{name}")
    else:
        raise AttributeError(f"module 'subquad' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
