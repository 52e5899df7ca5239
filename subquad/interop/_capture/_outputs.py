"""The numbers of a sample that are differentiated: some outputs of the model, or a function."""

import inspect

import numpy as np

from subquad._validation import integer


class Chosen:
    """What `outputs` asks for.

    Parameters
    ----------
    outputs : None, int, sequence of int, or callable
    """

    def __init__(self, outputs):
        self._function = _of_response_and_rows(outputs) if callable(outputs) else None
        self._indices = None
        if outputs is not None and self._function is None:
            sequence = isinstance(outputs, list | tuple | range | np.ndarray)
            whole = (
                not sequence or getattr(outputs, "ndim", 1) == 0
            )  # an array of no axis is no index
            values = [outputs] if whole else outputs
            self._indices = [integer(value, "outputs", minimum=0) for value in values]
            if not self._indices:
                raise ValueError("outputs must name at least 1 output; got none.")

    def of(self, response, rows):
        """Return the chosen numbers of a batch, a tensor of shape (samples, outputs).

        Parameters
        ----------
        response : object
            What the model returned.
        rows : slice
            Which samples the batch has.
        """
        n = rows.stop - rows.start
        if self._function is not None:
            return _as_values(self._function(response, rows), n)
        values = _as_responses(response, n)
        if self._indices is None:
            return values
        if max(self._indices) >= values.shape[1]:
            raise ValueError(
                f"outputs must be less than {values.shape[1]}, the number of outputs of a sample; "
                f"got {max(self._indices)}."
            )
        return values[:, self._indices]


def _of_response_and_rows(function):
    """Return a function of (response, rows) for one of these, or of the response alone."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of what does not tell
        return function
    for n_arguments in (2, 1):
        try:
            signature.bind(*[None] * n_arguments)
        except TypeError:
            continue
        return function if n_arguments == 2 else lambda response, _: function(response)
    raise TypeError(
        "outputs must be a function of (response, rows), or of the response alone; got one of "
        f"{signature}."
    )


def _as_responses(response, n):
    """Return what the model made of n samples as a matrix."""
    import torch

    if not isinstance(response, torch.Tensor) or not response.is_floating_point():
        kind = response.dtype if isinstance(response, torch.Tensor) else type(response).__name__
        raise TypeError(
            f"model must return one tensor of real numbers; got {kind}. "
            "Choose a number of each sample by a function: outputs=lambda response, rows: ..."
        )
    if response.ndim == 0 or len(response) != n:
        raise ValueError(
            f"model must return a tensor whose first axis is that of the {n} samples; "
            f"got shape {tuple(response.shape)}."
        )
    return response.reshape(n, -1)


def _as_values(values, n):
    """Return what the function of the caller made of n samples as a matrix of one column."""
    import torch

    if not isinstance(values, torch.Tensor) or not values.is_floating_point():
        raise TypeError(f"outputs must return a tensor of real numbers; got {_kind(values)}.")
    if tuple(values.shape) != (n,):
        raise ValueError(
            f"outputs must return one number for each of the {n} samples; "
            f"got shape {tuple(values.shape)}. A loss needs reduction='none'."
        )
    return values[:, None]


def _kind(values):
    return getattr(values, "dtype", type(values).__name__)
