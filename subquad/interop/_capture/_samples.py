"""X as batches of what the model is called with."""

from collections.abc import Mapping

import numpy as np
import scipy.sparse

from subquad._validation import even_array, require_finite


class Samples:
    """The samples of X: one array, a tuple of positional inputs, or a mapping of named ones.

    Arrays of X are sliced along their first axis; whatever is neither array nor tensor is handed
    to the model as it is.

    Parameters
    ----------
    X : array, tensor, tuple or mapping
    device : torch.device
    dtype : torch.dtype
        To which real numbers are cast.
    has_embedding : bool
        Whether integers can be an input of the model.

    Attributes
    ----------
    n : int
    """

    def __init__(self, X, device, dtype, has_embedding):
        self._device, self._dtype = device, dtype
        self._named = isinstance(X, Mapping)
        self._alone = not self._named and not isinstance(X, tuple)
        values = dict(X) if self._named else dict(enumerate((X,) if self._alone else X))
        self._values = {key: self._checked(value, key) for key, value in values.items()}
        self._require_numbers(has_embedding)
        sizes = {key: len(value) for key, value in self._arrays().items()}
        if not sizes or min(sizes.values()) == 0:
            raise ValueError("X must have at least 1 sample; got none.")
        if len(set(sizes.values())) > 1:
            found = ", ".join(f"{self._name(key)} of {size}" for key, size in sizes.items())
            raise ValueError(f"X must have inputs of equally many samples; got {found}.")
        self.n = next(iter(sizes.values()))

    def batch(self, rows):
        """Return (args, kwargs) of the model for a slice of the samples."""
        arrays = self._arrays()
        values = {
            key: self._tensor(value[rows]) if key in arrays else value
            for key, value in self._values.items()
        }
        return ((), values) if self._named else (tuple(values.values()), {})

    def _name(self, key):
        return "X" if self._alone else f"X[{key!r}]"

    def _arrays(self):
        import torch

        kinds = np.ndarray, torch.Tensor
        return {key: value for key, value in self._values.items() if isinstance(value, kinds)}

    def _checked(self, value, key):
        """Return a tensor, an ndarray, or what is neither; reals are finite float32 or float64."""
        import torch

        name = self._name(key)
        if scipy.sparse.issparse(value) or (isinstance(value, torch.Tensor) and _is_odd(value)):
            raise TypeError(f"{name} must be a dense array or tensor; got {type(value).__name__}.")
        if self._alone and not isinstance(value, torch.Tensor):
            value = even_array(value, name)
        if not isinstance(value, np.ndarray | torch.Tensor):
            return value
        if value.ndim == 0:
            raise ValueError(f"{name} must have an axis of samples; got a single number.")
        kind = str(value.dtype).removeprefix("torch.")
        if not _is_discrete(value):
            if kind.lstrip("<>") not in ("float32", "float64", "f4", "f8"):
                raise TypeError(f"{name} must be in float32 or float64; got {kind}.")
            on_host = value if isinstance(value, np.ndarray) else value.detach().cpu().numpy()
            require_finite(on_host, name)
        return value

    def _require_numbers(self, has_embedding):
        """Refuse integers alone where nothing in the model looks them up."""
        arrays = self._arrays()
        if has_embedding or not arrays or not all(_is_discrete(x) for x in arrays.values()):
            return
        key, value = next(iter(arrays.items()))
        kind = str(value.dtype).removeprefix("torch.")
        raise TypeError(
            f"{self._name(key)} must be in float32 or float64, since the model has no embedding; "
            f"got {kind}."
        )

    def _tensor(self, value):
        """Return a copy of an array on the device of the model, reals in its dtype."""
        import torch

        if isinstance(value, np.ndarray):  # torch takes no reversed axes and no other byte order
            value = torch.from_numpy(np.array(value, value.dtype.newbyteorder("="), order="C"))
        tensor = value.detach()
        dtype = self._dtype if tensor.is_floating_point() else None
        return tensor.clone().to(device=self._device, dtype=dtype)


def _is_discrete(x):
    """Whether an array or tensor holds integers or booleans."""
    if isinstance(x, np.ndarray):
        return x.dtype.kind in "iub"
    return not x.is_floating_point() and not x.is_complex()


def _is_odd(tensor):
    """Whether a tensor has no array of numbers behind it."""
    import torch

    return tensor.layout != torch.strided or tensor.is_quantized
