"""Networks whose hidden weights are stored in a byte, or not at all, are networks like others."""

import json
import pickle
from pathlib import Path

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
# Written by subquad 0.1.0, whose networks drew their weights by NumPy's generator.
FILES = Path(__file__).parent / "files"
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
def test_no_layer_is_stored_in_full(kind, dtype):
    network = network_of(kind, dtype, width=600, depth=4)
    first, *hidden = network.weights
    assert first.shape == (600, 6)
    assert first.nbytes == (4 * 600 * 6 if kind == "int8" else 12 * 64)
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


SAME = pytest.mark.parametrize(
    ("kind", "grid", "dtype"),
    [("dense", "float32", "f4"), ("dense", "float32", "f8"), ("int8", "int8", "f4")],
)


@SAME
@pytest.mark.parametrize("rng", [0, 1, 2**40])
def test_storage_is_a_choice_of_memory_and_not_of_results(kind, grid, dtype, rng):
    stored = network_of(kind, dtype, rng=rng, n_outputs=2)
    made = network_of("implicit", dtype, rng=rng, n_outputs=2, grid=grid)
    for W, other in zip(stored.weights, made.weights, strict=True):
        assert isinstance(W, DenseWeights)
        assert isinstance(other, GaussianWeights)
        np.testing.assert_array_equal(W.to_dense(), other.to_dense())
    np.testing.assert_array_equal(stored.readout, made.readout)
    # An output is a sum of 130 terms of size 1; 100 units in the last place of float32 are 1.2e-5.
    tolerance = {"f4": 1e-4, "f8": 1e-13}[dtype]
    np.testing.assert_allclose(stored.outputs(X), made.outputs(X), rtol=0, atol=tolerance)


@SAME
def test_a_fit_takes_the_same_steps_however_weights_are_kept(kind, grid, dtype):
    points, y = np.random.default_rng(3).standard_normal((2, 24, 6))
    options = {"width": 1024, "activation": ShiftedReLU(0.8), "dtype": dtype}
    stored, made = network_of(kind, **options), network_of("implicit", grid=grid, **options)
    fits = [
        LastLayerGaussNewton(network.last_layer(points), y[:, 0], tol=1e-4).run()
        for network in (stored, made)
    ]
    assert len(fits[0].history) == len(fits[1].history)
    assert all(fit.converged for fit in fits)


def test_the_numbers_do_not_depend_on_the_dtype():
    narrow, wide = network_of("dense", "f4"), network_of("dense", "f8")
    for W, other in zip(narrow.weights, wide.weights, strict=True):
        np.testing.assert_allclose(W.to_dense(), other.to_dense(), rtol=2.5e-7, atol=0)


def test_weights_do_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr("subquad._products._MULTIPLY_ADDS_PER_THREAD", 1.0)
    drawn = []
    for n_threads in ("1", "2", "3"):
        monkeypatch.setenv("OMP_NUM_THREADS", n_threads)
        drawn.append(network_of("dense", width=300))
    for network in drawn[1:]:
        for W, other in zip(network.weights, drawn[0].weights, strict=True):
            np.testing.assert_array_equal(W.to_dense(), other.to_dense())


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


def test_every_layer_is_the_matrix_of_a_seed_that_rng_gives():
    network = WideNetwork(6, width=70, depth=3, rng=5)
    rng = np.random.default_rng(5)
    for W in network.weights:
        seed = int(rng.integers(2**64, dtype=np.uint64))
        made = GaussianWeights(W.shape, seed, "float32", std=np.sqrt(2 / 70))
        np.testing.assert_array_equal(W.to_dense(), made.to_dense())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weights": "sparse"}, "^weights must be 'dense', 'int8' or 'implicit'; got 'sparse'"),
        ({"weights": None}, "^weights must be .*; got None"),
        ({"weights": ["dense"]}, "^weights must be .*; got"),
        ({"weights": "int8", "dtype": np.float64}, "^dtype must be float32 with weights='int8'"),
        ({"grid": "int4"}, "^grid must be None, 'int8' or 'float32'; got 'int4'"),
        ({"grid": "int8"}, "^grid must be None or 'float32' with weights='dense'; got 'int8'"),
        (
            {"weights": "int8", "grid": "float32", "dtype": np.float32},
            "^grid must be None or 'int8' with weights='int8'; got 'float32'",
        ),
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
    for W, other in zip(loaded.network_.weights, model.network_.weights, strict=True):
        assert type(W) is type(other)
        assert W.nbytes == other.nbytes
    stored = read_header(tmp_path / "m")["arrays"]
    assert [300, 300] not in [array["shape"] for array in stored.values()]


def test_weights_that_were_changed_are_saved_as_they_are():
    from subquad.io._codec import Reader, Writer

    network = network_of("dense", "f8")
    network.weights[1].add_low_rank(np.ones((1, 130)), np.ones((1, 130)))
    writer = Writer()
    parts = writer.encode("n", network)
    assert [array.shape for array in writer.arrays.values()].count((130, 130)) == 1
    reader = Reader(writer.arrays)
    loaded = reader.decode(parts)
    reader.finish()
    np.testing.assert_array_equal(loaded.outputs(X), network.outputs(X))


@pytest.mark.parametrize("kind", ["dense", "int8", "implicit"])
def test_models_of_the_first_format_predict_what_they_did(kind):
    from subquad.io import load_model, read_header

    pytest.importorskip("sklearn")
    path = FILES / f"version_1_{kind}.model"
    notes = read_header(path)["notes"]
    predictions = load_model(path).predict(np.array(notes["rows"]))
    # Predictions of size 1, in float32, as differences of larger sums: by BLAS and by instruction
    # set they were seen to differ by 6e-5. Those of another matrix share no digit.
    np.testing.assert_allclose(predictions, notes["predictions"], rtol=0, atol=1e-3)


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
        {"generator": 2},
        {"generator": 0},
        {"generator": "1"},
        {"kept": "dense"},
        {"kept": "sparse"},
    ],
    ids=str,
)
def test_a_file_with_impossible_implicit_weights_is_refused(changes):
    reader, unchanged = implicit_parts()
    assert reader.decode(unchanged).outputs(X).shape == (9, 1)
    reader, parts = implicit_parts(**changes)
    with pytest.raises((ValueError, TypeError)):
        reader.decode(parts)


def test_a_file_that_asks_for_more_weights_than_its_parts_need_is_refused_at_once(
    regressor, tmp_path
):
    from test_io_refusals import rewrite

    from subquad.io import ModelFileError, load_model, save_model

    def widen(header, entries):
        columns = header["state"]["network_"]["network"]["dict"]["columns"]
        columns[0]["dict"]["shape"] = {"tuple": [300, 2**30]}

    save_model(regressor("dense", "f8"), tmp_path / "m")
    rewrite(tmp_path / "m", widen)
    with pytest.raises(ModelFileError, match=r"network_ mus.*1073741824"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("stored", [np.float32, np.int16], ids=["float32", "int16"])
def test_a_file_with_compact_weights_of_another_type_is_refused(stored):
    from subquad.io._codec import Reader, Writer

    writer = Writer()
    network = network_of("int8")
    network.weights[1] = DenseWeights(network.weights[1].to_dense(), "int8")  # of no seed
    parts = writer.encode("n", network)
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
    assert weights_of("implicit") == 0
