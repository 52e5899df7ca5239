"""`interop.capture` gives torch's own per-sample gradients, and leaves the model as it was."""

import itertools

import numpy as np
import pytest

from subquad.interop import capture
from subquad.jacobian import JacobianSum, KhatriRao
from subquad.sketch import TensorSketch, TensorSRHT

torch = pytest.importorskip("torch")
models = pytest.importorskip("torch_models")
nn = torch.nn

# Torch says that it copies the input of an even kernel with padding "same".
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
TOLERANCE = {"rtol": 1e-10, "atol": 1e-12}


def reals(*shape):
    return torch.from_numpy(np.random.default_rng(1).standard_normal(shape))


def tokens():
    return torch.from_numpy(np.random.default_rng(1).integers(0, 9, (9, 5)))


# Name: (model, samples, layers that are captured, those of them whose weight is transposed).
CASES = {
    "mlp": (models.layers, lambda: reals(9, 3), ["0", "2", "4"], []),
    "cnn": (models.convolutions, lambda: reals(9, 4, 9, 8), ["0", "3", "6"], []),
    "cnn with groups": (
        lambda: models.convolutions(groups=4, mode="reflect"),
        lambda: reals(9, 4, 9, 8),
        ["0", "3", "6"],
        [],
    ),
    "cnn of one axis": (models.of_one_axis, lambda: reals(9, 3, 10), ["0", "2", "4"], []),
    "cnn of three axes": (models.of_three_axes, lambda: reals(8, 2, 4, 5, 4), ["0", "3"], []),
    "transformer": (
        models.transformer,
        lambda: reals(9, 3, 8),
        ["0.self_attn.in_proj", "0.self_attn.out_proj", "0.linear1", "0.linear2", "2"],
        [],
    ),
    "sequence first": (
        models.SequenceFirst,
        lambda: reals(9, 7, 8),
        [
            *("layer.self_attn.in_proj", "layer.self_attn.out_proj"),
            *("layer.linear1", "layer.linear2", "leave"),
        ],
        [],
    ),
    "attention": (
        lambda: models.Attention(batch_first=True, add_bias_kv=True, add_zero_attn=True),
        lambda: reals(9, 5, 8),
        ["attention.in_proj", "attention.out_proj"],
        [],
    ),
    "attention of inputs that differ": (
        lambda: models.Attention(batch_first=True, kdim=4, vdim=6),
        lambda: reals(9, 5, 8),
        [f"attention.{name}_proj" for name in ("q", "k", "v", "out")],
        [],
    ),
    "together": (lambda: models.Flattened(True), lambda: reals(9, 4, 3), ["first", "leave"], []),
    "apart": (lambda: models.Flattened(False), lambda: reals(9, 4, 3), ["first", "leave"], []),
    "loop": (models.Loop, lambda: reals(9, 3), ["enter", "step", "leave"], []),
    "tied autoencoder": (models.TiedAutoencoder, lambda: reals(9, 5), ["encoder"], []),
    "sum of a bag": (lambda: models.Bags("sum"), tokens, ["bags", "leave"], ["bags"]),
    "mean of a bag": (lambda: models.Bags("mean"), tokens, ["bags", "leave"], ["bags"]),
    "offsets": (lambda: models.Bags("mean", True), tokens, ["bags", "leave"], ["bags"]),
    "weighted bags": (models.WeightedBags, tokens, ["bags"], ["bags"]),
    "language model": (
        models.LanguageModel,
        tokens,
        ["tokens", "positions", "mix"],
        ["tokens", "positions"],
    ),
    "square language model": (
        lambda: models.LanguageModel(11),
        tokens,
        ["tokens", "positions", "mix"],
        ["tokens", "positions"],
    ),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(3)


@pytest.fixture(params=CASES)
def case(request):
    model, samples, names, transposed = CASES[request.param]
    return models.ready(model()), samples(), names, transposed


def explicit(model, X, names, transposed):
    """Layer name -> the gradients of all outputs of all samples."""
    return {
        name: models.gradients(model, X, models.weight_of(model, name), name in transposed)
        for name in names
    }


def test_jacobians_are_the_gradients_of_every_sample(case):
    model, X, names, transposed = case
    found = capture(model, X, batch_size=4)
    assert list(found) == names
    for name, J in explicit(model, X, names, transposed).items():
        assert isinstance(found[name], KhatriRao)
        np.testing.assert_allclose(found[name].to_dense(), J, **TOLERANCE)


def test_products_and_sketches_are_those_of_the_gradients(case, rng):
    model, X, names, transposed = case
    train, test = X[:6], X[6:]
    found, others = capture(model, train), capture(model, test)
    expected = explicit(model, train, names, transposed)
    crossed = explicit(model, test, names, transposed)
    kinds = itertools.cycle([TensorSketch, TensorSRHT])
    sketches = {
        name: kind((J.m_u, J.m_v), 6, rng=2)
        for kind, (name, J) in zip(kinds, found.items(), strict=False)
    }
    features = capture(model, train, sketch=sketches, batch_size=4)
    for name, J in expected.items():
        scale = abs(J).max() ** 2 * J.shape[1]
        close = {"rtol": 1e-10, "atol": 1e-13 * scale}
        np.testing.assert_allclose(found[name].gram(), J @ J.T, **close)
        np.testing.assert_allclose(found[name].gram(others[name]), J @ crossed[name].T, **close)
        W = rng.standard_normal((found[name].m_u, found[name].m_v))
        np.testing.assert_allclose(found[name].matvec(W), J @ W.ravel(), **close)
        np.testing.assert_allclose(features[name], J @ sketches[name].matrix().T, **close)
    total = sum(J @ J.T for J in expected.values())
    np.testing.assert_allclose(JacobianSum(list(found.values())).gram(), total, rtol=1e-10)


def test_a_bias_is_the_weight_of_a_constant_input():
    for model, X in [
        (models.Loop(), reals(8, 3)),
        (models.convolutions(), reals(8, 4, 9, 8)),
        (models.transformer(), reals(8, 3, 8)),
    ]:
        model = models.ready(model)
        for name, J in capture(model, X, bias=True).items():
            if name.endswith("in_proj"):
                module = model.get_submodule(name.removesuffix(".in_proj"))
                by = module.in_proj_weight, module.in_proj_bias
            else:
                module = model.get_submodule(name)
                by = module.weight, module.bias
            by_weight, by_bias = (models.gradients(model, X, parameter) for parameter in by)
            found = J.to_dense().reshape(J.n, J.m_u, J.m_v)
            np.testing.assert_allclose(found[:, :, :-1].reshape(J.n, -1), by_weight, **TOLERANCE)
            np.testing.assert_allclose(found[:, :, -1], by_bias, **TOLERANCE)
    without = models.ready(nn.Sequential(nn.Linear(3, 2, bias=False)))
    assert capture(without, reals(8, 3), bias=True)["0"].m_v == 3


def test_outputs_are_chosen_by_number_or_by_a_function():
    model, X = models.ready(models.Loop()), reals(9, 3)
    everything = models.gradients(model, X, model.step.weight).reshape(9, 2, -1)

    def found(outputs):
        return capture(model, X, "step", outputs=outputs, batch_size=4)["step"].to_dense()

    np.testing.assert_allclose(found(1), everything[:, 1], **TOLERANCE)
    several = found([1, 0, 1]).reshape(9, 3, -1)
    np.testing.assert_allclose(several, everything[:, [1, 0, 1]], **TOLERANCE)
    targets = reals(9, 2)

    def loss(response, rows):
        return ((response - targets[rows]) ** 2).sum(1) / 2

    residuals = (model(X) - targets).detach().numpy()
    expected = np.einsum("ic,icp->ip", residuals, everything)
    np.testing.assert_allclose(found(loss), expected, **TOLERANCE)
    alone = found(lambda response: response[:, 1])
    np.testing.assert_allclose(alone, everything[:, 1], **TOLERANCE)


def test_frozen_weights_are_captured():
    model, X = models.ready(models.transformer()), reals(9, 3, 8)
    expected = capture(model, X)
    frozen = capture(model.requires_grad_(False), X)
    for name, J in expected.items():
        np.testing.assert_allclose(frozen[name].to_dense(), J.to_dense(), **TOLERANCE)
    assert not any(p.requires_grad for p in model.parameters())


def test_batches_change_nothing(case):
    model, X, names, _ = case
    whole = capture(model, X)
    for name in names:
        for batch_size in (1, 3):
            J = capture(model, X, name, batch_size=batch_size)[name]
            np.testing.assert_allclose(J.to_dense(), whole[name].to_dense(), **TOLERANCE)


def test_single_precision_keeps_its_dtype():
    model, X = models.ready(models.convolutions()).float(), reals(9, 4, 9, 8).float()
    double = capture(models.ready(model), X.double())
    single = capture(model.float(), X)
    for name, J in double.items():
        assert single[name].dtype == np.float32
        J, close = J.to_dense(), abs(J.to_dense()).max()
        np.testing.assert_allclose(single[name].to_dense(), J, rtol=0, atol=1e-5 * close)
