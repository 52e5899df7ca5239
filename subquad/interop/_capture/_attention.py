"""MultiheadAttention, which hands its weights to a function, opened so that it calls layers.

Its projections become layers that are called, and what lies between them is another attention whose
projections are identities: multiplying by these is exact.
"""


class OpenedAttention:
    """A `MultiheadAttention` that calls its projections while it is installed.

    Attributes
    ----------
    projections : dict
        Name below that of the attention -> a Linear layer that holds the attention's own
        parameters: "in_proj", or "q_proj", "k_proj" and "v_proj" where their inputs differ in size.
    """

    def __init__(self, attention):
        self._attention, self._core = attention, None
        names = ["in_proj"] if attention._qkv_same_embed_dim else ["q_proj", "k_proj", "v_proj"]
        joint = attention.in_proj_bias if len(names) == 1 else None
        self.projections = {
            name: _linear(attention._parameters[f"{name}_weight"], joint) for name in names
        }

    @property
    def layers(self):
        """All projections, that of the output included."""
        return [*self.projections.values(), self._attention.out_proj]

    def install(self):
        """Let the attention call its projections."""
        self._core = _core(self._attention)
        self._attention.forward = self._forward

    def remove(self):
        """Undo `install`."""
        self._attention.__dict__.pop("forward", None)
        self._core = None

    def _forward(self, query, key, value, *args, **kwargs):
        projected = self._projected(query, key, value)
        response, weights = self._core(*projected, *args, **kwargs)
        return self._attention.out_proj(response), weights

    def _projected(self, *inputs):
        """Return the projected query, key and value."""
        if "in_proj" not in self.projections:
            biases = [0.0] * 3
            if self._attention.in_proj_bias is not None:
                biases = self._attention.in_proj_bias.chunk(3)
            layers = self.projections.values()
            return [f(x) + b for f, x, b in zip(layers, inputs, biases, strict=True)]
        project, (query, key, value) = self.projections["in_proj"], inputs
        if query is key and key is value:
            return project(query).chunk(3, -1)
        return [project(x).chunk(3, -1)[i] for i, x in enumerate(inputs)]


def opened(module):
    """Return an `OpenedAttention` for a `MultiheadAttention`, None for what cannot be opened."""
    from torch import nn

    if not isinstance(module, nn.MultiheadAttention) or "forward" in module.__dict__:
        return None
    if type(module).forward is not nn.MultiheadAttention.forward:
        return None
    names = ["in_proj"] if module._qkv_same_embed_dim else ["q_proj", "k_proj", "v_proj"]
    if any(module._parameters.get(f"{name}_weight") is None for name in names):
        return None
    return OpenedAttention(module)


def _linear(weight, bias):
    """Return a Linear layer of given parameters, of which no number is drawn."""
    from torch import nn

    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight, layer.bias = weight, bias
    return layer


def _core(attention):
    """Return an attention like the given one with identities for projections."""
    import torch
    from torch import nn

    size, weight = attention.embed_dim, attention.out_proj.weight
    core = nn.MultiheadAttention(
        size,
        attention.num_heads,
        dropout=attention.dropout,
        bias=False,
        add_zero_attn=attention.add_zero_attn,
        batch_first=attention.batch_first,
        device="meta",
    )
    identity = torch.eye(size, dtype=weight.dtype, device=weight.device)
    core.in_proj_weight = nn.Parameter(identity.repeat(3, 1), requires_grad=False)
    core.out_proj.weight = nn.Parameter(identity, requires_grad=False)
    core.bias_k, core.bias_v = attention.bias_k, attention.bias_v
    return core.train(attention.training)
