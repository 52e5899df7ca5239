"""Right sides and targets of any size: solved, or refused in a sentence, never a success on NaN."""

import re
import warnings

import numpy as np
import pytest
from layers import quietly

from subquad.jacobian import KhatriRao
from subquad.networks import FactoredNetwork, PairedNetwork, TwoLayerNetwork, WideNetwork
from subquad.ntk import required_width
from subquad.sketch import CountSketch
from subquad.solvers import (
    choose_regularization,
    gram_solve,
    loo_residuals,
    merge_repeats,
    pcg,
    solve_damped,
)
from subquad.training import (
    FactoredGaussNewton,
    FactoredGradientDescent,
    LastLayerGaussNewton,
    LowRankGradientDescent,
    TwoLayerGaussNewton,
)
from subquad.weights import DenseWeights

SIZES = [1e-300, 1e-170, 1e-100, 1.0, 1e100, 1e160, 1e300]


def system():
    rng = np.random.default_rng(0)
    J = KhatriRao(rng.standard_normal((6, 30)), rng.standard_normal((6, 5)))
    return J, rng.standard_normal(6)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("method", ["exact", "pcg", "auto"])
def test_gram_equations_are_solved_for_right_sides_of_any_size(method, size):
    J, c = system()
    expected = np.linalg.solve(J.gram(), c)
    solution = gram_solve(J, size * c, method, rng=0)
    assert solution.converged, solution.message
    np.testing.assert_allclose(solution.x / size, expected, rtol=1e-8)
    assert 0 <= solution.residual_norm <= 1e-9 * size * np.linalg.norm(c)


@pytest.mark.parametrize("size", SIZES)
def test_other_solvers_scale_as_well(size):
    J, c = system()
    G = J.gram()
    expected = np.linalg.solve(G, c)
    for solution in (pcg(G.__matmul__, size * c, rtol=1e-12), solve_damped(G, size * c)):
        assert solution.converged, solution.message
        np.testing.assert_allclose(solution.x / size, expected, rtol=1e-8)


def test_a_solution_that_overflows_is_no_success():
    for solution in (
        gram_solve(KhatriRao(np.full((1, 1), 1e-60), np.ones((1, 1))), [1e300], "exact"),
        solve_damped([[1e-100]], [1e300]),
    ):
        assert not solution.converged
        assert "overflows" in solution.message


@pytest.mark.parametrize("size", [1e160, 1e-170])
def test_targets_whose_squares_no_float_holds_are_refused(size):
    X = np.random.default_rng(1).standard_normal((50, 4))
    y = np.full(50, size)
    with pytest.raises(ValueError, match=r"^y must be 0 or between .* in size; got .* Scale it"):
        LastLayerGaussNewton(WideNetwork(4, width=256, rng=0).last_layer(X), y)
    with pytest.raises(ValueError, match=r"^y must be 0 or between"):
        TwoLayerGaussNewton(TwoLayerNetwork(4, width=256, rng=0), X, y)
    LastLayerGaussNewton(WideNetwork(4, width=256, rng=0).last_layer(X), 0 * y, centred=True)


# ---- weights
ROWS = np.random.default_rng(1).standard_normal((40, 4))
ROWS /= np.linalg.norm(ROWS, axis=1)[:, None]
WAVE = np.sin(3 * ROWS[:, 0])
WEIGHTS = np.random.default_rng(2).uniform(0.5, 1.5, 40)
FITS = {
    "last layer": lambda **options: LastLayerGaussNewton(
        WideNetwork(4, width=512, rng=0).last_layer(ROWS), WAVE, **options
    ),
    "two layers": lambda **options: TwoLayerGaussNewton(
        TwoLayerNetwork(4, width=512, rng=0), ROWS, WAVE, **options
    ),
    "factored": lambda **options: FactoredGaussNewton(
        FactoredNetwork(4, width=512, inner_size=4, rng=0), ROWS, WAVE, **options
    ),
}


@pytest.mark.parametrize("exponent", [-700, -100, 100, 700])
@pytest.mark.parametrize("name", FITS)
def test_a_common_factor_of_the_weights_changes_no_fit(name, exponent):
    # A power of four, by which roots scale without rounding.
    scale = 2.0**exponent
    fits = [
        quietly(FITS[name](regularization="loo", sample_weight=unit * WEIGHTS).run)
        for unit in (1.0, scale)
    ]
    np.testing.assert_allclose(fits[1].outputs, fits[0].outputs, rtol=1e-6, atol=1e-8)
    assert fits[1].regularization_ / scale == pytest.approx(fits[0].regularization_, rel=1e-9)
    assert fits[1].loo_error == pytest.approx(fits[0].loo_error, rel=1e-6)


@pytest.mark.parametrize("wrong", [1e-310, 1e305])
@pytest.mark.parametrize("name", FITS)
def test_weights_that_no_square_can_take_are_refused(name, wrong):
    weights = np.where(np.arange(40) == 3, wrong, 1.0)
    with pytest.raises(ValueError, match=r"^sample_weight must be 0 or between .* got 1e.*Scale"):
        FITS[name](sample_weight=weights)
    with pytest.raises(ValueError, match=r"^weights must be 0 or between"):
        solve_damped(np.eye(40), np.ones(40), weights=weights)


def test_estimators_refuse_such_weights():
    estimators = pytest.importorskip("subquad.estimators")
    weights = np.where(np.arange(40) < 3, 1e-320, 0.0)
    for name in ("GaussNewtonRegressor", "FactoredRegressor", "NTKRegressor"):
        for wrong in (weights, np.full(40, 1.7e308)):
            with pytest.raises(ValueError, match=r"^sample_weight must be 0 or between"):
                getattr(estimators, name)().fit(ROWS, WAVE, wrong)


@pytest.mark.parametrize("exponent", [-900, -700, 700, 900])
def test_the_choice_of_mu_follows_the_size_of_kernels_and_weights(exponent):
    G, scale = ROWS @ ROWS.T + np.eye(40), 2.0**exponent
    repeats = merge_repeats(np.arange(40) // 2, WAVE[:, None], WEIGHTS)[2]
    smaller = G[:20, :20]
    for matrix, r, options in (
        (G, WAVE, {}),
        (G, WAVE, {"weights": WEIGHTS}),
        (smaller, WAVE[:20, None], {"repeats": repeats}),
    ):
        mu, error, _ = choose_regularization([matrix], r, **options)
        scaled_mu, same_error, _ = choose_regularization([scale * matrix], r, **options)
        assert scaled_mu / scale == pytest.approx(mu, rel=1e-9)
        assert same_error == pytest.approx(error, rel=1e-9)


def test_errors_and_widths_that_overflow_are_refused():
    with pytest.raises(ValueError, match=r"^grams and r must keep errors within the range"):
        choose_regularization([np.eye(3)], np.full(3, 1e200))
    refused = pytest.raises(ValueError, match=r"^(gram and r must keep errors|mu must be positive)")
    with np.errstate(all="ignore"), refused:
        loo_residuals(1e-320 * np.eye(3), np.ones(3), 0.0)
    with pytest.raises(ValueError, match=r"^kernel must have no eigenvalue below 3e-75"):
        required_width(1e-100 * np.eye(3), depth=2)
    required_width(1e-70 * np.eye(3), depth=2)


@pytest.mark.parametrize("size", [1e-320, 1e-300])
def test_a_step_size_from_a_tangent_kernel_that_vanishes_is_refused(size):
    network = FactoredNetwork(4, width=512, inner_size=4, rng=0)
    with pytest.raises(ValueError, match=r"^X must have .*(some neuron fires|tangent kernel)"):
        FactoredGradientDescent(network, size * ROWS, WAVE)


# ---- NaN that hides, and products that overflow
def test_nan_in_a_bucket_that_holds_no_feature_is_refused():
    S = CountSketch(3, 10, rng=0)
    Y = np.zeros((2, 10))
    Y[1, np.setdiff1d(np.arange(10), S.buckets)[0]] = np.nan
    with pytest.raises(ValueError, match=r"^Y must be finite in float64; got 1 NaN"):
        S.apply_transposed(Y)


def test_infinity_times_zero_is_no_gram_matrix():
    J = KhatriRao(np.full((2, 1), 1e200), np.zeros((2, 1)))
    for call in (J.gram, J.diagonal, lambda: J.gram(J)):
        with np.errstate(all="ignore"), pytest.raises(ValueError, match=r"^U and V must keep J J"):
            call()


def test_products_with_weights_that_overflow_are_refused():
    W = DenseWeights(np.full((2, 3), 1e200))
    for call, size in ((W.apply, 3), (W.apply_transposed, 2)):
        with pytest.raises(ValueError, match="must keep the product"):
            call(np.full((1, size), 1e200))


NETWORKS = {
    "two-layer": lambda dtype: TwoLayerNetwork(4, 256, rng=0, dtype=dtype),
    "factored": lambda dtype: FactoredNetwork(4, width=256, inner_size=4, rng=0, dtype=dtype),
    "paired": lambda dtype: PairedNetwork(4, width=256, rng=0, dtype=dtype),
    "deep": lambda dtype: WideNetwork(4, width=256, rng=0, dtype=dtype),
}


def outcome(function, *args):
    """What a call returns and None, or None and the sentence that refuses it."""
    try:
        return function(*args), None
    except ValueError as refusal:
        return None, str(refusal)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_outputs_are_right_or_refused_for_points_of_any_size(name, dtype):
    X = np.clip(np.random.default_rng(0).standard_normal((12, 4)), -1, 1).astype(dtype)
    network, largest = NETWORKS[name](dtype), int(np.finfo(dtype).maxexp)
    expected = network.outputs(X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for exponent in (largest // 2 + 2, largest - 20, largest - 5, largest - 2, largest - 1):
            points = X * dtype(2.0**exponent)
            outputs, refusal = outcome(network.outputs, points)
            if refusal is not None:
                assert exponent > largest - 5
                assert re.fullmatch(r"X and the weights must keep .* Scale down\.", refusal)
                continue
            assert np.isfinite(outputs).all()
            if name != "paired":  # whose shift does not follow the size of the points
                scaled = np.ldexp(outputs, -exponent) if name != "deep" else outputs
                np.testing.assert_allclose(scaled, expected, rtol=1e-4, atol=1e-5)


def test_outputs_of_changes_that_overflow_are_refused():
    X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    A, V = np.full((1, 256), 1e20, np.float32), np.full((1, 4), 1e18, np.float32)
    deep = NETWORKS["deep"](np.float32)
    layer, wide = deep.last_layer(X), np.full((1, 256), 1e18, np.float32)
    for call in (
        lambda: NETWORKS["two-layer"](np.float32).outputs(1e3 * X, (A, V)),
        lambda: deep.outputs(X, (A, wide)),
        lambda: layer.outputs((A, wide)),
        lambda: NETWORKS["paired"](np.float32).outputs(1e20 * X, np.full((256, 4), 1e20)),
    ):
        with pytest.raises(ValueError, match=r"^X and the weights must keep .* Scale down\.$"):
            call()


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_descent_of_all_layers_does_not_follow_the_size_of_the_points(size):
    X = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    losses = []
    for points in (X, (size * X).astype(np.float32)):
        network = WideNetwork(4, width=256, rng=0, dtype=np.float32)
        trainer = LowRankGradientDescent(network, step_size="auto")
        trainer.run(points, X[:, 0], n_epochs=1)
        losses.append(trainer.history[0].loss)
        assert np.isfinite(trainer.outputs(points)).all()
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


def test_descent_towards_targets_out_of_reach_ends_with_finite_weights_or_is_refused():
    X = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    for size in (1e30, 1e38):
        trainer = LowRankGradientDescent(NETWORKS["deep"](np.float32), step_size=1.0)
        y = np.full(8, size, np.float32)
        _, refusal = outcome(quietly, trainer.run, X, y)
        if refusal is None:
            assert trainer.diverged
        else:
            assert "within the range of float32; got an overflow" in refusal
        assert np.isfinite(trainer.outputs(X)).all()
