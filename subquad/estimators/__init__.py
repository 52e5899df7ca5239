"""scikit-learn estimators. This is the only room that needs scikit-learn.

GaussNewtonRegressor     wide network, last hidden layer by regularised Gauss-Newton
GaussNewtonClassifier    the same on indicators of the classes
"""

from subquad.estimators._gauss_newton import GaussNewtonClassifier, GaussNewtonRegressor

__all__ = ["GaussNewtonClassifier", "GaussNewtonRegressor"]
