"""The fast path: a linear layer, an elementwise activation, a linear head.

Nothing is read from the code of the model. The activation is told from what leaves the layer and
what enters the head, and the outputs rebuilt from it are compared with those of the model: at the
weights as they are, at multiples of them that reach far into both tails, and after the fit.
"""

import contextlib

import numpy as np

from subquad.activations import GELU, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh
from subquad.interop._change import product
from subquad.interop._torch import as_numpy
from subquad.networks import LastLayer
from subquad.training import LastLayerGaussNewton

_KNOWN = [ReLU(), GELU(), GELU("tanh"), SiLU(), Tanh(), Sigmoid()]
# Tell the activation from so many samples.
_N_PROBED = 32
# Compare outputs at pre-activations of up to this size: an activation with bounds shows them.
_FAR = 100.0


def fit_fast(subject, y, options):
    """Return (trainer, outputs, path) of a fit of the rebuilt layer; None without one."""
    built = last_layer(subject)
    if built is None:
        return None
    layer, constant = built
    trainer = LastLayerGaussNewton(
        layer, y - constant, min_active=0, search_kinks=False, **options
    ).run()
    with subject.holding(product(*trainer.factors)):
        outputs = subject.evaluate()
    if not _agree(outputs, trainer.outputs + constant, subject.dtype):
        return None
    return trainer, outputs, "last layer"


def last_layer(subject):
    """Return (LastLayer, constant of the outputs) of the model, or None if it is of another kind.

    The constant column of a bias is the last feature.
    """
    import torch

    if type(subject.module) is not torch.nn.Linear:
        return None
    head = _head(subject)
    if head is None:
        return None
    activation, readout, constant = head
    V, Z = _seen(subject)
    if V is None or not readout.any(axis=1).all():  # the general path names what cannot move
        return None
    if subject.bias:
        V = np.hstack([V, np.ones((len(V), 1), V.dtype)])
    far = _FAR / max(float(np.abs(Z).max()), 1e-30)
    for factor in (1.0, far, -far):
        scaled = LastLayer(V, Z.dtype.type(factor) * Z, readout, activation)
        with subject.scaled(factor):
            if not _agree(subject.evaluate(), scaled.outputs() + constant, Z.dtype):
                return None
    return LastLayer(V, Z, readout, activation), constant


def _head(subject):
    """Return (activation, readout, constant) of the linear layer that the outputs come from."""
    import torch

    layer_calls, calls = [], []
    linear = [m for m in subject.model.modules() if type(m) is torch.nn.Linear]
    hooks = {
        m: lambda module, args, out: calls.append((module, as_numpy(args[0]), as_numpy(out)))
        for m in linear
    }
    hooks[subject.module] = lambda module, args, z: layer_calls.append(as_numpy(z))
    with _hooked(hooks):
        f = subject.evaluate(_N_PROBED)
    if len(layer_calls) != 1 or layer_calls[0].ndim != 2:
        return None
    z = layer_calls[0]
    for module, h, out in calls:
        if (
            h.shape == z.shape
            and out.reshape(len(f), -1).shape == f.shape
            and _agree(f, out, out.dtype)
        ):
            activation = _activation(z, h)
            if activation is not None:
                constant = 0.0 if module.bias is None else as_numpy(module.bias).astype(np.float64)
                return activation, as_numpy(module.weight), constant
    return None


def _seen(subject):
    """Return (V, Z), what enters and leaves the layer for all samples; None unless one row each."""
    V, Z = [], []

    def hook(module, args, z):
        V.append(as_numpy(args[0]))
        Z.append(as_numpy(z))

    with _hooked({subject.module: hook}):
        subject.evaluate()
    if any(x.ndim != 2 for x in V) or sum(map(len, V)) != subject.n:
        return None, None
    return np.concatenate(V), np.concatenate(Z)


@contextlib.contextmanager
def _hooked(hooks):
    """Give modules forward hooks, and take them away."""
    handles = []
    try:
        for module, hook in hooks.items():
            handles.append(module.register_forward_hook(hook, prepend=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _activation(z, h):
    """Return the activation with phi(z) = h, or None."""
    lowest = np.unravel_index(z.argmin(), z.shape)
    known = list(_KNOWN)
    if z[lowest] < 0:
        slope = float(h[lowest] / z[lowest])
        known += [LeakyReLU(float(f"{slope:.6g}")), LeakyReLU(slope)]
    zeros = np.zeros(len(z))
    tolerance = 64 * np.finfo(z.dtype).eps * max(1.0, float(np.abs(z).max()))
    for activation in known:
        if np.abs(activation._apply(z, zeros) - h).max() <= tolerance:
            return activation
    return None


def _agree(f, rebuilt, dtype):
    """Whether two arrays of outputs are the same up to the rounding of a model of this dtype."""
    error = np.abs(f - rebuilt.reshape(f.shape)).max()
    return bool(error <= np.sqrt(np.finfo(dtype).eps) * np.abs(f).max())
