"""Which layers of a model are captured, under which name, and which are refused."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from subquad.interop._capture._attention import opened
from subquad.interop._capture._rules import rules

# A message names so many layers or parameters.
_LISTED = 12
INTERACT = (
    "model must treat every sample by itself; got outputs of a sample that change with the others "
    "of its batch, as with a batch normalization that is not in eval mode."
)
_HINT = " Leave it out by naming the others in layers=."


@dataclass
class Layer:
    """A weight, and the modules that use it.

    Attributes
    ----------
    name : str
        Of the first module that was asked for.
    weight, bias : torch.nn.Parameter
        `bias` is None where it is not captured.
    named : bool
        Whether the caller asked for it by name.
    rules : dict
        module -> what u and v are. Modules that share the weight have an entry each.
    attentions : list of OpenedAttention
        Those that call one of the modules once they are installed.
    """

    name: str
    weight: object
    bias: object
    named: bool
    rules: dict = field(default_factory=dict)
    attentions: list = field(default_factory=list)

    @property
    def shape(self):
        """(m_u, m_v), by the module of the name."""
        m_u, m_v = next(iter(self.rules.values())).shape
        return m_u, m_v + (self.bias is not None)

    @property
    def hint(self):
        """What to do about a layer that cannot be captured."""
        return "" if self.named else _HINT

    @property
    def transposed(self):
        """Whether J is by the transpose of the weight."""
        return next(iter(self.rules.values())).transposed


def find_layers(model, names, bias):
    """Return the layers to capture, by name: those of `names`, or all that a rule knows."""
    known, attentions = _known(model)
    _refuse_quantized(model)
    if not known:
        raise ValueError(
            "model must have a Linear, Conv1d, Conv2d, Conv3d, Embedding or EmbeddingBag layer; "
            f"got none. {_parameters(model)}"
        )
    named = names is not None
    chosen = _chosen(model, known, names) if named else known
    layers = {}
    for name, module in chosen.items():
        _require_capturable(name, module, named)
        weight, own_bias = module.weight, _bias(module) if bias else None
        layers.setdefault(id(weight), Layer(name, weight, own_bias, named))
    for module in known.values():
        layer = layers.get(id(module._parameters.get("weight")))
        if layer is not None:
            layer.rules[module] = _rule(module)(module)
            layer.attentions += [a for a in attentions if any(module is x for x in a.layers)]
    for layer in layers.values():
        _order(layer, chosen)
        if bias:
            _require_one_bias(layer)
    return list(layers.values())


def _known(model):
    """Return (name -> module of all layers that have a rule, attentions that can be opened)."""
    known, attentions = {}, []
    for name, module in model.named_modules():
        if _rule(module):
            known[name] = module
        attention = opened(module)
        if attention is not None:
            attentions.append(attention)
            prefix = f"{name}." if name else ""
            known |= {prefix + own: layer for own, layer in attention.projections.items()}
    return known, attentions


def has_embedding(model):
    """Return whether a part of the model looks integers up."""
    from torch import nn

    return any(isinstance(module, nn.Embedding | nn.EmbeddingBag) for module in model.modules())


def require_eval_mode(model):
    """Raise where a module is in a training mode that matters, or changes its weight in a call."""
    from torch import nn
    from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
    from torch.nn.modules.dropout import _DropoutNd

    for name, module in model.named_modules():
        random = isinstance(module, nn.RReLU) or _is_positive(getattr(module, "dropout", None))
        random = random or (isinstance(module, _DropoutNd) and module.p > 0)
        mixing = isinstance(module, _NormBase) and module.track_running_stats
        if module.training and (random or mixing):
            raise ValueError(
                f"model must be in eval mode; got {name!r} ({type(module).__name__}) in training "
                "mode. Call model.eval() first."
            )
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise ValueError(INTERACT)
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.max_norm is not None:
            raise ValueError(
                f"model must not change its weights in a call; got {name!r} with max_norm."
            )


def _is_positive(value):
    return isinstance(value, float) and value > 0


def _rule(module):
    """Return the rule of a module of a kind that has one, or None."""
    return next((rule for kind, rule in rules() if isinstance(module, kind)), None)


def _bias(module):
    return getattr(module, "bias", None)


def _chosen(model, known, names):
    """Return the modules of the given names."""
    given = names
    names = [names] if isinstance(names, str) else names
    names = list(names) if isinstance(names, Iterable) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise TypeError(f"layers must be None, a name, or a sequence of names; got {given!r}.")
    modules = dict(model.named_modules(remove_duplicate=False)) | known
    for name in names:
        if name not in modules:
            raise ValueError(f"layers must name layers of the model; got {name!r}. {_list(known)}")
        if _rule(modules[name]) is None:
            kind = type(modules[name]).__name__
            raise ValueError(
                f"layers must name Linear, Conv1d, Conv2d, Conv3d, Embedding or EmbeddingBag "
                f"layers; got {name!r}, of class {kind}. {_list(known)}"
            )
    return {name: modules[name] for name in names}


def _list(known):
    found = [
        f"{name!r} ({type(module).__name__} {tuple(module.weight.shape)})"
        for name, module in known.items()
        if hasattr(module.weight, "shape")
    ]
    return f"The model has {_shortened(found)}."


def _parameters(model):
    found = [f"{name!r} {tuple(p.shape)}" for name, p in model.named_parameters()]
    return f"Its parameters are {_shortened(found)}." if found else "It has no parameters."


def _shortened(found):
    more = [f"and {len(found) - _LISTED} more"] if len(found) > _LISTED else []
    return ", ".join(found[:_LISTED] + more)


def _refuse_quantized(model):
    """Raise where the model has quantized layers: their weights have no derivative."""
    for name, module in model.named_modules():
        if ".quantized" in type(module).__module__ and hasattr(module, "weight"):
            raise TypeError(
                f"model must have weights in float32 or float64; got {name!r}, a quantized "
                f"{type(module).__name__}. Capture the model before it is quantized."
            )


def _require_capturable(name, module, named):
    """Raise unless the derivative by the weight of a module is u (x) v, as its rule says."""
    import torch

    weight, hint = module._parameters.get("weight"), "" if named else _HINT
    if weight is None:
        raise ValueError(
            f"{name!r} must have a weight that is a parameter; got one that is computed in every "
            f"call (a parametrization, weight normalization or pruning). Make it permanent.{hint}"
        )
    if isinstance(weight, torch.nn.parameter.UninitializedParameter):
        raise ValueError(f"{name!r} must have a weight; got a lazy layer. Call the model once.")
    if weight.dtype not in (torch.float32, torch.float64):
        kind = str(weight.dtype).removeprefix("torch.")
        raise TypeError(
            f"{name!r} must have a weight in float32 or float64; got {kind}. "
            f"Pass copy.deepcopy(model).float().{hint}"
        )
    reason = _rule(module).refusal(module)
    if reason:
        raise ValueError(f"{name!r} must be linear; got a layer that {reason}.{hint}")


def _order(layer, chosen):
    """Put the module of the layer's name first: the shape of J is that of its weight."""
    first = chosen[layer.name]
    rest = {module: rule for module, rule in layer.rules.items() if module is not first}
    layer.rules = {first: layer.rules[first], **rest}


def _require_one_bias(layer):
    """Raise where modules share a weight but no bias: J by both has no rows u (x) (v, 1)."""
    biases = {id(_bias(module)) for module in layer.rules}
    if len(biases) > 1:
        raise ValueError(
            f"bias must be False for {layer.name!r}, whose weight is shared by layers of "
            "different biases; got True."
        )
