"""What a user writes, room by room: type checkers find no fault in it, in their strict modes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import subquad
from subquad import estimators, io, jacobian, ntk, sketch, solvers
from subquad.activations import ShiftedReLU
from subquad.networks import LastLayer, TwoLayerNetwork, WideNetwork
from subquad.solvers.objectives import Logistic
from subquad.training import LastLayerGaussNewton, StepRecord, TwoLayerGaussNewton
from subquad.weights import GaussianWeights

rng = np.random.default_rng(0)
X = rng.standard_normal((40, 8))
y: NDArray[np.float64] = X.sum(axis=1)
records: list[StepRecord] = []


def networks() -> Iterator[float]:
    network = WideNetwork(8, width=2048, activation=ShiftedReLU(0.5), weights="implicit", rng=0)
    layer: LastLayer = network.last_layer(X)
    trainer = LastLayerGaussNewton(layer, y, regularization="loo", callback=records.append).run()
    A, V = trainer.factors
    yield float(network.outputs(X[:3], (A, V)).sum()) + trainer.residual_norm / records[0].step
    yield TwoLayerGaussNewton(TwoLayerNetwork(8, 256, rng=rng), X, y).run().change_norm
    yield float(GaussianWeights((6, 8), seed=1).apply(X)[0, 0])


def algebra() -> Iterator[NDArray[np.floating[Any]]]:
    J = subquad.KhatriRao(rng.standard_normal((40, 30)), X)
    solution: solvers.Solution = solvers.gram_solve(J, y, "pcg", damping=1e-2, rng=0)
    yield J.matvec(J.adjoint(solution.x)) if solution.converged else J.gram()
    both: jacobian.Jacobian = jacobian.JacobianSum([J, J])
    yield solvers.gram_solve(both, y, damping=1.0).x
    yield sketch.CountSketch(8, 4, rng=0).apply(X)
    yield sketch.TensorSketch((30, 8), 64, rng=0).apply(J.U, J.V)
    yield subquad.fwht(X, norm="ortho", order="sequency")
    yield solvers.fast_least_squares(X, y, sketch="srht", sketch_size=32).x
    yield solvers.fast_newton(Logistic(X, y > 0, l2=0.1), tol=1e-8).x
    yield solvers.NystromSolver(20, rng=0).fit(J, y, "loo").coefficients


def kernels() -> Iterator[float]:
    yield ntk.spectrum(ntk.ntk(X, depth=2)).condition
    yield float(ntk.empirical_ntk(WideNetwork(8, width=64), X, layer=1).trace())
    yield float(ntk.predict(X, y, X[:3], regularization=0.1).mean.sum())


def saved(path: Path) -> float:
    model = estimators.NTKRegressor(depth=(1, 2)).fit(X, y)
    io.save_model(model, path, notes={"rows": len(X)})
    return float(estimators.GaussNewtonClassifier(width=256).fit(X, y > 0).score(X, y > 0))


def of_a_torch_network(model: Any) -> dict[str, jacobian.KhatriRao]:
    from subquad import interop

    change = interop.fit_layer(model, X, y, "2", regularization=1e-2, callback=records.append)
    interop.apply_change(model, change, merge=False)
    return interop.capture(model, X, layers=["0"], batch_size=16)
