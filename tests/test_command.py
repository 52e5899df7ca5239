"""The command: what a person types ends in a result, or in one sentence and status 2."""

import json
import os
import pty
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from subquad.__main__ import main
from subquad._command import forecast
from subquad._command.ridge import fit_ridge, one_hot
from subquad._command.tables import choose_task, read_features, read_training

pytest.importorskip("sklearn")
pyarrow = pytest.importorskip("pyarrow")

SMALL = ["--width", "512", "--seed", "3"]
ROWS = 60


@pytest.fixture
def table(tmp_path):
    """A regression table of two informative columns and a third that is of no use."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, 3))
    y = X[:, 0] + np.sin(X[:, 1])
    lines = ["a,b,noise,y", *(",".join(map(repr, row)) for row in np.column_stack([X, y]).tolist())]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def write(path, text):
    path.write_text(text)
    return str(path)


def run(*words):
    """Run the command in this process; words may be paths."""
    return main([str(word) for word in words])


def refusal(capsys, *words):
    """The one sentence on standard error of a command that must end with status 2."""
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("subquad: ")
    assert "Traceback" not in captured.err
    return captured.err


def start(*words, **options):
    """Start the command as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "subquad", *map(str, words)], text=True, **options
    )
