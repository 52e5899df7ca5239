"""Instructions of the kernels, which are stable where times are not; counted by valgrind."""

from . import counting
from .counted import KERNELS


class Instructions:
    """One call of each kernel on one thread, at the level AVX2."""

    params = [list(KERNELS)]
    param_names = ["kernel"]
    timeout = 300

    def setup(self, kernel):
        if lacking := counting.missing():
            raise NotImplementedError(lacking)

    def track_instructions(self, kernel):
        return counting.count([kernel])[kernel]

    track_instructions.unit = "instructions"
