"""PyTorch, imported by the first call that needs it."""

import numpy as np


def load_torch(name):
    """Return the module torch, on behalf of a public function of this name."""
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            f'{name} needs PyTorch. Install it with: pip install "subquad[torch]"'
        ) from error
    return torch


def as_numpy(tensor):
    """Return a copy of a tensor on the host, C-contiguous."""
    return np.array(tensor.detach().cpu().numpy(), order="C")
