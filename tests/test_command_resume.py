"""A fit that ended early goes on with --resume, to the model that it would have made."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from command_line import SMALL, refusal, run

from subquad.io import load_model

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.machine, pytest.mark.usefixtures("own_folder")]
if sys.platform == "win32":
    pytest.skip("signals of POSIX", allow_module_level=True)

KILLED = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # where the shell ignored it,
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # or nohup
from subquad.__main__ import main
from subquad._command.report import Progress
shown = Progress.__call__
def kill(self, record):
    shown(self, record)
    if record.step == 2:
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))
Progress.__call__ = kill
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def fit(tmp_path):
    """Words of a fit of several steps, and a function that reads its models."""
    path = tmp_path / "t.npz"
    X = np.random.default_rng(0).standard_normal((60, 3))
    np.savez(path, X=X, y=np.sin(3 * X[:, 0]) + X[:, 1])
    words = ["fit", path, "--regularization", "1e-6", "--max-steps", 5, *SMALL]
    return [str(word) for word in words]


def the_same_model(first, second):
    first, second = load_model(first), load_model(second)
    for one, other in zip(first.factors_, second.factors_, strict=True):
        np.testing.assert_array_equal(one, other)
    assert first.history_ == second.history_
    assert first.loo_error_ == second.loo_error_
    return len(first.history_)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_a_fit_that_ended_early_goes_on_to_the_same_model(capsys, tmp_path, fit, name):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert run(*fit, "--model", whole) == 0
    command = [sys.executable, "-P", "-c", KILLED, name, *fit, "--model", stopped]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    number = getattr(signal, name)
    if name == "SIGKILL":
        assert done.returncode == -number
        assert not stopped.exists()
    else:
        assert done.returncode == 128 + number
        assert "interrupted after step 2" in done.stdout
        assert "the same command with --resume goes on" in done.stdout
        assert done.stderr == ""
        assert len(load_model(stopped).history_) == 2
    assert os.path.exists(f"{stopped}.checkpoint")
    capsys.readouterr()
    assert run(*fit, "--model", stopped, "--resume") == 0
    assert capsys.readouterr().out.count("\n     1 ") == 1
    assert the_same_model(whole, stopped) > 2
    assert sorted(os.listdir(tmp_path)) == ["stopped", "t.npz", "whole"]


def test_resuming_needs_the_same_data_and_options(capsys, tmp_path, fit):
    model = tmp_path / "m"
    command = [sys.executable, "-P", "-c", KILLED, "SIGINT", *fit, "--model", model]
    subprocess.run(command, capture_output=True, timeout=120)
    words = [*fit, "--model", model, "--resume"]
    for options, part in [
        (["--width", "512"], "the same width; it has 256, got 512"),
        (["--max-steps", "6"], "the same max-steps; it has 5, got 6"),
        (["--seed", "4"], "the same seed; it has 3, got 4"),
        (["--test-fraction", "0.5"], "the same data"),
        (["--shift", "0.5"], "the same shift"),
        (["--model", tmp_path / "other"], "--resume must find the checkpoint"),
        (["--model", "/dev/null"], "--resume must go with a model file"),
    ]:
        assert part in refusal(capsys, *words, *options).replace("'", "")
    (tmp_path / "other.checkpoint").write_text("mine")
    assert "to its checkpoint" in refusal(capsys, *fit, "--model", tmp_path / "other")
    assert (tmp_path / "other.checkpoint").read_text() == "mine"
    arrays = dict(np.load(fit[1]))
    np.savez(fit[1], **{**arrays, "y": arrays["y"] + 1e-9})
    assert "the same data" in refusal(capsys, *words)
