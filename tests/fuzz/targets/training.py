"""Trainers of tiny networks: what they report must be so, and outputs those of the network."""

import numpy as np

from subquad.activations import ReLU, ShiftedReLU
from subquad.networks import (
    FactoredNetwork,
    LastLayer,
    PairedNetwork,
    TwoLayerNetwork,
    WideNetwork,
)
from subquad.training import (
    AbsoluteLoss,
    AllLayersGaussNewton,
    FactoredGaussNewton,
    FactoredGradientDescent,
    HalfSpaceSGD,
    HingeLoss,
    HuberLoss,
    LastLayerGaussNewton,
    LogisticLoss,
    SquaredLoss,
    TaskChain,
    TwoLayerGaussNewton,
    as_loss,
    require_active_neurons,
)

from ..cases import target
from ..draws import as_float64

_WIDTH = 96
_KEPT = []
_STEPS = ("run", "step", "choose_regularization", "gram")


def _names(kind, methods=_STEPS):
    name = f"training.{kind.__name__}"
    return (name, *(f"{name}.{method}" for method in methods))


def _options(draw):
    found = {"max_steps": draw.integer((3, 1, 0))}
    if draw.chance(0.4):
        found["regularization"] = draw.real((0.0, 1e-3, 1.0))
    if draw.chance(0.2):
        found["damping"] = draw.real((0.0, 1.0))
    if draw.chance(0.2):
        found["tol"] = draw.real((1e-3, None, 1e-10))
    if draw.chance(0.3):
        found["sample_weight"] = draw.choice((None, np.arange(1.0, 6.0), np.ones(5)))
        if draw.goes_wrong():
            found["sample_weight"] = draw.choice(
                (0, np.zeros(5), -np.ones(5), np.ones(4), "w", [np.nan] * 5)
            )
    if draw.chance(0.2):
        found["callback"] = draw.choice((None, _KEPT.append))
        if draw.goes_wrong():
            found["callback"] = draw.choice((3, "callback", (), np.zeros(2)))
    if draw.chance(0.2):
        found |= {"centred": draw.chance(0.5), "n_threads": draw.n_threads()}
    if draw.chance(0.1):
        found["diagnostics"] = True
    if draw.chance(0.2):
        found["loss"] = draw.option(("squared", "huber", "logistic"))
    if draw.chance(0.2):
        found["min_active"] = draw.integer((0, 16))
    return found


def _targets(draw, C, loss=None):
    if isinstance(loss, str) and loss == "logistic":
        draw.hostile = True
        return _labels(draw, C)
    return draw.array((5,) if C == 1 and draw.chance(0.7) else (5, C), scales=draw.chance(0.1))


def _solver(draw, own, names):
    if draw.chance(0.3):
        own["solver"] = draw.option(names)
    if draw.chance(0.2):
        own["rng"] = draw.rng()


def _train(draw, attempt, trainer, outputs):
    """Take steps, and compare the outputs with the network's."""
    draw.hostile = draw.extreme = True  # a run may end for reasons of its own
    step = draw.choice(_STEPS)
    given = (draw.integer((None, 0)),) if step == "gram" else ()
    value = attempt(getattr(trainer, step), *given)
    _KEPT.clear()
    if step == "gram":
        _check_gram(draw, attempt, trainer, value)
        return
    attempt.holds(value is trainer or step != "run", "run returns the trainer")
    found = np.asarray(trainer.outputs, float)
    finite = np.isfinite(found).all() and np.isfinite(trainer.residual_norm)
    attempt.holds(finite or not trainer.converged, f"converged at {trainer.residual_norm}")
    # Outputs of huge rows differ by the rounding of these, of which nothing is known here.
    if finite and outputs is not None and not draw.scaled:
        expected = as_float64(outputs(trainer))
        scale = max(
            float(np.abs(expected).max(initial=0)), float(np.abs(found).max(initial=0)), 1.0
        )
        eps = float(np.finfo(np.float32).eps) / float(np.finfo(float).eps)
        size = np.full(expected.shape, 1e4 * scale * eps)
        attempt.close(found, expected, size, 100)


def _check_gram(draw, attempt, trainer, G):
    """A Gram matrix is finite, symmetric, and of no negative diagonal."""
    attempt.holds(np.isfinite(G).all() and (G.diagonal() >= 0).all(), "a Gram matrix")
    scale = np.full(G.shape, float(np.abs(G).max(initial=0.0)))
    eps = float(np.finfo(np.float32).eps) / float(np.finfo(float).eps)
    attempt.close(G, G.T, eps * scale, 100)


@target(*_names(LastLayerGaussNewton), share=5)
def last_layer(draw, attempt):
    C, dtype = draw.between(1, 2), draw.dtype()
    X = draw.values((5, 3), scales=False).astype(dtype)
    readout = draw.choice(("partition", "dense"))
    network = WideNetwork(
        3, width=_WIDTH, n_outputs=C, rng=0, dtype=dtype, readout=readout, activation=ReLU()
    )
    layer = network.last_layer(X)
    if draw.goes_wrong():
        layer = draw.choice((network, None, 3, X, LastLayer))
    own = _options(draw)
    _solver(draw, own, ("exact", "sketch", "pcg", "auto"))
    y = _targets(draw, C, own.get("loss"))
    draw.hostile |= C > 1 or draw.extreme
    trainer = attempt(LastLayerGaussNewton, layer, y, **own)
    centred = own.get("centred", False)
    _train(draw, attempt, trainer, lambda t: layer.outputs(t.factors) - centred * layer.outputs())


@target(
    "training.LastLayerGaussNewton.partial_fit", "training.LastLayerGaussNewton.forget", share=4
)
def last_layer_streams(draw, attempt):
    dtype, C = draw.dtype(), draw.between(1, 2)
    network = WideNetwork(3, width=_WIDTH, n_outputs=C, rng=0, dtype=dtype, activation=ReLU())
    rows = draw.values((8, 3), scales=False).astype(dtype)
    first = network.last_layer(rows[:5])
    draw.hostile = draw.extreme = True  # runs may end for reasons of their own
    own = {"max_steps": 2, "regularization": draw.choice((0.0, 1.0))}
    trainer = attempt(LastLayerGaussNewton, first, np.ones((5, C)), **own)
    if draw.chance(0.5):
        attempt(trainer.run)
    for _ in range(draw.between(1, 2)):
        if draw.chance(0.5):
            gone = draw.choice(([0], [4, 0], [7], [-1], [], range(8), 3, "x", None, [0.5], [[0]]))
            value = attempt(trainer.forget, gone)
        else:
            other = WideNetwork(3, width=_WIDTH, n_outputs=C, rng=1, activation=ReLU())
            layer = draw.choice((network, network, network, other)).last_layer(rows[5:])
            layer = draw.choice((layer, layer, layer, None, 3, rows))
            y = draw.array((3, C), scales=draw.chance(0.1))
            weights = draw.choice((None, np.ones(3), np.zeros(3), -np.ones(3), [1.0], "w"))
            value = attempt(trainer.partial_fit, layer, y, weights)
        attempt.holds(value is trainer, "the trainer is returned")
        attempt.holds(len(trainer.outputs) == len(trainer.rows), "an output for each row")


_CHAIN = ("add", "factors", "layer", "own_factors", "remove")


@target("training.TaskChain", *(f"training.TaskChain.{name}" for name in _CHAIN), share=4)
def chains(draw, attempt):
    network = WideNetwork(3, width=_WIDTH, rng=0, dtype=draw.dtype(), activation=ReLU())
    draw.hostile = True
    chain = attempt(TaskChain, draw.choice((network,) * 6 + (None, 3)))
    names = ("a", "b", "a", "c", 3, None)
    for _ in range(draw.between(1, 5)):
        name, call = draw.choice(names), draw.choice(_CHAIN)
        if call == "add":
            pair = tuple(draw.array((2, _WIDTH), scales=draw.chance(0.1)) for _ in range(2))
            pair = draw.choice((pair, pair, pair, pair[:1], 3, None, "ab"))
            attempt(chain.add, name, pair, on=draw.choice(((), (), "a", ("a", "b"), 3, None)))
        elif call == "layer":
            attempt(chain.layer, draw.array((4, 3), scales=False), name)
        elif call == "factors":
            attempt(chain.factors, *(draw.choice(names) for _ in range(draw.between(0, 3))))
        else:
            attempt(getattr(chain, call), name)


@target(*_names(TwoLayerGaussNewton), share=5)
def two_layer(draw, attempt):
    C = draw.between(1, 2)
    network = TwoLayerNetwork(3, _WIDTH, n_outputs=C, rng=0, dtype=draw.dtype())
    if draw.goes_wrong():
        network = draw.choice((None, 3, TwoLayerNetwork, WideNetwork(3, width=8, rng=0)))
    own = _options(draw)
    _solver(draw, own, ("exact", "sketch", "pcg", "auto", "sketch-pcg"))
    X = draw.array((5, 3), scales=draw.chance(0.1))
    y = _targets(draw, C, own.get("loss"))
    draw.hostile |= C > 1 or draw.extreme
    trainer = attempt(TwoLayerGaussNewton, network, X, y, **own)
    centred = own.get("centred", False)
    _train(draw, attempt, trainer, lambda t: network.outputs(X, t.factors, centred=centred))


@target(*_names(AllLayersGaussNewton), share=4)
def all_layers(draw, attempt):
    C = draw.between(1, 2)
    network = WideNetwork(3, width=_WIDTH, n_outputs=C, rng=0, dtype=draw.dtype())
    X = draw.array((5, 3), scales=draw.chance(0.1))
    own = _options(draw)
    y = _targets(draw, C, own.get("loss"))
    _solver(draw, own, ("exact", "sketch", "pcg", "auto"))
    draw.hostile = True
    trainer = attempt(AllLayersGaussNewton, network, X, y, **own)
    _train(draw, attempt, trainer, None)


@target(*_names(FactoredGaussNewton), *_names(FactoredGradientDescent), share=5)
def factored(draw, attempt):
    kind, C = draw.choice((FactoredGaussNewton, FactoredGradientDescent)), draw.between(1, 2)
    network = FactoredNetwork(4, width=_WIDTH, inner_size=4, outer_size=draw.choice((None, 16)),
                              n_outputs=C, rng=0, dtype=draw.dtype())  # fmt: skip
    if draw.goes_wrong():
        network = draw.choice((None, 3, FactoredNetwork, WideNetwork(4, width=8, rng=0)))
    own = _options(draw)
    if kind is FactoredGradientDescent:
        for name in ("regularization", "damping", "loss"):
            own.pop(name, None)
        if draw.chance(0.3):
            own["learning_rate"] = draw.real((None, 0.1, 1.0))
    else:
        _solver(draw, own, ("exact", "sketch", "pcg", "auto"))
    X = draw.array((5, 4), scales=draw.chance(0.1))
    y = _targets(draw, C, own.get("loss"))
    draw.hostile = True
    trainer = attempt(kind, network, X, y, **own)
    centred = own.get("centred", False)
    _train(draw, attempt, trainer, lambda t: network.outputs(X, t.weights, centred=centred))


@target(*_names(HalfSpaceSGD, ("run", "step", "partial_fit", "outputs")), share=8)
def half_space(draw, attempt):
    C = draw.between(1, 2)
    network = PairedNetwork(3, width=512, n_outputs=C, rng=0, dtype=draw.dtype())
    if draw.goes_wrong():
        network = draw.choice((None, 3, PairedNetwork, WideNetwork(3, width=8, rng=0)))
    own = {"learning_rate": draw.real((1.0, 0.5, "auto")), "batch_size": draw.integer((2, 32))}
    own |= {"dynamics": draw.option(("network", "kernel")), "rng": draw.rng()}
    own["report"] = draw.option(("auto", "tree", "scan", None))
    own["diagnostics"] = draw.chance(0.1)
    if draw.chance(0.3):
        own["average_from"] = draw.integer((None, 0, 1))
        own["count_flips"] = draw.chance(0.5)
    elif draw.chance(0.5):
        own["iterate"] = draw.option(("last", "averaged", "random", None))
        own["loss"] = draw.option(("squared", "logistic", "hinge", "huber", "absolute"))
    trainer = attempt(HalfSpaceSGD, network, **own)
    draw.hostile = True  # outputs may overflow
    X = draw.array((5, 3), scales=draw.chance(0.1))
    y = _labels(draw, C) if own.get("loss") in ("logistic", "hinge") else _targets(draw, C)
    step = draw.choice(("run", "step", "partial_fit", "stream"))
    if step == "stream":
        stream = draw.choice(([(X, y)], iter([(X, y), (X, y)]), [(X,)], 3, None, [3], "ab", {}))
        draw.wrong = None
        attempt(trainer.run, stream, max_steps=draw.integer((1, 0, None)))
    elif step == "run":
        # As many epochs as are asked for are taken: none of the wrong integers may be many.
        n_epochs = draw.choice((0, -1, 1.5, "x", [])) if draw.goes_wrong() else draw.choice((1, 2))
        attempt(trainer.run, X, y, n_epochs=n_epochs)
    else:
        attempt(getattr(trainer, step), X, y)
    X = draw.array((4, 3), scales=False)
    value = attempt(trainer.outputs, X)
    attempt.holds(value.shape == (len(np.asarray(X)), C), f"shape {value.shape}")
    if own["dynamics"] == "network" and np.isfinite(trainer.weights).all():
        expected = network.outputs(X, trainer.weights)
        eps = float(np.finfo(network.dtype).eps) / float(np.finfo(float).eps)
        scale = 1 + float(np.abs(trainer.weights).max()) * float(np.abs(np.asarray(X)).max())
        attempt.close(
            value, expected, np.full(expected.shape, 100 * scale * network.scale * eps), 512
        )


def _labels(draw, C):
    """Labels, or what only looks like them."""
    others = (np.eye(5)[:, :C] / 2, [[np.nan] * C] * 5, np.arange(-1, 4), "labels", None)
    first = np.eye(5)[:, :C]
    return draw.choice((first, first > 0, first.astype(int), 2 * first - 1, draw.choice(others)))


_KINDS = (SquaredLoss, AbsoluteLoss, HuberLoss, LogisticLoss, HingeLoss)


_OF_LOSSES = [name for kind in _KINDS for name in _names(kind, ("value", "derivative"))]


@target("training.as_loss", *_OF_LOSSES, share=20)
def losses(draw, attempt):
    kind = draw.choice(_KINDS)
    loss = attempt(kind, draw.real((1.0, 0.1, 5))) if kind is HuberLoss else attempt(kind)
    loss = attempt(as_loss, draw.option((loss.name,)) if draw.chance(0.3) else loss)
    shape = draw.choice(((4,), (3, 2), (1,)))
    f = draw.array(shape)
    if loss.name not in ("logistic", "hinge"):
        y = draw.array(shape)
    else:
        y = draw.values(shape)
        y = draw.choice((y > 0, np.sign(y), y))
        draw.hostile = True  # numbers are no labels
    draw.hostile |= draw.extreme  # values may overflow
    value = attempt(loss.value, f, y)
    slope = attempt(loss.derivative, f, y)
    f = as_float64(f)
    attempt.holds(value.shape == slope.shape == f.shape, f"shapes {value.shape}, {slope.shape}")
    attempt.holds((value >= 0).all(), "losses must not be negative")
    attempt.holds((np.abs(slope) <= loss.lipschitz).all(), "slopes must not exceed the constant")


@target("training.require_active_neurons", share=3)
def active(draw, attempt):
    width = draw.choice((16, 64, 512))
    network = WideNetwork(2, width=width, activation=ShiftedReLU(draw.choice((0.0, 2.0))), rng=0)
    draw.hostile = True  # fewer may fire
    layer = network.last_layer(np.eye(2))
    minimum = draw.choice((0, 1, 16, 1000))
    attempt(require_active_neurons, layer, minimum)
    expected = np.count_nonzero(layer.readout, axis=1).min() * layer.activation.firing_probability
    attempt.holds(expected >= minimum * (1 - 1e-6), f"{expected} neurons for {minimum}")
