"""Changes put into a model: merged with its weights, or beside them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from subquad.interop._change._factors import matches, recompressed
from subquad.interop._change._layer_change import LayerChange
from subquad.interop._model import require_own
from subquad.interop._torch import load_torch

if TYPE_CHECKING:
    import torch


# Warn where rounding takes more than this fraction of the change.
_LOST = 0.05


class Applied(NamedTuple):
    """What rounding did to a change.

    Attributes
    ----------
    rounding : float
        Largest error of an entry, |W' - (W + dW)|, over the largest |W + dW|.
    lost : float
        ||W' - (W + dW)||_F / ||dW||_F: the part of the change that rounding took.
    """

    rounding: float
    lost: float


def apply_change(model: torch.nn.Module, change: LayerChange, *, merge: bool = True) -> Applied:
    """Put the change that `fit_layer` found into a model, in place.

    Parameters
    ----------
    model : torch.nn.Module
        The model that was fitted, or a copy in float32, float64, bfloat16 or float16.
    change : LayerChange
    merge : bool
        Add A^T V to the weight, rounded to its dtype. If False, replace the layer, a Linear one, by
        a module that adds (x V^T) A to what the layer gives: the change is then not rounded with
        the weight.

    Returns
    -------
    Applied
        (rounding, lost): how far from the exact sum the new weight is.

    Raises
    ------
    ImportError
        If PyTorch is not installed.
    TypeError, ValueError
        If the model has no such layer, its weight is not the one that was fitted (a change is
        applied once), is quantized or tied, or cannot hold the sum. The model is then as before.

    Warns
    -----
    UserWarning
        If rounding takes more than 5 % of the change, as it may in bfloat16.

    Examples
    --------
    >>> change = fit_layer(model, X, y, "0")  # doctest: +SKIP
    >>> apply_change(model, change)  # doctest: +SKIP
    Applied(rounding=2.9e-08, lost=1.7e-07)
    """
    load_torch("apply_change")
    module = fitted_layer(model, change)
    if not isinstance(merge, bool):
        raise TypeError(f"merge must be True or False; got {merge!r}.")
    applied = _merge(module, change) if merge else _attach(model, module, change)
    if applied.lost > _LOST:
        warnings.warn(
            f"Rounding to {_name(module.weight.dtype)} took {applied.lost:.0%} of the change of "
            f"{change.layer!r}; merge=False, or a model in float32, keeps it.",
            stacklevel=2,
        )
    return applied


def fitted_layer(model, change):
    """Return the layer of a model that a change is for, once its weight is known to be the one."""
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    if not isinstance(change, LayerChange):
        raise TypeError(f"change must be a LayerChange; got {type(change).__name__}.")
    module = dict(model.named_modules(remove_duplicate=False)).get(change.layer)
    if module is None:
        raise ValueError(f"model must have the layer {change.layer!r}; got one without.")
    weight = getattr(module, "_parameters", {}).get("weight")
    if not hasattr(module, "weight"):
        raise TypeError(
            f"{change.layer!r} must have a weight; got a {type(module).__name__}, which has none."
        )
    if weight is None or not weight.is_floating_point():
        raise TypeError(
            f"{change.layer!r} must have a weight in float32, float64, bfloat16 or float16; got a "
            f"{type(module).__name__} whose weight is quantized or computed."
        )
    if tuple(weight.shape) != change.shape:
        raise ValueError(
            f"{change.layer!r} must have a weight of shape {change.shape}; "
            f"got {tuple(weight.shape)}."
        )
    if change.bias is not None and module._parameters.get("bias") is None:
        raise ValueError(f"{change.layer!r} must have a bias, which was fitted too; got none.")
    for name in ("weight", "bias")[: 1 + (change.bias is not None)]:
        require_own(model, change.layer, module._parameters[name])
    if not matches(change._print, _matrix(module, change), torch.finfo(weight.dtype).eps):
        raise ValueError(
            f"{change.layer!r} must have the weight that was fitted; got another one. A change is "
            "applied once."
        )
    return module


def _merge(module, change):
    """Add a change to the weights; both sums are known before either is written."""
    import torch

    exact = {"weight": _exact(module.weight, change.weight_change())}
    if change.bias is not None:
        exact["bias"] = _exact(module.bias, change.bias)
    rounded = {name: x.to(module._parameters[name].dtype) for name, x in exact.items()}
    for name, x in rounded.items():
        if not bool(torch.isfinite(x).all()):
            raise ValueError(
                f"{change.layer!r} must hold its new {name} in {_name(x.dtype)}; got a sum that "
                "overflows it."
            )
    errors = torch.cat([(rounded[k].double() - exact[k]).flatten() for k in exact]).numpy()
    largest = max(float(x.abs().max()) for x in exact.values())
    with torch.no_grad():
        for name, x in rounded.items():
            module._parameters[name].copy_(x)
    return _applied(errors, largest, change)


def _attach(model, module, change):
    """Replace a layer by itself and a branch."""
    import torch

    from subquad.interop._change._branch import LowRankBranch

    if type(module) is not torch.nn.Linear or not change.layer:
        raise ValueError(
            f"merge must be True for {change.layer!r}; got False for a "
            f"{type(module).__name__}, and only a Linear layer within a model takes a branch."
        )
    weight = module.weight
    A, V = recompressed(*change.factors, change.rank)
    parts = [
        None if x is None else torch.tensor(x, dtype=weight.dtype, device=weight.device)
        for x in (A, V, change.bias)
    ]
    a, v, b = (None if x is None else x.double().cpu().numpy() for x in parts)
    errors = (a.T @ v - change.weight_change()).ravel()
    if b is not None:
        errors = np.concatenate([errors, b - change.bias])
    largest = float(_exact(weight, change.weight_change()).abs().max())
    parent, _, name = change.layer.rpartition(".")
    model.get_submodule(parent)._modules[name] = LowRankBranch(module, *parts)
    return _applied(errors, largest, change)


def _exact(parameter, change):
    """Return parameter + change in float64, on the host."""
    import torch

    return parameter.detach().cpu().double() + torch.from_numpy(change)


def _applied(errors, largest, change):
    size = change.change_norm or 1.0
    return Applied(
        float(np.abs(errors).max()) / (largest or 1.0), float(np.linalg.norm(errors)) / size
    )


def _matrix(module, change):
    """Return the weight, and the bias as a last column, as the matrix that was fitted."""
    W = module.weight.detach().cpu().double().numpy()
    W = W.T if change.transposed else W.reshape(change.A.shape[1], -1)
    if change.bias is None:
        return W
    return np.column_stack([W, module.bias.detach().cpu().double().numpy()])


def _name(dtype):
    return str(dtype).removeprefix("torch.")
