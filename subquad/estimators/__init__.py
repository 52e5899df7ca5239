"""scikit-learn estimators. This is the only room that needs scikit-learn.

FactoredRegressor        weights W = B C or A B C, of which B is trained by Gauss-Newton
FactoredClassifier       the same on indicators of the classes
GaussNewtonRegressor     wide network, last hidden layer by regularised Gauss-Newton
GaussNewtonClassifier    the same on indicators of the classes
HalfSpaceSGDRegressor    wide two-layer network by SGD on the neurons that fire; for streams, too
HalfSpaceSGDClassifier   the same on indicators of the classes
NTKRegressor             kernel ridge with the tangent kernel of infinite width
NTKClassifier            the same on indicators of the classes
Scaling                  how a table becomes the rows and targets of a network
PolynomialTensorSketch   features of a polynomial kernel, as PolynomialCountSketch, faster

Each is imported where it is first used, and scikit-learn with it. The models behind them import
none of it: an estimator is a model and, after it, the classes of `_border`; the command takes the
same models as `TRUSTED`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from subquad.estimators._scaling import Scaling as Scaling

if TYPE_CHECKING:
    from subquad.estimators._factored import FactoredClassifier, FactoredRegressor
    from subquad.estimators._gauss_newton_estimators import (
        GaussNewtonClassifier,
        GaussNewtonRegressor,
    )
    from subquad.estimators._half_space_sgd import HalfSpaceSGDClassifier, HalfSpaceSGDRegressor
    from subquad.estimators._ntk_estimators import NTKClassifier, NTKRegressor
    from subquad.estimators._polynomial_tensor_sketch import PolynomialTensorSketch
    from subquad.estimators._trusted import TRUSTED as TRUSTED

_HOME = {
    **dict.fromkeys(("FactoredClassifier", "FactoredRegressor"), "_factored"),
    **dict.fromkeys(("GaussNewtonClassifier", "GaussNewtonRegressor"), "_gauss_newton_estimators"),
    **dict.fromkeys(("HalfSpaceSGDClassifier", "HalfSpaceSGDRegressor"), "_half_space_sgd"),
    **dict.fromkeys(("NTKClassifier", "NTKRegressor"), "_ntk_estimators"),
    "PolynomialTensorSketch": "_polynomial_tensor_sketch",
    "TRUSTED": "_trusted",
}
__all__ = [
    "FactoredClassifier",
    "FactoredRegressor",
    "GaussNewtonClassifier",
    "GaussNewtonRegressor",
    "HalfSpaceSGDClassifier",
    "HalfSpaceSGDRegressor",
    "NTKClassifier",
    "NTKRegressor",
    "PolynomialTensorSketch",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = importlib.import_module(f"subquad.estimators.{_HOME[name]}")
    globals()[name] = found = getattr(home, name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
