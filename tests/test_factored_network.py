"""FactoredNetwork is a phi(A B C x) / sqrt(m) with A and C as their dense forms say."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from reference_factored import Factored

from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.networks import FactoredNetwork

KINDS = [
    {"outer_size": None, "sketch": "srht"},
    {"outer_size": None, "sketch": "gaussian"},
    {"outer_size": 24, "sketch": "srht"},
    {"outer_size": 128, "sketch": "srht"},
    {"outer_size": 24, "sketch": "gaussian"},
]


@pytest.fixture(params=KINDS, ids=lambda kind: f"k={kind['outer_size']}, {kind['sketch']}")
def kind(request):
    return request.param


def a_network(kind, dtype=np.float64, **options):
    options = {"width": 150, "inner_size": 9, "n_outputs": 3, "rng": 1, **kind, **options}
    return FactoredNetwork(20, dtype=dtype, **options)


@pytest.mark.parametrize("activation", [ReLU(), ShiftedReLU(0.5), ThresholdedReLU(0.4)], ids=str)
def test_outputs_and_jacobian_are_those_of_the_dense_product(rng, dtype, kind, activation):
    network = a_network(kind, dtype, activation=activation)
    dense, X = Factored.of(network), rng.standard_normal((13, 20)).astype(dtype)
    tolerance = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(network.outputs(X), dense.outputs(X), atol=tolerance, rtol=0)
    J = [network.jacobian(X, output=c) for c in range(3)]
    rows = np.concatenate([np.einsum("ik,il->ikl", j.U, j.V).reshape(13, -1) for j in J])
    if dtype == np.float64:  # in float32 a neuron near its threshold may be on the other side
        np.testing.assert_allclose(rows, dense.jacobian(X), atol=1e-12, rtol=0)
    assert J[0].dtype == dtype


def test_given_weights_take_the_place_of_the_drawn_ones(rng, kind):
    network, X = a_network(kind), rng.standard_normal((5, 20))
    weights = rng.standard_normal(network.weights.shape)
    dense = Factored.of(network)
    dense.B = weights
    f = network.outputs(X, weights)
    np.testing.assert_allclose(f, dense.outputs(X), atol=1e-12)
    centred = network.outputs(X, weights, centred=True)
    np.testing.assert_allclose(centred, f - network.outputs(X), atol=1e-14)
    U = network.jacobian(X, weights).U
    np.testing.assert_allclose(np.einsum("ik,il->ikl", U, X @ dense.C.T).reshape(5, -1),
                               dense.jacobian(X)[:5], atol=1e-12)  # fmt: skip


def test_blocks_of_points_do_not_show(rng, kind, monkeypatch):
    from subquad.networks import _factored, _factored_layer

    network, X = a_network(kind), rng.standard_normal((41, 20))
    whole, U = network.outputs(X), network.jacobian(X).U
    monkeypatch.setattr(_factored, "_POINTS_PER_BLOCK", 16)
    monkeypatch.setattr(_factored_layer, "_BLOCK_BYTES", 1)
    monkeypatch.setattr(_factored_layer, "_ENTRIES_PER_CALL", 1)
    np.testing.assert_allclose(network.outputs(X), whole, rtol=1e-13, atol=1e-14)
    np.testing.assert_allclose(network.jacobian(X).U, U, rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("outer_size", [1, 16, 100, 150])
def test_the_stack_of_transforms_has_unit_rows_and_orthogonal_blocks(outer_size):
    A = a_network({}, outer_size=outer_size, width=300).outer_matrix()
    p = 1 << (outer_size - 1).bit_length()
    assert A.shape == (300, outer_size)
    np.testing.assert_allclose(np.abs(A), outer_size**-0.5)
    if p == outer_size:
        np.testing.assert_allclose(A[:p] @ A[:p].T, np.eye(p), atol=1e-12)
    whole = A[: 300 // p * p]  # whole blocks: columns are orthogonal, as those of an SRHT
    expected = len(whole) / outer_size * np.eye(outer_size)
    np.testing.assert_allclose(whole.T @ whole, expected, atol=1e-12)


def test_blocks_of_the_stack_have_signs_of_their_own():
    A = a_network({}, outer_size=64, width=640).outer_matrix().reshape(10, 64, 64)
    # Rows of different blocks: inner products of mean 0 and variance 1 / k. The mean square of
    # 45 * 64^2 of them has standard error 2.3e-3 / 64 at most (blocks of 64 share signs): .15 / k
    # is more than 6 standard errors, were all 45 pairs of blocks one number each.
    pairs = [A[i] @ A[j].T for i in range(10) for j in range(i)]
    assert abs(64 * np.mean(np.square(pairs)) - 1) < 0.15
    assert abs(np.mean(pairs)) < 6 / 8 / np.sqrt(45)


@pytest.mark.parametrize("sketch", ["srht", "gaussian"])
@pytest.mark.parametrize("outer_size", [None, 64])
def test_the_variance_of_an_output_is_half_the_square_of_the_input(sketch, outer_size):
    # 20 networks of 50 outputs: the sample variance has a relative standard error of at most
    # sqrt(2 / 1000) from the readouts, sqrt(2 / 16 / 20) from ||C x||^2 and sqrt(5 / 64 / 20) from
    # B and A, together .11. .45 is 4 of them (false alarm 6e-5, and the draws are fixed); with
    # the printed variances it would be off by a factor of 4 or more.
    x = np.random.default_rng(0).standard_normal((1, 16))
    sizes = {"width": 128, "inner_size": 16, "outer_size": outer_size, "n_outputs": 50}
    f = [FactoredNetwork(16, sketch=sketch, rng=r, **sizes).outputs(x) for r in range(20)]
    assert abs(2 * np.mean(np.square(f)) / np.sum(x**2) - 1) < 0.45


def test_the_same_seed_draws_the_same_network(kind):
    one, other = a_network(kind), pickle.loads(pickle.dumps(a_network(kind)))
    X = np.random.default_rng(0).standard_normal((4, 20))
    np.testing.assert_array_equal(one.outputs(X), other.outputs(X))
    assert not np.array_equal(one.outputs(X), a_network(kind, rng=2).outputs(X))


def test_threads_do_not_change_outputs(kind, n_threads):
    network = a_network(kind, width=16384, n_outputs=1)
    X = np.random.default_rng(0).standard_normal((600, 20))
    one = network.outputs(X, n_threads=1)
    np.testing.assert_array_equal(network.outputs(X, n_threads=n_threads), one)


def test_inputs_of_any_layout_are_accepted_and_left_alone(rng, kind):
    network, X = a_network(kind), rng.standard_normal((6, 20))
    expected, read_only = network.outputs(X), X.copy()
    read_only.flags.writeable = False
    for given in (np.asfortranarray(X), X.astype(">f8"), np.repeat(X, 2, axis=1)[:, ::2],
                  read_only):  # fmt: skip
        np.testing.assert_array_equal(network.outputs(given), expected)
    sparse = network.outputs(scipy.sparse.csr_array(X))
    np.testing.assert_allclose(sparse, expected, rtol=1e-12, atol=1e-13)
    assert network.outputs(X.astype(np.float32)).shape == (6, 3)


def test_a_single_point_feature_and_neuron(dtype):
    network = FactoredNetwork(1, width=1, inner_size=1, outer_size=1, rng=3, dtype=dtype)
    x = np.array([[2.0]], dtype)
    np.testing.assert_allclose(network.outputs(x), Factored.of(network).outputs(x), rtol=1e-6)


def test_it_knows_its_sizes():
    network = a_network({"outer_size": 24}, np.float32)
    assert (network.n_outputs, network.n_parameters, network.dtype) == (3, 24 * 9, np.float32)
    assert "outer_size=24" in repr(network)
    np.testing.assert_array_equal(a_network({}).outer_matrix(), np.eye(150))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"inner_size": 21}, ValueError, "inner_size must be at most n_features=20.*got 21"),
        ({"outer_size": 151}, ValueError, "outer_size must be at most width=150.*got 151"),
        ({"inner_size": 0}, ValueError, "inner_size must be at least 1; got 0"),
        ({"outer_size": 0}, ValueError, "outer_size must be at least 1; got 0"),
        ({"outer_size": 2.5}, TypeError, "outer_size must be an integer"),
        ({"width": None}, TypeError, "width must be an integer"),
        (
            {"sketch": "count"},
            ValueError,
            "sketch must be 'srht', 'gaussian' or 'fjlt'; got 'count'",
        ),
        ({"activation": "relu"}, TypeError, "activation must be one of subquad.activations"),
        ({"dtype": np.int32}, TypeError, "dtype must be float32 or float64"),
        ({"rng": -1}, ValueError, "rng must be a non-negative seed"),
        ({"width": 2**31 - 1, "inner_size": 20}, MemoryError, "must fit in memory; needs .* bytes"),
    ],
)
def test_impossible_networks_are_refused_by_name(options, error, message, monkeypatch):
    import subquad._validation

    monkeypatch.setattr(subquad._validation, "available_memory", lambda: 2**33)
    with pytest.raises(error, match=message):
        a_network({}, **options)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.full((2, 20), np.nan), "X must be finite"),
        (np.ones((2, 19)), r"X must have shape \(any, 20\); got \(2, 19\)"),
        (np.ones(20), r"X must have shape \(any, 20\)"),
        (np.ones((0, 20)), "X must have at least 1 row"),
        (scipy.sparse.csr_array(np.ones((2, 19))), r"X must have shape \(any, 20\)"),
    ],
)
def test_impossible_inputs_are_refused_by_name(X, message):
    network = a_network({"outer_size": 24})
    for call in (network.outputs, network.features, network.jacobian):
        with pytest.raises(ValueError, match=message):
            call(X)


def test_weights_of_another_shape_are_refused():
    network, X = a_network({"outer_size": 24}), np.ones((2, 20))
    with pytest.raises(ValueError, match=r"weights must have shape \(24, 9\)"):
        network.outputs(X, np.ones((9, 24)))
    with pytest.raises(ValueError, match="output must be at most 2; got 3"):
        network.jacobian(X, output=3)
