"""`interop.capture` refuses in a sentence what it cannot do, and leaves the model as it was."""

import builtins

import numpy as np
import pytest
import scipy.sparse

from subquad.interop import capture, fit_layer
from subquad.sketch import TensorSketch

torch = pytest.importorskip("torch")
nn = torch.nn
models = pytest.importorskip("torch_models")


def reals(*shape, dtype=np.float64):
    return torch.from_numpy(np.random.default_rng(1).standard_normal(shape).astype(dtype))


def small():
    return models.ready(nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)))


class Changed(nn.Module):
    """A linear layer whose outputs pass through a function of the batch."""

    def __init__(self, change):
        super().__init__()
        self.first, self.last, self.change = nn.Linear(3, 4), nn.Linear(4, 2), change

    def forward(self, x):
        return self.last(self.change(self.first(x)))


def mixing_in_the_last_layer(x):
    return x / x.norm()


class Counting(nn.Module):
    """Counts calls, and keeps a running mean, in buffers."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x):
        self.calls += 1
        self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return self.layer(x)


def state_of(model):
    """All that a capture might change, as bytes and names."""
    parameters = [
        (name, bytes_of(p), p.requires_grad, None if p.grad is None else bytes_of(p.grad))
        for name, p in model.named_parameters()
    ]
    modules = [
        (name, m.training, len(m._forward_hooks), [*m.__dict__], [*m._modules])
        for name, m in model.named_modules()
    ]
    buffers = [(name, bytes_of(b)) for name, b in model.named_buffers()]
    random = bytes_of(torch.get_rng_state())
    return parameters, modules, buffers, random, torch.is_grad_enabled()


def bytes_of(tensor):
    return tensor.detach().numpy().tobytes()


def as_it_was(model, capturing):
    """Run a function of no arguments and compare the model, also if it raises."""
    torch.manual_seed(5)
    for i, p in enumerate(model.parameters()):
        p.requires_grad_(i % 2 == 0)
        p.grad = torch.ones_like(p) if i % 3 == 0 else None
    before = state_of(model)
    try:
        return capturing()
    finally:
        assert state_of(model) == before


def test_the_model_is_left_as_it_was():
    for model, X in [
        (small(), reals(9, 3)),
        (models.ready(models.convolutions()), reals(9, 4, 9, 8)),
        (models.ready(Counting()), reals(9, 3)),
        (models.ready(models.transformer()), reals(9, 3, 8)),
    ]:
        as_it_was(model, lambda model=model, X=X: capture(model, X, batch_size=2))
        with torch.no_grad():
            as_it_was(model, lambda model=model, X=X: capture(model, X, batch_size=2))
        with torch.inference_mode():
            found = capture(model, X + 0)
        assert all(J.n == 2 * len(X) for J in found.values())


def test_the_model_is_left_as_it_was_by_an_exception():
    calls = []

    def failing(response, rows):
        calls.append(rows)
        if len(calls) > 3:
            raise ZeroDivisionError
        return response[:, 0]

    model = models.ready(Counting())
    with pytest.raises(ZeroDivisionError):
        as_it_was(model, lambda: capture(model, reals(9, 3), outputs=failing, batch_size=2))
    mixing = models.ready(Changed(mixing_in_the_last_layer))
    with pytest.raises(ValueError, match="every sample by itself"):
        as_it_was(mixing, lambda: capture(mixing, reals(9, 3)))


MIXING = {
    "norm of the batch": mixing_in_the_last_layer,
    "mean without a gradient": lambda x: x - x.detach().mean(0),
    "softmax over samples": lambda x: torch.softmax(x, 0),
    "order of the samples": lambda x: x + x.flip(0),
    "batch normalization without running statistics": nn.BatchNorm1d(4, track_running_stats=False),
}


@pytest.mark.parametrize("change", MIXING)
def test_samples_that_interact_are_found(change):
    model = models.ready(Changed(MIXING[change]))
    for n in (2, 9):
        with pytest.raises(ValueError, match="model must treat every sample by itself"):
            capture(model, reals(n, 3))


TRAINING = {
    "dropout": lambda: nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)),
    "batch normalization": lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)),
    "attention": lambda: nn.Sequential(nn.Linear(3, 4), nn.MultiheadAttention(4, 2, dropout=0.1)),
}


@pytest.mark.parametrize("kind", TRAINING)
def test_training_mode_is_refused_where_it_matters(kind):
    model = TRAINING[kind]().double()
    with pytest.raises(ValueError, match=r"model must be in eval mode; got '1' .*model\.eval\(\)"):
        as_it_was(model, lambda: capture(model, reals(9, 3)))


def test_training_mode_is_accepted_where_it_does_not_matter():
    model = small()
    expected = capture(model, reals(5, 3))["0"].to_dense()
    np.testing.assert_array_equal(capture(model.train(), reals(5, 3))["0"].to_dense(), expected)
    assert model.training


def test_random_numbers_are_found():
    model = models.ready(Changed(lambda x: nn.functional.dropout(x, 0.5)))
    with pytest.raises(ValueError, match="same outputs every time"):
        as_it_was(model, lambda: capture(model, reals(9, 3)))


def unused():
    model = Changed(torch.tanh)
    model.other = nn.Linear(3, 3)
    return model


def detached():
    model = Changed(lambda x: x.detach())
    return model


def half():
    return small().half()


def frozen_in_bytes():
    model = small()
    model[2].weight = nn.Parameter(torch.zeros(2, 4, dtype=torch.int8), requires_grad=False)
    return model


def normalized():
    model = small()
    nn.utils.parametrizations.weight_norm(model[2])
    return model


def maximum():
    return nn.Sequential(nn.EmbeddingBag(5, 3, mode="max"), nn.Linear(3, 2))


def renormalizing():
    return nn.Sequential(nn.Embedding(5, 3, max_norm=1.0), nn.Linear(3, 2))


class FunctionOfForward(nn.Linear):
    """A linear layer that does more."""

    def forward(self, x):
        return 2 * super().forward(x)


def nan_in_a_weight():
    model = small()
    with torch.no_grad():
        model[0].weight[0, 0] = torch.nan
    return model


class NotANumber(nn.Module):
    """A square root whose derivative at zero is infinite, times zero."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x):
        return (0 * self.layer(x)).abs().sqrt()


def by_frequency():
    return nn.Sequential(nn.Embedding(5, 3, scale_grad_by_freq=True), nn.Linear(3, 2))


class Positions(nn.Module):
    """Positions without an axis of samples."""

    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(5, 3), nn.Embedding(2, 3)

    def forward(self, x):
        return torch.tanh(self.tokens(x) + self.positions(torch.arange(2))).sum((1, 2))


class Silent(models.Flattened):
    """No output depends on the samples, in a layout that derivatives have to tell."""

    def __init__(self):
        super().__init__(True)

    def forward(self, x):
        return 0 * super().forward(x)


X = reals(9, 3)
TOKENS = torch.arange(18).reshape(9, 2) % 5
TIED = "'encoder' must be all that uses its weight"
REFUSALS = {
    "no layer": (
        lambda: nn.Sequential(nn.LayerNorm(3)),
        {},
        ValueError,
        r"model must have a Linear, .* layer; got none. Its parameters are '0.weight' \(3,\), '0.",
    ),
    "no parameters": (nn.Tanh, {}, ValueError, "got none. It has no parameters"),
    "no model": (lambda: torch.tanh, {}, TypeError, "model must be a torch.nn.Module; got"),
    "unknown": (
        small,
        {"layers": "fc"},
        ValueError,
        r"got 'fc'. The model has '0' \(Linear \(4, 3\)\), '2' \(Linear \(2, 4\)\)\.",
    ),
    "no linear layer": (small, {"layers": ["1"]}, ValueError, "got '1', of class Tanh. The model"),
    "no names": (small, {"layers": []}, TypeError, "layers must be None, a name"),
    "a number as names": (small, {"layers": 3}, TypeError, "layers must be None, a name.* got 3"),
    "numbers as names": (small, {"layers": [0]}, TypeError, "layers must be None, a name"),
    "unused": (unused, {"layers": "other"}, ValueError, "got 'other', which is never called"),
    "no influence": (detached, {"layers": "first"}, ValueError, "got 'first', by which their"),
    "half": (half, {}, TypeError, "'0' must have a weight in float32 or float64; got float16"),
    "bytes": (frozen_in_bytes, {}, TypeError, "'2' must have a weight in .*; got int8.*layers="),
    "normalized": (normalized, {}, ValueError, "'2' must have a weight that is a parameter; got"),
    "maximum": (maximum, {"X": TOKENS}, ValueError, "got a layer that takes the maximum"),
    "renormalizing": (renormalizing, {"X": TOKENS}, ValueError, "got '0' with max_norm"),
    "by frequency": (by_frequency, {"X": TOKENS}, ValueError, "'0' must .* divides its gradient"),
    "infinite derivative": (NotANumber, {}, ValueError, "derivatives .* by 'layer' must be finite"),
    "silent": (Silent, {"X": reals(9, 4, 3)}, ValueError, "'first' must have an influence on the"),
    "once for all samples": (
        Positions,
        {"X": TOKENS},
        ValueError,
        r"'positions' must be called with rows of every sample; got an input with axes \(2,\)",
    ),
    "lazy": (lambda: nn.Sequential(nn.LazyLinear(2)), {}, ValueError, "got a lazy layer"),
    "transposed": (models.TransposedAutoencoder, {"X": reals(9, 5)}, ValueError, TIED),
    "transposed, by name": (
        models.TransposedAutoencoder,
        {"X": reals(9, 5), "layers": "encoder"},
        ValueError,
        TIED,
    ),
    "subclass": (lambda: FunctionOfForward(3, 2), {}, ValueError, "must be all that uses its"),
    "a function": (
        models.Functional,
        {"layers": "first"},
        ValueError,
        "got 'first', which is never called. Its weight may be used by a function",
    ),
    "two biases": (
        models.TiedAutoencoder,
        {"X": reals(9, 5), "bias": True},
        ValueError,
        "bias must be False for 'encoder', whose weight is shared",
    ),
    "integers": (
        small,
        {"X": np.ones((9, 3), int)},
        TypeError,
        "no embedding; got int",
    ),
    "half input": (
        small,
        {"X": X.half()},
        TypeError,
        "X must be in .*; got float16",
    ),
    "bfloat16": (small, {"X": X.bfloat16()}, TypeError, "X must be in float32 .*; got bfloat16"),
    "complex": (small, {"X": X.numpy() * 1j}, TypeError, "X must be in .*; got complex128"),
    "sparse": (small, {"X": X.to_sparse()}, TypeError, "X must be a dense array or tensor"),
    "nan": (small, {"X": X * torch.nan}, ValueError, "X must be finite in float64; got 27 NaN"),
    "nan in a weight": (nan_in_a_weight, {}, ValueError, "outputs of the model must be finite"),
    "no samples": (small, {"X": X[:0]}, ValueError, "X must have at least 1 sample; got none"),
    "a number": (small, {"X": 1.0}, ValueError, "X must have an axis of samples"),
    "two lengths": (small, {"X": (X, X[:3])}, ValueError, r"got X\[0\] of 9, X\[1\] of 3"),
    "many outputs": (small, {"outputs": 2}, ValueError, "outputs must be less than 2"),
    "negative": (small, {"outputs": [0, -1]}, ValueError, "outputs must be at least 0; got -1"),
    "no outputs": (small, {"outputs": []}, ValueError, "outputs must name at least 1 output"),
    "name of an output": (small, {"outputs": "loss"}, TypeError, "outputs must be an integer"),
    "mean loss": (
        small,
        {"outputs": lambda response, rows: response.mean()},
        ValueError,
        r"one number for each of the 7 samples; got shape \(\). A loss needs reduction='none'",
    ),
    "three arguments": (
        small,
        {"outputs": lambda response, rows, more: response[:, 0]},
        TypeError,
        r"outputs must be a function of \(response, rows\), or .*; got one of \(response, rows, mo",
    ),
    "array": (
        small,
        {"outputs": lambda response, rows: response.detach().numpy()[:, 0]},
        TypeError,
        "outputs must return a tensor of real numbers; got float64",
    ),
    "constant": (
        small,
        {"outputs": lambda response, rows: torch.ones(len(response))},
        ValueError,
        "outputs must depend on a layer of the model; got",
    ),
    "batch size": (small, {"batch_size": 0}, ValueError, "batch_size must be at least 1; got 0"),
    "bias": (small, {"bias": 1}, TypeError, "bias must be True or False; got 1"),
    "sketch": (small, {"sketch": 5}, TypeError, "sketch must be a TensorSketch or TensorSRHT"),
    "shape of a sketch": (
        small,
        {"sketch": TensorSketch((4, 3), 8, rng=0)},
        ValueError,
        "sketch must be of pairs of 2 and 4 entries for '2'; got 4 and 3",
    ),
    "sketches": (
        small,
        {"sketch": {"0": TensorSketch((4, 3), 8, rng=0)}},
        ValueError,
        r"sketch must have one sketch for each layer, \['0', '2'\]; got \['0'\]",
    ),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_what_cannot_be_done_is_refused_in_a_sentence(what):
    make, arguments, error, message = REFUSALS[what]
    model, arguments = make(), dict(arguments)
    if isinstance(model, nn.Module) and what not in ("half", "bytes", "lazy"):
        model = models.ready(model)
    before = state_of(model) if isinstance(model, nn.Module) and what != "lazy" else None
    with pytest.raises(error, match=message):
        capture(model, arguments.pop("X", X), **arguments)
    if before is not None:
        assert state_of(model) == before


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_quantized_weights_are_refused():
    model = torch.ao.quantization.quantize_dynamic(small().float(), {nn.Linear})
    with pytest.raises(TypeError, match="got '0', a quantized Linear"):
        capture(model, reals(9, 3).float())


def test_a_model_may_return_and_take_more_than_one_tensor():
    class Several(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 2)

        def forward(self, x, weights=None, scale=1.0):
            z = self.layer(x) * weights[:, None]
            return {"logits": scale * z, "other": None}

    model, weights = models.ready(Several()), reals(9)
    with pytest.raises(TypeError, match="model must return one tensor of real numbers; got dict"):
        capture(model, {"x": X, "weights": weights})

    def first(response, rows):
        return response["logits"][:, 0]

    inputs = {"x": X.numpy(), "weights": weights, "scale": 3.0}
    found = capture(model, inputs, outputs=first, batch_size=4)["layer"].to_dense()
    expected = 3 * (weights[:, None] * X).numpy()
    np.testing.assert_allclose(found.reshape(9, 2, 3)[:, 0], expected, rtol=1e-12)
    again = capture(model, (X, weights, 3.0), outputs=first)["layer"].to_dense()
    np.testing.assert_allclose(again, found, rtol=1e-12)


def test_arrays_are_cast_to_the_dtype_of_the_model():
    model = small().float()
    for array in (X.numpy(), X.float().numpy(), X.numpy().tolist(), np.asfortranarray(X.numpy())):
        J = capture(model, array)["0"]
        assert J.dtype == np.float32
        np.testing.assert_allclose(J.V[::2], X.numpy(), rtol=1e-6)


def test_activations_may_be_recomputed_in_the_backward_pass():
    from torch.utils.checkpoint import checkpoint

    model = small()
    expected = capture(model, X)
    recomputed = models.ready(Changed(torch.tanh))
    recomputed.first, recomputed.last = model[0], model[2]
    forward = recomputed.forward
    recomputed.forward = lambda x: checkpoint(forward, x, use_reentrant=False)
    found = capture(recomputed, X, batch_size=4)
    for name, J in zip(("first", "last"), expected.values(), strict=True):
        np.testing.assert_allclose(found[name].to_dense(), J.to_dense(), rtol=1e-12)


@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_is_run_as_it_was_written():
    model = small()
    expected = capture(model, X)
    found = capture(torch.compile(model, backend="eager"), X, batch_size=4)
    for name, J in expected.items():
        np.testing.assert_allclose(found[f"_orig_mod.{name}"].to_dense(), J.to_dense(), rtol=1e-12)


def test_a_gradient_may_be_sparse():
    model = models.ready(nn.Sequential(nn.Embedding(5, 3, sparse=True), nn.Linear(3, 2)))
    J = capture(model, torch.arange(5))["0"]
    assert scipy.sparse.issparse(J.V)
    np.testing.assert_array_equal(J.V.toarray(), np.repeat(np.eye(5), 2, axis=0))


def test_names_decide_under_which_one_a_shared_weight_is_found():
    model = models.ready(models.TiedAutoencoder())
    expected = capture(model, reals(9, 5))["encoder"].to_dense()
    for layers, name in ((["decoder"], "decoder"), (["decoder", "encoder"], "decoder")):
        found = capture(model, reals(9, 5), layers)
        assert list(found) == [name]
        np.testing.assert_allclose(found[name].to_dense(), expected, rtol=1e-12)
    language = models.ready(models.LanguageModel())
    tokens = torch.arange(45).reshape(9, 5) % 11
    head, embedded = capture(language, tokens, "head")["head"], capture(language, tokens, "tokens")
    by_head = head.to_dense().reshape(27, 11, 4)
    by_tokens = embedded["tokens"].to_dense().reshape(27, 4, 11)
    np.testing.assert_allclose(by_head, by_tokens.transpose(0, 2, 1), rtol=1e-12)


def test_one_sample_is_enough():
    for model, X in [
        (small(), reals(1, 3)),
        (models.ready(models.SequenceFirst()), reals(1, 7, 8)),
    ]:
        for name, J in capture(model, X).items():
            expected = models.gradients(model, X, models.weight_of(model, name))
            np.testing.assert_allclose(J.to_dense(), expected, rtol=1e-9, atol=1e-12)


def test_inputs_are_not_changed_and_not_kept():
    samples = X.clone()
    J = capture(models.ready(nn.Sequential(nn.Linear(3, 2))), samples)["0"]
    samples.zero_()
    np.testing.assert_array_equal(J.V[::2], X.numpy())


class Wayward(nn.Module):
    """What is called, and how, depends on the size of the batch."""

    def __init__(self, way):
        super().__init__()
        self.first, self.other, self.way = nn.Linear(3, 2), nn.Linear(3, 2), way

    def forward(self, x):
        z = self.first(x)
        if len(x) <= 7:
            return z + self.other(x).detach()
        if self.way == "another layer":
            return z + self.other(x)
        return self.first(x.repeat(2, 1)[None])[0, : len(x)]


@pytest.mark.parametrize(("way", "name"), [("another layer", "other"), ("another shape", "first")])
def test_calls_that_change_with_the_batch_are_found(way, name):
    with pytest.raises(ValueError, match=f"'{name}' must be called in the same way for all"):
        capture(models.ready(Wayward(way)), reals(9, 3))


def test_factors_that_do_not_fit_are_refused_before_they_are_made(monkeypatch):
    model = small()
    monkeypatch.setattr("subquad._validation.available_memory", lambda: 1000)
    message = r"factors of 2 layers must fit in memory; needs .*\(1872 bytes\).*give sketch="
    with pytest.raises(MemoryError, match=message):
        capture(model, X)


def test_without_torch_the_extra_is_named(monkeypatch):
    imported = builtins.__import__

    def missing(name, *args, **kwargs):
        if name == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    message = r'capture needs PyTorch. Install it with: pip install "subquad\[torch\]"'
    with pytest.raises(ImportError, match=message):
        capture(None, X.numpy())


def test_numpy_samples_may_lie_in_memory_in_any_way():
    model, X = small(), reals(9, 3).numpy()
    expected = capture(model, X)["0"].to_dense()
    read_only = X.copy()
    read_only.flags.writeable = False
    strided, reversed_ = np.repeat(X, 2, axis=1)[:, ::2], X[::-1].copy()[::-1]
    for same in (read_only, strided, reversed_, X.astype(">f8"), np.asfortranarray(X)):
        np.testing.assert_array_equal(capture(model, same)["0"].to_dense(), expected)


def test_numpy_indices_may_lie_in_memory_in_any_way():
    model = models.ready(nn.Sequential(nn.Embedding(5, 3), nn.Flatten(), nn.Linear(6, 1)))
    indices = np.array([[0, 1], [2, 3], [1, 4]])
    expected = capture(model, indices)["0"].to_dense()
    for same in (indices.astype(">i8"), indices[::-1].copy()[::-1]):
        np.testing.assert_array_equal(capture(model, same)["0"].to_dense(), expected)


def test_samples_targets_and_names_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match="X must have rows of equal length; got ragged ones"):
        capture(small(), [[1.0], [1.0, 2.0]])
    with pytest.raises(TypeError, match="outputs must be an integer; got "):
        capture(small(), reals(5, 3), outputs=np.array(1.0))
    with pytest.raises(ValueError, match="y must have rows of equal length; got ragged ones"):
        fit_layer(small(), reals(5, 3), [[1.0], [1.0, 2.0]], "0")
    with pytest.raises(ValueError, match=r"y must have shape \(5, 2\); got \(5, 3\)"):
        fit_layer(small(), reals(5, 3), reals(5, 3), "0")
    with pytest.raises(TypeError, match="layers must be None, a name, or a sequence"):
        capture(small(), reals(5, 3), 3)
