"""Processor time of importing a module in a process of its own."""

import resource
import subprocess
import sys


class Import:
    """A module by itself, scikit-learn's base class among them, which the estimators need."""

    params = [["subquad", "subquad.hadamard", "subquad.training", "subquad.estimators", "sklearn"]]
    param_names = ["module"]
    repeats = 3

    def track_processor_seconds(self, module):
        return min(self.once(module) for _ in range(self.repeats))

    track_processor_seconds.unit = "seconds"

    def once(self, module):
        """Return the processor seconds of one process."""
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
