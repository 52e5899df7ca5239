"""One layer of a torch model fitted by Gauss-Newton.

What happens when `fit_layer` is called:

    interop._model    the layer, the samples, the outputs
    _fast             a layer, an activation, a linear head: a `LastLayer` and its trainer
    _general          any other layer: the trainer asks `capture` for J in every step
    interop._change   what came out
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from subquad._validation import integer
from subquad.interop._change import LayerChange
from subquad.interop._fit._fast import fit_fast
from subquad.interop._fit._general import fit_general
from subquad.interop._model import TorchLayer
from subquad.interop._torch import load_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, Literal

    import torch
    from numpy.typing import ArrayLike

    from subquad.training import StepRecord


def fit_layer(
    model: torch.nn.Module,
    X: ArrayLike | torch.Tensor | tuple[Any, ...] | Mapping[str, Any],
    y: ArrayLike | torch.Tensor,
    layer: str,
    *,
    bias: bool = False,
    regularization: float | Literal["loo"] = "loo",
    tol: float | None = None,
    max_steps: int = 50,
    sample_weight: ArrayLike | None = None,
    batch_size: int = 128,
    callback: Callable[[StepRecord], object] | None = None,
) -> LayerChange:
    """Fit the outputs of a torch model to y by Gauss-Newton, moving the weight of one layer.

    A step linearises f at the present weight, J[i] = vec(u_i v_i^T), and solves

        (G + mu I) g = r,   G = (U U^T) o (V V^T),   W <- W + U^T diag(g) V.

    No learning rate is chosen, and the change is found as factors, A^T V. The model itself is left
    as it is: see `apply_change` and `export_peft`.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode, with weights in float32 or float64. It returns one tensor, whose first axis is
        that of the samples.
    X : array_like, torch.Tensor, tuple or mapping
        n samples, as `capture` takes them.
    y : array_like or torch.Tensor, shape (n, C) or (n,)
        Targets of the C outputs of a sample, in float32 or float64.
    layer : str
        Name as in ``model.named_modules()``: a Linear, Conv1d, Conv2d, Conv3d, Embedding or
        EmbeddingBag layer whose weight nothing else uses.
    bias : bool
        Move the bias of the layer as well. LoRA adapters cannot hold such a change.
    regularization : float or "loo"
        mu of the objective |f - y|^2 + mu ||W - W(0)||_F^2. 0 interpolates; "loo" takes the mu
        whose leave-one-out error is least at the first linearisation.
    tol, max_steps, sample_weight, callback
        As in `LastLayerGaussNewton`.
    batch_size : int
        Samples of one forward pass.

    Returns
    -------
    LayerChange
        The factors, how the fit went, and `deviations`.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError, ValueError
        If an argument is not as described, the model has no such layer, its weight is quantized or
        tied, or samples interact.
    MemoryError
        If the arrays of a step do not fit.

    Warns
    -----
    TrainingWarning
        If the fit ends without convergence.

    Notes
    -----
    A Linear layer that is called once, on vectors, and followed by an elementwise activation and a
    linear head takes the fast path: `LastLayerGaussNewton` on its inputs and pre-activations, which
    calls the model no more. ReLU, GELU, SiLU, tanh, sigmoid and LeakyReLU are told from their
    values, and the outputs rebuilt from them are compared with the model's before and after the
    fit. Every other layer takes the general path: each step is one `capture`, C backward passes,
    and Gram matrices of (n C)^2 numbers, those of several outputs at once.

    While the general path evaluates a trial, the layer of the model holds the trial's weight; its
    own parameter is back whatever happens. Do not use the model from another thread meanwhile.

    Examples
    --------
    >>> import torch  # doctest: +SKIP
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(3, 64), torch.nn.GELU(), torch.nn.Linear(64, 1)
    ... ).eval()  # doctest: +SKIP
    >>> change = fit_layer(model, X, y, "0")  # doctest: +SKIP
    >>> apply_change(model, change)  # doctest: +SKIP
    """
    load_torch("fit_layer")
    batch_size = integer(batch_size, "batch_size")
    subject = TorchLayer(model, X, layer, bias, batch_size)
    y = subject.targets(y)
    options = {
        "regularization": regularization,
        "tol": tol,
        "max_steps": max_steps,
        "sample_weight": sample_weight,
        "callback": callback,
    }
    fitted = fit_fast(subject, y, options) or fit_general(subject, y, options)
    return LayerChange._fitted(subject, y, sample_weight, *fitted)
