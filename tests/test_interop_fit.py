"""Fits of one layer of a torch model: by the trainer of last layers, or by capture in each step."""

import copy
import functools
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from subquad.activations import SiLU  # noqa: E402
from subquad.interop import apply_change, capture, fit_layer  # noqa: E402
from subquad.networks import LastLayer  # noqa: E402
from subquad.solvers import predictive_variance  # noqa: E402
from subquad.training import LastLayerGaussNewton, TrainingWarning  # noqa: E402

ACTIVATIONS = [
    nn.ReLU(),
    nn.ReLU(inplace=True),
    nn.GELU(),
    nn.GELU("tanh"),
    nn.SiLU(),
    nn.Tanh(),
    nn.Sigmoid(),
    nn.LeakyReLU(0.2),
    nn.Identity(),
]


def mlp(activation=None, *, width=120, n_outputs=1, dtype=torch.float64, seed=0):
    """Return a network of three linear layers, the last but one wide."""
    torch.manual_seed(seed)
    layers = [nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, width), activation or nn.GELU()]
    return nn.Sequential(*layers, nn.Linear(width, n_outputs)).to(dtype).eval()


def data(n=20, n_outputs=1, dtype=torch.float64, shape=(4,)):
    """Return standard normal samples and targets."""
    torch.manual_seed(1)
    return torch.randn(n, *shape, dtype=dtype), torch.randn(n, n_outputs, dtype=dtype)


def outputs(model, X):
    """f(X) in float64."""
    with torch.no_grad():
        return model(X).double().numpy().reshape(len(X), -1)


def quietly(*arguments, **options):
    """Fit with warnings silenced: they have tests of their own."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return fit_layer(*arguments, **options)


def state_of(model):
    """All that a fit must leave as it was."""
    return {
        "values": {name: x.clone() for name, x in model.state_dict().items()},
        "parameters": [(name, id(p), p.requires_grad) for name, p in model.named_parameters()],
        "grads": [p.grad for p in model.parameters()],
        "hooks": [
            (name, len(m._forward_hooks), len(m._forward_pre_hooks), m.training)
            for name, m in model.named_modules()
        ],
        "random": torch.get_rng_state(),
    }


def assert_untouched(model, before):
    now = state_of(model)
    assert now["parameters"] == before["parameters"]
    assert now["grads"] == before["grads"]
    assert now["hooks"] == before["hooks"]
    assert torch.equal(now["random"], before["random"])
    for name, x in before["values"].items():
        assert torch.equal(now["values"][name], x), name


@pytest.mark.parametrize("activation", ACTIVATIONS, ids=repr)
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_a_layer_before_a_linear_head_is_fitted_as_a_last_layer(activation, n_outputs, bias):
    # As many samples as a linear model of the 16 inputs can fit: one activation is the identity.
    model, (X, y) = mlp(activation, n_outputs=n_outputs), data(15, n_outputs)
    y = outputs(model, X) + 0.1 * y.numpy()
    before = state_of(model)
    change = fit_layer(model, X, y, "2", bias=bias, regularization=0.0)
    assert_untouched(model, before)
    assert change.path == "last layer"
    assert change.converged
    assert change.rank == len(X)
    assert (change.bias is not None) == bias
    np.testing.assert_allclose(change.outputs, y, atol=1e-8)
    apply_change(model, change)
    np.testing.assert_allclose(outputs(model, X), change.outputs, atol=1e-12)


def test_the_fast_path_takes_the_steps_of_the_trainer_it_is_made_of():
    model, (X, y) = mlp(nn.SiLU()), data(15)
    change = fit_layer(model, X, y, "2", regularization=1.0)
    with torch.no_grad():
        V, Z = (x.numpy() for x in (model[:2](X), model[:3](X)))
    layer = LastLayer(V, Z, model[4].weight.detach().numpy(), SiLU())
    constant = model[4].bias.detach().numpy()
    trainer = LastLayerGaussNewton(layer, y.numpy() - constant, regularization=1.0).run()
    assert [r.objective for r in change.history] == [r.objective for r in trainer.history]
    np.testing.assert_array_equal(change.A, trainer.factors[0])
    np.testing.assert_array_equal(change.V, trainer.factors[1])


class Residual(nn.Module):
    """What enters the head also has the input."""

    def __init__(self):
        super().__init__()
        self.wide, self.head = nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.head(torch.relu(self.wide(x)) + x)


class Functions(nn.Module):
    """The activation and more are functions, not modules."""

    def __init__(self, activation, after=None):
        super().__init__()
        self.wide, self.head = nn.Linear(6, 60), nn.Linear(60, 1)
        self.activation, self.after = activation, after or torch.squeeze

    def forward(self, x):
        return self.after(self.head(self.activation(self.wide(x))))


@pytest.mark.parametrize(
    ("make", "path"),
    [
        (lambda: Functions(functional.gelu), "last layer"),
        (lambda: Functions(functional.relu), "last layer"),
        (lambda: Functions(lambda z: functional.leaky_relu(z, 0.3)), "last layer"),
        (lambda: Functions(functional.relu6), "general"),  # as ReLU below 6
        (lambda: Functions(functional.elu), "general"),
        (lambda: Functions(torch.sin), "general"),
        (lambda: Functions(lambda z: functional.layer_norm(z, (60,))), "general"),
        (lambda: Functions(functional.gelu, after=torch.tanh), "general"),
        (lambda: Functions(lambda z: functional.gelu(z) * (1 + z[:, :1] ** 2)), "general"),
        (Residual, "general"),
    ],
)
def test_other_networks_take_the_general_path(make, path):
    torch.manual_seed(0)
    model = make().double().eval()
    X, y = data(10, shape=(6,))
    y = outputs(model, X) + 0.01 * y.numpy()
    change = quietly(model, X, y, "wide", regularization=1e-6, max_steps=6)
    assert change.path == path
    assert change.relative_residual < 0.1
    apply_change(model, change)
    np.testing.assert_allclose(outputs(model, X), change.outputs, atol=1e-9)


def explicit_jacobian(model, X, name):
    """J with rows (i, c), by autograd."""
    weight = dict(model.named_parameters())[f"{name}.weight"]
    f = model(X).reshape(len(X), -1)
    rows = [torch.autograd.grad(v, weight, retain_graph=True)[0].flatten() for v in f.flatten()]
    return torch.stack(rows).numpy()


CNN = functools.partial(
    nn.Sequential,
    nn.Conv2d(1, 3, 3, padding=1),
    nn.GELU(),
    nn.Conv2d(3, 6, 3, stride=2),
    nn.Tanh(),
    nn.Flatten(),
    nn.Linear(24, 8),
    nn.GELU(),
)


@pytest.mark.parametrize("name", ["0", "2", "5"])
@pytest.mark.parametrize("n_outputs", [1, 2])
def test_two_general_steps_are_those_of_the_explicit_jacobian(name, n_outputs):
    torch.manual_seed(0)
    model = CNN(nn.Linear(8, n_outputs), nn.Softplus()).double().eval()
    X, y = data(6, n_outputs, shape=(1, 6, 6))
    y = torch.from_numpy(outputs(model, X)) + 0.1 * y
    before = state_of(model)
    mu = 0.05
    change = quietly(model, X, y, name, regularization=mu, max_steps=2)
    assert_untouched(model, before)
    assert change.path == "general"
    other = copy.deepcopy(model)
    module = other.get_submodule(name)
    W0 = module.weight.detach().numpy().ravel().copy()
    W = W0.copy()
    for record in change.history:
        J, r = explicit_jacobian(other, X, name), outputs(other, X).ravel() - y.numpy().ravel()
        H = J.T @ J + (mu + record.damping) * np.eye(J.shape[1])
        W = W - np.linalg.solve(H, J.T @ r + mu * (W - W0))
        with torch.no_grad():
            module.weight.copy_(torch.from_numpy(W.reshape(module.weight.shape)))
    expected = (W - W0).reshape(module.weight.shape)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(change.weight_change(), expected, atol=1e-6 * scale)
    np.testing.assert_allclose(change.outputs, outputs(other, X), atol=1e-6)


@pytest.mark.parametrize("name", ["0", "2", "5"])
def test_the_layers_of_a_convolutional_network_interpolate(name):
    torch.manual_seed(0)
    model = CNN(nn.Linear(8, 1)).double().eval()
    X, y = data(8, shape=(1, 6, 6))
    y = outputs(model, X) + 0.02 * y.numpy()
    change = fit_layer(model, X, y, name, regularization=0.0)
    assert change.converged
    module = model.get_submodule(name)
    assert change.rank <= min(len(module.weight), module.weight[0].numel())
    apply_change(model, change)
    np.testing.assert_allclose(outputs(model, X), y, atol=1e-9)


def test_a_middle_layer_in_single_precision_reaches_its_floor():
    model, (X, _) = mlp(n_outputs=2, dtype=torch.float32), data(dtype=torch.float32)
    y = outputs(model, X)[::-1].copy()[:6]
    change = fit_layer(model, X[:6], y, "0", regularization=0.0, bias=True)
    assert change.path == "general"
    assert change.relative_residual < 1e-6
    apply_change(model, change)
    np.testing.assert_allclose(outputs(model, X[:6]), y, atol=1e-5)


def test_the_rows_of_an_embedding_move():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(9, 5), nn.Flatten(), nn.Linear(15, 8), nn.GELU())
    model = nn.Sequential(*model, nn.Linear(8, 1)).double().eval()
    X, y = torch.randint(0, 8, (6, 3)), torch.randn(6, 1, dtype=torch.float64)
    change = fit_layer(model, X, 0.1 * y, "0", regularization=0.0)
    assert change.converged
    assert not change.weight_change()[8].any()  # a token that no sample has
    apply_change(model, change)
    np.testing.assert_allclose(outputs(model, X), 0.1 * y.numpy(), atol=1e-9)


def transformer():
    """Return an encoder layer whose outputs are means over 3 positions."""

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(1)[:, :2]

    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True, activation="gelu")
    return nn.Sequential(layer, Mean()).double().eval()


@pytest.mark.parametrize("name", ["0.linear1", "0.linear2", "0.self_attn.out_proj"])
def test_layers_of_a_transformer_move_by_all_positions(name):
    model, (X, y) = transformer(), data(5, 2, shape=(3, 6))
    y = outputs(model, X) + 0.05 * y.numpy()
    before = state_of(model)
    change = fit_layer(model, X, y, name, regularization=0.0)
    assert_untouched(model, before)
    assert change.converged
    apply_change(model, change)
    np.testing.assert_allclose(outputs(model, X), y, atol=1e-9)


def test_a_weight_that_is_no_layer_is_refused():
    model, (X, y) = transformer(), data(5, 2, shape=(3, 6))
    with pytest.raises(ValueError, match=r"^layer must be a module of the model; .*attention"):
        fit_layer(model, X, y, "0.self_attn.in_proj")


def test_the_leave_one_out_error_is_that_of_refits():
    model, (X, y) = mlp(nn.Tanh(), width=30), data(12)
    change = quietly(model, X, y, "2", max_steps=0)
    assert change.history == []
    change = quietly(model, X, y, "2", max_steps=1)
    mu = change.regularization
    J = capture(model, X, "2")["2"].to_dense()
    r = y.numpy()[:, 0] - outputs(model, X)[:, 0]
    errors = []
    for i in range(len(X)):
        kept = np.arange(len(X)) != i
        K = J[kept] @ J[kept].T + mu * np.eye(kept.sum())
        errors.append(r[i] - J[i] @ J[kept].T @ np.linalg.solve(K, r[kept]))
    assert change.loo_error == pytest.approx(np.mean(np.square(errors)), rel=1e-8)


@pytest.mark.parametrize("name", ["0", "2"])
@pytest.mark.parametrize("weighted", [False, True])
def test_deviations_are_those_of_the_linearised_laplace_approximation(name, weighted):
    model, (X, y) = mlp(nn.Tanh(), width=30, n_outputs=2), data(12, 2)
    weights = np.linspace(0.5, 2.0, 12) if weighted else None
    change = quietly(
        model, X, y, name, regularization=0.2, sample_weight=weights, max_steps=8, bias=True
    )
    new = torch.randn(5, 4, dtype=torch.float64)
    before = state_of(model)
    found = change.deviations(model, new)
    noisy = change.deviations(model, new, noise=True)
    assert_untouched(model, before)
    changed = copy.deepcopy(model)
    apply_change(changed, change)
    np.testing.assert_allclose(change.deviations(changed, new), found, rtol=1e-9)
    dw = np.column_stack([change.weight_change(), change.bias]).ravel()
    W = np.ones(12) if weights is None else weights
    for c in range(2):
        J, K = (capture(changed, x, name, outputs=c, bias=True)[name].to_dense() for x in (X, new))
        r = y.numpy()[:, c] - outputs(changed, X)[:, c] + J @ dw
        system = J @ J.T, r, 0.2, K @ J.T, np.square(K).sum(axis=1)
        for squares, with_noise in ((found, False), (noisy, True)):
            expected = predictive_variance(*system, weights=weights, noise=with_noise)
            np.testing.assert_allclose(squares[:, c] ** 2, expected, rtol=1e-7)
        # The same posterior by the weights of the layer: in proportion to (J^T W J / mu + I)^-1.
        H = J.T @ (J * W[:, None]) / 0.2 + np.eye(J.shape[1])
        posterior = np.sqrt(np.einsum("ij,jk,ik->i", K, np.linalg.inv(H), K))
        np.testing.assert_allclose(found[:, c] / found[0, c], posterior / posterior[0], rtol=1e-7)


def test_deviations_want_a_regularised_fit_and_its_model():
    model, (X, y) = mlp(), data(5)
    change = fit_layer(model, X, y, "2", regularization=0.0)
    with pytest.raises(ValueError, match=r"^regularization must be positive for deviations"):
        change.deviations(model, X)
    change = quietly(model, X, y, "2", regularization=0.1)
    with pytest.raises(ValueError, match=r"^model must hold the weight of '2' that was fitted"):
        change.deviations(mlp(seed=5), X)


def test_batches_and_arrays_change_nothing():
    model, (X, y) = mlp(nn.ELU()), data(9)
    one = quietly(model, X, y, "2", regularization=0.1)
    other = quietly(model, X.numpy(), y.numpy()[:, 0], "2", regularization=0.1, batch_size=4)
    np.testing.assert_allclose(other.outputs, one.outputs, atol=1e-9)


def test_a_fit_that_does_not_converge_says_so():
    model, (X, y) = mlp(nn.ELU()), data()
    with pytest.warns(TrainingWarning, match="stopped at max_steps=1"):
        change = fit_layer(model, X, y, "2", regularization=1e-3, max_steps=1)
    assert not change.converged
    assert "path='general'" in repr(change)


class Interrupt(Exception):
    """Raised by a callback."""


@pytest.mark.parametrize("activation", [nn.GELU(), nn.ELU()], ids=repr)
def test_the_model_is_whole_after_an_exception(activation):
    model, (X, y) = mlp(activation), data()
    before = state_of(model)

    def callback(record):
        raise Interrupt

    with pytest.raises(Interrupt):
        fit_layer(model, X, y, "2", regularization=0.1, callback=callback)
    assert_untouched(model, before)


def test_the_model_is_whole_after_an_exception_in_its_own_forward_pass():
    class Failing(nn.Module):
        calls = 0

        def forward(self, z):
            Failing.calls += 1
            if Failing.calls > 12:
                raise Interrupt
            return functional.elu(z)

    model, (X, y) = mlp(Failing()), data()
    before = state_of(model)
    with pytest.raises(Interrupt):
        fit_layer(model, X, y, "2", regularization=1e-9)
    assert_untouched(model, before)


def tied():
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 1))
    model[2].weight = model[0].weight
    return model.double().eval()


def tied_by_a_module():
    layer = nn.Linear(4, 4)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Tanh(), nn.Linear(4, 1)).double().eval()


def without_bias():
    return nn.Sequential(nn.Linear(4, 8, bias=False), nn.ELU(), nn.Linear(8, 1)).double().eval()


def training():
    return mlp(nn.Dropout()).train()


def half():
    return mlp().bfloat16()


BAD = [
    (TypeError, "model must be a torch.nn.Module; got str", {"model": "mlp"}),
    (TypeError, "'0' must have a weight in float32 or float64; got bfloat16", {"model": half()}),
    (ValueError, "model must be in eval mode", {"model": training()}),
    (ValueError, "layer must have a weight of its own.* 0.weight, 2.weight", {"model": tied()}),
    (ValueError, "layer must have a weight of its own", {"model": tied_by_a_module()}),
    (ValueError, "bias must be False for '0', which", {"model": without_bias(), "bias": True}),
    (ValueError, r"layers must name .*; got '7'.*'0' \(Linear \(16, 4\)\)", {"layer": "7"}),
    (ValueError, "layers must name Linear.*; got '1', of class Tanh", {"layer": "1"}),
    (TypeError, "layer must be the name of a layer; got int", {"layer": 2}),
    (TypeError, "X must be in float32 or float64, since", {"X": np.ones((20, 4), int)}),
    (TypeError, "X must be in float32 or float64; got float16", {"X": torch.ones(20, 4).half()}),
    (ValueError, "X must be finite.* NaN", {"X": np.full((20, 4), np.nan)}),
    (TypeError, "y must be a float32 or float64 array; got int64", {"y": np.ones((20, 1), int)}),
    (ValueError, r"y must have shape \(20, 1\); got \(20, 2\)", {"y": np.ones((20, 2))}),
    (ValueError, "y must be finite", {"y": np.full(20, np.inf)}),
    (ValueError, "regularization must be 'loo' or a number", {"regularization": "gcv"}),
    (ValueError, "max_steps must be at least 0", {"max_steps": -1}),
    (ValueError, "batch_size must be at least 1", {"batch_size": 0}),
]


@pytest.mark.parametrize(("error", "message", "changed"), BAD)
def test_bad_input_is_named_and_the_model_is_left_alone(error, message, changed):
    X, y = data()
    arguments = {"model": mlp(), "X": X, "y": y, "layer": "0", **changed}
    model = arguments["model"]
    before = state_of(model) if isinstance(model, nn.Module) else None
    with pytest.raises(error, match="^" + message):
        fit_layer(**arguments)
    if before:
        assert_untouched(model, before)


class Odd(nn.Module):
    """What enters the wide layer depends on the batch, or on chance."""

    def __init__(self, odd):
        super().__init__()
        self.odd, self.net = odd, mlp()

    def forward(self, x):
        return self.net(self.odd(x))


@pytest.mark.parametrize(
    ("odd", "message"),
    [
        (lambda x: x - x.mean(0), "model must treat every sample by itself"),
        (lambda x: functional.dropout(x, 0.5), "model must give the same outputs every time"),
    ],
)
@pytest.mark.parametrize("layer", ["net.0", "net.2"])
def test_samples_that_interact_and_chance_are_refused(odd, message, layer):
    model, (X, y) = Odd(odd), data()
    before = state_of(model)
    with pytest.raises(ValueError, match="^" + message):
        fit_layer(model, X, y, layer, regularization=0.1)
    assert_untouched(model, before)


@pytest.mark.parametrize("path", ["last layer", "general"])
@pytest.mark.parametrize("shape", [(5, 1), (1, 3), (5, 2), (4, 3), (5,), (3,), ()])
def test_targets_have_the_shape_of_the_outputs(shape, path):
    # Some of these would broadcast, and be fitted.
    activation = nn.Tanh() if path == "last layer" else nn.ELU()
    model, (X, _) = mlp(activation, n_outputs=3), data(5)
    with pytest.raises((TypeError, ValueError), match=r"^y must have (shape|2 dimensions)"):
        fit_layer(model, X, np.ones(shape), "2")


def test_targets_may_be_lists():
    model, (X, y) = mlp(nn.Tanh(), n_outputs=2), data(5, 2)
    one = quietly(model, X, y, "2", regularization=0.1)
    other = quietly(model, X, y.tolist(), "2", regularization=0.1)
    np.testing.assert_array_equal(other.outputs, one.outputs)
    np.testing.assert_array_equal(other.deviations(model, X), one.deviations(model, X))


@pytest.mark.parametrize(
    ("y", "kind"),
    [
        (np.arange(5), "int64"),
        (torch.arange(5), "int64"),
        (np.ones(5, bool), "bool"),
        (np.ones(5, np.float16), "float16"),
        (torch.ones(5, dtype=torch.bfloat16), "bfloat16"),
    ],
)
def test_labels_and_halves_are_no_targets(y, kind):
    model, (X, _) = mlp(), data(5)
    with pytest.raises(TypeError, match=rf"^y must be a float32 or float64 array; got {kind}"):
        fit_layer(model, X, y, "2")


def test_outputs_that_do_not_depend_on_the_layer_are_refused():
    model, (X, y) = mlp(), data()
    with torch.no_grad():
        model[4].weight.zero_()
    with pytest.raises(ValueError, match=r"^outputs must depend on '2'; got a derivative"):
        fit_layer(model, X, y, "2", regularization=0.1)
