"""LowRankMaintenance answers as the dense matrix it stands for, whatever was asked before."""

import contextvars
import copy
import math
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import scipy.sparse
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

import subquad._factors
import subquad._validation
from subquad._kernels import low_rank
from subquad.jacobian import KhatriRao
from subquad.lowrank import LowRankMaintenance
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton
from subquad.weights import DenseWeights

# Relative to everything that was ever added in absolute value.
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-14}
SIZES = st.integers(1, 12)
BUDGETS = st.one_of(st.none(), st.just(math.inf), st.integers(1, 30))


@pytest.fixture
def rng():
    return np.random.default_rng(13)


def factors(rng, rank, shape, dtype=float):
    return tuple(rng.standard_normal((rank, size)).astype(dtype) for size in shape)


class Interleaving(RuleBasedStateMachine):
    """Any order of operations, against a float64 matrix that is updated at once."""

    @initialize(
        m_out=SIZES,
        m_in=SIZES,
        dtype=st.sampled_from([np.float32, np.float64]),
        rank_budget=BUDGETS,
        when_full=st.sampled_from(["flush", "recompress"]),
        seed=st.integers(0, 2**32 - 1),
    )
    def start(self, m_out, m_in, dtype, rank_budget, when_full, seed):
        self.rng, self.dtype = np.random.default_rng(seed), dtype
        matrix = self.rng.standard_normal((m_out, m_in)).astype(dtype)
        self.lrm = LowRankMaintenance(matrix, rank_budget=rank_budget, when_full=when_full)
        self.dense, self.scale = matrix.astype(float), np.abs(matrix).sum()

    def compare(self, result, expected, scale=1.0):
        assert result.dtype == self.dtype
        assert result.shape == expected.shape
        tolerance = TOLERANCE[self.dtype] * self.scale * scale
        np.testing.assert_allclose(result, expected, rtol=0, atol=tolerance)

    def rows(self, n, size, density):
        Y = self.rng.standard_normal((n, size)) * (self.rng.random((n, size)) < density)
        return Y.astype(self.dtype)

    @rule(rank=st.integers(0, 20), sparse=st.booleans())
    def update(self, rank, sparse):
        U, V = factors(self.rng, rank, self.lrm.shape, self.dtype)
        self.dense += U.T.astype(float) @ V
        self.scale += (np.abs(U).T @ np.abs(V)).sum()
        if sparse and rank:
            U = scipy.sparse.csr_array(U)
        self.lrm.update(U, V)
        assert self.lrm.rank < self.lrm.rank_budget

    @rule()
    def flush(self):
        self.lrm.flush()
        assert self.lrm.rank == 0
        self.compare(self.lrm.weights.to_dense(), self.dense)

    @rule()
    def recompress(self):
        before = self.lrm.rank
        self.lrm.recompress()
        assert self.lrm.rank <= min(before, *self.lrm.shape)

    @rule(n=st.integers(1, 4), density=st.floats(0, 1), sparse=st.booleans())
    def query(self, n, density, sparse):
        Y = self.rows(n, self.lrm.shape[1], density)
        expected, scale = Y.astype(float) @ self.dense.T, np.abs(Y).max()
        self.compare(self.lrm.query(scipy.sparse.csr_array(Y) if sparse else Y), expected, scale)

    @rule(n=st.integers(1, 4), density=st.floats(0, 1), sparse=st.booleans())
    def query_transposed(self, n, density, sparse):
        X = self.rows(n, self.lrm.shape[0], density)
        expected, scale = X.astype(float) @ self.dense, np.abs(X).max()
        form = scipy.sparse.csr_array if sparse else np.asarray
        self.compare(self.lrm.query_transposed(form(X)), expected, scale)

    @rule()
    def pickle(self):
        self.lrm = pickle.loads(pickle.dumps(self.lrm))

    @rule()
    def to_dense(self):
        self.compare(self.lrm.to_dense(), self.dense)

    @precondition(lambda self: hasattr(self, "lrm"))
    @rule()
    def factors_and_weights_add_up(self):
        U, V = self.lrm.factors
        assert len(U) == len(V) == self.lrm.rank
        self.compare(self.lrm.weights.to_dense() + U.T @ V, self.dense)


TestInterleaving = Interleaving.TestCase
TestInterleaving.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, derandomize=True
)


@pytest.mark.parametrize("rank_budget", [1, 2, 6, 7, math.inf])
def test_the_rank_grows_until_it_reaches_the_budget_and_is_flushed(rank_budget, rng):
    lrm = LowRankMaintenance(np.zeros((20, 9)), rank_budget=rank_budget)
    expected = 0
    for rank in (1, 2, 0, 3, 1, 15, 1):
        lrm.update(*factors(rng, rank, (20, 9)))
        expected = 0 if expected + rank >= rank_budget else expected + rank
        assert lrm.rank == expected


def test_an_update_touches_no_weights_before_the_budget_is_reached(rng):
    lrm = LowRankMaintenance(rng.standard_normal((20, 9)), rank_budget=5)
    before = lrm.weights.to_dense()
    for _ in range(4):
        lrm.update(*factors(rng, 1, (20, 9)))
        np.testing.assert_array_equal(lrm.weights.to_dense(), before)
    lrm.update(*factors(rng, 1, (20, 9)))
    assert (lrm.weights.to_dense() != before).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (7, 4)])
def test_a_structure_without_change_is_its_matrix_exactly(shape, rng):
    matrix = rng.standard_normal(shape)
    lrm = LowRankMaintenance(matrix)
    lrm.update(np.empty((0, shape[0])), np.empty((0, shape[1])))
    lrm.recompress()
    lrm.flush()
    U, V = lrm.factors
    assert (lrm.rank, U.shape, V.shape) == (0, (0, shape[0]), (0, shape[1]))
    np.testing.assert_array_equal(lrm.to_dense(), matrix)
    Y, X = rng.standard_normal((3, shape[1])), rng.standard_normal((3, shape[0]))
    np.testing.assert_array_equal(lrm.query(Y), DenseWeights(matrix).apply(Y))
    np.testing.assert_array_equal(lrm.query_transposed(X), DenseWeights(matrix).apply_transposed(X))


def test_the_budget_is_an_eighth_of_the_smaller_size_by_default():
    for shape, budget in [((64, 100), 8), ((100, 31), 3), ((7, 7), 1)]:
        assert LowRankMaintenance(np.zeros(shape)).rank_budget == budget


def test_neither_arrays_nor_weights_are_written_to(rng):
    matrix = rng.standard_normal((6, 5))
    before, weights = matrix.copy(), DenseWeights(matrix)
    U, V = factors(rng, 2, (6, 5))
    for factor in (U, V):
        factor.flags.writeable = False
    for W, at_once in [(matrix, False), (weights, True), (weights, False)]:
        lrm = LowRankMaintenance(W, rank_budget=2, copy=at_once)
        lrm.update(U, V)
        np.testing.assert_allclose(lrm.weights.to_dense(), before + U.T @ V, atol=1e-14)
    np.testing.assert_array_equal(weights.to_dense(), before)
    np.testing.assert_array_equal(matrix, before)


def test_weights_are_held_once_until_the_first_flush(rng):
    weights = DenseWeights(rng.standard_normal((6, 5)))
    assert LowRankMaintenance(weights).weights is weights
    assert LowRankMaintenance(weights, copy=True).weights is not weights


def test_weights_that_were_handed_out_stay_as_they_are(rng):
    lrm = LowRankMaintenance(rng.standard_normal((6, 5)), rank_budget=2)
    handed_out, before = lrm.weights, lrm.to_dense()
    other = LowRankMaintenance(handed_out, rank_budget=2)
    twin, stored = copy.copy(lrm), pickle.loads(pickle.dumps(lrm))
    lrm.update(*factors(rng, 2, (6, 5)))
    changed = lrm.to_dense()
    for kept in (handed_out, other, twin, stored):
        np.testing.assert_array_equal(kept.to_dense(), before)
    twin.update(*factors(rng, 2, (6, 5)))
    np.testing.assert_array_equal(lrm.to_dense(), changed)


def test_one_owner_flushes_in_place(rng):
    lrm = LowRankMaintenance(rng.standard_normal((6, 5)), rank_budget=2)
    memory = lrm._weights._columns
    for _ in range(3):
        lrm.update(*factors(rng, 2, (6, 5)))
    assert lrm._weights._columns is memory


def test_a_network_predicts_with_the_factors_of_a_trainer_that_flushed():
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((64, 16)), rng.standard_normal(64)
    network = WideNetwork(16, width=256, rng=5)
    kept = LowRankMaintenance(network.weights[-1], rank_budget=8)
    trainer = LastLayerGaussNewton(network.last_layer(X), y, maintenance=kept).run()
    assert trainer.converged
    outputs = network.outputs(X, trainer.factors)
    np.testing.assert_allclose(outputs.ravel(), y, rtol=0, atol=1e-8 * np.linalg.norm(y))


def test_a_copy_that_does_not_fit_is_refused_and_the_change_is_kept(rng, monkeypatch):
    lrm = LowRankMaintenance(DenseWeights(rng.standard_normal((60, 50))), rank_budget=9)
    U, V = factors(rng, 2, (60, 50))
    lrm.update(U, V)
    before = lrm.to_dense()
    with monkeypatch.context() as patch:
        patch.setattr(subquad._validation, "available_memory", lambda: 1000)
        with pytest.raises(MemoryError, match="A 60 x 50 weight matrix in float64 must fit"):
            lrm.flush()
    np.testing.assert_array_equal(lrm.to_dense(), before)
    lrm.flush()
    np.testing.assert_allclose(lrm.to_dense(), before, atol=1e-13)


def test_arrays_mapped_read_only_can_be_updated_and_flushed(rng):
    lrm = LowRankMaintenance(rng.standard_normal((6, 5)), rank_budget=9)
    lrm.update(*factors(rng, 2, (6, 5)))
    before = lrm.to_dense()
    arrays = []
    stored = pickle.dumps(lrm, protocol=5, buffer_callback=arrays.append)
    mapped = pickle.loads(stored, buffers=[bytes(array.raw()) for array in arrays])
    assert not mapped.weights._columns.flags.writeable
    mapped.flush()
    mapped.update(*factors(rng, 2, (6, 5)))
    mapped.weights.add_low_rank(*factors(rng, 2, (6, 5)))
    np.testing.assert_array_equal(lrm.to_dense(), before)


# ---- threads of Python
@pytest.mark.parametrize("rank_budget", [1, 7, math.inf])
@pytest.mark.parametrize("when_full", ["flush", "recompress"])
def test_concurrent_updates_are_all_kept_and_queries_see_whole_ones(rank_budget, when_full):
    lrm = LowRankMaintenance(np.zeros((30, 20)), rank_budget=rank_budget, when_full=when_full)
    U, V, Y = np.ones((1, 30)), np.ones((1, 20)), np.eye(20)[:1]

    def write(_):
        for _ in range(100):
            lrm.update(U, V)

    def read(_):
        for _ in range(100):
            counts = lrm.query(Y).ravel()
            assert np.ptp(counts) < 1e-8
            assert abs(counts[0] - round(counts[0])) < 1e-8
            assert len(set(map(len, lrm.factors))) == 1

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(6) as pool:
            for done in [pool.submit(f, i) for i in range(3) for f in (write, read)]:
                done.result()
    finally:
        sys.setswitchinterval(interval)
    np.testing.assert_allclose(lrm.to_dense(), 300.0, rtol=1e-10)


def test_factors_are_copies(rng):
    lrm = LowRankMaintenance(np.zeros((6, 5)), rank_budget=9)
    lrm.update(*factors(rng, 2, (6, 5)))
    before = lrm.to_dense()
    for factor in lrm.factors:
        factor[:] = np.nan
    np.testing.assert_array_equal(lrm.to_dense(), before)


def test_pickles_hold_no_rows_in_reserve(rng):
    lrm = LowRankMaintenance(np.zeros((40, 30)), rank_budget=math.inf)
    for rank in (1000, 1):
        lrm.update(*factors(rng, rank, (40, 30)))
    assert len(lrm._change._U) > 1400
    lrm.recompress()
    assert len(pickle.dumps(lrm)) < 1.2 * 8 * (40 * 30 + 30 * (40 + 30))


def test_an_interrupted_flush_loses_nothing(rng, monkeypatch):
    matrix, (U, V) = rng.standard_normal((30, 12)), factors(rng, 4, (30, 12))
    expected = matrix + U.T @ V
    flush, calls = subquad._factors.low_rank.flush, []

    def interrupted(columns, U, V):
        flush(columns, U, V)
        calls.append(len(columns))
        if len(calls) == 2:
            raise KeyboardInterrupt  # where CPython delivers it: after the call

    monkeypatch.setattr("subquad._products._MULTIPLY_ADDS_PER_CALL", 5 * 4 * 30)
    lrm = LowRankMaintenance(matrix, rank_budget=9)
    lrm.update(U, V)
    with monkeypatch.context() as patch:
        patch.setattr(subquad._factors.low_rank, "flush", interrupted)
        with pytest.raises(KeyboardInterrupt):
            lrm.flush()
    assert calls == [5, 5]  # of 12 inputs
    assert lrm.rank == 4
    np.testing.assert_allclose(lrm.to_dense(), expected, atol=1e-14)
    lrm.flush()
    np.testing.assert_allclose(lrm.weights.to_dense(), expected, atol=1e-14)


def interrupt_at(step):
    """Return a trace function that raises KeyboardInterrupt at the step-th opcode of `_factors`."""
    left = [step]

    def trace(frame, event, _):
        if frame.f_code.co_filename != subquad._factors.__file__:
            return trace if event == "call" else None
        frame.f_trace_opcodes = True
        if event == "opcode":
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
        return trace

    return trace


def test_sparse_factors_are_flushed_entry_by_entry(rng, dtype, monkeypatch):
    calls = []
    monkeypatch.setattr(low_rank, "flush", lambda *arguments: calls.append("dense"))
    monkeypatch.setattr(low_rank, "flush_thin", lambda *arguments: calls.append("dense"))
    matrix = rng.standard_normal((90, 70)).astype(dtype)
    U, V = (
        rng.standard_normal((80, size)).astype(dtype) * (rng.random((80, size)) < 0.05)
        for size in matrix.shape
    )
    lrm = LowRankMaintenance(matrix, rank_budget=math.inf)
    lrm.update(U, V)
    lrm.flush()
    assert not calls
    expected = matrix + U.T.astype(float) @ V
    tolerance = 100 * np.finfo(dtype).eps
    np.testing.assert_allclose(lrm.to_dense(), expected, rtol=tolerance, atol=tolerance)


def single_entries(rng, rank, shape):
    """Factors with one nonzero in each row."""
    U, V = (np.zeros((rank, size)) for size in shape)
    for factor in (U, V):
        factor[range(rank), rng.permutation(factor.shape[1])[:rank]] = rng.standard_normal(rank)
    return U, V


@pytest.mark.parametrize("method", ["update", "recompress", "flush"])
@pytest.mark.parametrize("made", [factors, single_entries], ids=["full", "sparse"])
def test_factors_interrupted_anywhere_stay_pairs(method, made, rng):
    U, V = made(rng, 3, (12, 9))
    for step in range(1, 400):
        lrm = LowRankMaintenance(np.zeros((12, 9)), rank_budget=math.inf)
        lrm.update(U, V)
        arguments = (U, V) if method == "update" else ()
        # An exception on the way out of `np.errstate` leaves its settings to the context it is in.
        tracer, context = sys.gettrace(), contextvars.copy_context()
        sys._getframe().f_trace_opcodes = True  # or CPython 3.12 traces none of later frames
        sys.settrace(interrupt_at(step))
        try:
            context.run(getattr(lrm, method), *arguments)
        except KeyboardInterrupt:
            interrupted = True
        else:
            interrupted = False
        finally:
            sys.settrace(tracer)
        count = np.linalg.norm(lrm.to_dense()) / np.linalg.norm(U.T @ V)
        assert min(abs(count - 1), abs(count - 2) if method == "update" else 9) < 1e-12
        assert len(set(map(len, lrm.factors))) == 1
        lrm.update(U, V)
        np.testing.assert_allclose(lrm.to_dense(), (count + 1) * (U.T @ V), atol=1e-12)
        if not interrupted:
            break
    assert step > 20
    assert not interrupted


# ---- recompression
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("true_rank", [0, 1, 5])
def test_recompression_finds_the_rank_of_the_change(dtype, true_rank, rng):
    U, V = factors(rng, true_rank, (50, 40), dtype)
    lrm = LowRankMaintenance(np.zeros((50, 40), dtype), rank_budget=math.inf)
    for _ in range(20):  # 80 rows: more than either size of the matrix
        lrm.update(rng.standard_normal((4, true_rank)) @ U, rng.standard_normal((4, true_rank)) @ V)
    before = lrm.to_dense()
    lrm.recompress()
    assert lrm.rank == true_rank
    error = np.linalg.norm(lrm.to_dense() - before)
    assert error <= 100 * np.finfo(dtype).eps * np.linalg.norm(before)


def test_recompression_with_a_tolerance_drops_the_tail_of_the_spectrum(rng):
    s = np.array([1.0, 1e-1, 1e-3, 1e-4, 1e-6])
    P, Q = (np.linalg.qr(rng.standard_normal((size, 5)))[0] for size in (30, 20))
    lrm = LowRankMaintenance(np.zeros((30, 20)), rank_budget=math.inf)
    lrm.update(s[:, None] * P.T, Q.T)
    before = lrm.to_dense()
    dropped = lrm.recompress(rtol=1e-3 * (1 - 1e-9))
    assert lrm.rank == 3
    error = np.linalg.norm(lrm.to_dense() - before)
    np.testing.assert_allclose(error, np.linalg.norm(s[3:]), rtol=1e-9)
    np.testing.assert_allclose(dropped, error, rtol=1e-9)
    assert lrm.truncation == dropped
    assert lrm.recompress(rtol=1e-2) > 0
    assert lrm.truncation >= np.linalg.norm(lrm.to_dense() - before)


def test_flushes_and_what_automatic_recompressions_drop_are_counted(rng):
    matrix = rng.standard_normal((40, 30))
    options = {"rank_budget": 8, "when_full": "recompress", "rtol": 0.5}
    lrm, expected = LowRankMaintenance(matrix, **options), matrix.copy()
    assert (lrm.n_flushes, lrm.truncation, lrm.recompress()) == (0, 0.0, 0.0)
    for scale in (1.0, 0.5, 0.3):
        U, V = factors(rng, 8, (40, 30))
        lrm.update(scale * U, V)
        expected += scale * U.T @ V
    distance = np.linalg.norm(lrm.to_dense() - expected)
    assert 0 < distance <= lrm.truncation * (1 + 1e-12)
    lrm.update(*factors(rng, 1, (40, 30)))
    before = lrm.n_flushes
    lrm.flush()
    lrm.flush()  # of nothing
    assert lrm.n_flushes == before + 1


def test_a_full_structure_recompresses_instead_of_flushing_while_that_makes_room(rng):
    matrix = rng.standard_normal((40, 30))
    U, V = factors(rng, 6, (40, 30))
    lrm = LowRankMaintenance(matrix, rank_budget=12, when_full="recompress")
    expected, before = matrix.copy(), lrm.weights.to_dense()
    for _ in range(30):
        mixing = rng.standard_normal((4, 6))
        lrm.update(mixing @ U, mixing @ V)
        expected += U.T @ (mixing.T @ mixing) @ V
    np.testing.assert_array_equal(lrm.weights.to_dense(), before)
    assert 6 <= lrm.rank < 12
    np.testing.assert_allclose(lrm.to_dense(), expected, atol=1e-11)
    lrm.update(*factors(rng, 12, (40, 30)))
    assert lrm.rank == 0


# ---- the two users in [SZZ24]
def fired(Z, shift):
    return Z > shift * np.sqrt(2.0 / Z.shape[1])


@pytest.mark.parametrize("rank_budget", [1, 8, 64, math.inf])
@pytest.mark.parametrize("when_full", ["flush", "recompress"])
def test_last_layer_gauss_newton_takes_the_same_path_for_every_budget(rank_budget, when_full, rng):
    """[SZZ24], Algorithm 2, by query and update, against W_L formed at every step."""
    n, m, shift = 12, 256, 0.7
    W = rng.standard_normal((m, m)) * np.sqrt(2.0 / m)
    H = np.maximum(rng.standard_normal((n, m)), 0.0)
    H /= np.linalg.norm(H, axis=1, keepdims=True)
    a, y = rng.choice([-1.0, 1.0], m), rng.standard_normal(n)
    lrm = LowRankMaintenance(W, rank_budget=rank_budget, when_full=when_full)
    dense, residuals = W.copy(), []
    for _ in range(6):
        Z, tau = dense @ H.T, shift * np.sqrt(2.0 / m)
        r = a @ np.maximum(Z - tau, 0.0) - y
        D = a[:, None] * (Z > tau)
        dense -= (D * np.linalg.solve((D.T @ D) * (H @ H.T), r)) @ H

        Z = lrm.query(H)
        lazy_r = np.maximum(Z - tau, 0.0) @ a - y
        J = KhatriRao(a * fired(Z, shift), H)
        lrm.update(*J.adjoint(-np.linalg.solve(J.gram(), lazy_r)))
        np.testing.assert_allclose(lazy_r, r, rtol=0, atol=1e-10)
        residuals.append(np.linalg.norm(r))
    assert residuals[-1] < 1e-10 < 1e-2 < residuals[0]
    change = lrm.to_dense() - W
    np.testing.assert_allclose(change, dense - W, atol=1e-10 * np.linalg.norm(change))
    assert np.linalg.matrix_rank(change, tol=1e-9 * np.linalg.norm(change)) <= n


def forward(layers, X, shift):
    """Return pre-activations and the inputs of each layer; `layers` are maps of rows."""
    inputs, Z = [X], []
    for apply in layers:
        Z.append(apply(inputs[-1]))
        tau = shift * np.sqrt(2.0 / Z[-1].shape[1])
        inputs.append(np.maximum(Z[-1] - tau, 0.0))
    return Z, inputs


def test_gradient_descent_on_all_layers_equals_the_dense_one(rng):
    """[SZZ24], Lemma C.4 and Remark C.6: 60 steps, L = 3, every budget, sparse rows."""
    n, d, m, shift, step = 8, 10, 96, 0.3, 2e-3
    X = rng.standard_normal((n, d))
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    start = [rng.standard_normal(s) * np.sqrt(2.0 / m) for s in [(m, d), (m, m), (m, m)]]
    a, y = rng.choice([-1.0, 1.0], m), rng.standard_normal(n)
    dense = [W.copy() for W in start]
    losses = []
    for _ in range(60):
        Z, inputs = forward([lambda H, W=W: H @ W.T for W in dense], X, shift)
        r = inputs[-1] @ a - y
        losses.append(r @ r)
        G = r[:, None] * a
        for W, z, h in zip(dense[::-1], Z[::-1], inputs[-2::-1], strict=True):
            G = G * fired(z, shift)
            W_before = W.copy()
            W -= step * G.T @ h
            G = G @ W_before
    assert losses[-1] < 0.1 * losses[0]

    for rank_budget, when_full in [(5, "flush"), (40, "recompress"), (math.inf, "flush")]:
        lazy = [LowRankMaintenance(W, rank_budget=rank_budget, when_full=when_full) for W in start]
        for loss in losses:
            Z, inputs = forward(
                [lambda H, W=W: W.query(scipy.sparse.csr_array(H)) for W in lazy], X, shift
            )
            r = inputs[-1] @ a - y
            assert abs(r @ r - loss) <= 1e-10 * losses[0]
            G = r[:, None] * a
            for W, z, h in zip(lazy[::-1], Z[::-1], inputs[-2::-1], strict=True):
                G = scipy.sparse.csr_array(G * fired(z, shift))
                back = W.query_transposed(G)
                W.update(-step * G, h)
                G = back
        for W, expected in zip(lazy, dense, strict=True):
            error = np.linalg.norm(W.to_dense() - expected)
            assert error <= 1e-10 * np.linalg.norm(expected)


# ---- bad input
LRM = LowRankMaintenance(np.zeros((3, 2)))


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: LowRankMaintenance(np.ones(3)), ValueError, r"^W must have shape"),
        (lambda: LowRankMaintenance(np.ones((2, 2), object)), TypeError, "^W must be a float32"),
        (lambda: LowRankMaintenance([[np.nan]]), ValueError, "^W must be finite"),
        (lambda: LowRankMaintenance(np.eye(2), rank_budget=0), ValueError, "^rank_budget must"),
        (lambda: LowRankMaintenance(np.eye(2), rank_budget=2.5), TypeError, "^rank_budget must"),
        (lambda: LowRankMaintenance(np.eye(2), rank_budget=-math.inf), TypeError, "^rank_budget"),
        (lambda: LowRankMaintenance(np.eye(2), when_full="x"), ValueError, "^when_full must.*'x'"),
        (lambda: LowRankMaintenance(np.eye(2), rtol=1.0), ValueError, "^rtol must be below 1"),
        (lambda: LRM.recompress(rtol=-0.1), ValueError, "^rtol must be at least 0"),
        (lambda: LRM.update(np.ones((1, 2)), np.ones((1, 2))), ValueError, r"^U must .*\(any, 3\)"),
        (lambda: LRM.update(np.ones((2, 3)), np.ones((1, 2))), ValueError, r"^V must .*\(2, 2\)"),
        (lambda: LRM.update(scipy.sparse.eye_array(2), np.ones((2, 2))), ValueError, "^U must"),
        (lambda: LRM.update([[0.0, 0.0, np.nan]], np.ones((1, 2))), ValueError, "^U must be fin"),
        (lambda: LRM.query(np.ones((1, 3))), ValueError, r"^Y must have shape \(any, 2\); got"),
        (lambda: LRM.query(np.ones((1, 2)), n_threads=0), ValueError, "^n_threads must"),
        (lambda: LRM.query_transposed(np.ones((1, 2))), ValueError, r"^X must have shape \(any, 3"),
    ],
)
def test_bad_arguments_are_named_and_change_nothing(call, error, message):
    with pytest.raises(error, match=message):
        call()
    assert LRM.rank == 0
    np.testing.assert_array_equal(LRM.to_dense(), np.zeros((3, 2)))
