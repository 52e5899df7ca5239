"""Training of the papers' networks: one file per algorithm, a record per step.

    LastLayerGaussNewton     last hidden layer by Gauss-Newton ([SZZ24], Algorithm 2)
    TwoLayerGaussNewton      one hidden layer by Gauss-Newton ([BPSW21], Algorithm 1)
    FactoredGradientDescent  W = B C or A B C, by gradient descent or Gauss-Newton ([AS22])
    StepRecord               what happened in one step
    TrainingWarning          a run that cannot or did not reach its goal, with causes and remedies

A trainer decides (safeguards, stopping, records). A state behind it holds Z = Z0 + K A and answers
four questions: what comes out, what the linearised system is, what a proposed change would give,
and what the factors of an iterate are.

    SeparableState   each neuron feeds one output: the compiled step, neurons as rows
    MatrixFreeState  one hidden layer on many points: products with J and J^T, no Gram matrix
    FactoredState    B of W = A B C itself moves; pre-activations are made, used and forgotten
    DenseState       any readout, and weights kept by LowRankMaintenance: BLAS, data points as rows
"""

from subquad.training._half_space_record import SGDRecord
from subquad.training._record import StepRecord, TrainingWarning
from subquad.training.factored import FactoredGradientDescent
from subquad.training.half_space_sgd import HalfSpaceSGD
from subquad.training.last_layer import LastLayerGaussNewton
from subquad.training.two_layer import TwoLayerGaussNewton

__all__ = [
    "FactoredGradientDescent",
    "HalfSpaceSGD",
    "LastLayerGaussNewton",
    "SGDRecord",
    "StepRecord",
    "TrainingWarning",
    "TwoLayerGaussNewton",
]
