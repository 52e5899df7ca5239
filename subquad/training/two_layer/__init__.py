"""A network of one hidden layer by Gauss-Newton: [BPSW21], Algorithm 1.

Where the Gram matrix fits, its states are those of `last_layer` with V = X.

    MatrixFreeState   many points: bits of who fires, products with J and J^T, no Gram matrix
"""

from subquad.training.two_layer._trainer import TwoLayerGaussNewton

__all__ = ["TwoLayerGaussNewton"]
