"""Weights that stay in a file multiply as the matrix there, and read what they need of it."""

import json
import pickle

import numpy as np
import pytest
import scipy.sparse
from layers import quietly

import subquad._mapped
from subquad.activations import ShiftedReLU
from subquad.lowrank import LowRankMaintenance
from subquad.networks import LastLayer, WideNetwork
from subquad.training import LastLayerGaussNewton
from subquad.weights import MappedWeights

NAMES = {"f4": "F32", "f2": "F16", "f8": "F64", "bf16": "BF16"}
FORMATS = pytest.mark.parametrize(
    ("kind", "order"),
    [("f4", "C"), ("f4", "F"), ("f2", "C"), ("f8", "C"), ("bf16", "C")],
)
SHAPES = pytest.mark.parametrize("shape", [(1, 1), (7, 5), (130, 67), (40, 300)])


def tensors(path, arrays, kind="f4", **changes):
    """Write a safetensors file by its definition."""
    header, data = {}, b""
    for name, array in arrays.items():
        if kind == "bf16":
            raw = (array.astype("<f4").view("<u4") >> 16).astype("<u2").tobytes()
        else:
            raw = array.astype("<" + kind).tobytes()
        offsets = [len(data), len(data) + len(raw)]
        entry = {"dtype": NAMES[kind], "shape": list(array.shape), "data_offsets": offsets}
        header[name], data = {**entry, **changes}, data + raw
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def written(tmp_path, shape, kind="f4", order="C"):
    """A file of random numbers of a kind, and the numbers it holds."""
    matrix = np.random.default_rng(1).standard_normal(shape)
    if kind == "bf16":
        bits = matrix.astype("f4").view("u4") & np.uint32(0xFFFF0000)
        return tensors(tmp_path / "w.safetensors", {"w": bits.view("f4")}, kind), bits.view("f4")
    matrix = np.asarray(matrix.astype(kind), order=order)
    np.save(tmp_path / "w.npy", matrix)
    return tmp_path / "w.npy", matrix


@FORMATS
@SHAPES
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_are_those_of_the_matrix(tmp_path, kind, order, shape, dtype, monkeypatch):
    path, matrix = written(tmp_path, shape, kind, order)
    W, exact = MappedWeights(path, dtype=dtype), matrix.astype(dtype)
    assert (W.shape, W.dtype, W.nbytes) == (shape, dtype, 0)
    np.testing.assert_array_equal(W.to_dense(), exact)
    rng = np.random.default_rng(2)
    tolerance = {np.float32: 1e-4, np.float64: 1e-12}[dtype]  # of sums of at most 300 terms
    for small in (False, True):
        if small:
            monkeypatch.setattr(subquad._mapped, "_FEWEST_OUTPUTS", 1)
            monkeypatch.setattr(subquad._mapped, "_ENTRIES_PER_READ", 30)
            monkeypatch.setattr(subquad._mapped, "_NONZEROS_PER_LIST", 9)
        for density in (0.0, 0.1, 1.0):
            H, G = (
                rng.standard_normal((6, k)) * (rng.random((6, k)) < density) for k in shape[::-1]
            )
            H, G = H.astype(dtype), G.astype(dtype)
            for form in (np.asarray, scipy.sparse.csr_array):
                product, back = W.apply(form(H)), W.apply_transposed(form(G))
                assert product.dtype == back.dtype == dtype
                wide = exact.astype(float)
                np.testing.assert_allclose(product, H @ wide.T, rtol=0, atol=tolerance)
                np.testing.assert_allclose(back, G @ wide, rtol=0, atol=tolerance)


@pytest.mark.parametrize("order", ["C", "F"])
def test_each_column_that_is_used_is_read_once_and_no_other(tmp_path, order, monkeypatch):
    path, matrix = written(tmp_path, (50, 90), "f4", order)
    poisoned = matrix.copy()
    used = [3, 40, 41, 89]
    poisoned[:, np.setdiff1d(np.arange(90), used)] = np.nan
    np.save(path, poisoned)
    H = np.zeros((5, 90), np.float32)
    H[:, used] = np.random.default_rng(3).standard_normal((5, 4))
    W, entries, decoded = MappedWeights(path), [], MappedWeights._decoded

    def record(self, stored):
        entries.append(stored.size)
        return decoded(self, stored)

    monkeypatch.setattr(MappedWeights, "_decoded", record)
    monkeypatch.setattr(subquad._mapped, "_FEWEST_OUTPUTS", 16)
    monkeypatch.setattr(subquad._mapped, "_ENTRIES_PER_READ", 1)
    np.testing.assert_allclose(W.apply(H), H @ matrix.T, rtol=0, atol=1e-5)
    assert len(entries) == 4
    assert sum(entries) == 50 * 4


def test_results_do_not_depend_on_n_threads_nor_on_a_pickle(tmp_path, monkeypatch):
    monkeypatch.setattr("subquad._products._MULTIPLY_ADDS_PER_THREAD", 1.0)
    path, _ = written(tmp_path, (700, 300))
    W = MappedWeights(path)
    H = scipy.sparse.random_array((9, 300), density=0.1, rng=0, dtype=np.float32)
    expected = W.apply(H, 1)
    for n_threads in (2, 3, None):
        np.testing.assert_array_equal(W.apply(H, n_threads), expected)
    copy = pickle.loads(pickle.dumps(W))
    np.testing.assert_array_equal(copy.apply(H), expected)
    assert repr(copy) == repr(W)
    assert len(pickle.dumps(W)) < 2000


def test_an_array_is_found_by_its_name(tmp_path):
    one, two = np.ones((3, 2)), np.full((4, 2), 2.0)
    path = tensors(tmp_path / "m", {"a.weight": one, "a.bias": np.ones(3), "b.weight": two})
    for name, expected in (("a", one), ("a.weight", one), ("b", two)):
        np.testing.assert_array_equal(MappedWeights(path, name).to_dense(), expected)
    with pytest.raises(ValueError, match=r"^name must be given for a file of 2 matrices; got None"):
        MappedWeights(path)
    with pytest.raises(ValueError, match=r"^name must be one of the layers of .*got 'c.weight'"):
        MappedWeights(path, "c")
    with pytest.raises(
        ValueError, match=r"^file must hold a matrix .*got an array of shape \(3,\)"
    ):
        MappedWeights(path, "a.bias")
    with pytest.raises(TypeError, match=r"^name must be a string or None; got int"):
        MappedWeights(path, 1)
    single = tensors(tmp_path / "s", {"a.weight": one, "a.bias": np.ones(3)})
    np.testing.assert_array_equal(MappedWeights(single).to_dense(), one)


def test_files_of_the_safetensors_package_are_read(tmp_path):
    package = pytest.importorskip("safetensors.numpy")
    matrix = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
    package.save_file({"w": matrix, "v": matrix[:2].copy()}, tmp_path / "m")
    np.testing.assert_array_equal(MappedWeights(tmp_path / "m", "w").to_dense(), matrix)


# ---- as layers
def network_of(tmp_path, **options):
    first, hidden = (np.random.default_rng(4).standard_normal((512, k)) for k in (6, 512))
    path = tensors(tmp_path / "m", {"one": first / 16, "two": hidden / 16}, "bf16")
    layers = [MappedWeights(path, name) for name in ("one", "two")]
    readout = np.where(np.arange(512) % 2, 1.0, -1.0)
    return WideNetwork.from_weights(layers, readout, activation=ShiftedReLU(0.5), **options)


def test_a_network_of_mapped_layers_is_fitted_like_any_other(tmp_path):
    network = network_of(tmp_path)
    dense = WideNetwork.from_weights(
        [W.to_dense() for W in network.weights], network.readout, activation=ShiftedReLU(0.5)
    )
    X, y = np.random.default_rng(5).standard_normal((2, 20, 6))
    np.testing.assert_allclose(network.outputs(X), dense.outputs(X), rtol=0, atol=1e-3)
    layer = network.last_layer(X)
    trainer = quietly(LastLayerGaussNewton(layer, y[:, 0], tol=1e-4).run)
    assert trainer.converged
    assert "weights='MappedWeights'" in repr(network)
    W = network.weights[1]
    own = LastLayer(layer.features, W.apply(layer.features), network.readout, ShiftedReLU(0.5))
    np.testing.assert_allclose(own.outputs(), network.outputs(X), rtol=0, atol=1e-3)


def test_their_change_is_kept_apart(tmp_path):
    path, matrix = written(tmp_path, (30, 20))
    W = MappedWeights(path)
    U, V, Y = (np.random.default_rng(6).standard_normal((4, k)).astype("f4") for k in (30, 20, 20))
    lrm = LowRankMaintenance(W, rank_budget=np.inf)
    lrm.update(U, V)
    np.testing.assert_allclose(lrm.query(Y), Y @ (matrix + U.T @ V).T, rtol=0, atol=1e-4)
    with pytest.raises(TypeError, match=r"must be DenseWeights .*got MappedWeights"):
        W.add_low_rank(U, V)
    with pytest.raises(TypeError, match=r"^W must be stored in float32 or float64"):
        LowRankMaintenance(W)


def test_a_network_of_mapped_layers_is_not_saved(tmp_path):
    from subquad.io._codec import Writer

    with pytest.raises(TypeError, match="must have drawn weights to be saved; got MappedWeights"):
        Writer().encode("network_", network_of(tmp_path))


@pytest.mark.parametrize(
    ("weights", "error", "message"),
    [
        (3, TypeError, "^weights must be a list of layers; got int"),
        ([np.ones((4, 2))], ValueError, "^weights must be of at least 2 layers; got 1"),
        (
            [np.ones((4, 2)), np.ones((4, 3))],
            ValueError,
            r"^weights must have shape \(4, 4\) from the second layer on; got \(4, 3\)",
        ),
        (
            [np.ones((4, 2)), np.ones((4, 4), "f4")],
            TypeError,
            "^weights must be of one dtype; got float64 and float32",
        ),
    ],
)
def test_layers_that_do_not_fit_together_are_refused(weights, error, message):
    with pytest.raises(error, match=message):
        WideNetwork.from_weights(weights, np.ones(4))


def test_the_unit_of_shifts_can_be_given():
    layers = [np.ones((4, 2)), np.ones((4, 4))]
    assert WideNetwork.from_weights(layers, np.ones(4), weight_std=0.5).weight_std == 0.5
    assert WideNetwork.from_weights(layers, np.ones(4)).weight_std == np.sqrt(0.5)
    with pytest.raises(ValueError, match=r"^weight_std must be greater than 0.0; got 0"):
        WideNetwork.from_weights(layers, np.ones(4), weight_std=0)
    with pytest.raises(ValueError, match=r"^readout must have shape \(4,\) or \(any, 4\)"):
        WideNetwork.from_weights(layers, np.ones(5))


# ---- bad files
def test_a_file_that_is_shorter_than_it_says_is_refused_in_a_sentence(tmp_path):
    path = tensors(tmp_path / "w", {"w": np.ones((30, 20))})
    whole = path.read_bytes()
    for size in (0, 5, 8, 30, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"^file must be a safetensors file; got .*damaged: "):
            MappedWeights(path)
    np.save(tmp_path / "w.npy", np.ones((30, 20)))
    whole = (tmp_path / "w.npy").read_bytes()
    for size in (0, 5, 6, 9, 60, 128, len(whole) - 1):
        (tmp_path / "w.npy").write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"^file must be a whole \.npy file of numbers; got "):
            MappedWeights(tmp_path / "w.npy")


def test_numbers_of_other_types_and_shapes_are_refused(tmp_path):
    path = tensors(tmp_path / "w", {"w": np.ones((3, 2))}, dtype="F8_E4M3")
    with pytest.raises(ValueError, match=r"^name must hold numbers in F64, F32, F16 or BF16; got"):
        MappedWeights(path)
    path = tensors(tmp_path / "w", {"w": np.ones((3, 2))}, shape=[3, 3])
    with pytest.raises(ValueError, match=r"^file must be a safetensors file; .*another size"):
        MappedWeights(path)
    path = tensors(tmp_path / "w", {"w": np.ones((0, 2))})
    with pytest.raises(ValueError, match=r"^file must hold a matrix .*got an array of shape"):
        MappedWeights(path)
    for array, message in [
        (np.ones((3, 2), np.int8), "^file must hold numbers in float16, .*; got int8"),
        (np.ones(3), r"^file must hold a matrix .*got an array of shape \(3,\)"),
        (np.array([[None]]), "^file must be a whole .npy file of numbers"),
    ]:
        np.save(tmp_path / "w.npy", array)
        with pytest.raises(ValueError, match=message):
            MappedWeights(tmp_path / "w.npy")
    with pytest.raises(ValueError, match=r"^name must be None for a .npy file"):
        MappedWeights(tmp_path / "w.npy", "w")


def test_other_bad_arguments_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError):
        MappedWeights(tmp_path / "none")
    with pytest.raises(TypeError, match=r"^file must be a string or path-like; got int"):
        MappedWeights(3)
    path, _ = written(tmp_path, (3, 2))
    with pytest.raises(TypeError, match=r"^dtype must be float32 or float64"):
        MappedWeights(path, dtype=np.float16)
    with pytest.raises(ValueError, match=r"^H must have shape \(any, 2\); got \(1, 3\)"):
        MappedWeights(path).apply(np.ones((1, 3)))
    np.save(path, np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match=r"^file must be finite in float32; got 1 NaN"):
        MappedWeights(path).apply(np.ones((1, 2)))
