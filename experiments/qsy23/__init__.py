"""[QSY23]: two-layer networks by stochastic gradient descent on the neurons that fire."""
