"""Networks whose hidden weights are stored in a byte, or not at all, are networks like others."""

import json
import pickle

import numpy as np
import pytest
import reference_network as reference
from layers import quietly

from subquad.activations import ReLU, ShiftedReLU
from subquad.lowrank import LowRankMaintenance
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton
from subquad.weights import DenseWeights, GaussianWeights

X = np.random.default_rng(0).standard_normal((9, 6))
KINDS = pytest.mark.parametrize(
    ("kind", "dtype"), [("implicit", "f4"), ("implicit", "f8"), ("int8", "f4")]
)


def network_of(kind, dtype="f4", **options):
    options = {"width": 130, "depth": 3, "activation": ShiftedReLU(0.8), "rng": 1, **options}
    return WideNetwork(6, weights=kind, dtype=np.dtype(dtype), **options)


@KINDS
@pytest.mark.parametrize("activation", [ReLU(), ShiftedReLU(0.8)], ids=repr)
def test_outputs_follow_the_definition(kind, dtype, activation):
    network = network_of(kind, dtype, n_outputs=2, activation=activation)
    dense = [W.to_dense().astype(float) for W in network.weights]
    layers = reference.forward(X, dense, activation.shift, activation.scale)
    tolerance = {"f4": 3e-5, "f8": 1e-13}[dtype]
    np.testing.assert_allclose(network.features(X), layers[-2], rtol=0, atol=tolerance)
    expected = layers[-1] @ network.readout.T.astype(float)
    np.testing.assert_allclose(network.outputs(X), expected, rtol=0, atol=130 * tolerance)
    assert network.outputs(X).dtype == network.dtype == dtype


@KINDS
def test_only_the_first_layer_is_stored_in_full(kind, dtype):
    network = network_of(kind, dtype, width=600, depth=4)
    first, *hidden = network.weights
    assert (type(first), first.storage, first.shape) == (DenseWeights, None, (600, 6))
    for W in hidden:
        assert W.shape == (600, 600)
        assert W.nbytes == (600 * 600 if kind == "int8" else 12 * 640)
        assert W.to_dense().astype(float).std() == pytest.approx(np.sqrt(2 / 600), rel=0.01)
    assert f"weights={kind!r}" in repr(network)


def test_layers_have_seeds_of_their_own():
    second, third = (W.to_dense() for W in network_of("implicit").weights[1:])
    # Two draws agree with probability 0.00705 in an entry: in 119 of 16900 on average, with a
    # standard deviation of 11. Ten of them above the average: false alarm 1e-20.
    assert np.count_nonzero(second == third) < 119 + 10 * 11


def test_int8_stores_what_implicit_makes():
    stored, made = network_of("int8"), network_of("implicit")
    for W, other in zip(stored.weights, made.weights, strict=True):
        np.testing.assert_allclose(W.to_dense(), other.to_dense(), rtol=3e-7, atol=0)
    np.testing.assert_allclose(stored.outputs(X), made.outputs(X), rtol=0, atol=1e-4)


@KINDS
def test_a_fit_converges_as_with_dense_weights(kind, dtype):
    options = {"width": 2048, "activation": ShiftedReLU(0.8)}
    points, y = np.random.default_rng(3).standard_normal((2, 24, 6))
    y = y[:, 0]
    layer = network_of(kind, dtype, **options).last_layer(points)
    trainer = LastLayerGaussNewton(layer, y, tol=1e-5).run()
    assert trainer.converged
    assert len(trainer.history) <= 4
    moved = network_of(kind, dtype, **options).outputs(points, trainer.factors)
    assert np.linalg.norm(moved[:, 0] - y) <= 2e-5 * np.linalg.norm(y)


@KINDS
def test_results_do_not_depend_on_n_threads_nor_on_a_pickle(kind, dtype):
    network = network_of(kind, dtype, n_outputs=3)
    expected = network.outputs(X, n_threads=1)
    for n_threads in (2, 3):
        np.testing.assert_array_equal(network.outputs(X, n_threads=n_threads), expected)
    copy = pickle.loads(pickle.dumps(network))
    np.testing.assert_array_equal(copy.outputs(X), expected)


def test_dense_weights_are_drawn_as_they_were_before_there_were_others():
    drawn = WideNetwork(6, width=70, depth=3, rng=5).weights[1].to_dense()
    rng = np.random.default_rng(5)
    rng.standard_normal((6, 70))
    np.testing.assert_array_equal(drawn, rng.standard_normal((70, 70)).T * np.sqrt(2 / 70))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "sparse"}, "^weights must be 'dense', 'int8' or 'implicit'; got 'sparse'"),
        ({"weights": None}, "^weights must be .*; got None"),
        ({"weights": ["dense"]}, "^weights must be .*; got"),
        ({"weights": "int8", "dtype": np.float64}, "^dtype must be float32 with weights='int8'"),
    ],
)
def test_other_weights_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        WideNetwork(6, width=20, **options)


# ---- LowRankMaintenance over weights that cannot change
def unchangeable():
    return [
        GaussianWeights((30, 20), 0, dtype=np.float32),
        DenseWeights.gaussian((30, 20), std=1.0, rng=0, storage="int8"),
        DenseWeights.gaussian((30, 20), std=1.0, rng=0, storage="bfloat16"),
    ]


@pytest.mark.parametrize("W", unchangeable(), ids=repr)
@pytest.mark.parametrize("rank_budget", [None, 5])
def test_a_budget_that_would_be_flushed_into_them_is_refused(W, rank_budget):
    with pytest.raises(TypeError, match=r"^W must be stored in float32 or float64.*budget=inf"):
        LowRankMaintenance(W, rank_budget=rank_budget)


@pytest.mark.parametrize("W", unchangeable(), ids=repr)
@pytest.mark.parametrize("copy", [False, True])
def test_their_change_can_be_kept_apart_for_ever(W, copy, rng):
    lrm = LowRankMaintenance(W, rank_budget=np.inf, copy=copy)
    U, V, Y, G = (rng.standard_normal((4, size)).astype("f4") for size in (30, 20, 20, 30))
    lrm.update(U, V)
    changed = W.to_dense().astype(float) + U.astype(float).T @ V
    np.testing.assert_allclose(lrm.to_dense(), changed, rtol=0, atol=1e-5)
    np.testing.assert_allclose(lrm.query(Y), Y @ changed.T, rtol=0, atol=1e-4)
    np.testing.assert_allclose(lrm.query_transposed(G), G @ changed, rtol=0, atol=1e-4)
    with pytest.raises((TypeError, ValueError), match="must be"):
        lrm.flush()
    assert lrm.rank == 4


# ---- files, estimators and forecasts
@pytest.fixture
def regressor():
    """Return a function that fits a small model with weights of one kind."""
    estimators = pytest.importorskip("subquad.estimators")

    def fitted(kind, dtype):
        model = estimators.GaussNewtonRegressor(
            width=300, depth=3, weights=kind, dtype=np.dtype(dtype).name, random_state=0,
            max_steps=3,
        )  # fmt: skip
        points = np.random.default_rng(1).standard_normal((40, 4))
        return quietly(model.fit, points, points[:, 0] * points[:, 1])

    return fitted


@KINDS
def test_a_saved_model_predicts_the_same_bits(regressor, tmp_path, kind, dtype):
    from subquad.io import load_model, read_header, save_model

    model = regressor(kind, dtype)
    save_model(model, tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    points = np.random.default_rng(2).standard_normal((7, 4))
    np.testing.assert_array_equal(loaded.predict(points), model.predict(points))
    assert loaded.weights == kind
    assert repr(loaded.network_) == repr(model.network_)
    stored = read_header(tmp_path / "m")["arrays"]
    squares = [array["dtype"] for array in stored.values() if array["shape"] == [300, 300]]
    assert squares == ([] if kind == "implicit" else ["|i1", "|i1"])


def implicit_parts(**changes):
    from subquad.io._codec import Reader, Writer

    writer = Writer()
    parts = writer.encode("n", network_of("implicit"))["network"]["dict"]
    parts["columns"][2]["dict"] |= changes
    return Reader(writer.arrays), {"network": {"dict": parts}}


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": {"tuple": [2**31 - 1, 130]}},
        {"shape": {"tuple": [130, 2**31 - 1]}},
        {"seed": -1},
        {"seed": 0.5},
        {"grid": "int4"},
        {"std": {"float": "nan"}},
        {"unknown": 1},
    ],
    ids=str,
)
def test_a_file_with_impossible_implicit_weights_is_refused(changes):
    reader, unchanged = implicit_parts()
    assert reader.decode(unchanged).outputs(X).shape == (9, 1)
    reader, parts = implicit_parts(**changes)
    with pytest.raises((ValueError, TypeError)):
        reader.decode(parts)


@pytest.mark.parametrize("stored", [np.float32, np.int16], ids=["float32", "int16"])
def test_a_file_with_compact_weights_of_another_type_is_refused(stored):
    from subquad.io._codec import Reader, Writer

    writer = Writer()
    parts = writer.encode("n", network_of("int8"))
    writer.arrays["n.columns.1.stored"] = writer.arrays["n.columns.1.stored"].astype(stored)
    with pytest.raises(ValueError, match="compact weights"):
        Reader(writer.arrays).decode(parts)


def test_the_forecast_counts_weights_as_they_are_kept(capsys):
    from subquad.__main__ import main

    def weights_of(kind):
        sizes = ["--n", "10", "--width", "1000", "--depth", "3", "--features", "5"]
        options = ["--dtype", "float32", "--weights", kind, "--json"]
        assert main(["plan", *sizes, *options]) == 0
        return json.loads(capsys.readouterr().out)["memory_bytes"]["weights"]

    first = 4 * 5 * 1000
    assert weights_of("dense") == first + 2 * 4 * 10**6
    assert weights_of("int8") == first + 2 * 10**6
    assert weights_of("implicit") == first
