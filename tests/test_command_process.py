"""The command as a process: signals, terminals, pipes that close, and what a start costs."""

import functools
import json
import os
import signal
import subprocess
import sys
from subprocess import PIPE

import numpy as np
import pytest

from subquad.io import load_model

pytest.importorskip("sklearn")
pytestmark = [pytest.mark.machine, pytest.mark.usefixtures("own_folder")]
if sys.platform == "win32":
    pytest.skip("signals and terminals of POSIX", allow_module_level=True)

COMMAND = [sys.executable, "-P", "-m", "subquad"]  # not the sources in this folder
# Three steps of more than a second each, by conjugate gradients: time for a signal to arrive.
LONG_FIT = ["fit", "digits", "--width", "512", "--readout", "dense"]
SHORT_FIT = ["fit", "diabetes", "--width", "512", "--max-steps", "3"]


def start(*words, **options):
    # A shell's background job ignores Ctrl-C, and so would everything it starts.
    options["preexec_fn"] = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen([*COMMAND, *map(str, words)], text=True, **options)


def wait_for_first_step(stream):
    """Read up to and including the row of step 1."""
    for line in stream:
        if line.split()[:1] == ["1"]:
            return
    pytest.fail("the fit took no step")


def test_ctrl_c_saves_the_best_model_so_far_and_ends_with_130(tmp_path):
    model = tmp_path / "m.subquad"
    with start(*LONG_FIT, "--model", model, stdout=PIPE, stderr=PIPE) as process:
        wait_for_first_step(process.stdout)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in out
    assert "Traceback" not in err
    assert sorted(os.listdir(tmp_path)) == ["m.subquad", "m.subquad.checkpoint"]
    estimator = load_model(model)
    assert len(estimator.history_) >= 1
    assert estimator.predict([[0.0] * 63 + [1.0]]).shape == (1,)


def test_a_reader_that_goes_away_does_not_cost_the_model(tmp_path):
    model = tmp_path / "m.subquad"
    with start(*SHORT_FIT, "--model", model, stdout=PIPE, stderr=PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        assert "BrokenPipe" not in process.stderr.read()
        assert process.wait(timeout=60) == 0
    assert load_model(model).n_features_in_ == 10


def test_a_terminal_gets_a_bar_and_then_the_table():
    pytest.importorskip("tqdm")
    termios = pytest.importorskip("termios")
    keyboard, screen = os.openpty()
    termios.tcsetwinsize(screen, (24, 100))
    with start(*SHORT_FIT, stdout=screen, stderr=screen) as process:
        os.close(screen)
        shown = b""
        while chunk := _read(keyboard):
            shown += chunk
        os.close(keyboard)
        assert process.wait(timeout=60) == 0
    assert b"fitting:" in shown
    assert shown.count(b" ratio ") == 1
    assert shown.rindex(b"fitting:") < shown.index(b" ratio ")


def _read(descriptor):
    """What a terminal shows next; nothing once the process has closed it."""
    try:
        return os.read(descriptor, 4096)
    except OSError:
        return b""


def test_json_is_alone_on_standard_output_and_without_a_bar_in_a_pipe():
    done = subprocess.run([*COMMAND, *SHORT_FIT, "--json"], capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["data"]["source"] == "diabetes"
    assert "fitting:" not in done.stderr
    assert done.stderr.startswith("data ")


def test_help_and_refusals_do_not_wait_for_scikit_learn_to_load():
    code = (
        "import sys; from subquad.__main__ import main\n"
        "status = main(['fit', 'missing.csv'])\n"
        "sys.exit(status if not {'sklearn', 'pandas', 'matplotlib'} & set(sys.modules) else 1)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr


@pytest.mark.parametrize("kind", ["ntk", "gn"])
def test_a_model_is_fitted_saved_and_applied_without_scikit_learn(tmp_path, kind):
    pytest.importorskip("sklearn")
    X = np.random.default_rng(0).standard_normal((40, 2))
    np.savez(tmp_path / "t.npz", X=X, y=X[:, 0] > 0)
    words = ["fit", "t.npz", "--model", kind, "--output", "m"]
    code = (
        "import sys; from subquad.__main__ import main\n"
        f"status = main({words!r}) or main(['predict', 'm', 't.npz'])\n"
        "sys.exit(status or 'sklearn' in sys.modules)"
    )
    words = [sys.executable, "-P", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert type(load_model(tmp_path / "m")).__name__.endswith("Classifier")


def test_version_is_that_of_the_package():
    from subquad import __version__

    done = subprocess.run([*COMMAND, "--version"], capture_output=True, text=True)
    assert done.stdout == f"subquad {__version__}\n"
