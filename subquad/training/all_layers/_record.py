"""What a step of gradient descent on all layers reports."""

from dataclasses import dataclass, field


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
        recompressions), "total".
    """

    step: int
    loss: float
    n_points: int
    ranks: tuple[int, ...]
    flushes: tuple[int, ...]
    truncation: tuple[float, ...]
    seconds: dict[str, float] = field(default_factory=dict, compare=False)
