"""Passes over generated weights tell how far they are, and end where they are told to."""

import io
import sys
import threading

import numpy as np
import pytest
import scipy.sparse

import subquad._implicit_products
import subquad._products
from subquad._command import passes
from subquad._passes import Pass
from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.training import AllLayersGaussNewton, LastLayerGaussNewton
from subquad.weights import DenseWeights, GaussianWeights, watch_passes

SHAPE = 300, 200
PASSES = {
    "apply": lambda W: W.apply(np.eye(200)[:5]),
    "apply, sparse": lambda W: W.apply(scipy.sparse.eye_array(200, format="csr")),
    "apply_transposed": lambda W: W.apply_transposed(np.eye(300)),
    "columns": lambda W: W.columns(3, 170),
    "integers": lambda W: W.integers(3, 170),
    "stored": lambda W: DenseWeights._storing(W, "int8"),
}


def told_of(call):
    told = []
    with watch_passes(lambda *of: told.append(of)):
        call()
    return told


@pytest.fixture
def short_calls(monkeypatch):
    """Kernels are called for a few rows or panels at a time."""
    monkeypatch.setattr(subquad._products, "_MULTIPLY_ADDS_PER_CALL", 1e4)


@pytest.mark.parametrize("make", PASSES.values(), ids=PASSES)
def test_a_pass_tells_how_far_it_is(short_calls, make):
    told = told_of(lambda: make(GaussianWeights(SHAPE, 1)))
    done, totals = zip(*told, strict=True)
    assert len(set(totals)) == 1
    assert done[0] == 0
    assert done[-1] == totals[0]
    assert len(done) > 2
    assert np.all(np.diff(done) > 0)


def test_several_blocks_of_rows_are_one_pass(monkeypatch):
    monkeypatch.setattr(subquad._implicit_products, "_ROWS", 4)
    told = told_of(lambda: GaussianWeights(SHAPE, 1).apply(np.eye(200)[:10]))
    assert told == [(0, 50), (20, 50), (40, 50), (50, 50)]


def test_nothing_is_told_of_a_pass_without_work():
    assert told_of(lambda: GaussianWeights((3, 4), 1).columns(2, 2)) == []


def test_the_inner_watcher_is_told_and_the_outer_one_again_afterwards():
    W = GaussianWeights((3, 4), 1)
    inner = []
    outer = told_of(lambda: (inner.extend(told_of(W.to_dense)), W.columns(0, 4)))
    assert inner == [(0, 4), (4, 4)]
    assert outer == [(0, 4), (4, 4)]


def test_nobody_is_told_after_an_exception():
    told = []

    def stop(*of):
        told.append(of)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watch_passes(stop):
        GaussianWeights(SHAPE, 1).to_dense()
    GaussianWeights(SHAPE, 1).to_dense()
    assert told == [(0, 64)]


def test_passes_of_other_threads_are_not_told_of():
    def elsewhere():
        thread = threading.Thread(target=GaussianWeights(SHAPE, 1).to_dense)
        thread.start()
        thread.join()

    assert told_of(elsewhere) == []


def test_what_cannot_be_called_is_refused():
    with pytest.raises(TypeError, match="callback must be callable; got int"):
        watch_passes(3)


# ---- signals are heard between the calls of a kernel
@pytest.mark.parametrize(("grid", "most"), [("int8", 8e8), ("float32", 2e8)])
@pytest.mark.parametrize("transposed", [False, True])
def test_no_call_makes_more_entries_than_a_processor_does_in_half_a_second(
    monkeypatch, grid, most, transposed
):
    """At a width of 10^6 with AVX2: 0.35 ns for one of the int8 grid, 1.3 ns for a normal."""
    entries, gaussian = [], subquad._implicit_products.gaussian

    def record(keys, table, transposed, sources, *plan_and_panels):
        first, last = plan_and_panels[4:6]
        entries.append(len(sources) * gaussian.TILE * (last - first))

    monkeypatch.setattr(gaussian, "product", record)
    width = 10**6
    H = scipy.sparse.random_array((8, width), density=0.05, format="csr", rng=0, dtype=np.float32)
    W = GaussianWeights((width, width), 0, grid, dtype=np.float32)
    (W.apply_transposed if transposed else W.apply)(H)
    assert sum(entries) >= width * len(np.unique(H.indices))
    assert max(entries) <= most


# ---- what was there before a pass was interrupted
def last_layer(X, y):
    layer = network().last_layer(X)
    return LastLayerGaussNewton(layer, y, tol=1e-9)


def all_layers(X, y):
    return AllLayersGaussNewton(network(), X, y, tol=1e-9)


def network():
    return WideNetwork(
        5, width=512, depth=3, activation=ShiftedReLU(0.5), weights="implicit", rng=0
    )  # fmt: skip


def test_an_interrupted_pass_leaves_a_trainer_where_it_was(rng):
    """Wherever the pass is, and Ctrl-C is heard: the fit goes on in the same bits."""
    X, y = rng.standard_normal((12, 5)), rng.standard_normal(12)
    undisturbed, trainer = all_layers(X, y).run(), all_layers(X, y)
    trainer.step()
    moment = 0
    while True:
        left = [moment]

        def interrupt(done, total, left=left):
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt

        before = trainer.outputs.copy(), len(trainer.history)
        try:
            with watch_passes(interrupt):
                trainer.step()
        except KeyboardInterrupt:
            np.testing.assert_array_equal(trainer.outputs, before[0])
            assert len(trainer.history) == before[1]
            moment += 1
        else:
            break
    assert moment > 3
    trainer.run()
    assert len(trainer.history) == len(undisturbed.history)
    np.testing.assert_array_equal(trainer.outputs, undisturbed.outputs)


def test_a_network_whose_pass_was_interrupted_gives_the_same_layer(rng):
    X, y = rng.standard_normal((12, 5)), rng.standard_normal(12)
    expected, wide = last_layer(X, y).run(), network()

    def interrupt(done, total):
        if done == total:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), watch_passes(interrupt):
        wide.last_layer(X)
    again = LastLayerGaussNewton(wide.last_layer(X), y, tol=1e-9).run()
    np.testing.assert_array_equal(again.outputs, expected.outputs)


# ---- the bar of the command
class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def at_once(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(passes, "_DELAY", 0)


def test_a_terminal_gets_a_bar_with_the_time_left(at_once, short_calls):
    terminal = Terminal()
    with passes.shown(terminal):
        GaussianWeights(SHAPE, 1).to_dense()
        assert "making weights:   0%" in terminal.getvalue()
        assert " left" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r")  # the bars are gone


def test_short_passes_have_no_bar():
    pytest.importorskip("tqdm")
    terminal = Terminal()
    with passes.shown(terminal):
        GaussianWeights(SHAPE, 1).to_dense()
    assert terminal.getvalue() == ""


def test_an_interrupted_pass_leaves_no_bar_behind(at_once):
    terminal = Terminal()

    def interrupted():
        with passes.shown(terminal):
            Pass(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert terminal.getvalue().endswith("\r")


def test_files_and_terminals_without_tqdm_get_none(monkeypatch):
    for stream in (io.StringIO(), Terminal()):
        monkeypatch.setitem(sys.modules, "tqdm", None)
        with passes.shown(stream):
            GaussianWeights(SHAPE, 1).to_dense()
        assert stream.getvalue() == ""


def test_a_terminal_that_has_gone_away_costs_no_pass(at_once):
    class Gone(Terminal):
        def write(self, text):
            raise OSError(5, "Input/output error")

    with passes.shown(Gone()):
        W = GaussianWeights(SHAPE, 1).to_dense()
    np.testing.assert_array_equal(W, GaussianWeights(SHAPE, 1).to_dense())
