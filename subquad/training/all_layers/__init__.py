"""All hidden layers of a wide network by Gauss-Newton: [SZZ24], Remark C.6.

AllLayersState    the network on its data, every layer with the factors of its change
SumOfFactors      sum_k s_k A_k^T B_k, one term for each step
"""

from subquad.training.all_layers._trainer import AllLayersGaussNewton

__all__ = ["AllLayersGaussNewton"]
