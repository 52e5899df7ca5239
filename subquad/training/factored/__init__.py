"""Networks with hidden weights W = B C or A B C, where B alone moves: [AS22].

FactoredGradientDescent   Sections 4 and 5
FactoredGaussNewton       the same network by the steps of [SZZ24], Algorithm 2
FactoredState             B itself moves; pre-activations are made, used and forgotten
"""

from subquad.training.factored._gauss_newton import FactoredGaussNewton
from subquad.training.factored._gradient_descent import FactoredGradientDescent

__all__ = ["FactoredGaussNewton", "FactoredGradientDescent"]
