"""One forward pass of a batch with hooks in the layers, and backward passes from its outputs."""

import contextlib
import sys
from dataclasses import dataclass

from subquad.interop._capture._rows import with_constant


@dataclass
class Call:
    """One call of a layer in a forward pass.

    Attributes
    ----------
    layer : Layer
    rule : Linear
        Of the module that was called.
    V : ndarray or csr_array
        What entered, one row for each position, in the order of the lead axes.
    lead : tuple
        Sizes of the axes that hold samples and positions.
    inner : int
        Rows for each entry of the lead axes.
    edge : torch.autograd.graph.GradientEdge or None
        Where the derivative by what left the layer appears; None outside of the graph.
    repeated : bool
        Whether the call served all samples at once, and was repeated for each.
    shape : tuple
        Of what left the layer.
    """

    layer: object
    rule: object
    V: object
    lead: tuple
    inner: int
    edge: object
    repeated: bool
    shape: tuple

    def pair(self, dz):
        """Return (U, V) in the orientation of the layer; nothing that came back is zero."""
        dz = self.layer.weight.new_zeros(self.shape) if dz is None else dz
        return self.oriented(self.rule.derivatives(dz))

    def oriented(self, U):
        """Return (U, V), or (V, U) where the module of the call has the weight transposed."""
        return (self.V, U) if self.rule.transposed != self.layer.transposed else (U, self.V)


class Recorder:
    """Hooks in the modules of all layers, and the calls that they saw in one forward pass.

    Parameters
    ----------
    model : torch.nn.Module
    layers : list of Layer
    chosen : Chosen
        Which numbers of a sample are differentiated.
    """

    def __init__(self, model, layers, chosen):
        self._model, self._layers, self._chosen = model, layers, chosen
        self._calls, self._n, self._plans = None, 0, None

    def __enter__(self):
        """Put the hooks in."""
        attentions = {id(a): a for layer in self._layers for a in layer.attentions}
        with contextlib.ExitStack() as stack:
            for attention in attentions.values():
                stack.callback(attention.remove)
                attention.install()
            for layer in self._layers:
                for module, rule in layer.rules.items():
                    hook = self._hook(layer, rule)
                    handle = module.register_forward_hook(hook, prepend=True, with_kwargs=True)
                    stack.callback(handle.remove)
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *exception):
        """Take the hooks out."""
        self._entered.close()

    def run(self, samples, rows, plans=None):
        """Return (outputs (samples, C), calls) of a slice of the samples.

        Parameters
        ----------
        samples : Samples
        rows : slice
        plans : Plans, optional
            How the calls of each layer are laid out, where this is known.
        """
        args, kwargs = samples.batch(rows)
        self._calls, self._n, self._plans = [], rows.stop - rows.start, plans
        try:
            response = self._model(*args, **kwargs)
            calls = self._calls
        finally:
            self._calls = None  # a pass that recomputes activations calls the layers again
        return self._chosen.of(response, rows), calls

    def _hook(self, layer, rule):
        import torch
        from torch.autograd.graph import get_gradient_edge

        def hook(module, args, kwargs, z):
            if self._calls is None or not isinstance(z, torch.Tensor):
                return None
            x, others = _inputs(args, kwargs)
            repeated = self._is_repeated(layer, x)
            if repeated:
                x, z = (t.expand(self._n, *t.shape[1:]).clone() for t in (x, z))
            elif z._is_view():  # changed in place, its base would take its place in the graph
                z = z.clone()
            V, lead, inner = rule.inputs(module, x.detach(), *others)
            V = V if layer.bias is None else with_constant(V)
            edge = get_gradient_edge(z) if z.requires_grad else None
            self._calls.append(Call(layer, rule, V, lead, inner, edge, repeated, z.shape))
            return z

        return hook

    def _is_repeated(self, layer, x):
        """Whether a call serves all samples at once, such as the embedding of positions.

        Its output is then repeated, so that each sample has a derivative of its own.
        """
        if self._plans is not None:
            plan = self._plans.of(layer, sum(call.layer is layer for call in self._calls))
            return plan is not None and plan.repeated and self._n > 1
        return self._n > 1 and x.ndim > 0 and x.shape[0] == 1 and self._n not in x.shape[:-1]


def gradients(values, inputs, seeds, keep=True):
    """Return the derivatives of sum(seeds * values) by some edges and parameters, or None each."""
    import torch

    wanted = [x for x in inputs if x is not None]
    if not wanted or not values.requires_grad:
        return [None] * len(inputs)
    found = iter(torch.autograd.grad(values, wanted, seeds, retain_graph=keep, allow_unused=True))
    return [None if x is None else next(found) for x in inputs]


@contextlib.contextmanager
def untouched(model, layers):
    """Let the weights of the layers ask for gradients, and leave the model as it was."""
    import torch

    parameters = [p for layer in layers for p in (layer.weight, layer.bias) if p is not None]
    flags = [(p, p.requires_grad) for p in parameters]
    buffers = [
        (module, name, buffer, buffer._version, buffer.detach().clone())
        for module in model.modules()
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    state = random_state()
    device = parameters[0].device.type
    try:
        for p in parameters:
            p.requires_grad_(True)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(device, enabled=False),
            _uncompiled(),
        ):
            yield
    finally:
        for p, flag in flags:
            p.requires_grad_(flag)
        _restore_buffers(buffers)
        _set_random_state(state)


def _uncompiled():
    """Run a compiled model as it was written: hooks would be compiled anew for every call."""
    import torch

    # Nothing is compiled before this module is imported, which takes a second.
    known = "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance")
    return torch.compiler.set_stance("force_eager") if known else contextlib.nullcontext()


def random_state():
    """Return the states of torch's generators."""
    import torch

    states = [torch.get_rng_state()]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states += torch.cuda.get_rng_state_all()
    return states


def _set_random_state(states):
    import torch

    torch.set_rng_state(states[0])
    if len(states) > 1:
        torch.cuda.set_rng_state_all(states[1:])


def _restore_buffers(buffers):
    """Undo what forward passes did to buffers; one that was replaced by a larger one is a cache."""
    import torch

    for module, name, buffer, version, content in buffers:
        now = module._buffers.get(name)
        if now is buffer and buffer._version == version:
            continue
        if now is not buffer and (now is None or now.shape != buffer.shape):
            continue
        module._buffers[name] = buffer
        with torch.no_grad():
            buffer.copy_(content)


def _inputs(args, kwargs):
    """Return (input, [offsets, weights]) of a call; what was not given at the end is left out."""
    names = "input", "offsets", "per_sample_weights"
    values = {**dict(zip(names, args, strict=False)), **kwargs}
    x = values.pop("input") if "input" in values else next(iter(values.values()))
    others = [values.get(name) for name in names[1:]]
    return x, others if any(other is not None for other in others) else []
