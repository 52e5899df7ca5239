"""The papers' networks: initialisation, forward pass, features. No training.

WideNetwork    L >= 2 hidden layers of width m ([SZZ24], Section 2, with normalised layers)
PairedNetwork  two layers, shifted ReLU, neurons in pairs that cancel ([QSY23], Definition 1.3)
LastLayer      the arrays that training its last hidden layer needs, of this or any other network
"""

from subquad.networks._last_layer import LastLayer
from subquad.networks._paired import PairedNetwork
from subquad.networks._wide import WideNetwork

__all__ = ["LastLayer", "PairedNetwork", "WideNetwork"]
