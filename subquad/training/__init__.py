"""Training of the papers' networks: one folder per algorithm, a record per step.

    last_layer     LastLayerGaussNewton     last hidden layer, Gauss-Newton ([SZZ24], Algorithm 2)
    all_layers     AllLayersGaussNewton     every hidden layer, Gauss-Newton ([SZZ24], Remark C.6)
                   LowRankGradientDescent   the same layers by gradient descent, budgeted factors
    two_layer      TwoLayerGaussNewton      one hidden layer, Gauss-Newton ([BPSW21], Algorithm 1)
    factored       FactoredGradientDescent  W = B C or A B C, gradient descent ([AS22])
                   FactoredGaussNewton      the same networks by Gauss-Newton
    half_space     HalfSpaceSGD             SGD on the neurons that fire ([QSY23], Algorithm 1)

    TaskChain                factors of several tasks on one network, switched and summed
    StateGaussNewton         the same steps for a `State` of your own
    Equation, CoupledEquation, Trial    what such a state returns
    StepRecord, SGDRecord, DescentRecord
                             what happened in one step
    SquaredLoss, LogisticLoss, HingeLoss, HuberLoss, AbsoluteLoss
                             what HalfSpaceSGD minimises, and, but for hinge and absolute loss,
                             Gauss-Newton; `as_loss` makes a `Loss` of a name
    Diagnostics              what theorems speak of, on request: G against G_0, moves, flips, rank
    TrainingWarning          a run that cannot or did not reach its goal, with causes and remedies

What happens when `step()` of a Gauss-Newton trainer is called:

    _gauss_newton/_trainer   `step` asks the state to linearise,    Algorithm 2, lines 9-16
    _equation                the `Equation` solves (J J^T + mu W^-1) g = f - y,     line 17
    _gauss_newton/_steps     a rule proposes W - J^T g, and accepts or damps it,    line 18
    _gauss_newton/_kinks     where it cannot, steps that are all taken look around
    _gauss_newton/_fit       the fit remembers the best iterate, and the trainer keeps a record

A trainer decides (safeguards, stopping, records). Behind it stands a `State` of its folder, which
holds the network on its data, knows its Jacobian (`subquad.jacobian`) and moves.
"""

from subquad.training._arguments import require_active_neurons
from subquad.training._chain import TaskChain
from subquad.training._equation import CoupledEquation, Equation
from subquad.training._gauss_newton import State, StateGaussNewton, Trial
from subquad.training._losses import (
    AbsoluteLoss,
    HingeLoss,
    HuberLoss,
    LogisticLoss,
    Loss,
    SquaredLoss,
    as_loss,
)
from subquad.training._records import Diagnostics, StepRecord, TrainingWarning
from subquad.training.all_layers import (
    AllLayersGaussNewton,
    DescentRecord,
    LowRankGradientDescent,
)
from subquad.training.factored import FactoredGaussNewton, FactoredGradientDescent
from subquad.training.half_space import HalfSpaceSGD, SGDRecord
from subquad.training.last_layer import LastLayerGaussNewton
from subquad.training.two_layer import TwoLayerGaussNewton

__all__ = [
    "AbsoluteLoss",
    "AllLayersGaussNewton",
    "CoupledEquation",
    "DescentRecord",
    "Diagnostics",
    "Equation",
    "FactoredGaussNewton",
    "FactoredGradientDescent",
    "HalfSpaceSGD",
    "HingeLoss",
    "HuberLoss",
    "LastLayerGaussNewton",
    "LogisticLoss",
    "Loss",
    "LowRankGradientDescent",
    "SGDRecord",
    "SquaredLoss",
    "State",
    "StateGaussNewton",
    "StepRecord",
    "TaskChain",
    "TrainingWarning",
    "Trial",
    "TwoLayerGaussNewton",
    "as_loss",
    "require_active_neurons",
]
