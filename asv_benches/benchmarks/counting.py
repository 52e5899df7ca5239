"""How many instructions the calls of `counted` execute, by valgrind's tool callgrind.

    count       starts valgrind with a process for some kernels, and reads the counts
    main        is that process: prepares each kernel, calls it once, and once more to be counted

Callgrind counts between two marks, which a few lines of C make; what lies outside of them is
executed without being counted. The kernels run on one thread at the level AVX2, the highest that
valgrind knows, and OpenBLAS uses its kernels for that. Counts are the same from run to run but for
some hundreds of instructions of Python.
"""

import contextlib
import ctypes
import gc
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

MARKS = """
#include <valgrind/callgrind.h>
void begin(void) { CALLGRIND_START_INSTRUMENTATION; CALLGRIND_ZERO_STATS; }
void end(const char *name) { CALLGRIND_DUMP_STATS_AT(name); CALLGRIND_STOP_INSTRUMENTATION; }
"""
SETTINGS = {
    "SUBQUAD_SIMD_LEVEL": "avx2",
    "OPENBLAS_CORETYPE": "Haswell",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
NAME, TOTAL = re.compile(r"^desc: Trigger: Client Request: (.*)"), re.compile(r"^summary: (\d+)")


def compiler():
    """Return the C compiler, as words."""
    return (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()


def missing():
    """Return what counting lacks here, or an empty text."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if shutil.which(compiler()[0]) is None:
        return "there is no C compiler"
    command = [*compiler(), "-E", "-include", "valgrind/callgrind.h", "-x", "c", os.devnull]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        return "the compiler does not find valgrind/callgrind.h"
    return ""


def count(names, *, paths=(), quiet=True):
    """Return the instructions of one call of each kernel, by name.

    `paths` come first where Python looks for the package and the benchmarks.
    """
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder, "marks.so")
        source = library.with_suffix(".c")
        source.write_text(MARKS)
        flags = ["-O1", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run([*compiler(), *flags], check=True)
        command = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--quiet"]
        command += [f"--callgrind-out-file={folder}/out", sys.executable, "-m"]
        command += ["benchmarks.counting", str(library), *names]
        found = [*map(str, paths), str(Path(__file__).parents[1])]
        environment = {**os.environ, **SETTINGS, "PYTHONPATH": os.pathsep.join(found)}
        errors = subprocess.DEVNULL if quiet else None
        subprocess.run(command, env=environment, check=True, cwd=folder, stderr=errors)
        return counts_in(Path(folder).glob("out.*"))


def counts_in(files):
    """Return the totals of the files that callgrind wrote, by the names of the marks."""
    counts = {}
    for path in files:
        lines = path.read_text().splitlines()[:40]  # before the costs of single lines
        names, totals = ([m[1] for m in map(kind.match, lines) if m] for kind in (NAME, TOTAL))
        counts |= zip(names, map(int, totals), strict=False)  # the last file ends with no mark
    return counts


class WithoutTorch:
    """A finder that hides torch: its import takes valgrind minutes."""

    def find_spec(self, name, *_):
        """Refuse torch, and nothing else."""
        if name == "torch":
            raise ModuleNotFoundError(name)


def main(words):
    """Call each kernel between two marks."""
    sys.meta_path.insert(0, WithoutTorch())
    from .counted import KERNELS

    marks = ctypes.CDLL(words[0])
    gc.disable()
    for name in words[1:]:
        # What another revision lacks is left out there.
        with contextlib.suppress(AttributeError, TypeError, NotImplementedError):
            call = KERNELS[name]()
            call()
            marks.begin()
            call()
            marks.end(name.encode())


if __name__ == "__main__":
    main(sys.argv[1:])
