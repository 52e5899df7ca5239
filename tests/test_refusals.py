"""Arguments that no room can use are refused in one sentence that names them.

Each of these once ended in an exception of numpy, scipy or Python, in a hang, or in a wrong value;
the harness in ``tests/fuzz`` found them.
"""

import re

import numpy as np
import pytest
import scipy.sparse

from subquad import plotting
from subquad.activations import GELU, ReLU, Tanh, ThresholdedReLU
from subquad.estimators import (
    HalfSpaceSGDClassifier,
    NTKClassifier,
    NTKRegressor,
    PolynomialTensorSketch,
)
from subquad.halfspace import HalfSpaceReport
from subquad.io import check_writable, load_model, save_model
from subquad.jacobian import JacobianSum, KhatriRao, MatrixFreeJacobian, ScaledRows
from subquad.jacobian import ReadoutJacobian as Readout
from subquad.jacobian._factors import FixedSide
from subquad.lowrank import LowRankMaintenance
from subquad.networks import FactoredNetwork, LastLayer, PairedNetwork, TwoLayerNetwork, WideNetwork
from subquad.ntk import DualActivation, layer_kernels, ntk, predict
from subquad.sketch import SRHT, CountSketch, TensorSketch, use_fft_backend
from subquad.solvers import (
    ExactSolver,
    SketchSolver,
    choose_regularization,
    fast_newton,
    fast_regression,
    influence,
    merge_repeats,
    pcg,
)
from subquad.solvers.objectives import Poisson
from subquad.training import FactoredGradientDescent, HalfSpaceSGD, LastLayerGaussNewton
from subquad.weights import GaussianWeights

X = np.random.default_rng(0).standard_normal((5, 3))
J = KhatriRao(X, X[:, :2])
FREE = MatrixFreeJacobian(np.ones((4, 1), np.uint8), np.ones(4), X)
ONES = np.ones(64)
LAYER = LastLayer(X, np.ones((5, 4)), np.ones(4))
PAIRED = PairedNetwork(3, width=512, rng=0)
RAGGED = [[1.0], [1.0, 2.0]]
MANY = np.array(["a", "b"])  # neither equal to a name nor different from it


def corrupt():
    """A sparse matrix with a column index that it has no column for."""
    x = scipy.sparse.csr_matrix(np.eye(3))
    x.indices[1] = 10**8
    return x


REFUSED = {
    "an array for a method": (
        lambda: HalfSpaceReport(X, MANY),
        ValueError,
        "method must be 'auto', 'tree' or 'scan'; got ndarray.",
    ),
    "an array for a grid": (
        lambda: GaussianWeights((2, 3), 0, MANY),
        ValueError,
        "grid must be 'int8' or 'float32'; got ndarray.",
    ),
    "no array for when_full": (
        lambda: LowRankMaintenance(X, when_full=np.empty(0)),
        ValueError,
        "when_full must be 'flush' or 'recompress'; got ndarray.",
    ),
    "a list for dynamics": (
        lambda: HalfSpaceSGD(PAIRED, dynamics=["network"]),
        ValueError,
        "dynamics must be 'network' or 'kernel'; got list.",
    ),
    "an array for a report": (
        lambda: HalfSpaceSGD(PAIRED, report=MANY),
        ValueError,
        "report must be 'auto', 'tree', 'scan' or None; got ndarray.",
    ),
    "an array for a readout": (
        lambda: WideNetwork(3, width=8, readout=MANY),
        ValueError,
        "readout must be 'partition' or 'dense'; got ndarray.",
    ),
    "an array for a preconditioner": (
        lambda: fast_regression(np.ones((20, 2)), np.ones(2), preconditioner=MANY),
        ValueError,
        "preconditioner must be 'auto', 'sketch' or 'exact'; got ndarray.",
    ),
    "an array for a kernel": (
        lambda: predict(X, X[:, 0], X, kernel=MANY),
        ValueError,
        "kernel must be 'ntk' or 'nngp'; got ndarray.",
    ),
    "an array for a backend": (
        lambda: use_fft_backend(MANY),
        ValueError,
        "name must be one of pyfftw, scipy; got array(",
    ),
    "a sketch of vectors beyond memory": (
        lambda: CountSketch(2**62, 3),
        MemoryError,
        "A sketch of vectors of 4611686018427387904 entries must fit in memory;",
    ),
    "a transform beyond memory": (
        lambda: SRHT(2**50, 3),
        MemoryError,
        "A sketch of vectors of 1125899906842624 entries must fit in memory;",
    ),
    "a sketch of pairs beyond memory": (
        lambda: TensorSketch((3, 2**50), 3),
        MemoryError,
        "A sketch of vectors of 1125899906842627 entries must fit in memory;",
    ),
    "more columns than there are indices": (
        lambda: CountSketch(10**30, 3),
        ValueError,
        "n_features must be at most 9223372036854775807; got 1000000000000000000000000000000.",
    ),
    "a depth that takes for ever": (
        lambda: ntk(X, depth=2**31),
        ValueError,
        "depth must be at most 10000; got 2147483648.",
    ),
    "a depth that takes all memory": (
        lambda: layer_kernels(X, depth=2**31),
        ValueError,
        "depth must be at most 10000; got 2147483648.",
    ),
    "a network of that depth": (
        lambda: WideNetwork(3, width=8, depth=2**62),
        ValueError,
        "depth must be at most 10000; got 4611686018427387904.",
    ),
    "deviations that do not broadcast": (
        lambda: DualActivation().moments([1.0, 2.0], 1.0, [0.0, 0.1, 0.2]),
        ValueError,
        "std_x, std_y and correlation must broadcast; got shapes (2,), () and (3,).",
    ),
    "a function that gives one number": (
        lambda: DualActivation(lambda x: 1.0),
        ValueError,
        "activation must give a real number for each entry of shape",
    ),
    "a shift for ReLU": (
        lambda: ReLU.for_sparsity(0.1, 64),
        TypeError,
        "alpha must be given to an activation with a shift; got it for ReLU.",
    ),
    "a point that is not there": (
        lambda: J.columns([5]),
        ValueError,
        "points must be in [0, 5); got [5, 5].",
    ),
    "a point counted from the end": (
        lambda: FREE.columns([-1]),
        ValueError,
        "points must be in [0, 5); got [-1, -1].",
    ),
    "fractions of points": (
        lambda: JacobianSum([J, J]).columns([0.5]),
        TypeError,
        "points must hold integers; got float64.",
    ),
    "points in two dimensions": (
        lambda: ScaledRows(J, np.ones(5)).columns([[0]]),
        ValueError,
        "points must have shape (any,); got (1, 1).",
    ),
    "roots of other rows": (
        lambda: ScaledRows(J, np.ones(4)),
        ValueError,
        "roots must have shape (5,); got (4,).",
    ),
    "a vector of other rows": (
        lambda: ScaledRows(J, np.ones(5)).product(np.ones(4)),
        ValueError,
        "g must have shape (5,); got (4,).",
    ),
    "NaN in a product": (
        lambda: FREE.product(np.full(5, np.nan)),
        ValueError,
        "g must be finite in float64; got 5 NaN or infinite values",
    ),
    "text in an adjoint product": (
        lambda: FREE.adjoint(["a"] * 5),
        TypeError,
        "g must be a float32 or float64 array; got <U1.",
    ),
    "a change of another shape": (
        lambda: FREE.matvec(np.ones((4, 2))),
        ValueError,
        "change must have shape (4, 3); got (4, 2).",
    ),
    "no layers": (
        lambda: JacobianSum(None),
        TypeError,
        "parts must be a sequence of Jacobians; got NoneType.",
    ),
    "no changes of layers": (
        lambda: JacobianSum([J, J]).matvec(None),
        TypeError,
        "X must be a sequence with one entry per layer; got NoneType.",
    ),
    "an output that is not there": (
        lambda: Readout(np.ones((5, 4), bool), np.ones((2, 4)), FixedSide(X, 2), X @ X.T).of_output(
            2
        ),
        ValueError,
        "c must be at most 1; got 2.",
    ),
    "a Gram matrix that overflows": (
        lambda: KhatriRao(1e200 * X, 1e-200 * X).gram(),
        ValueError,
        "U and V must keep J J^T within the range of float64; got an overflow.",
    ),
    "infinity times zero": (
        lambda: KhatriRao(1e200 * X, 0 * X).diagonal(),
        ValueError,
        "U and V must keep J J^T within the range of float64; got an overflow.",
    ),
    "a number for factors": (
        lambda: LAYER.outputs(3),
        TypeError,
        "factors must be a pair (A, V); got int.",
    ),
    "three factors": (
        lambda: TwoLayerNetwork(3, 8, rng=0).outputs(X, (X, X, X)),
        TypeError,
        "factors must be a pair (A, V); got 3 parts.",
    ),
    "a ragged readout": (
        lambda: LastLayer(X, np.ones((5, 4)), RAGGED),
        ValueError,
        "readout must have rows of equal length; got ragged ones.",
    ),
    "ragged targets": (
        lambda: predict(X, RAGGED, X),
        ValueError,
        "y must have rows of equal length; got ragged ones.",
    ),
    "ragged residuals": (
        lambda: choose_regularization([np.eye(2)], RAGGED),
        ValueError,
        "r must have rows of equal length; got ragged ones.",
    ),
    "ragged data points": (
        lambda: FactoredGradientDescent(
            FactoredNetwork(2, width=64, inner_size=2, rng=0), [[1.0], [1.0, 2.0]], np.ones(2)
        ),
        ValueError,
        "X must have rows of equal length; got ragged ones.",
    ),
    "ragged points": (
        lambda: merge_repeats(RAGGED, X[:2], np.ones(2)),
        ValueError,
        "points must have rows of equal length; got ragged ones.",
    ),
    "nothing for Gram matrices": (
        lambda: choose_regularization(None, np.ones(2)),
        TypeError,
        "grams must be a sequence of matrices; got NoneType.",
    ),
    "one number for Gram matrices": (
        lambda: choose_regularization(np.array(1.0), np.ones(2)),
        TypeError,
        "grams must be a sequence of matrices; got ndarray.",
    ),
    "no function": (
        lambda: pcg(None, np.ones(2)),
        TypeError,
        "matvec must be a function; got NoneType.",
    ),
    "no preconditioner": (
        lambda: pcg(np.copy, np.ones(2), preconditioner=3),
        TypeError,
        "preconditioner must be a function; got int.",
    ),
    "a preconditioner of another shape": (
        lambda: pcg(np.copy, np.ones(2), preconditioner=lambda x: x[:1]),
        ValueError,
        "preconditioner must return shape (2,), that of c; got (1,).",
    ),
    "a product of another shape for c = 0": (
        lambda: pcg(lambda x: x[:1], np.zeros(2)),
        ValueError,
        "matvec must return shape (2,), that of c; got (1,).",
    ),
    "squares of residuals that overflow": (
        lambda: choose_regularization([np.eye(2)], np.full(2, 1e200)),
        ValueError,
        "grams and r must keep errors within the range of float64; got an overflow.",
    ),
    "a guarantee beyond every sketch": (
        lambda: TensorSketch(3, n_points=2**62, epsilon=0.5, delta=0.5),
        ValueError,
        "epsilon must be such that the sketch has at most 1073741824 rows; it would need",
    ),
    "NaN in a bucket that no column has": (
        lambda: CountSketch(1, 2, rng=0).apply_transposed(np.full((1, 2), np.nan)),
        ValueError,
        "Y must be finite in float64; got 2 NaN or infinite values",
    ),
    "outputs beyond memory": (
        lambda: FactoredNetwork(4, width=2**10, inner_size=2, n_outputs=2**50),
        MemoryError,
        "weight matrix in float64 must fit in memory;",
    ),
    "no classes": (
        lambda: HalfSpaceSGDClassifier().partial_fit(X, [0, 1, 0, 1, 0], classes=[]),
        ValueError,
        "classes must have at least 2 classes; got none.",
    ),
    "text for a shift of a kernel": (
        lambda: NTKRegressor(shift="x").fit(X, X[:, 0]),
        TypeError,
        "shift must be a real number; got 'x' (str).",
    ),
    "text for a number of bytes": (
        lambda: check_writable("m", "100"),
        TypeError,
        "n_bytes must be a real number; got '100' (str).",
    ),
    "notes that JSON has no word for": (
        lambda: save_model(NTKRegressor(depth=1).fit(X, X[:, 0]), "m", notes=float),
        TypeError,
        "notes must be a dict or None; got type.",
    ),
    "outputs whose squares overflow": (
        lambda: LastLayerGaussNewton(LastLayer(X, np.full((5, 64), 1e200), ONES), X[:, 0]),
        ValueError,
        "X, or the layer, must give outputs whose squares float64 holds; got a residual of norm",
    ),
    "rows whose inner products overflow": (
        lambda: HalfSpaceSGD(PAIRED, learning_rate="auto", dynamics="kernel").step(
            1e200 * X, X[:, 0]
        ),
        ValueError,
        "X must have rows whose inner products float64 holds; got an overflow.",
    ),
    "an array for a derivative": (
        lambda: DualActivation(np.tanh, np.empty(0)),
        TypeError,
        "activation must be one of subquad.activations or a function, and derivative a function",
    ),
    "parameters of another shape": (
        lambda: Poisson(X, np.ones(5)).value(np.zeros(2)),
        ValueError,
        "x must have shape (3,); got (2,).",
    ),
    "text for parameters": (
        lambda: Poisson(X, np.ones(5)).gradient("a"),
        TypeError,
        "x must be a float32 or float64 array; got <U1.",
    ),
    "text for targets": (
        lambda: Poisson(X, ["a"] * 5),
        TypeError,
        "y must be a float32 or float64 array; got <U1.",
    ),
    "NaN that stands alone": (
        lambda: Tanh()(np.float64(np.nan)),
        ValueError,
        "Z must be finite in float64; got 1 NaN or infinite value, the first at index ().",
    ),
    "ragged residuals of an influence": (
        lambda: influence(np.eye(2), RAGGED, 1.0),
        ValueError,
        "r must have rows of equal length; got ragged ones.",
    ),
    "a number for the factors of a network": (
        lambda: WideNetwork(3, width=8, rng=0).outputs(X, 3),
        TypeError,
        "factors must be a pair (A, V); got int.",
    ),
    "a product with J J^T that overflows": (
        lambda: KhatriRao(1e200 * X, X).product(np.ones(5)),
        ValueError,
        "U, V and g must keep J J^T g within the range of float64; got an overflow.",
    ),
    "an array for an approximation": (
        lambda: GELU(MANY),
        ValueError,
        "approximate must be 'none' or 'tanh'; got ndarray.",
    ),
    "labels without an order": (
        lambda: NTKClassifier().fit(X, np.array(["a", 1, "a", 1, 1], object)),
        TypeError,
        "y must hold labels of one kind; got int and str.",
    ),
    "a corrupt matrix, before scikit-learn converts it": (
        lambda: PolynomialTensorSketch().fit(corrupt()),
        ValueError,
        "X must have column indices in [0, 3); got [0, 100000000].",
    ),
    "a degree beyond memory": (
        lambda: PolynomialTensorSketch(degree=2**50).fit(X),
        MemoryError,
        "Buckets and signs of degree 1125899906842624 for 3 columns must fit in memory;",
    ),
    "a history of nothing": (
        lambda: plotting.residuals(None),
        TypeError,
        "history must be a sequence of records; got NoneType.",
    ),
    "a history of numbers": (
        lambda: plotting.active_fraction([3]),
        TypeError,
        "history must hold records of steps; got int.",
    ),
    "widths that are text": (
        lambda: plotting.kernel_convergence(["a"], [0.1]),
        TypeError,
        "widths must be a float32 or float64 array; got <U1.",
    ),
    "a path that is none": (
        lambda: save_model(NTKRegressor(depth=1).fit(X, X[:, 0]), []),
        TypeError,
        "path must be a string or path-like; got list.",
    ),
    "a number for a path": (
        lambda: check_writable(3.5),
        TypeError,
        "path must be a string or path-like; got float.",
    ),
    "a null character in a path": (
        lambda: load_model("a\0b"),
        ValueError,
        "path must name a file; got 'a\\x00b', with a null character.",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_room_cannot_use_is_refused_in_a_sentence(case):
    call, error, message = REFUSED[case]
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_an_update_of_no_sparse_rows_changes_nothing():
    lrm = LowRankMaintenance(X)
    lrm.update(scipy.sparse.csr_array((0, 5)), np.empty((0, 3)))
    assert lrm.rank == 0
    np.testing.assert_array_equal(lrm.to_dense(), X)


def test_a_design_of_zeros_is_fitted():
    objective = Poisson(scipy.sparse.csr_array((6, 2)), np.ones(6), l2=1.0)
    solution = fast_newton(objective)
    np.testing.assert_array_equal(solution.x, 0.0)
    assert solution.converged


@pytest.mark.parametrize("solver", [ExactSolver(), SketchSolver(rng=0)])
def test_solvers_answer_right_hand_sides_whose_squares_overflow(solver):
    J = KhatriRao(np.eye(4), np.eye(4))
    c = np.array([1.0, -2.0, 3.0, 4.0])
    huge = solver.solve(J, 1e300 * c, damping=1.0)
    assert np.isfinite(huge.x).all()
    if isinstance(solver, ExactSolver):
        np.testing.assert_allclose(huge.x, 1e300 * c / 2, rtol=1e-15)
        assert huge.converged


def test_sparse_float32_rows_of_a_float64_network_lose_no_digits():
    network = FactoredNetwork(8, width=64, inner_size=4, rng=0)
    rows = np.random.default_rng(1).standard_normal((6, 8)).astype(np.float32)
    sparse = network.features(scipy.sparse.csr_array(rows))
    np.testing.assert_allclose(sparse, network.features(rows), rtol=1e-13)


def test_the_diagonal_of_a_sparse_float32_jacobian_is_summed_in_float64():
    rows = np.random.default_rng(2).standard_normal((4, 500)).astype(np.float32)
    J = KhatriRao(scipy.sparse.csr_array(rows), np.ones((4, 1), np.float32))
    np.testing.assert_allclose(J.diagonal(), np.square(rows, dtype=float).sum(axis=1), rtol=1e-13)


def test_one_seed_draws_independent_sketches_for_the_layers_of_a_sum():
    first, second = JacobianSum([J, J]).draw_sketch(64, 7)
    assert not np.array_equal(first.buckets[0], second.buckets[0])
    again, _ = JacobianSum([J, J]).draw_sketch(64, 7)
    np.testing.assert_array_equal(first.buckets[0], again.buckets[0])


@pytest.mark.parametrize("deviation", [0.0, 1e-310, 1e-60, 1.0, 1e60])
def test_jumping_activations_never_fire_together_at_opposite_points(deviation):
    dual = DualActivation(ThresholdedReLU(0.3, relative=False))
    assert dual.moments(deviation, 0.5, -1.0) == (0.0, 0.0)
    assert np.isfinite(dual.moments(deviation, 0.5, [-0.5, 0.0, 0.5, 1.0])).all()


def test_factors_of_the_last_layer_may_be_lists_of_rows():
    network = WideNetwork(3, width=8, rng=0)
    A, V = np.ones((3, 8)), 0.1 * np.ones((3, 8))
    expected = network.outputs(X, (A, V))
    np.testing.assert_array_equal(network.outputs(X, (A.tolist(), V.tolist())), expected)
    np.testing.assert_array_equal(
        network.outputs(X, (A[:2].tolist(), V[:2].tolist())), network.outputs(X, (A[:2], V[:2]))
    )


def test_a_gram_matrix_of_subnormal_numbers_has_a_best_regularization():
    G = np.array([[2.0, 1.0], [1.0, 2.0]])
    mu, error, _ = choose_regularization([2.0**-1040 * G], [1.0, 2.0])
    expected, expected_error, _ = choose_regularization([G], [1.0, 2.0])
    assert mu == pytest.approx(expected * 2.0**-1040, rel=1e-9)
    assert error == pytest.approx(expected_error, rel=1e-12)
