"""A layer of a torch model on its data: its weight as a matrix, put in place for a while."""

import contextlib

import numpy as np

from subquad._validation import as_targets, require_finite
from subquad.interop._capture import capture
from subquad.interop._capture._layers import find_layers, has_embedding, require_eval_mode
from subquad.interop._capture._outputs import Chosen
from subquad.interop._capture._passes import Recorder, untouched
from subquad.interop._capture._probe import probe
from subquad.interop._capture._samples import Samples
from subquad.interop._torch import as_numpy


class TorchLayer:
    """The layer that a fit moves, its model and the samples.

    Parameters
    ----------
    model, X, name, bias, batch_size
        As in `fit_layer`.

    Attributes
    ----------
    model : torch.nn.Module
    module : torch.nn.Module
        The layer.
    rule : Linear
        What u and v are for this kind of layer.
    name, X, batch_size
        As given.
    bias : bool
    samples : Samples
    dtype : numpy.dtype
        Of the weight.
    initial : ndarray, shape (m_u, m_v), or (m_u, m_v + 1) with a bias
        W(0) as the matrix of which J is the Jacobian.
    """

    def __init__(self, model, X, name, bias, batch_size):
        self.model, self.name, self.X, self.batch_size = model, name, X, batch_size
        self._found = found_layer(model, name, bias)
        self.module, self.rule = next(iter(self._found.rules.items()))
        require_eval_mode(model)
        weight = self._found.weight
        self.samples = Samples(X, weight.device, weight.dtype, has_embedding(model))
        self.bias = self._found.bias is not None
        self.initial = weight_matrix(self._found, self.rule)
        self.dtype = self.initial.dtype
        self._require_sound()
        self.outputs = self.evaluate()
        require_finite(self.outputs, "outputs of the model")

    @property
    def shape(self):
        """Shape of the weight."""
        return tuple(self.module.weight.shape)

    @property
    def n(self):
        """Number of samples."""
        return self.samples.n

    def targets(self, y):
        """Return y as float64 in the shape of the outputs."""
        import torch

        if isinstance(y, torch.Tensor):
            if y.dtype not in (torch.float32, torch.float64):
                kind = str(y.dtype).removeprefix("torch.")
                raise TypeError(f"y must be a float32 or float64 array; got {kind}.")
            y = as_numpy(y)
        return as_targets(y, *self.outputs.shape)

    def jacobian(self, X=None, outputs=None):
        """Return J at the weight that is in place, for the samples or for other ones."""
        X = self.X if X is None else X
        options = {"bias": self.bias, "batch_size": self.batch_size, "outputs": outputs}
        return capture(self.model, X, self.name, **options)[self.name]

    def _require_sound(self):
        """Raise where `capture` would: samples interact, or the layer is not all that uses W."""
        model, layers = self.model, [self._found]
        with untouched(model, layers), Recorder(model, layers, Chosen(None)) as recorder:
            probe(recorder, self.samples, layers)

    def evaluate(self, n=None):
        """Return f (n, C) in float64 at the weight that is in place, of all samples or the first n.

        The first n come in one batch.
        """
        import torch

        n, step = (self.n, self.batch_size) if n is None else (min(n, self.n), n)
        values = []
        with untouched(self.model, [self._found]), torch.no_grad():
            for start in range(0, n, step):
                rows = slice(start, min(start + step, n))
                args, kwargs = self.samples.batch(rows)
                response = self.model(*args, **kwargs)
                values.append(as_numpy(Chosen(None).of(response, rows)).astype(np.float64))
        return np.concatenate(values)

    def holding(self, change):
        """Return a context in which the layer has the weight W(0) + change, (m_u, m_v)."""
        return _holding(self.module, self.rule, self.initial + change, self.bias)

    def scaled(self, factor):
        """Return a context in which weight and bias of a Linear layer are multiplied."""
        W = as_numpy(self.module.weight)
        has_bias = self.module.bias is not None
        if has_bias:
            W = np.concatenate([W, as_numpy(self.module.bias)[:, None]], axis=1)
        return _holding(self.module, self.rule, factor * W, has_bias)


def found_layer(model, name, bias):
    """Return the `Layer` of this name, whose weight is its own."""
    import torch

    if not isinstance(model, torch.nn.Module):
        raise TypeError(f"model must be a torch.nn.Module; got {type(model).__name__}.")
    if not isinstance(bias, bool):
        raise TypeError(f"bias must be True or False; got {bias!r}.")
    if not isinstance(name, str):
        raise TypeError(f"layer must be the name of a layer; got {type(name).__name__}.")
    found = find_layers(model, [name], bias)[0]
    if next(iter(found.rules)) not in model.modules():
        raise ValueError(
            f"layer must be a module of the model; got {name!r}, whose weight an attention keeps "
            "for itself."
        )
    if bias and found.bias is None:
        raise ValueError(f"bias must be False for {name!r}, which has none; got True.")
    require_own(model, name, found.weight)
    if found.bias is not None:
        require_own(model, name, found.bias)
    return found


def require_own(model, name, parameter):
    """Raise where another part of the model uses the same numbers."""
    place = parameter.data_ptr()
    users = [
        other
        for other, p in model.named_parameters(remove_duplicate=False)
        if p.data_ptr() == place and p.numel()
    ]
    if len(users) > 1:
        raise ValueError(
            f"layer must have a weight of its own; got {name!r}, tied to one another: "
            f"{', '.join(users)}. A change of one would change the others."
        )


def weight_matrix(found, rule):
    """Return the weight, and the bias as a last column, as the matrix (m_u, m_v)."""
    W = rule.matrix(as_numpy(found.weight))
    if found.bias is not None:
        W = np.concatenate([W, as_numpy(found.bias)[:, None]], axis=1)
    return np.ascontiguousarray(W)


@contextlib.contextmanager
def _holding(module, rule, matrix, bias):
    """Give a layer other parameters, and its own back at the end."""
    import torch

    own = dict(module._parameters)
    weight = own["weight"]
    shape = weight.shape[::-1] if rule.transposed else weight.shape
    W = matrix[:, :-1] if bias else matrix
    W = W.reshape(shape)
    values = {"weight": W.T if rule.transposed else W}
    if bias:
        values["bias"] = matrix[:, -1]
    try:
        for name, value in values.items():
            tensor = torch.tensor(value, dtype=weight.dtype, device=weight.device)
            module._parameters[name] = torch.nn.Parameter(tensor, requires_grad=False)
        yield
    finally:
        module._parameters.update(own)
