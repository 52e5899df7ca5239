"""What ranks share beside the last layer: each function tells its result, to the bit."""

import hashlib

import numpy as np
import pytest

from subquad.activations import ShiftedReLU
from subquad.halfspace import HalfSpaceReport, SharedHalfSpaceReport
from subquad.networks import TwoLayerNetwork, WideNetwork
from subquad.ntk import empirical_ntk, layer_kernels, ntk
from subquad.training import AllLayersGaussNewton, TwoLayerGaussNewton


def digest(*arrays):
    found = hashlib.blake2b(digest_size=8)
    for array in arrays:
        found.update(np.ascontiguousarray(array))
    return found.hexdigest()


def data(n=24, seed=0):
    X = np.random.default_rng(seed).standard_normal((n, 4))
    return X, np.column_stack([X[:, 0] * X[:, 1], np.sin(X[:, 2])])


def two_layers(comm, **options):
    network = TwoLayerNetwork(4, width=1500, n_outputs=2, rng=0, dtype=options.pop("dtype", float))
    return TwoLayerGaussNewton(network, *data(), max_steps=4, n_threads=1, comm=comm, **options)


def wide(**options):
    options = {"width": 900, "depth": 3, "weights": "implicit", "rng": 0} | options
    return WideNetwork(4, activation=ShiftedReLU(0.5), n_outputs=2, **options)


def all_layers(comm, **options):
    return AllLayersGaussNewton(
        wide(), *data(), max_steps=3, n_threads=1, regularization=1e-3, comm=comm, **options
    )


def kernels(comm):
    rng = np.random.default_rng(1)
    X, Y = rng.standard_normal((600, 3)), rng.standard_normal((300, 3))
    few = X[:40] * [1.0, 0.5, 0.0]
    return {
        "ntk": ntk(X, depth=2, comm=comm),
        "ntk of two sets": ntk(Y, X, comm=comm),
        "layers, absolute shift": layer_kernels(
            few[:9], depth=1, activation=ShiftedReLU(0.3, relative=False), comm=comm
        ),
        "empirical": empirical_ntk(wide(), *(data(n)[0] for n in (20, 9)), n_threads=1, comm=comm),
        "all layers": empirical_ntk(wide(), data()[0], layer="all", n_threads=1, comm=comm),
    }


def report_answers(report):
    """Answers of a report before and after its points change."""
    rng = np.random.default_rng(5)
    A, b = rng.standard_normal((6, 3)).astype(report.dtype), rng.standard_normal(6)
    found = [*report.query_batch(A, b), report.query(A[0], 0.3)]
    found.append(report.insert(rng.standard_normal((5, 3))))
    report.delete([3, 41, 7, 0])
    report.update([1, 40, 43, 20], rng.standard_normal((4, 3)))
    found += [report.insert(rng.standard_normal((2, 3))), np.array([len(report)])]
    return [*found, *report.query_batch(A, b), report.query(A[1], -9.0)]


def shared_reports(comm):
    points = np.random.default_rng(4).standard_normal((40, 3))
    found = []
    for dtype, method in ((np.float64, "tree"), (np.float32, "scan")):
        found += report_answers(SharedHalfSpaceReport(points.astype(dtype), comm, method))
    return found


def whole_reports():
    points = np.random.default_rng(4).standard_normal((40, 3))
    found = []
    for dtype, method in ((np.float64, "tree"), (np.float32, "scan")):
        found += report_answers(HalfSpaceReport(points.astype(dtype), method))
    return found


def everything(comm):
    """Digests of all of it by name."""
    found = {name: digest(K) for name, K in kernels(comm).items()}
    for name, make in (("two layers", two_layers), ("layers", all_layers)):
        trainer = make(comm).run()
        factors = trainer.factors if name == "layers" else [trainer.factors]
        found[name] = digest(trainer.outputs, *(array for pair in factors for array in pair))
    return found | {"half-spaces": digest(*shared_reports(comm))}


def refuse(comm):
    """Other data on one rank than on another, and what cannot be shared."""

    def refused(match, function, *args, **kwargs):
        with pytest.raises(ValueError, match=match):
            function(*args, **kwargs)

    rank, X = comm.Get_rank(), data()[0]
    other = "must be the same on every rank; got another on rank 1 than on rank 0"
    refused(f"X {other}", ntk, X + rank, comm=comm)
    refused(f"depth {other}", ntk, X, depth=1 + rank, comm=comm)
    refused(f"Y {other}", empirical_ntk, wide(), X, X + rank, comm=comm)
    seeds = f"network {other}.* Give rng the same seed"
    refused(seeds, empirical_ntk, wide(rng=rank), X, comm=comm)
    refused("weights must be 'implicit'", empirical_ntk, wide(weights="dense"), X, comm=comm)
    refused("comm must be None but for", empirical_ntk, {}, comm=comm)
    rows = np.concatenate([np.ones((600, 4)), np.zeros((1, 4))])  # the last rank alone finds it
    shifted = ShiftedReLU(1, relative=False)
    refused("must let neurons fire", layer_kernels, rows, activation=shifted, comm=comm)
    refused(f"options {other}", two_layers, comm, tol=0.1 / (1 + rank))
    refused("solver must be 'auto' or 'exact'", two_layers, comm, solver="pcg")
    refused("diagnostics must be False", two_layers, comm, diagnostics=True)
    refused(f"options {other}", all_layers, comm, tol=0.1 / (1 + rank))
    refused("solver must be 'exact'", all_layers, comm, solver="sketch", rng=0)
    trainer = all_layers(comm)
    trainer._fit.state.linearise()
    y = np.full(trainer.outputs.shape, float(rank))
    refused("solve its equation with the same", trainer._fit.state.propose, y, 1.0)
    refused(f"points {other}", SharedHalfSpaceReport, X + rank, comm)
    report = SharedHalfSpaceReport(X, comm)
    refused(f"A {other}", report.query, X[0] + rank, 0.0)
    refused(f"b {other}", report.query, X[0], float(rank))
    refused(f"points {other}", report.insert, X + rank)
    refused(f"indices {other}", report.delete, [rank])
    refused(f"new_points {other}", report.update, [0], X[:1] + rank)
    refused("indices must be in", report.delete, [99])
    assert len(report) == len(X)
