"""Objects that joblib maps read-only from a file go on as those that it loads."""

import numpy as np
import pytest
from layers import quietly

from subquad import HalfSpaceReport, LowRankMaintenance
from subquad.networks import FactoredNetwork, PairedNetwork, TwoLayerNetwork, WideNetwork
from subquad.solvers import PcgSolver
from subquad.training import (
    AllLayersGaussNewton,
    FactoredGaussNewton,
    FactoredGradientDescent,
    HalfSpaceSGD,
    LastLayerGaussNewton,
    LowRankGradientDescent,
    TwoLayerGaussNewton,
)

POINTS = np.random.default_rng(0).standard_normal((3000, 3))
X = np.random.default_rng(1).standard_normal((40, 5))
X /= np.linalg.norm(X, axis=1)[:, None]
Y = np.sin(3 * X[:, 0])
OUTPUTS = np.column_stack([Y, X[:, 1] * X[:, 2]])


def mapped(thing, folder):
    """The thing as joblib maps it: its arrays cannot be written to."""
    joblib = pytest.importorskip("joblib")
    joblib.dump(thing, folder / "thing")
    return joblib.load(folder / "thing", mmap_mode="r")


def assert_same(one, other):
    for x, y in zip(one, other, strict=True):
        np.testing.assert_array_equal(x, y)


def answers(report):
    return report.query_batch(np.eye(3), [0.5, -1.0, 2.0])


CHANGES = {
    "update": lambda report: report.update(np.arange(0, 3000, 3), POINTS[:1000] + 0.3),
    "insert": lambda report: report.insert(POINTS + 1.0),
    "insert few": lambda report: report.insert(POINTS[:1]),
    "delete": lambda report: report.delete(np.arange(5, 2900)),
    "query": answers,
}


@pytest.mark.parametrize("stale", [False, True], ids=["fresh", "changed before"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("engine", ["tree", "scan", "auto", "scan in codes"])
def test_a_report_takes_every_change(tmp_path, engine, change, stale, monkeypatch):
    if engine == "scan in codes":
        engine = "scan"
        monkeypatch.setattr("subquad.halfspace._store._CODED_FROM", 1)
    report = HalfSpaceReport(POINTS, engine)
    if stale:
        report.update([1, 2], POINTS[:2] + 5)
    other = mapped(report, tmp_path)
    for each in (report, other):
        CHANGES[change](each)
    assert_same(answers(other), answers(report))
    for each in (report, other):
        each.update([2950], np.full((1, 3), 9.0))
    assert_same(answers(other), answers(report))


def test_queries_of_a_mapped_report_copy_nothing(tmp_path):
    other = mapped(HalfSpaceReport(POINTS, "tree"), tmp_path)
    before = other._store.lanes
    answers(other)
    assert other._store.lanes is before
    assert not before.points.flags.writeable


def test_a_report_of_which_some_arrays_alone_are_read_only_takes_changes():
    """joblib hands large arrays to its processes mapped, and small ones as they are."""
    report, other = (HalfSpaceReport(POINTS, "tree") for _ in range(2))
    other._store.lanes.points.flags.writeable = False
    for each in (report, other):
        each.update([1, 2], POINTS[:2] + 5)
    assert_same(answers(other), answers(report))


def last_layer(**options):
    return LastLayerGaussNewton(WideNetwork(5, width=512, rng=0).last_layer(X), Y, **options)


def maintained():
    network = WideNetwork(5, width=256, rng=0)
    kept = LowRankMaintenance(network.weights[-1], rank_budget=50)
    return LastLayerGaussNewton(network.last_layer(X), Y, maintenance=kept)


def several_outputs(readout):
    layer = WideNetwork(5, width=512, n_outputs=2, readout=readout, rng=0).last_layer(X)
    return LastLayerGaussNewton(layer, OUTPUTS, regularization=0.1, search_kinks=False)


TRAINERS = {
    "last layer": last_layer,
    "regularised": lambda: last_layer(regularization="loo"),
    "pcg": lambda: last_layer(solver=PcgSolver(rng=0)),
    "maintained": maintained,
    "partition": lambda: several_outputs("partition"),
    "dense": lambda: several_outputs("dense"),
    "two layers": lambda: TwoLayerGaussNewton(TwoLayerNetwork(5, 512, rng=0), X, Y),
    "matrix-free": lambda: TwoLayerGaussNewton(TwoLayerNetwork(5, 512, rng=0), X, Y, solver="pcg"),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_a_trainer_takes_further_steps(tmp_path, name):
    trainer = quietly(TRAINERS[name])
    quietly(trainer.step)
    other = mapped(trainer, tmp_path)
    for each in (trainer, other):
        quietly(each.step)
        quietly(each.run)
    assert len(other.history) > 1
    if name == "matrix-free":  # its landmarks are drawn anew
        return
    for got, expected in zip(other.factors, trainer.factors, strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-8 * np.abs(expected).max())


@pytest.mark.parametrize("sizes", [{"inner_size": 5}, {"inner_size": 5, "outer_size": 64}], ids=str)
@pytest.mark.parametrize("cls", [FactoredGaussNewton, FactoredGradientDescent])
def test_a_factored_trainer_takes_further_steps(tmp_path, cls, sizes):
    trainer = cls(FactoredNetwork(5, width=512, rng=0, **sizes), X, Y, max_steps=3)
    quietly(trainer.step)
    other = mapped(trainer, tmp_path)
    for each in (trainer, other):
        quietly(each.run)
    np.testing.assert_allclose(other.weights, trainer.weights, rtol=1e-8)


def test_gauss_newton_of_all_layers_takes_further_steps(tmp_path):
    trainer = AllLayersGaussNewton(WideNetwork(5, width=256, rng=0), X, Y, max_steps=3)
    quietly(trainer.step)
    other = mapped(trainer, tmp_path)
    for each in (trainer, other):
        quietly(each.run)
    np.testing.assert_allclose(other.outputs, trainer.outputs, atol=1e-8)


@pytest.mark.parametrize("rank_budget", [1, 8, np.inf])
def test_descent_of_all_layers_takes_further_steps(tmp_path, rank_budget):
    network = WideNetwork(5, width=256, rng=0)
    trainer = LowRankGradientDescent(network, step_size=0.01, rank_budget=rank_budget, batch_size=9)
    trainer.partial_fit(X, Y)
    other = mapped(trainer, tmp_path)
    for each in (trainer, other):
        each.partial_fit(X, Y)
    np.testing.assert_allclose(other.outputs(X), trainer.outputs(X), rtol=1e-10)


@pytest.mark.parametrize("iterate", ["last", "averaged", "random"])
@pytest.mark.parametrize("report", ["tree", "scan", None])
def test_half_space_sgd_takes_further_steps(tmp_path, report, iterate):
    options = {"report": report, "iterate": iterate, "rng": 0}
    trainer = HalfSpaceSGD(PairedNetwork(5, width=512, rng=0), **options)
    quietly(trainer.partial_fit, X, Y)
    other = mapped(trainer, tmp_path)
    for each in (trainer, other):
        quietly(each.run, X, Y)
    np.testing.assert_allclose(other.outputs(X), trainer.outputs(X), rtol=1e-8, atol=1e-8)
