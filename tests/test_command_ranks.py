"""The command in a job of MPI: one result, one file, one message; and plans for ranks."""

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
from command_line import refusal, run

from subquad.__main__ import main
from subquad._command import ranks
from subquad.io import load_model

HERE = Path(__file__).parent
PACKAGE = Path(importlib.util.find_spec("subquad").origin).parents[1]
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}")
needs_mpi = pytest.mark.skipif(
    MPIEXEC is None
    or importlib.util.find_spec("mpi4py") is None
    or importlib.util.find_spec("sklearn") is None,
    reason="needs mpi4py, mpiexec and scikit-learn",
)
HANGS_AFTER = 240  # seconds, of what takes ten
NETWORK = ["--model", "gn", "--weights", "implicit", "--width", "600", "--max-steps", "2"]
FIT = ["fit", "diabetes", *NETWORK, "--threads", "1"]
PLAN = ["plan", "--n", 64, "--width", 65536, "--depth", 2]


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """What became of a job of two ranks that ran several commands, and where."""
    folder = tmp_path_factory.mktemp("ranks")
    paths = os.pathsep.join([str(PACKAGE), str(HERE)])
    one = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run(
        [MPIEXEC, "-n", "2", sys.executable, __file__, "ranks"],
        env=os.environ | one | {"PYTHONPATH": paths},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=HANGS_AFTER,
    )
    parts = {}
    for name, stream in (("out", done.stdout), ("err", done.stderr)):
        for part in stream.split("=== ")[1:]:
            label, _, text = part.partition("\n")
            parts[label, name] = text
    return parts, folder, done.returncode


@needs_mpi
def test_ranks_fit_one_model_that_one_process_would_have_fitted(job, tmp_path, capsys):
    parts, folder, _ = job
    assert "2 ranks share the neurons" in parts["shared", "out"]
    assert parts["shared", "out"].count("training R^2") == 2  # of the fit, and of ridge
    assert run(*FIT, "--model", tmp_path / "alone.subquad") == 0
    one, other = load_model(tmp_path / "alone.subquad"), load_model(folder / "shared.subquad")
    assert all(map(np.array_equal, one.factors_, other.factors_))
    assert one.get_params() == other.get_params()
    assert "statuses [0, 0]" in parts["shared", "out"]


@needs_mpi
def test_an_interrupted_fit_of_ranks_is_kept_and_goes_on_in_one_process(job, tmp_path, capsys):
    parts, folder, _ = job
    assert "statuses [130, 0]" in parts["interrupted", "out"]
    assert "interrupted after step 1; the best model so far is kept" in parts["interrupted", "out"]
    goes_on = [*FIT, "--regularization", 0, "--model", folder / "i.subquad", "--resume"]
    assert run(*goes_on) == 0
    whole = [*FIT, "--regularization", 0, "--model", tmp_path / "whole.subquad"]
    assert run(*whole) == 0
    one, other = load_model(folder / "i.subquad"), load_model(tmp_path / "whole.subquad")
    assert len(one.history_) == len(other.history_) == 2
    assert np.array_equal(one.factors_[0], other.factors_[0])


@needs_mpi
def test_ranks_that_have_nothing_to_do_say_so_once(job):
    parts, _, _ = job
    assert "the other has nothing to do, since ridge is fitted whole" in parts["ridge", "out"]
    assert "ranks share neurons of implicit weights alone" in parts["dense", "out"]
    assert "the first runs `subquad info` alone" in parts["info", "err"]
    assert parts["info", "out"].count("GaussNewtonRegressor") == 1


@needs_mpi
def test_a_refusal_is_said_once_and_ends_all_ranks(job):
    parts, _, _ = job
    assert "statuses [2, 0]" in parts["refused", "out"]
    assert parts["refused", "err"].count("\n") == 1
    assert parts["refused", "err"].startswith("subquad: the data must be a file that exists")
    assert "statuses [2, 0]" in parts["both fail", "out"]
    assert parts["both fail", "err"].count("\n") == 1


@needs_mpi
def test_rows_of_landmarks_are_shared(job):
    parts, _, _ = job
    found = json.loads(parts["landmarks", "out"])
    assert np.allclose(found["shared"], found["alone"], rtol=1e-6)
    assert found["missed"][0] == pytest.approx(found["missed"][1], rel=1e-6)


@needs_mpi
def test_a_rank_that_fails_apart_ends_the_job_with_its_sentence(job):
    parts, _, status = job
    assert status == 2
    assert "subquad: rank 1 of 2 failed; out of luck." in parts["apart", "err"]
    assert "statuses" not in parts["apart", "out"]


def test_without_a_launcher_the_command_asks_for_no_ranks(monkeypatch):
    for size, _ in ranks._LAUNCHERS:
        monkeypatch.delenv(size, raising=False)
    assert not ranks.launched()
    monkeypatch.setenv("PMI_SIZE", "1")
    assert not ranks.launched()
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "3")
    assert ranks.launched()


def test_without_mpi4py_the_first_rank_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    for rank, lines in (("0", 1), ("1", 0)):
        monkeypatch.setenv("PMI_RANK", rank)
        assert ranks.run(lambda helpers: 0) == 2
        assert capsys.readouterr().err.count("pip install 'subquad[mpi]'") == lines


def test_a_plan_for_ranks_is_for_each_of_them(capsys):
    implicit = [*PLAN, "--weights", "implicit"]
    plans = []
    for n_ranks in (1, 2, 64):
        assert run(*implicit, "--ranks", n_ranks, "--json") == 0
        plans.append(json.loads(capsys.readouterr().out))
    one, two, many = plans
    assert "ranks" not in one
    assert two["memory_bytes"]["neurons"] == 32 * many["memory_bytes"]["neurons"]
    assert two["memory_bytes"]["features"] == many["memory_bytes"]["features"]
    assert two["memory_bytes"]["total"] < one["memory_bytes"]["total"]
    step = two["message_bytes"]["step"]
    # docs/machines.md: 4 C n^2, n m / (16 P) and 16 C n bytes
    assert step == {"counts": 16384, "chunks": 131072, "outputs": 1024, "total": 148480}
    assert run(*implicit, "--ranks", 4) == 0
    assert "148" not in (said := capsys.readouterr().out)
    assert "82.9 kB a step received by each rank in 3 calls" in said


def test_a_plan_of_landmarks_is_for_each_rank(capsys):
    landmarks, plans = ["plan", "--model", "ntk", "--n", 10**6, "--features", 8], []
    for n_ranks in (1, 2, 4):
        assert run(*landmarks, "--landmarks", 512, "--ranks", n_ranks, "--json") == 0
        plans.append(json.loads(capsys.readouterr().out))
    one, two, four = plans
    assert "ranks" not in one
    assert "parts" not in one["memory_bytes"]
    # Twelve matrices of M^2 numbers, shared among the ranks, which exchange them once.
    assert two["memory_bytes"]["parts"] == 2 * four["memory_bytes"]["parts"] == 48 * 512**2
    assert four["message_bytes"] == {"parts": 24 * 512 * 513, "sums": 8 * 512 * 513,
                                     "total": 32 * 512 * 513}  # fmt: skip
    assert one["memory_bytes"]["rows"] == two["memory_bytes"]["rows"]
    assert four["seconds"]["equations"] < one["seconds"]["equations"]
    assert run(*landmarks, "--ranks", 4) == 0
    said = capsys.readouterr().out
    assert "least squares on 2048 landmarks" in said
    assert "250000 rows of the equations" in said
    for n, solver in ((4096, "one factorisation of the kernel"), (8000, "conjugate gradients")):
        assert run("plan", "--model", "ntk", "--n", n) == 0
        assert solver in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--n", 5000, "--ranks", 2], "--ranks must be 1 for 5000 rows; ranks share the equations"),
        (["--n", 10**6, "--ranks", 13], "--ranks must be at most 12 for landmarks; got 13"),
        (["--n", 10**6, "--ranks", 0], "--ranks must be at least 1; got 0"),
        (["--n", 100, "--landmarks", 101], "--landmarks must be from 1 to the 100 rows; got 101"),
        (["--n", 100, "--landmarks", 0], "--landmarks must be from 1 to the 100 rows; got 0"),
        (["--n", 100, "--width", 64], "--model must be gn to go with --width; got ntk"),
        (["--n", 0], "--n must be at least 1; got 0"),
        (["--n", 10, "--depth", 0], "--depth must be at least 1; got 0"),
    ],
)
def test_a_plan_of_a_kernel_that_cannot_be_is_refused(words, reason, capsys):
    assert reason in refusal(capsys, "plan", "--model", "ntk", *words)


def test_a_plan_of_a_network_asks_for_its_sizes(capsys):
    assert "--width must be given for a network" in refusal(capsys, "plan", "--n", 10)
    words = [*PLAN, "--landmarks", 5]
    assert "--model must be ntk to go with --landmarks; got gn" in refusal(capsys, *words)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["--ranks", 2], "--ranks must be 1 for --weights dense"),
        (["--weights", "implicit", "--ranks", 0], "--ranks must be at least 1; got 0"),
        (["--weights", "implicit", "--ranks", 257], "--ranks must be at most 256 for 256 blocks"),
        (
            ["--weights", "implicit", "--readout", "dense", "--outputs", 2, "--ranks", 2],
            "for --readout dense",
        ),
        (["--weights", "implicit", "--n", 5000, "--ranks", 2], "for 5000 rows"),
    ],
)
def test_a_plan_for_ranks_that_cannot_share_is_refused(words, reason, capsys):
    assert reason in refusal(capsys, *PLAN, *words)


def _of_ranks(comm):
    """What a rank does: a test has started it."""

    def section(name):
        comm.Barrier()
        if comm.Get_rank() == 0:
            for stream in (sys.stdout, sys.stderr):
                print(f"=== {name}", file=stream, flush=True)
        comm.Barrier()

    def command(name, *words):
        section(name)
        sys.argv = ["subquad", *words]
        try:
            status = main()
        except SystemExit as error:
            status = error.code
        if (statuses := comm.gather(status)) is not None:
            print("statuses", statuses, flush=True)

    command("refused", "fit", "missing.csv")
    command("shared", *FIT, "--model", "shared.subquad")
    command("info", "info", "shared.subquad")
    command("dense", "fit", "diabetes", "--width", "300", "--max-steps", "1", "--no-model")
    command("ridge", "fit", "diabetes", "--model", "ridge", "--no-model")
    _interrupt_after_a_step()
    command("interrupted", *FIT, "--regularization", "0", "--model", "i.subquad")
    _fail(comm, [0, 1])
    command("both fail", *FIT, "--no-model")
    section("landmarks")
    _fit_by_landmarks()
    _fail(comm, [1])
    command("apart", *FIT, "--no-model")


def _interrupt_after_a_step():
    """Have Ctrl-C come to the first rank with the row of the first step."""
    from subquad._command import report

    class Progress(report.Progress):
        def __call__(self, record):
            super().__call__(record)
            if record.step == 1 and "i.subquad" in sys.argv:
                signal.raise_signal(signal.SIGINT)

    from subquad._command.models import network

    network.Progress = Progress


def _fail(comm, of_ranks):
    """Have the last layer of networks fail on some ranks."""
    from subquad.networks import WideNetwork

    def last_layer(*_, **__):
        raise ValueError("out of luck.")

    _fail.whole = getattr(_fail, "whole", WideNetwork.last_layer)
    failing = comm.Get_rank() in of_ranks
    WideNetwork.last_layer = last_layer if failing else _fail.whole


def _fit_by_landmarks():
    """A kernel's fit by few landmarks, as the command makes one of many rows."""
    from argparse import Namespace

    from subquad._command.report import Report
    from subquad._command.stopping import Signals
    from subquad.estimators import NTKRegressor

    def fits(helpers):
        rng = np.random.default_rng(0)
        X = rng.standard_normal((300, 2))
        y, models = X[:, 0] * X[:, 1], []
        with Signals() as signals:
            args = Namespace(helpers=helpers, threads=1, signals=signals)
            for alone in (False, True):
                model = NTKRegressor(depth=1, solver="nystrom", n_landmarks=30)
                if alone:
                    models.append(model.fit(X, y))
                else:
                    models.append(ranks.fit(args, Report(True), model, X, y))
        predicted = [model.predict(X[:5]).tolist() for model in models]
        missed = [model.missed_trace_ for model in models]
        print(json.dumps({"shared": predicted[0], "alone": predicted[1], "missed": missed}))
        return 0

    ranks.run(fits)


if __name__ == "__main__":
    from subquad.distributed import world

    _of_ranks(world())
