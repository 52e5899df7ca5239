"""Processor time of importing a module in a process of its own."""

import resource
import subprocess
import sys
from pathlib import Path

import subquad


def processor_seconds(words):
    """Return the processor seconds of a process of Python, and what it wrote to standard error."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *words], check=True, text=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        cwd=Path(subquad.__file__).parents[1],  # so that it finds the package of this process
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return seconds, done.stderr


def imports_of(module):
    """Return the statement that imports a module; of the estimators, which load one by one, all."""
    return f"from {module} import *" if module == "subquad.estimators" else f"import {module}"


class Import:
    """A module by itself, scikit-learn's base class among them, which the estimators need."""

    params = [["subquad", "subquad.hadamard", "subquad.training", "subquad.estimators", "sklearn"]]
    param_names = ["module"]
    repeats = 3

    def track_processor_seconds(self, module):
        words = ["-c", imports_of(module)]
        return min(processor_seconds(words)[0] for _ in range(self.repeats))

    track_processor_seconds.unit = "seconds"


class Fit:
    """The command on digits: imports, comparison and fit."""

    params = [["ntk", "auto", "gn", "ridge"]]
    param_names = ["model"]

    def track_processor_seconds(self, model):
        words = ["-m", "subquad", "fit", "digits", "--model", model, "--no-model"]
        return min(processor_seconds(words)[0] for _ in range(2))

    track_processor_seconds.unit = "seconds"
