"""All hidden layers of a wide network by Gauss-Newton and gradient descent: [SZZ24], Remark C.6.

AllLayersState       the network on its data, every layer with the factors of its change
SumOfFactors         sum_k s_k A_k^T B_k, one term for each step of Gauss-Newton
MaintainedNetwork    every layer in a `LowRankMaintenance`, for gradient descent
"""

from subquad.training.all_layers._gradient_descent import LowRankGradientDescent
from subquad.training.all_layers._record import DescentRecord
from subquad.training.all_layers._trainer import AllLayersGaussNewton

__all__ = ["AllLayersGaussNewton", "DescentRecord", "LowRankGradientDescent"]
