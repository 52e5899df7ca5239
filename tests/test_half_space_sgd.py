"""Half-space SGD is SGD on all neurons, step by step; and what it promises beside."""

import itertools
import pickle

import numpy as np
import pytest
import reference_half_space_sgd as reference

from subquad.networks import PairedNetwork
from subquad.training import HalfSpaceSGD, TrainingWarning

METHODS = ["auto", "tree", "scan", None]


def polynomial(X):
    return 4 * X[:, 0] * X[:, 1] + X[:, -1]


def stream(rng, n_steps, d=3, b=8, n_outputs=1):
    """Mini-batches of a polynomial, and of its powers as further outputs."""
    for _ in range(n_steps):
        X = reference.sphere(b, d, rng)
        yield X, np.column_stack([polynomial(X) ** (c + 1) for c in range(n_outputs)])


def network(d=3, **options):
    return PairedNetwork(d, **{"width": 600, "scale": 2.0, "rng": 1, **options})


def readout(net):
    return net.scale * net.signs.astype(float)


@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("d", [2, 3, 6, 12])
@pytest.mark.parametrize("report", METHODS)
def test_every_step_is_the_one_of_dense_sgd(rng, report, d, n_outputs):
    net = network(d, n_outputs=n_outputs)
    trainer = HalfSpaceSGD(net, learning_rate=2.0, report=report)
    W = net.weights.copy()
    for X, y in stream(rng, 20, d, n_outputs=n_outputs):
        W, loss = reference.sgd_step(W, readout(net), net.shift, net.scale, 2.0, X, y)
        record = trainer.step(X, y)
        assert record.loss == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(trainer.weights, W, rtol=0, atol=1e-12 * np.abs(W).max())
    X = reference.sphere(50, d, rng)
    expected = reference.outputs(W, readout(net), net.shift, X)
    np.testing.assert_allclose(trainer.outputs(X), expected, rtol=0, atol=1e-10)
    np.testing.assert_allclose(net.outputs(X, trainer.weights), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("report", METHODS)
def test_kernel_dynamics_are_sgd_on_the_tangent_features(rng, report):
    net = network(n_outputs=2)
    trainer = HalfSpaceSGD(net, dynamics="kernel", report=report)
    V = np.zeros_like(net.weights)
    for X, y in stream(rng, 20, n_outputs=2):
        V, loss = reference.tangent_step(
            V, net.weights, readout(net), net.shift, net.scale, 1.0, X, y
        )
        assert trainer.step(X, y).loss == pytest.approx(loss, rel=1e-9)
    np.testing.assert_allclose(trainer.weights, net.weights + V, rtol=0, atol=1e-12)
    X = reference.sphere(50, 3, rng)
    expected = reference.tangent_outputs(V, net.weights, readout(net), net.shift, X)
    np.testing.assert_allclose(trainer.outputs(X), expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("dynamics", ["network", "kernel"])
@pytest.mark.parametrize("start", [0, 7])
def test_an_average_is_the_mean_of_the_iterates(rng, dynamics, start):
    net = network()
    last = HalfSpaceSGD(net, dynamics=dynamics)
    mean = HalfSpaceSGD(net, dynamics=dynamics, average_from=start)
    X_test = reference.sphere(20, 3, rng)
    iterates = []
    for X, y in stream(rng, 15):
        last.step(X, y)
        mean.step(X, y)
        iterates.append(last.weights)
        averaged = np.mean(iterates[start:] or iterates[-1:], axis=0)
        np.testing.assert_allclose(mean.weights, averaged, rtol=0, atol=1e-12)
    if dynamics == "network":
        expected = net.outputs(X_test, averaged)
        np.testing.assert_allclose(mean.outputs(X_test), expected, rtol=0, atol=1e-10)
    before = mean.outputs(X_test)
    mean.step(*next(stream(rng, 1)))
    assert not np.array_equal(mean.outputs(X_test), before)


def test_float32_follows_float64(rng):
    batches = list(stream(rng, 30))
    single, double = (
        HalfSpaceSGD(network(dtype=dtype)).run([(X.astype(dtype), y) for X, y in batches])
        for dtype in (np.float32, np.float64)
    )
    assert single.weights.dtype == np.float32
    np.testing.assert_allclose(
        [r.loss for r in single.history], [r.loss for r in double.history], rtol=1e-3
    )


@pytest.mark.parametrize("report", METHODS)
@pytest.mark.parametrize("dynamics", ["network", "kernel"])
def test_number_of_threads_does_not_change_a_bit(rng, dtype, n_threads, report, dynamics):
    # Wide enough for the threads to be used.
    options = {"report": report, "dynamics": dynamics, "average_from": 1}
    net = network(n_outputs=2, dtype=dtype, width=1 << 16, shift=1.0)
    batches = [(X.astype(dtype), y) for X, y in stream(rng, 3, b=40, n_outputs=2)]
    one, more = (HalfSpaceSGD(net, n_threads=k, **options).run(batches) for k in (1, n_threads))
    np.testing.assert_array_equal(one.weights, more.weights)
    assert one.history == more.history
    np.testing.assert_array_equal(one.outputs(batches[0][0]), more.outputs(batches[0][0]))


def test_records_say_what_happened(rng):
    net = network(width=2000)
    seen = []
    trainer = HalfSpaceSGD(net, count_flips=True, callback=seen.append)
    for X, y in stream(rng, 10):
        before = X @ trainer.weights.T >= net.shift
        W = trainer.weights
        record = trainer.step(X, y)
        after = X @ trainer.weights.T >= net.shift
        assert record.flips == np.count_nonzero(before != after)
        assert record.fired_fraction == before.mean()
        assert record.moved_fraction == (trainer.weights != W).any(axis=1).mean()
        assert set(record.seconds) == {"query", "forward", "update", "report", "total"}
        assert record.tested_fraction is None or 0 < record.tested_fraction <= 1
    assert trainer.history == seen
    assert [r.step for r in seen] == list(range(1, 11))
    assert sum(r.flips for r in seen) > 0


def test_flips_are_counted_only_if_asked(rng):
    assert HalfSpaceSGD(network()).run(stream(rng, 1)).history[0].flips is None
    kernel = HalfSpaceSGD(network(), dynamics="kernel", count_flips=True).run(stream(rng, 3))
    assert [r.flips for r in kernel.history] == [0, 0, 0]


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_the_automatic_rate_is_half_of_what_gradient_descent_on_the_batch_bears(rng, n_outputs):
    net = network(d=4, n_outputs=n_outputs)
    X, y = next(stream(rng, 1, d=4, b=12, n_outputs=n_outputs))
    trainer = HalfSpaceSGD(net, learning_rate="auto", dynamics="kernel")
    assert trainer.learning_rate is None
    trainer.step(X, y)
    # The Jacobian of the first output with respect to W, point by point.
    D = X @ net.weights.T >= net.shift
    J = (D * net.signs[:, 0])[:, :, None] * X[:, None] * net.scale / np.sqrt(net.width)
    J = J.reshape(12, -1)
    largest = np.linalg.eigvalsh(J @ J.T)[-1] / (net.scale**2 * net.firing_probability)
    assert trainer.learning_rate == pytest.approx(12 / largest, rel=1e-9)
    losses = [trainer.step(X, y).loss for _ in range(50)]
    assert all(b <= a for a, b in itertools.pairwise(losses))
    twice = HalfSpaceSGD(net, learning_rate=2.2 * trainer.learning_rate, dynamics="kernel")
    grown = [twice.step(X, y).loss for _ in range(200)]
    assert grown[-1] > grown[0]


def test_the_automatic_rate_of_a_silent_batch_is_one():
    trainer = HalfSpaceSGD(network(), learning_rate="auto")
    trainer.step(np.zeros((2, 3)), np.ones(2))
    assert trainer.learning_rate == 1.0


def test_arrays_are_shuffled_by_the_seed_and_streams_are_not(rng):
    X = reference.sphere(50, 3, rng)
    y = polynomial(X)
    a, b, c = (
        HalfSpaceSGD(network(), batch_size=16, rng=seed).run(X, y, n_epochs=2) for seed in (0, 0, 1)
    )
    assert a.n_steps == 8
    np.testing.assert_array_equal(a.weights, b.weights)
    assert not np.array_equal(a.weights, c.weights)
    in_order = HalfSpaceSGD(network(), batch_size=16).partial_fit(X, y)
    streamed = HalfSpaceSGD(network()).run((X[i : i + 16], y[i : i + 16]) for i in range(0, 50, 16))
    np.testing.assert_array_equal(in_order.weights, streamed.weights)


def test_max_steps_ends_an_endless_stream(rng):
    def endless():
        while True:
            yield from stream(rng, 1)

    trainer = HalfSpaceSGD(network())
    assert trainer.run(endless(), max_steps=5).n_steps == 5
    assert trainer.run(endless(), max_steps=0).n_steps == 5


@pytest.mark.parametrize("options", [{}, {"average_from": 3}, {"dynamics": "kernel"}], ids=str)
def test_pickled_trainers_go_on_the_same(rng, options):
    X = reference.sphere(64, 3, rng)
    y = polynomial(X)
    trainer = HalfSpaceSGD(network(), rng=3, **options).run(X, y, n_epochs=3)
    copy = pickle.loads(pickle.dumps(trainer))
    for each in (trainer, copy):
        each.run(X, y, n_epochs=2)
    np.testing.assert_array_equal(copy.weights, trainer.weights)
    np.testing.assert_array_equal(copy.outputs(X), trainer.outputs(X))


@pytest.mark.parametrize("report", METHODS)
def test_an_interrupted_run_keeps_its_iterate_and_goes_on(rng, report):
    def interrupting(record):
        if record.step == 4:
            raise KeyboardInterrupt

    batches = list(stream(rng, 8))
    trainer = HalfSpaceSGD(network(), report=report, callback=interrupting)
    with pytest.raises(KeyboardInterrupt):
        trainer.run(batches)
    assert trainer.n_steps == len(trainer.history) == 4
    trainer.run(batches[4:])
    whole = HalfSpaceSGD(network(), report=report).run(batches)
    np.testing.assert_array_equal(trainer.weights, whole.weights)


@pytest.mark.parametrize("method", ["tree", "scan"])
def test_a_report_that_missed_a_move_is_built_anew(rng, method, monkeypatch):
    batches = list(stream(rng, 6))
    trainer = HalfSpaceSGD(network(), report=method).run(batches[:3])

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(trainer._rows._fired._report), "_move", interrupted)
        with pytest.raises(KeyboardInterrupt):
            trainer.step(*batches[3])
    trainer.run(batches[4:])
    whole = HalfSpaceSGD(network(), report=method).run(batches)
    np.testing.assert_allclose(trainer.weights, whole.weights, rtol=0, atol=1e-13)


def test_a_run_that_diverges_stops_with_a_warning(rng):
    trainer = HalfSpaceSGD(network(), learning_rate=1000.0)
    with pytest.warns(TrainingWarning, match=r"grown to .* Lower learning_rate"):
        trainer.run(stream(rng, 10_000))
    assert trainer.diverged
    assert trainer.n_steps < 10_000
    assert np.isfinite(trainer.weights).all()


def test_a_step_that_overflows_is_refused_and_changes_nothing(rng):
    trainer = HalfSpaceSGD(network())
    X, _ = next(stream(rng, 1))
    with pytest.raises(FloatingPointError, match="Lower learning_rate"):
        trainer.step(X, np.full((8, 1), 1e200))
    np.testing.assert_array_equal(trainer.weights, trainer.network.weights)


def test_points_at_which_no_neuron_fires_move_nothing():
    trainer = HalfSpaceSGD(network())
    record = trainer.step(np.zeros((2, 3)), np.ones(2))
    assert (record.fired_fraction, record.moved_fraction) == (0, 0)
    np.testing.assert_array_equal(trainer.weights, trainer.network.weights)


def test_inputs_of_any_layout_are_accepted_and_left_alone(rng):
    X, y = next(stream(rng, 1, b=20))
    plain = HalfSpaceSGD(network()).partial_fit(X, y).weights
    wide = np.zeros((20, 6))
    wide[:, ::2] = X
    variants = [np.asfortranarray(X), wide[:, ::2], X.astype(">f8")]
    for other in variants:
        other.flags.writeable = False
        np.testing.assert_array_equal(HalfSpaceSGD(network()).partial_fit(other, y).weights, plain)


def test_too_few_neurons_are_warned_of():
    with pytest.warns(TrainingWarning, match="width must let more neurons fire: 2.3 are expected"):
        HalfSpaceSGD(network(width=100, shift=2.0))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"learning_rate": 0.0}, ValueError, "learning_rate must be greater than 0"),
        ({"learning_rate": "fast"}, ValueError, "learning_rate must be 'auto' or a number"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1"),
        ({"dynamics": "ntk"}, ValueError, "dynamics must be 'network' or 'kernel'; got 'ntk'"),
        ({"report": "ball"}, ValueError, "report must be 'auto', 'tree', 'scan' or None"),
        ({"average_from": -1}, ValueError, "average_from must be at least 0"),
        ({"callback": 3}, TypeError, "callback must be callable"),
        ({"rng": "seed"}, TypeError, "rng must be None, an integer seed"),
    ],
    ids=str,
)
def test_arguments_are_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        HalfSpaceSGD(network(), **options)


def test_data_are_refused_by_name():
    trainer = HalfSpaceSGD(network())
    with pytest.raises(TypeError, match="network must be a PairedNetwork; got str"):
        HalfSpaceSGD("network")
    with pytest.raises(ValueError, match=r"X must have shape \(any, 3\)"):
        trainer.step(np.ones((2, 4)), np.ones(2))
    with pytest.raises(ValueError, match=r"y must have shape \(2,\)"):
        trainer.step(np.ones((2, 3)), np.ones(3))
    with pytest.raises(ValueError, match="X must be finite"):
        trainer.step(np.full((2, 3), np.nan), np.ones(2))
    with pytest.raises(TypeError, match="X must be an array with a y, or yield pairs"):
        trainer.run(3)
    with pytest.raises(TypeError, match=r"X must yield pairs \(X, y\); got ndarray"):
        trainer.run(np.ones((2, 3)))
    assert trainer.n_steps == 0
