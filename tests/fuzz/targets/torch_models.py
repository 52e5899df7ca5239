"""Layers of torch models, where torch is installed; elsewhere these cases make no calls."""

import functools
import importlib.util
import json
import os
import tempfile
import warnings

import numpy as np

from subquad import interop
from subquad.activations import GELU

from ..cases import target
from ..draws import as_float64

HAS_TORCH = importlib.util.find_spec("torch") is not None
HAS_PEFT = HAS_TORCH and importlib.util.find_spec("peft") is not None
_LAYERS = ("0", "2")


@functools.cache
def _state(dtype, smooth):
    """Parameters of a model, so that each case starts from the same."""
    import torch

    torch.manual_seed(0)
    torch.set_num_threads(1)
    return {name: value.clone() for name, value in _module(dtype, smooth).state_dict().items()}


def _module(dtype, smooth):
    import torch

    activation = torch.nn.GELU() if smooth else torch.nn.ReLU()
    layers = torch.nn.Linear(3, 24), activation, torch.nn.Linear(24, 2)
    kind = torch.float64 if dtype == np.float64 else torch.float32
    return torch.nn.Sequential(*layers).to(kind).eval()


def _model(draw):
    dtype, smooth = draw.dtype(), draw.chance(0.5)
    state = _state(dtype, smooth)
    model = _module(dtype, smooth)
    model.load_state_dict(state)
    return model


def _given(draw, model):
    """The model, or something else."""
    import torch

    if not draw.goes_wrong():
        return model
    return draw.choice((None, 3, "model", torch.nn.Linear, len, np.eye(3), model.state_dict()))


def _samples(draw, n=6):
    """Rows of X, or what the package or the model must refuse."""
    import torch

    X = draw.array((n, 3), scales=draw.chance(0.1))
    draw.hostile |= draw.extreme
    if draw.goes_wrong():
        good = np.ones((n, 3), np.float32)
        wrong = ({}, (), (good, good[:1]), {"input": good}, "X", torch.zeros(0, 3), [None], good[0])
        draw.wrong = None
        return draw.choice(wrong)
    draw.wrong = None if not isinstance(X, np.ndarray) else draw.wrong
    if isinstance(X, np.ndarray) and draw.wrong is None and X.dtype.isnative and draw.chance(0.3):
        X = torch.tensor(np.array(X)) if X.dtype.kind == "f" else X
    return X


def _layer(draw):
    return (
        draw.choice(("1", "", "no", None, 3, [], ["0", 3]))
        if draw.goes_wrong()
        else draw.choice(_LAYERS)
    )


def _rows(X):
    X = X["input"] if isinstance(X, dict) else X
    return np.ascontiguousarray(as_float64(X.numpy() if hasattr(X, "numpy") else X))


@target("interop.capture", share=1)
def captured(draw, attempt):
    if not HAS_TORCH:
        return
    import torch

    model, X = _model(draw), _samples(draw)
    own = {"bias": draw.option((False, True)), "batch_size": draw.integer((1, 2, 128))}
    if draw.chance(0.5):
        own["outputs"] = draw.integer((None, 0, 1))
    if draw.chance(0.2):
        own["sketch"] = draw.choice((3, "s", [], {"0": 3}))
        draw.hostile = True
    name = _layer(draw)
    found = attempt(interop.capture, _given(draw, model), X, name, **own)
    chosen = (0, 1) if own.get("outputs") is None else (own["outputs"],)
    layer, at = model.get_submodule(name), 0
    J = found[name].to_dense()
    for row in torch.tensor(_rows(X), dtype=layer.weight.dtype):
        for c in chosen:
            model.zero_grad()
            model(row[None])[0, c].backward()
            expected = layer.weight.grad.double().numpy()
            if own["bias"]:
                expected = np.column_stack([expected, layer.bias.grad.double().numpy()])
            eps = float(np.finfo(J.dtype).eps) / float(np.finfo(float).eps)
            size = np.full(expected.size, 1 + np.abs(expected).max()) * eps
            attempt.close(as_float64(J[at]), expected.ravel(), 64 * size, 64)
            at += 1
    attempt.equal(at, len(J))


def _fitted(draw, attempt, model):
    own = {"regularization": draw.real((0.1, 0.0, "loo")), "max_steps": draw.integer((2, 0))}
    own |= {"bias": draw.option((False, False, True)), "batch_size": draw.integer((4, 128))}
    if draw.chance(0.2):
        wrong = np.zeros(6), -np.ones(6), np.ones(5), "w", [np.nan] * 6
        own["sample_weight"] = draw.choice((None, np.arange(1.0, 7.0)))
        own["sample_weight"] = draw.choice(wrong) if draw.goes_wrong() else own["sample_weight"]
    if draw.chance(0.2):
        own["callback"] = draw.choice((None, [].append, 3, "callback"))
        draw.hostile = True
    X, X_wrong = _samples(draw), draw.wrong
    y = draw.array((6, 2), scales=draw.chance(0.1))
    draw.wrong = draw.wrong or X_wrong
    draw.hostile |= draw.extreme
    change = attempt(interop.fit_layer, _given(draw, model), X, y, _layer(draw), **own)
    finite = all(np.isfinite(x).all() for x in (change.A, change.V, change.outputs))
    attempt.holds(finite and np.isfinite(change.residual_norm), "the change must be finite")
    return change, X


@target(
    "interop.fit_layer",
    "interop.apply_change",
    "interop.export_peft",
    "interop.LayerChange.deviations",
    "interop.LayerChange.weight_change",
    share=1,
)
def fitted(draw, attempt):
    if not HAS_TORCH:
        return
    model = _model(draw)
    change, X = _fitted(draw, attempt, model)
    layer = model.get_submodule(change.layer)
    value = attempt(change.weight_change)
    attempt.equal(value.shape, tuple(layer.weight.shape))
    draw.hostile = True  # for reasons of the change
    name = draw.choice(("apply_change", "export_peft", "deviations"))
    if name == "deviations":
        Y = _samples(draw, 4)
        value = attempt(change.deviations, _given(draw, model), Y, noise=draw.option((False, True)))
        attempt.holds(np.isfinite(value).all() and (value >= 0).all(), "deviations")
    elif name == "export_peft" and HAS_PEFT:
        _exported(draw, attempt, change, model)
    else:
        _applied(draw, attempt, change, model, layer, X)


def _applied(draw, attempt, change, model, layer, X):
    import torch

    given = draw.option((change, change, change, interop.LayerChange))
    attempt(interop.apply_change, _given(draw, model), given, merge=draw.option((True, False)))
    with torch.no_grad():
        outputs = model(torch.tensor(_rows(X), dtype=layer.weight.dtype)).double().numpy()
    eps = float(np.finfo(np.float32).eps) / float(np.finfo(float).eps)
    scale = (
        1
        + np.abs(outputs).max()
        + np.abs(change.A).max(initial=0)
        * np.abs(change.V).max(initial=0)
        * (1 + np.abs(_rows(X)).max())
    )
    attempt.close(change.outputs, outputs, np.full(outputs.shape, 1e3 * eps * scale), 64)


def _exported(draw, attempt, change, model):
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PEFT
        path = os.path.join(folder, "adapter")
        wrong = 3.5, None, b"x", "", ".", "/no/such/folder/x", "a\0b", [], folder
        path = draw.choice(wrong) if draw.goes_wrong() else path
        rank = draw.integer((None, 1, 2))
        value = attempt(interop.export_peft, change, path, _given(draw, model), rank=rank)
        attempt.holds(0 <= value.error <= 1 + 1e-6, f"an error of {value.error}")
        attempt.equal(sorted(os.listdir(path))[0], "adapter_config.json")


@functools.cache
def _stored():
    """The bytes of a safetensors file with a layer and its head."""
    rng = np.random.default_rng(0)
    shapes = {"a.weight": (4, 3), "a.bias": (4,), "b.weight": (2, 4), "c.weight": (2, 2, 2)}
    header, content = {}, b""
    for name, shape in shapes.items():
        x = rng.standard_normal(shape).astype("<f4").tobytes()
        offsets = [len(content), len(content) + len(x)]
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": offsets}
        content += x
    header = json.dumps(header).encode()
    return len(header).to_bytes(8, "little") + header + content


@target("interop.load_layer", "interop.StoredLayer.last_layer", share=4)
def stored(draw, attempt):
    with tempfile.TemporaryDirectory() as folder:
        path, content = os.path.join(folder, "m"), bytearray(_stored())
        damaged = draw.chance(0.6)
        for _ in range(draw.between(1, 3) if damaged else 0):
            place = draw.between(0, len(content) - 1 if draw.chance(0.3) else 330)
            content[place] = draw.choice((ord("9"), ord("-"), 0, 255, ord("]"), ord("["), 34))
        if damaged and draw.chance(0.3):
            del content[draw.between(0, len(content)) :]
        with open(path, "wb") as file:
            file.write(content)
        draw.hostile |= damaged
        if draw.goes_wrong():
            path = draw.choice((3.5, None, "", ".", "/no/such/folder/x", "a\0b", [], object(), -1))
        head = draw.option((None, "b", "b"))
        layer = attempt(interop.load_layer, path, draw.option(("a",)), head=head)
    draw.hostile = True  # without a head, or of damaged numbers
    V = draw.array((5, layer.weight.shape[1]))
    value = attempt(layer.last_layer, V, draw.option((None, GELU())))
    attempt.equal(value.width, len(layer.weight))
