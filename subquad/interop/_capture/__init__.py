"""The Jacobian of every linear layer of a torch model.

What happens when `capture` is called:

    _layers    which modules share which weight, and which cannot be captured
    _attention MultiheadAttention calls no layer for its projections, until it is opened
    _samples   X becomes batches on the device of the model
    _passes    hooks go in; weights ask for gradients, whatever changes is put back at the end
    _probe     the first samples tell which rows are whose, and whether u (x) v is all there is
    _collect   batch by batch: one forward pass, one backward pass an output, rows to numpy
    _rules     what u and v are for each kind of layer
    _rows      which of their rows are whose, and where they are kept
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from subquad._validation import integer
from subquad.interop._capture._collect import collect, sketches_of
from subquad.interop._capture._layers import find_layers, has_embedding, require_eval_mode
from subquad.interop._capture._outputs import Chosen
from subquad.interop._capture._passes import Recorder, untouched
from subquad.interop._capture._probe import probe
from subquad.interop._capture._samples import Samples
from subquad.interop._torch import load_torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    import torch
    from numpy.typing import ArrayLike

    from subquad.jacobian import KhatriRao
    from subquad.sketch import TensorSketch, TensorSRHT


def capture(
    model: torch.nn.Module,
    X: ArrayLike | torch.Tensor | tuple[Any, ...] | Mapping[str, Any],
    layers: str | Sequence[str] | None = None,
    *,
    outputs: int | Sequence[int] | Callable[[Any], torch.Tensor] | None = None,
    bias: bool = False,
    batch_size: int = 128,
    sketch: TensorSketch | TensorSRHT | Mapping[str, TensorSketch | TensorSRHT] | None = None,
) -> dict[str, KhatriRao]:
    """Return the Jacobian of every linear layer of a torch model, as its factors.

    The gradient of an output f in sample i with respect to the weight of a layer is

        J[i] = sum_t u_it (x) v_it

    over the positions t at which the layer is called: v_it is its input there, u_it the derivative
    of f by its output. One forward pass and one backward pass for each output give them for a
    batch, and no gradient of the size of the weights is formed.

    Parameters
    ----------
    model : torch.nn.Module
        In eval mode, with weights in float32 or float64, on any device.
    X : array_like, torch.Tensor, tuple or mapping
        The samples, along the first axis. A tuple holds the positional inputs of the model, a
        mapping the named ones; entries that are neither arrays nor tensors are passed on as they
        are. Real numbers are cast to the dtype of the model.
    layers : str or sequence of str, optional
        Names as in ``model.named_modules()``. By default every layer of a kind listed below that
        the model calls and the outputs depend on.
    outputs : int, sequence of int, or callable, optional
        Which outputs of a sample are differentiated: all by default. The axes after the first of
        what the model returns are numbered as one, in C order. A function
        ``outputs(response, rows)``, or of the response alone, takes what the model returned for the
        samples of a slice, and returns a tensor of one number each, such as a loss.
    bias : bool
        Give v a last entry of 1, whose weight is the bias, in layers that have one.
    batch_size : int
        Samples of one forward pass.
    sketch : TensorSketch, TensorSRHT, or mapping of layer names to them, optional
        Return the features J S^T and keep no factors. One sketch serves layers of one shape.

    Returns
    -------
    dict of str to KhatriRao
        With one output, row i is that of sample i. With C outputs chosen, row i C + c is that of
        the c-th of them in sample i, and the rows of V are repeated for each. Where a layer has
        several positions, or is called several times, the rows of U and V are grouped. With
        `sketch`, ndarrays of shape (rows of J, sketch_size) instead.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError, ValueError
        If an argument is not as described; if the model is in training mode, draws random numbers
        or mixes samples; if a weight is quantized, computed, or used by anything but layers; if a
        layer that was asked for is not called or has no influence; if something is not finite.
    MemoryError
        If the factors do not fit.

    Notes
    -----
    ==================  ================  ===================  ================================
    layer               u                 v                    J is by
    ==================  ================  ===================  ================================
    Linear              outputs           inputs               W (outputs, inputs)
    Conv1d, 2d, 3d      output channels   patch of the input   W as (channels, rest of its axes)
    Embedding           dimension         one-hot, CSR         W^T
    EmbeddingBag        dimension         counts, CSR          W^T; "sum" and "mean"
    MultiheadAttention  as Linear         as Linear            "in_proj" and "out_proj" below it
    Conv1D              outputs           inputs               W^T; that of transformers
    ==================  ================  ===================  ================================

    A convolution with g groups of channels has g rows a position, with u in CSR. A weight that
    layers share has one entry, under the name that comes first, which is the sum over all its
    calls. An embedding that shares the weight of a linear layer is taken in the orientation of the
    one that is named.

    Where the inputs of an attention differ in size it has "q_proj", "k_proj" and "v_proj", without
    their biases. Normalizations, recurrent layers and transposed convolutions are left out, and so
    is a layer that is never called, whose weight a function may use. A weight that is used by its
    layer and by a function, as a decoder may use the transpose of its encoder's, is refused.

    The first 7 samples are passed through the model twice before all others, with two backward
    passes. From these it is found which rows belong to which sample, that samples do not
    interact, and that the derivative by each weight is the sum of u (x) v, up to a relative error
    of 2e-3 in float32 and 5e-7 in float64. The model, its hooks, modes, buffers, ``requires_grad``
    and ``grad``, and torch's random states are as before in the end, also after an exception. In
    between, nothing else may use the model: no other thread, and no training step.

    [SZZ24], Section 2.2, and Remark C.6 for several layers: their Gram matrices add.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(3, 8), torch.nn.GELU(), torch.nn.Linear(8, 1)
    ... ).eval()
    >>> J = capture(model, torch.eye(3))
    >>> list(J), J["0"]
    (['0', '2'], KhatriRao(n=3, m_u=8, m_v=3, dtype=float32))
    >>> J["0"].gram().shape
    (3, 3)
    """
    torch = load_torch("capture")
    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    if not isinstance(bias, bool):
        raise TypeError(f"bias must be True or False; got {bias!r}.")
    batch_size, chosen = integer(batch_size, "batch_size"), Chosen(outputs)
    found = find_layers(model, layers, bias)
    require_eval_mode(model)
    weight = found[0].weight
    samples = Samples(X, weight.device, weight.dtype, has_embedding(model))
    with untouched(model, found), Recorder(model, found, chosen) as recorder:
        known = probe(recorder, samples, found)
        return collect(recorder, samples, known, batch_size, sketches_of(sketch, known.layers))
