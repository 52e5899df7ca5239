"""Models as files, and pictures."""

import functools
import os
import tempfile
from types import SimpleNamespace

import numpy as np

from subquad import io, plotting, show_config
from subquad.estimators import NTKRegressor

from ..cases import target
from ..draws import as_float64

_FUNCTIONS = ("save_model", "load_model", "read_header", "check_writable", "replacing")
_WRONG_PATHS = (3.5, None, b"/\xff/x", "", ".", "/", "/no/such/folder/x", "a\0b", (), [], object())


@functools.cache
def _model():
    X = np.arange(12.0).reshape(6, 2)
    return NTKRegressor(depth=1).fit(X, X[:, 0])


@functools.cache
def _saved():
    """The bytes of a model."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m")
        io.save_model(_model(), path)
        with open(path, "rb") as file:
            return file.read()


@target(*(f"io.{name}" for name in _FUNCTIONS),
        share=3)  # fmt: skip
def files(draw, attempt):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "m")
        if draw.goes_wrong():
            path = draw.choice(_WRONG_PATHS)
        draw.choice((_write, _read, _check, _replace))(draw, attempt, path)


def _write(draw, attempt, path):
    model = draw.option((_model(), _model(), NTKRegressor()))
    notes = draw.option((None, {"a": 1}))
    draw.hostile = True
    attempt(io.save_model, model, path, notes=notes)
    X = np.eye(2)
    attempt.equal(attempt(io.load_model, path).predict(X), model.predict(X))


def _read(draw, attempt, path):
    """Load a model with some bytes changed or cut off."""
    content, wrong = bytearray(_saved()), draw.chance(0.8)
    if wrong:
        for _ in range(draw.between(1, 3)):
            content[draw.between(0, len(content) - 1)] ^= 1 << draw.between(0, 7)
        if draw.chance(0.3):
            del content[draw.between(0, len(content)) :]
    if isinstance(path, str) and path.endswith(f"{os.sep}m"):
        with open(path, "wb") as file:
            file.write(content)
    draw.hostile = True
    attempt(io.read_header, path)
    model, X = attempt(io.load_model, path), np.eye(2)
    attempt.equal(model.predict(X), _model().predict(X))


def _replace(draw, attempt, path):
    draw.hostile = True
    attempt(_written, path)


def _written(path):
    with io.replacing(path) as file:
        file.write(b"content")


_written.stands_for = "io.replacing"


def _check(draw, attempt, path):
    draw.hostile = True
    n_bytes = draw.integer((0, 100, 10**30))
    attempt(io.check_writable, path, n_bytes)


@target(*(f"plotting.{name}" for name in (
    "active_fraction", "kernel_convergence", "residuals", "spectrum")), share=1)  # fmt: skip
def pictures(draw, attempt):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    name = draw.choice(("active_fraction", "kernel_convergence", "residuals", "spectrum"))
    if name in ("active_fraction", "residuals"):
        step = SimpleNamespace(step=1, active_fraction=0.5, relative_residual=0.1)
        history = [step] * draw.between(1, 3)
        if draw.goes_wrong():
            history = draw.choice(([], None, 3, [3], "ab", [None], {}))
        attempt(getattr(plotting, name), history, axes)
        attempt.equal(len(axes.get_lines()[0].get_ydata()), len(history) + (name == "residuals"))
    elif name == "spectrum":
        n = draw.size(9)
        draw.hostile = True  # it may have no positive eigenvalue
        values = draw.array((n,) if draw.chance(0.5) else (n, n), scales=False)
        if draw.wrong == "not finite":
            draw.wrong = None
        attempt(plotting.spectrum, values, axes)
        values = as_float64(values)
        if values.ndim == 1:
            drawn = np.asarray(axes.get_lines()[0].get_ydata())
            attempt.equal(drawn, np.sort(values[values > 0])[::-1])
    else:
        k = draw.between(1, 4)
        widths = draw.array((k,), scales=False, positive=True)
        errors = draw.array((k, 2), scales=False, positive=True)
        draw.wrong = None  # they are cast
        attempt(plotting.kernel_convergence, widths, errors, axes)


@target("show_config", share=1)
def configuration(draw, attempt):
    import contextlib
    import io as text

    with contextlib.redirect_stdout(text.StringIO()) as shown:
        attempt(show_config)
    attempt.holds("numpy" in shown.getvalue(), "versions are shown")
