"""The papers' networks: initialisation, forward pass, features. No training.

FactoredNetwork  one hidden layer with weights W = B C or A B C ([AS22], Sections 4 and 5)
WideNetwork      L >= 2 hidden layers of width m ([SZZ24], Section 2, with normalised layers)
PairedNetwork    two layers, shifted ReLU, neurons in pairs that cancel ([QSY23], Definition 1.3)
TwoLayerNetwork  one hidden layer, W ~ N(0, 1), no bias ([BPSW21], equation 5)
NetworkWarning   a layer of a network as printed is dead
LastLayer        the arrays that training its last hidden layer needs, of this or any other network
ShardedLastLayer the same for a network whose neurons the ranks of a communicator share
"""

from subquad.networks._factored import FactoredNetwork
from subquad.networks._last_layer import LastLayer, is_separable
from subquad.networks._paired import PairedNetwork
from subquad.networks._sharded import ShardedLastLayer
from subquad.networks._silence import NetworkWarning
from subquad.networks._two_layer import TwoLayerNetwork
from subquad.networks._wide import WideNetwork

__all__ = [
    "FactoredNetwork",
    "LastLayer",
    "NetworkWarning",
    "PairedNetwork",
    "ShardedLastLayer",
    "TwoLayerNetwork",
    "WideNetwork",
    "is_separable",
]
