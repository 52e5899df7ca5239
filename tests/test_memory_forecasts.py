"""The memory that a fit is forecast to need is what it takes, within a quarter."""

import tracemalloc

import numpy as np
import pytest
from layers import quietly

from subquad import _validation
from subquad.networks import FactoredNetwork, TwoLayerNetwork, WideNetwork
from subquad.training import (
    FactoredGaussNewton,
    FactoredGradientDescent,
    LastLayerGaussNewton,
    TwoLayerGaussNewton,
    _arguments,
)
from subquad.training.factored import _trainer as factored_trainer
from subquad.training.two_layer import _trainer as two_layer_trainer

pytestmark = pytest.mark.machine

LEAST, MOST = 0.75, 1.25


def peak_of(work):
    """Bytes that numpy has taken at most, above what it had; modules are loaded before."""
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak - before


@pytest.fixture
def forecasts(monkeypatch):
    """The bytes that trainers ask for, in order."""
    asked = []

    def require(n_bytes, what, remedy):
        asked.append(n_bytes)
        _validation.require_memory(n_bytes, what, remedy)

    for module in (_arguments, factored_trainer, two_layer_trainer):
        monkeypatch.setattr(module, "require_memory", require)
    return asked


def data(n, d, n_outputs=1):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, d))
    return X / np.linalg.norm(X, axis=1)[:, None], rng.standard_normal((n, n_outputs))


def last_layer(n, width, n_outputs=1, readout="partition", dtype=np.float64, **options):
    X, y = data(n, 8, n_outputs)
    network = WideNetwork(8, width=width, n_outputs=n_outputs, readout=readout, rng=0, dtype=dtype)
    layer = network.last_layer(X)
    return lambda: LastLayerGaussNewton(layer, y, max_steps=3, **options).run()


def two_layers(n, width, solver, n_outputs=1):
    X, y = data(n, 20, n_outputs)
    network = TwoLayerNetwork(20, width, n_outputs=n_outputs, rng=0)
    options = {"regularization": 0.1} if n_outputs > 1 else {}
    return lambda: TwoLayerGaussNewton(network, X, y, solver=solver, max_steps=3, **options).run()


def factored(cls, n, width, outer_size):
    X, y = data(n, 16)
    network = FactoredNetwork(16, width=width, inner_size=16, outer_size=outer_size, rng=0)
    return lambda: cls(network, X, y, max_steps=3).run()


FITS = {
    "last layer, wide": lambda: last_layer(300, 4096),
    "last layer, many points": lambda: last_layer(1000, 1024),
    "last layer, float32": lambda: last_layer(800, 2048, dtype=np.float32),
    "last layer, regularised": lambda: last_layer(800, 1024, regularization="loo"),
    "last layer, five outputs": lambda: last_layer(500, 2048, 5),
    "last layer, five outputs share neurons": lambda: last_layer(400, 1024, 5, "dense"),
    "two layers": lambda: two_layers(500, 2048, "exact"),
    "two layers, matrix-free": lambda: two_layers(4000, 1024, "pcg"),
    "two layers, matrix-free, two outputs": lambda: two_layers(2500, 1024, "pcg", 2),
    "factored": lambda: factored(FactoredGaussNewton, 600, 2048, 64),
    "factored, without A": lambda: factored(FactoredGaussNewton, 800, 4096, None),
    "gradient descent": lambda: factored(FactoredGradientDescent, 800, 2048, 64),
    "gradient descent, without A": lambda: factored(FactoredGradientDescent, 800, 4096, None),
}


@pytest.mark.parametrize("name", FITS)
def test_trainers_take_what_they_ask_for(forecasts, name):
    fit = FITS[name]()
    quietly(fit)  # loads what is loaded once
    forecasts.clear()
    peak = peak_of(lambda: quietly(fit))
    assert LEAST < peak / forecasts[0] < MOST


@pytest.mark.parametrize("constant", ["auto", 1.0], ids=["two constants", "one constant"])
@pytest.mark.parametrize(
    ("n", "options"),
    [
        (300, {"width": 2048}),
        (900, {"width": 512}),
        (500, {"width": 1024, "dtype": "float32"}),
        (400, {"width": 1024, "depth": 3}),
        (400, {"width": 1024, "weights": "implicit"}),
    ],
    ids=str,
)
def test_an_estimator_takes_what_the_command_forecasts(n, options, constant):
    """Two constants that are compared once had two whole trainers in memory."""
    estimators = pytest.importorskip("subquad.estimators")
    from subquad._command.forecast import Fit, memory

    X = np.random.default_rng(0).standard_normal((n, 6))
    y = np.sin(X[:, 0])
    model = estimators.GaussNewtonRegressor(
        random_state=0, max_steps=3, constant=constant, **options
    )
    quietly(model.fit, X[:50], y[:50])
    peak = peak_of(lambda: quietly(model.fit, X, y))
    forecast = memory(Fit(n, model.width, model.depth, 7, dtype=model.dtype, weights=model.weights))
    assert LEAST < peak / forecast["total"] < MOST


@pytest.mark.parametrize("name", ["features", "last_layer"])
def test_layers_that_do_not_fit_are_refused_before_they_are_made(monkeypatch, name):
    network = WideNetwork(3, width=2**13, weights="implicit", rng=0)
    X = np.ones((2**12, 3))
    monkeypatch.setattr(_validation, "available_memory", lambda: 10**8)
    message = r"^The layers of 4096 rows at width 8192 must fit in memory; .* Take fewer rows"
    with pytest.raises(MemoryError, match=message):
        getattr(network, name)(X)
