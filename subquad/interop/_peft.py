"""Changes of a layer as LoRA adapters, the files that PEFT loads."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from subquad._validation import as_path, integer
from subquad.interop._change import fitted_layer, recompressed
from subquad.interop._torch import load_torch

if TYPE_CHECKING:
    import torch

    from subquad.interop._change._layer_change import LayerChange


class Exported(NamedTuple):
    """What an adapter holds.

    Attributes
    ----------
    rank : int
    error : float
        ||dW' - dW||_F / ||dW||_F, of recompression and of rounding to the adapter's dtype.
    """

    rank: int
    error: float


def export_peft(
    change: LayerChange,
    folder: str | os.PathLike[str],
    model: torch.nn.Module,
    *,
    rank: int | None = None,
) -> Exported:
    """Write the change that `fit_layer` found as a LoRA adapter, which PEFT loads.

    Parameters
    ----------
    change : LayerChange
        Of a Linear layer, or of a Conv1D layer of transformers, without a bias.
    folder : str or path-like
        A new folder. It appears whole, with ``adapter_config.json`` and
        ``adapter_model.safetensors``, or not at all.
    model : torch.nn.Module
        The model that was fitted, without the change: what the adapter will be loaded onto.
    rank : int, optional
        Recompress the change to at most this rank, the best approximation of that rank. By default
        it is kept as it is.

    Returns
    -------
    Exported
        (rank, error), the error relative to the change.

    Raises
    ------
    ImportError
        If PyTorch or PEFT is not installed.
    FileExistsError
        If there is something at `folder`.
    OSError
        If the folder cannot be written.
    TypeError, ValueError
        If an argument is not as described, the change moves a bias or another kind of layer, or the
        weight of the model is not the one that was fitted.

    Notes
    -----
    lora_A is V and lora_B is A^T, and the scaling lora_alpha / r is exactly 1. Both are written as
    singular vectors of the change times the roots of its singular values, in float64 where the
    weight is, otherwise in float32.

    Examples
    --------
    >>> export_peft(change, "adapter", model, rank=8)  # doctest: +SKIP
    Exported(rank=8, error=0.012)
    >>> peft.PeftModel.from_pretrained(copy.deepcopy(model), "adapter")  # doctest: +SKIP
    """
    torch = load_torch("export_peft")
    try:
        from peft import LoraConfig
        from safetensors.numpy import save_file
    except ImportError as error:
        raise ImportError(
            'export_peft needs PEFT. Install it with: pip install "subquad[peft]"'
        ) from error
    module = fitted_layer(model, change)
    _require_adaptable(torch, module, change)
    folder = Path(os.fsdecode(as_path(folder, "folder")))
    if os.path.lexists(folder):
        raise FileExistsError(f"folder must be a new one; {folder} exists. Nothing was written.")
    dtype = np.float64 if module.weight.dtype == torch.float64 else np.float32
    A, V, error = _factors(change, rank, dtype)
    config = LoraConfig(
        r=len(A),
        lora_alpha=len(A),
        target_modules=re.escape(change.layer),  # a string is matched with the whole name
        lora_dropout=0.0,
        bias="none",
        fan_in_fan_out=change.transposed,
        inference_mode=True,
    )
    prefix = f"base_model.model.{change.layer}.lora"
    weights = {f"{prefix}_A.weight": V, f"{prefix}_B.weight": np.ascontiguousarray(A.T)}
    with _new_folder(folder) as place:
        config.save_pretrained(place)
        save_file(weights, os.path.join(place, "adapter_model.safetensors"), {"format": "pt"})
    return Exported(len(A), error)


def _require_adaptable(torch, module, change):
    """Raise where a LoRA adapter cannot hold the change."""
    if change.bias is not None:
        raise ValueError(
            "change must leave the bias as it is, since a LoRA adapter holds no bias; got one that "
            "moves it. Fit with bias=False, or use apply_change."
        )
    if type(module) is not torch.nn.Linear and type(module).__name__ != "Conv1D":
        raise ValueError(
            f"change must be of a Linear layer; got one of a {type(module).__name__}. "
            "Use apply_change."
        )


def _factors(change, rank, dtype):
    """Return (A, V, error) of the adapter."""
    rank = change.rank if rank is None else integer(rank, "rank")
    A, V = recompressed(*change.factors, rank)
    if len(A) == 0:  # nothing moved: PEFT wants one row at least
        A, V = np.zeros((1, A.shape[1])), np.zeros((1, V.shape[1]))
    A, V = (np.ascontiguousarray(x, dtype) for x in (A, V))
    exact = change.A.T @ change.V
    left = A.T.astype(np.float64) @ V.astype(np.float64) - exact
    return A, V, float(np.linalg.norm(left)) / (float(np.linalg.norm(exact)) or 1.0)


@contextlib.contextmanager
def _new_folder(folder):
    """Yield a hidden folder beside `folder`, which takes its place at the end."""
    if not folder.parent.is_dir():
        raise OSError(f"folder must lie in a folder that exists; {folder.parent} does not.")
    place = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    place.mkdir()
    try:
        yield place
        for file in place.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if os.path.lexists(folder):
            raise FileExistsError(f"folder must be a new one; {folder} exists by now.")
        place.rename(folder)
    except BaseException:
        shutil.rmtree(place, ignore_errors=True)
        raise
