"""Estimators with tiny sizes: refusals are theirs or scikit-learn's, predictions finite."""

import numpy as np
import scipy.sparse

from subquad import estimators
from subquad.estimators import PolynomialTensorSketch

from ..cases import target
from ..sparse_draws import rows_of

_KINDS = ("GaussNewton", "NTK", "Factored", "HalfSpaceSGD")
_TINY = {
    "GaussNewton": {"width": 64, "max_steps": 1},
    "NTK": {"depth": 1},
    "Factored": {"width": 64, "outer_size": 16, "max_steps": 1},
    "HalfSpaceSGD": {"width": 64, "n_epochs": 1, "shift": 0.0},
}


def _names():
    for kind in _KINDS:
        for task in ("Regressor", "Classifier"):
            name = f"estimators.{kind}{task}"
            yield from (name, f"{name}.fit", f"{name}.predict")
            if task == "Classifier":
                yield from (f"{name}.decision_function", f"{name}.predict_proba")
            if kind in ("GaussNewton", "NTK"):
                yield f"{name}.influence"
            if kind in ("GaussNewton", "NTK", "HalfSpaceSGD"):
                yield f"{name}.partial_fit"


def _wrong_parameter(draw, model):
    """Set a parameter to something else."""
    name = draw.choice(sorted(model.get_params()))
    if name in ("verbose", "random_state"):
        return  # one prints, and scikit-learn has its own sentences for the other
    if name in ("callback", "n_threads"):
        value = draw.choice((0, "x", -2, 1.5, (), np.nan))
    else:
        value = draw.choice((0, -1, "x", None, np.nan, 1.5, (), [1], True, 10**30, -(2**70), {}))
    setattr(model, name, value)


def _points(draw, n):
    X = draw.array((n, 3), scales=draw.chance(0.1))
    draw.wrong = None  # scikit-learn converts integers, bools and numeric text
    return X


@target(*_names(), share=6)
def models(draw, attempt):
    kind, task = draw.choice(_KINDS), draw.choice(("Regressor", "Classifier"))
    cls = getattr(estimators, kind + task)
    options = _TINY[kind] | ({} if kind == "NTK" else {"random_state": 0})
    if draw.chance(0.3):
        options["dtype"] = draw.choice(("float32", "float64"))
    if draw.chance(0.3) and kind != "HalfSpaceSGD":
        options["regularization"] = draw.choice((0.1, "loo", 1.0))
    elif kind == "HalfSpaceSGD":
        others = ("huber", "absolute") if task == "Regressor" else ("logistic", "hinge")
        options["loss"] = draw.choice(("squared", *others))
    if kind == "GaussNewton" and draw.chance(0.3):
        options["loss"] = "huber" if task == "Regressor" else "log_loss"
    model = attempt(cls, **options)
    if draw.goes_wrong():
        _wrong_parameter(draw, model)
    n = draw.choice((2, 5, 8))
    X = _points(draw, n)
    y = draw.array((n,) if draw.chance(0.7) else (n, 2), scales=draw.chance(0.1))
    draw.hostile, draw.extreme, draw.wrong = True, True, None
    if task == "Classifier":
        labels = (
            [0, 1],
            ["a", "b", "c"],
            [True, False],
            [-5, 10**18],
            [1.0, 2.0],
            ["x"],
            [None, 1],
        )
        y = [draw.choice(draw.choice(labels)) for _ in range(n)] if draw.chance(0.9) else y
    fit = model.fit
    if kind in ("GaussNewton", "NTK", "HalfSpaceSGD") and draw.chance(0.3):
        fit = model.partial_fit
    options = {}
    if task == "Classifier" and fit.__name__ == "partial_fit":
        options["classes"] = draw.choice((None, [0, 1], ["a", "b"], [], 3, [0], "ab"))
    elif kind != "HalfSpaceSGD" and draw.chance(0.3):
        w = np.abs(draw.values((n,), scales=draw.chance(0.2)))
        wrong = (w[:1], -w, w * np.nan, "w", 3, w[:, None], [[]])
        options["sample_weight"] = draw.choice(wrong) if draw.goes_wrong() else w
    value = attempt(fit, X, y, **options)
    attempt.holds(value is model, "fit returns the model")
    X = _points(draw, 4)
    if kind in ("GaussNewton", "NTK") and draw.chance(0.3):
        value = attempt(model.influence, X)
        attempt.holds(value.shape[:2] == (len(np.asarray(X)), n), f"shape {value.shape}")
        return
    name = "decision_function" if task == "Classifier" and draw.chance(0.3) else "predict"
    if name == "decision_function" and hasattr(model, "predict_proba"):
        proba = attempt(model.predict_proba, X)
        attempt.holds(np.allclose(proba.sum(axis=1), 1.0), "probabilities must add up to 1")
    value = attempt(getattr(model, name), X)
    attempt.holds(len(value) == len(np.asarray(X)), f"{len(value)} predictions")
    if value.dtype.kind == "f":
        attempt.holds(not np.isnan(value).any(), "predictions must be numbers")
    else:
        attempt.holds(np.isin(value, model.classes_).all(), "predictions must be classes")


# Features may be beyond the range of float32, 3e38, where sums of sizes have powers of 10^37.
_LARGEST_POWER = 37


@target(
    *("estimators.PolynomialTensorSketch" + name for name in ("", ".fit", ".transform")), share=15
)
def polynomial(draw, attempt):
    options = {"degree": draw.integer((1, 2, 3, 5)), "n_components": draw.integer((1, 4, 17, 64))}
    options |= {"gamma": draw.real((1.0, 0.5, 0.0)), "coef0": draw.real((0.0, 1.0))}
    model = attempt(PolynomialTensorSketch, **options, random_state=0)
    n, d = draw.size(9), draw.size(9)
    X = rows_of(draw, (n, d), scales=draw.chance(0.2))
    draw.hostile |= draw.extreme
    draw.wrong = None  # scikit-learn converts integers
    attempt(model.fit, X)
    X = rows_of(draw, (n, d), scales=draw.chance(0.2))
    corrupt = draw.wrong == "corrupt"
    draw.hostile, draw.wrong = draw.hostile or draw.extreme, None
    if getattr(X, "ndim", 0) == 2 and not corrupt:
        # Integers too have powers that may be too large.
        sums = np.asarray(np.abs(X.astype(float)).sum(axis=1))
        largest = model.degree * np.log10(1.0 + np.max(sums, initial=0.0))
        draw.hostile |= bool(largest > _LARGEST_POWER)
    value = attempt(model.transform, X)
    attempt.holds(np.isfinite(value).all(), "features must be finite")
    _check_features(attempt, model, X, value)


def _check_features(attempt, model, X, value):
    """The circular convolution of count sketches, by numpy's own transform."""
    X = np.asarray(X.toarray() if scipy.sparse.issparse(X) else X, float)
    if model.coef0:
        X = np.column_stack([np.sqrt(model.gamma) * X, np.full(len(X), np.sqrt(model.coef0))])
    else:
        X = np.sqrt(model.gamma) * X
    s, product, size = model.n_components, 1.0, 1.0
    with np.errstate(all="ignore"):
        for buckets, signs in zip(model.indexHash_, model.bitHash_, strict=True):
            sketch = np.zeros((len(X), s))
            np.add.at(sketch.T, buckets, (X * signs).T)
            product = product * np.fft.fft(sketch)
            size = size * np.abs(X).sum(axis=1)
        expected = np.fft.ifft(product).real
        size = np.broadcast_to(size[:, None], expected.shape)
    if np.isfinite(expected).all():
        attempt.close(value, expected, size, 20 * model.degree + s, dtype=value.dtype)
