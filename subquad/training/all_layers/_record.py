"""What a step of gradient descent on all layers reports."""

from dataclasses import dataclass, field

from subquad.training._records import Diagnostics


@dataclass(frozen=True)
class DescentRecord:
    """One step of `LowRankGradientDescent`; tuples have one entry for each layer, W_1 first.

    Attributes
    ----------
    step : int
        Counts from 1.
    loss : float
        Sum over the batch of |f - y|^2 / 2, before the step.
    n_points : int
        Data points of the batch.
    ranks : tuple of int
        Rows of the factors of each change, after the step.
    flushes : tuple of int
        How often the step flushed each change into its matrix.
    truncation : tuple of float
        Frobenius norm of what recompression dropped of each change in the step.
    seconds : dict of str to float
        "forward" (outputs and loss), "backward" (u of all layers), "update" (factors, flushes and
        recompressions), "total"; "diagnose" where diagnostics are asked for.
    diagnostics : Diagnostics or None
        What theorems speak of, after the step; None unless it is asked for. G, with a row for each
        output of each point of the batch, is compared with that of the network as it came at the
        same points.
    """

    step: int
    loss: float
    n_points: int
    ranks: tuple[int, ...]
    flushes: tuple[int, ...]
    truncation: tuple[float, ...]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
    diagnostics: Diagnostics | None = None
