"""What a step of stochastic gradient descent reports."""

from dataclasses import dataclass, field

from subquad.training._records import Diagnostics


@dataclass(frozen=True)
class SGDRecord:
    """One step of `HalfSpaceSGD`; what is said of the batch is said of it before the step.

    Attributes
    ----------
    step : int
        Counts from 1.
    loss : float
        Mean over the batch of l(f, y), summed over the outputs: |f - y|^2 / 2 for the squared loss.
    fired_fraction : float
        Fraction of the pairs of a point of the batch and a neuron in which the neuron fires.
    moved_fraction : float
        Fraction of the neurons that the step moved: those that fire at some point of the batch.
    flips : int or None
        Pairs of a point of the batch and a neuron in which firing began or ended in the step;
        None unless they are counted.
    tested_fraction : float or None
        Fraction of the inner products that the report computed, where it tells.
    seconds : dict of str to float
        "query" (who fires), "forward" (outputs and loss), "update" (rows of W), "report" (telling
        the report), "total"; "diagnose" where diagnostics are asked for.
    diagnostics : Diagnostics or None
        What theorems speak of, after the step; None unless it is asked for. G is that of the points
        of the batch, a block that all outputs share, and G_0 that of the network at the same
        points.
    """

    step: int
    loss: float
    fired_fraction: float
    moved_fraction: float
    flips: int | None
    tested_fraction: float | None
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    diagnostics: Diagnostics | None = None
