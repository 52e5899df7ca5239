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
"""

from subquad.estimators._factored import FactoredClassifier, FactoredRegressor
from subquad.estimators._gauss_newton import GaussNewtonClassifier, GaussNewtonRegressor
from subquad.estimators._half_space_sgd import HalfSpaceSGDClassifier, HalfSpaceSGDRegressor
from subquad.estimators._ntk import NTKClassifier, NTKRegressor
from subquad.estimators._polynomial_tensor_sketch import PolynomialTensorSketch
from subquad.estimators._scaling import Scaling as Scaling

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
