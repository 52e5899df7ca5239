"""Ranks that share a layer: the same bits as one process, and no rank that waits for ever."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import shared_work
from fuzz.alone import Alone
from shared_work import digest

from subquad.activations import ShiftedReLU
from subquad.io import Checkpoint
from subquad.jacobian import FiredJacobian, KhatriRao
from subquad.lowrank import LowRankMaintenance
from subquad.networks import WideNetwork
from subquad.solvers import NystromSolver
from subquad.training import LastLayerGaussNewton
from subquad.weights import GaussianWeights

HERE = Path(__file__).parent
PACKAGE = Path(importlib.util.find_spec("subquad").origin).parents[1]
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason="needs mpi4py and mpiexec"
)
HANGS_AFTER = 120  # seconds, of what takes two

# (name, depth, outputs, dtype, grid, regularization, shift, rows)
FITS = [
    ("one output", 2, 1, "float64", "int8", 0.0, 1.0, 20),
    ("three layers", 3, 2, "float32", "float32", 1e-3, 1.0, 33),
    ("loo", 2, 3, "float32", "int8", "loo", 1.0, 30),
    ("fewer rows than ranks", 2, 1, "float64", "float32", 0.0, 0.5, 2),
]


def fitted(depth, n_outputs, dtype, grid, mu, shift, n, comm=None):
    """What tells one fit from another, to the bit; None on ranks but the first."""
    rng = np.random.default_rng(n)
    X, y = rng.standard_normal((n, 4)), rng.standard_normal((n, n_outputs))
    if mu:
        X[1] = X[0]  # whose coefficients are added up
    options = {"depth": depth, "n_outputs": n_outputs, "weights": "implicit", "grid": grid}
    network = WideNetwork(
        4, width=1500, activation=ShiftedReLU(shift), dtype=dtype, rng=0, **options
    )
    layer = network.last_layer(X, 1, comm=comm)
    trainer = LastLayerGaussNewton(
        layer, y, regularization=mu, search_kinks=False, max_steps=5, n_threads=1
    ).run()
    A, V = trainer.factors
    there = layer.outputs((A, V))
    scale = np.abs(trainer.outputs).max()
    assert np.allclose(there, trainer.outputs, atol=1e3 * np.finfo(dtype).eps * scale, rtol=0)
    A = A if comm is None else layer.gather(A)
    if A is None:
        return None
    residuals = np.array([record.residual_norm for record in trainer.history])
    flips = np.array([record.flips for record in trainer.history])
    names = "outputs", "A", "V", "residuals", "flips", "G"
    arrays = trainer.outputs, A, V, residuals, flips, layer.gram()
    return {name: digest(array) for name, array in zip(names, arrays, strict=True)}


def fitted_rows(comm, block_size=7):
    """What tells one Nystrom fit from another, to the bit."""
    rng = np.random.default_rng(3)
    J = KhatriRao(rng.standard_normal((200, 6)), rng.standard_normal((200, 5)))
    r = rng.standard_normal((200, 2))
    fit = NystromSolver(20, rng=0, block_size=block_size).fit(J, r, residuals=True, comm=comm)
    numbers = np.array([fit.mu, fit.missed])
    return digest(fit.points, fit.coefficients, fit.curve, numbers, fit.loo_residuals)


def started(n_ranks, *arguments):
    """Start ranks of this file, and return what became of them."""
    paths = os.pathsep.join([str(PACKAGE), str(HERE)])
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(
        [MPIEXEC, "-n", str(n_ranks), sys.executable, "-W", "ignore", __file__, *arguments],
        env=os.environ | one | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER,
    )


@pytest.fixture(scope="module")
def alone():
    """Fits of one process, with a single rank and without any."""
    done = started(1, "alone")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_mpi
def test_one_rank_has_the_bits_of_none(alone):
    assert alone["one rank"] == alone["none"]


@needs_mpi
@pytest.mark.parametrize("n_ranks", [2, 3, 4])
def test_every_number_of_ranks_has_the_same_bits(n_ranks, alone):
    done = started(n_ranks, "fits")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == alone["none"] | alone["shared"]


@needs_mpi
def test_a_fit_goes_on_with_another_number_of_ranks():
    done = started(2, "resume")
    assert done.returncode == 0, done.stderr
    whole, resumed = done.stdout.splitlines()
    assert whole == resumed


@needs_mpi
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", "RuntimeError: this rank is out of luck"),
        ("kill", ""),
        ("leave", "rank 1 has ended, and rank 0 waits for it."),
    ],
)
def test_a_rank_that_fails_ends_them_all(fault, message):
    done = started(2, "fault", fault)
    assert done.returncode != 0
    assert message in done.stderr
    assert "not reached" not in done.stdout


@needs_mpi
def test_what_ranks_cannot_share_is_refused():
    done = started(2, "refusals")
    assert done.returncode == 0, done.stderr


def test_one_rank_needs_no_mpi():
    _, *options = FITS[0]
    assert fitted(*options, comm=Alone()) == fitted(*options)


@pytest.mark.parametrize("writes", [True, False])
def test_the_first_rank_alone_writes_a_checkpoint(writes, tmp_path):
    trainer, path = LastLayerGaussNewton(_layer(Alone()), np.arange(20.0)), tmp_path / "fit"
    assert trainer._writes
    trainer._writes = writes
    keeps = Checkpoint(path)
    keeps.begin(trainer)
    trainer.step()
    keeps.save()
    assert path.exists() == writes


@pytest.mark.parametrize("block_size", [7, 1000])
def test_rows_shared_by_ranks_have_the_same_fit(block_size):
    rng = np.random.default_rng(3)
    J = KhatriRao(rng.standard_normal((200, 6)), rng.standard_normal((200, 5)))
    r, w = rng.standard_normal((200, 2)), rng.uniform(0.5, 2.0, 200)
    one, other = (
        NystromSolver(20, rng=0, block_size=block_size).fit(J, r, 0.1, w, residuals=True, comm=comm)
        for comm in (None, Alone())
    )
    assert np.array_equal(one.points, other.points)
    assert np.allclose(one.coefficients, other.coefficients, rtol=1e-9)
    assert np.isclose(one.loo_error, other.loo_error, rtol=1e-9)
    assert np.allclose(one.loo_residuals, other.loo_residuals, rtol=1e-9, atol=1e-12)


@pytest.mark.filterwarnings("ignore::subquad.training.TrainingWarning")
def test_what_one_rank_shares_with_none_is_what_is_made_without_ranks():
    same = shared_work.kernels(Alone())
    for name, K in shared_work.kernels(None).items():
        assert np.allclose(K, same[name], rtol=1e-12, atol=1e-13), name
    for name, make in (("two", shared_work.two_layers), ("all", shared_work.all_layers)):
        one, other = (make(comm).run() for comm in (None, Alone()))
        assert np.allclose(one.outputs, other.outputs, rtol=1e-9, atol=1e-10), name
    trainers = [shared_work.two_layers(comm).run() for comm in (None, Alone())]
    assert np.allclose(*(trainer.change for trainer in trainers), rtol=1e-9, atol=1e-10)
    answers = shared_work.shared_reports(Alone()), shared_work.whole_reports()
    assert all(map(np.array_equal, *answers))


@pytest.mark.parametrize("comm", [3, "world", np.ndarray])
def test_what_is_no_communicator_is_refused(comm):
    network = WideNetwork(4, width=512, weights="implicit", rng=0)
    with pytest.raises(TypeError, match=r"comm must be a communicator of mpi4py; .*subquad\[mpi\]"):
        network.last_layer(np.eye(4), comm=comm)


def test_without_mpi4py_a_sentence_names_the_extra(monkeypatch):
    from subquad.distributed import world

    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(ImportError, match=r"pip install 'subquad\[mpi\]'"):
        world()


@pytest.mark.parametrize("grid", ["int8", "float32"])
@pytest.mark.parametrize(("start", "stop"), [(0, 64), (64, 200), (192, 300)])
def test_rows_of_weights_that_are_not_stored_are_those_of_the_whole(grid, start, stop):
    W = GaussianWeights((300, 130), 7, grid, std=0.3)
    part = W._rows(start, stop)
    assert np.array_equal(part.to_dense(), W.to_dense()[start:stop])
    H = np.random.default_rng(0).standard_normal((5, 130))
    assert np.array_equal(part.apply(H), W.apply(H)[:, start:stop])
    G = np.zeros((5, 300))
    G[:, start:stop] = np.random.default_rng(1).standard_normal((5, stop - start))
    assert np.allclose(part.apply_transposed(G[:, start:stop]), W.apply_transposed(G), rtol=1e-12)


def test_counts_of_others_make_the_gram_matrix_of_all():
    rng = np.random.default_rng(0)
    bits, K = rng.integers(2**63, size=(6, 4), dtype=np.uint64), rng.standard_normal((6, 6))
    K, V, a = K + K.T, rng.standard_normal((6, 3)), np.full(256, 0.3)
    whole = FiredJacobian(bits, a, V, K)
    parts = [FiredJacobian(np.ascontiguousarray(bits[:, w]), a[:n], V, K) for w, n in PARTS]
    counts = sum(part.coactivations() for part in parts)
    total = FiredJacobian(parts[0].fired, a[:64], V, K, counts=counts, magnitude=0.3)
    assert np.array_equal(total.gram(), whole.gram())
    assert np.array_equal(total.active, whole.active)
    assert np.allclose(total.diagonal(), whole.diagonal(), rtol=1e-15)


PARTS = [(slice(0, 1), 64), (slice(1, 4), 192)]


def _of_ranks(task, *arguments):
    """What a rank does: a test has started it."""
    from subquad.distributed import world

    tasks = {"alone": _fit_alone, "fits": _fit, "resume": _resume, "fault": _fail}
    (tasks | {"refusals": _refuse})[task](world(), *arguments)


def _fit_alone(comm):
    fits = [{name: fitted(*options, comm=c) for name, *options in FITS} for c in (None, comm)]
    shared = {"rows": fitted_rows(comm), **shared_work.everything(comm)}
    print(json.dumps({"none": fits[0], "one rank": fits[1], "shared": shared}))


def _fit(comm):
    found = {name: fitted(*options, comm=comm) for name, *options in FITS}
    found |= {"rows": fitted_rows(comm), **shared_work.everything(comm)}
    if comm.Get_rank() == 0:
        print(json.dumps(found))


def _layer(comm, X=None, seed=0, **options):
    X = np.random.default_rng(0).standard_normal((20, 4)) if X is None else X
    options = {"weights": "implicit", "width": 1500} | options
    return WideNetwork(4, rng=seed, **options).last_layer(X, 1, comm=comm)


def _resume(comm):
    y = np.random.default_rng(1).standard_normal(20)
    whole = LastLayerGaussNewton(_layer(comm), y, max_steps=4, n_threads=1)
    assert whole._writes == (comm.Get_rank() == 0)
    whole.step()
    whole.step()
    state = whole.state_dict()
    whole.run()
    fewer = comm.Split(comm.Get_rank() > 0)
    resumed = LastLayerGaussNewton(_layer(fewer), y, max_steps=4, n_threads=1)
    resumed.load_state_dict(state)
    resumed.run()
    if comm.Get_rank() == comm.Get_size() - 1:
        for trainer in (whole, resumed):
            print(len(trainer.history), digest(trainer.outputs))


def _fail(comm, fault):
    layer = _layer(comm)
    trainer = LastLayerGaussNewton(layer, np.arange(20.0), n_threads=1)
    trainer.step()
    if fault == "raise" and comm.Get_rank() == 1:
        raise RuntimeError("this rank is out of luck")
    if fault == "kill" and comm.Get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "leave" and comm.Get_rank() == 1:
        sys.exit(0)
    trainer.step()
    print("not reached")


def _refuse(comm):
    def refused(match, function, *args, **kwargs):
        with pytest.raises(ValueError, match=match):
            function(*args, **kwargs)

    refused("weights must be 'implicit'", _layer, comm, weights="dense")
    refused("readout must be a partition", _layer, comm, n_outputs=2, readout="dense")
    refused("normalise must be True", _layer, comm, normalise=False)
    refused("comm must have at most 1 ranks", _layer, comm, width=200)
    layer, y = _layer(comm), np.arange(20.0)
    refused("diagnostics must be False", LastLayerGaussNewton, layer, y, diagnostics=True)
    refused("solver must be 'exact'", LastLayerGaussNewton, layer, y, solver="pcg")
    kept = LowRankMaintenance(np.zeros((8, 8)), rank_budget=4)
    refused("maintenance must be None", LastLayerGaussNewton, layer, y, maintenance=kept)
    refused("layer must not be shared", layer.jacobian)
    rank = comm.Get_rank()
    other = "must be the same on every rank; got another on rank 1 than on rank 0"
    refused(f"X {other}", _layer, comm, np.eye(4) + rank)
    refused("Give rng the same seed on each", _layer, comm, seed=rank)
    refused(f"y {other}", LastLayerGaussNewton, layer, y + rank)
    refused(f"options {other}", LastLayerGaussNewton, layer, y, tol=0.1 / (1 + rank))
    J = KhatriRao(np.eye(20), np.eye(20))
    refused("landmarks .* Give rng the same", NystromSolver(5, rng=rank).fit, J, y, comm=comm)
    refused(f"r {other}", NystromSolver(5, rng=0).fit, J, y + rank, comm=comm)
    trainer = LastLayerGaussNewton(layer, y, n_threads=1)
    trainer._fit.state.linearise()
    refused("solve its equation with the same", trainer._fit.state.propose, y[:, None] + rank, 1.0)
    shared_work.refuse(comm)


if __name__ == "__main__":
    _of_ranks(*sys.argv[1:])
