"""Losses of half-space SGD: slopes of their values, convex, as steep and as curved as they say."""

import itertools
import re

import numpy as np
import pytest
import reference_half_space_sgd as reference

from subquad.training import (
    AbsoluteLoss,
    HingeLoss,
    HuberLoss,
    LogisticLoss,
    SquaredLoss,
    as_loss,
)

LOSSES = [SquaredLoss(), AbsoluteLoss(), HuberLoss(), HuberLoss(0.3), LogisticLoss(), HingeLoss()]
# Dyadic, so that differences and margins are exact and kinks (0, 1, 2 and their opposites) are hit.
OUTPUTS = np.arange(-48, 49) / 16


@pytest.fixture(params=LOSSES, ids=repr)
def loss(request):
    """One of the losses."""
    return request.param


def targets(loss):
    return (-1.0, 1.0) if loss.name in ("logistic", "hinge") else (-1.0, 0.0, 0.5)


def grid(loss):
    """Outputs and a target for each: all pairs."""
    return map(np.array, zip(*itertools.product(OUTPUTS, targets(loss)), strict=True))


def test_values_and_slopes_are_those_of_the_formulas(loss):
    if loss.name == "huber" and loss.delta != 1:
        return
    f, y = grid(loss)
    value, slope = reference.LOSSES[loss.name]
    np.testing.assert_allclose(loss.value(f, y), value(f, y), rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(loss.derivative(f, y), slope(f, y), rtol=1e-14, atol=0)


def test_slopes_are_those_of_finite_differences(loss):
    f, y = grid(loss)
    h = 2.0**-17
    before, after = loss.derivative(f - h, y), loss.derivative(f + h, y)
    # Where there is no kink, the third derivative of the logistic loss is at most 1/8, the second
    # of Huber's jumps by 1, and values of up to 10 are known to 2e-15.
    smooth = np.abs(after - before) <= 4 * h
    truncation = h / 4 if loss.name == "huber" else h**2 / 48
    differences = (loss.value(f + h, y) - loss.value(f - h, y)) / (2 * h)
    np.testing.assert_allclose(
        loss.derivative(f, y)[smooth], differences[smooth], rtol=0, atol=truncation + 2e-15 / h
    )
    assert np.count_nonzero(~smooth) == {"absolute": 3, "hinge": 2}.get(loss.name, 0)


def test_slopes_are_subgradients_also_at_kinks(loss):
    for y in targets(loss):
        y = np.full(OUTPUTS.shape, y)
        value, slope = loss.value(OUTPUTS, y), loss.derivative(OUTPUTS, y)
        tangents = value[:, None] + slope[:, None] * (OUTPUTS[None] - OUTPUTS[:, None])
        assert (value[None] >= tangents - 1e-14).all()  # values and products are at most 20


def test_the_lipschitz_constant_is_reached_and_not_exceeded(loss):
    far = np.array([-1e6, -300.0, *OUTPUTS, 300.0, 1e6])
    slopes = np.concatenate([loss.derivative(far, np.full(far.shape, y)) for y in targets(loss)])
    if loss.name == "squared":
        assert loss.lipschitz == np.inf
        assert np.abs(slopes).max() > 1e5
    else:
        assert np.abs(slopes).max() == loss.lipschitz


def test_the_curvature_is_the_steepest_rise_of_the_slope(loss):
    f = np.arange(-3000, 3001) / 1000
    for y in targets(loss):
        steepest = (np.diff(loss.derivative(f, np.full(f.shape, y))) * 1000).max()
        if np.isfinite(loss.curvature):
            assert steepest == pytest.approx(loss.curvature, rel=1e-6)
        else:
            assert steepest >= 1000  # at a kink the slope jumps


def test_the_logistic_loss_is_exact_far_out():
    loss = LogisticLoss()
    f = np.array([-1e4, -800.0, -40.0, 40.0, 800.0])
    value, slope = loss.value(f, np.ones(5)), loss.derivative(f, np.ones(5))
    np.testing.assert_allclose(value, [1e4, 800, 40 + np.exp(-40), np.exp(-40), 0], rtol=1e-15)
    np.testing.assert_allclose(slope, [-1, -1, -1, -np.exp(-40), 0], rtol=1e-15, atol=0)


@pytest.mark.parametrize("loss", [LogisticLoss(), HingeLoss()], ids=repr)
def test_labels_are_signs_or_zero_and_one_of_any_type(loss):
    f = np.array([0.3, -2.0, 1.5])
    signs = [1.0, -1.0, -1.0]
    expected = loss.value(f, signs), loss.derivative(f, signs)
    for y in ([1, -1, -1], [1.0, 0.0, 0.0], np.array([1, 0, 0], np.uint8), [True, False, False]):
        np.testing.assert_array_equal((loss.value(f, y), loss.derivative(f, y)), expected)
    one = loss.value(f, [1, 1, 1])
    np.testing.assert_array_equal(one, loss.value(f, np.ones(3, bool)))


@pytest.mark.parametrize(
    ("y", "got"), [([1, 2], "2"), ([0.5, 0], "0.5"), ([-1, 0], "0 beside -1"), ([1, -3], "-3")]
)
def test_other_labels_are_refused_in_a_sentence(y, got):
    for loss in (LogisticLoss(), HingeLoss()):
        message = f"y must be -1 or 1, or 0 or 1, for the {loss.name} loss; got {got}."
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            loss.value([0.0, 1.0], y)


def test_arguments_are_refused_by_name(loss):
    ones = np.ones(2)
    for method in (loss.value, loss.derivative):
        with pytest.raises(ValueError, match="y must have shape"):
            method(ones, np.ones(3))
        with pytest.raises(ValueError, match="f must be finite"):
            method([np.nan, 0.0], ones)
        with pytest.raises(ValueError, match="y must be finite"):
            method(ones, [np.inf, 0.0])
        with pytest.raises(TypeError, match="f must"):
            method(["a", "b"], ones)


def test_values_that_overflow_are_refused():
    with pytest.raises(ValueError, match="f and y must keep the loss within the range"):
        SquaredLoss().value([1e200], [0.0])
    with pytest.raises(ValueError, match="f and y must keep the loss within the range"):
        AbsoluteLoss().value([1.5e308], [-1.5e308])


def test_a_loss_is_taken_by_its_name_or_as_it_is():
    for name, kind in [
        ("squared", SquaredLoss),
        ("absolute", AbsoluteLoss),
        ("huber", HuberLoss),
        ("logistic", LogisticLoss),
        ("hinge", HingeLoss),
    ]:
        assert type(as_loss(name)) is kind
        assert as_loss(name).name == name
    own = HuberLoss(0.5)
    assert as_loss(own) is own
    assert as_loss("huber").delta == 1


@pytest.mark.parametrize(
    ("loss", "got"),
    [("l1", "'l1'"), (None, "NoneType"), (3, "int"), (HuberLoss, "type"), (np.ones(2), "ndarray")],
)
def test_other_losses_are_refused_in_a_sentence(loss, got):
    message = "loss must be 'squared', 'logistic', 'hinge', 'huber' or 'absolute'; got " + got + "."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        as_loss(loss)


def test_losses_that_are_not_admitted_are_refused():
    with pytest.raises(ValueError, match=r"^loss must be 'a' or 'hinge'; got HuberLoss\(delta=1"):
        as_loss(HuberLoss(), ("a", "hinge"))
    with pytest.raises(ValueError, match="delta must be greater than 0"):
        HuberLoss(0.0)
    with pytest.raises(TypeError, match="delta must be a real number"):
        HuberLoss("wide")
