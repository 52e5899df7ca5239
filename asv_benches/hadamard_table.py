"""Print, as Markdown, how fast the Walsh-Hadamard transform is on this machine, by one thread.

    python asv_benches/hadamard_table.py [--levels baseline avx2 avx512 best] [--bursts 9]

The bound is log2(m) / 2 cycles for each 64 bytes: two additions of 64-byte vectors a cycle, and
nothing else. The length of a cycle is measured beside each transform, by a chain of additions in a
few lines of C that this script compiles. The numpy butterfly is that of benchmarks.hadamard.

The contenders work in place and take turns in one process, in bursts of calls: this package, the
numpy butterfly and, where it is installed, fht-cpu. The first call of a burst, which finds the
cache as the others left it, is not counted. Figures are medians. Long transforms are measured in
processor time, since other work on the machine stops them. A single vector that fits in the first
caches is timed inside the kernel, as many rows in one place, because a call takes longer than its
transform; fht-cpu has no such call, and is left out there.
"""

import argparse
import ctypes
import math
import os
import pathlib
import subprocess
import sysconfig
import tempfile
import time
from functools import partial

import numpy as np
from benchmarks.hadamard import numpy_butterflies
from numpy.lib.stride_tricks import as_strided
from side_by_side import alternated, installed, percent, print_table, seconds_of

from subquad._kernels import _simd, hadamard

# (rows, log2 of the length)
TRANSFORMS = [
    *((1, k) for k in range(10, 16)),
    *((256, k) for k in (6, 8)),
    *((64, k) for k in (10, 12, 14)),
    *((1, k) for k in range(16, 25, 2)),
]
# Repeat single vectors of up to LARGEST_REPEATED entries until REALS_REPEATED entries are
# transformed; measure arrays of MILLISECONDS entries and more in processor time.
LARGEST_REPEATED, REALS_REPEATED, MILLISECONDS = 1 << 15, 1 << 19, 1 << 21
CALLS_IN_A_BURST = {"subquad": 4, "numpy": 2, "fht_cpu": 4}

CHAIN = """
unsigned long chain(unsigned long n) {
    unsigned long x = n, y = n;
    __asm__ volatile("" : "+r"(y));
    for (unsigned long i = 0; i < n; i += 8) {
#define ADD x += y; __asm__ volatile("" : "+r"(x));
        ADD ADD ADD ADD ADD ADD ADD ADD
    }
    return x;
}
"""
CHAIN_LENGTH = 400_000


def compiled_chain():
    """Return a function of n that takes n cycles and little more."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    with tempfile.TemporaryDirectory() as folder:
        source, library = pathlib.Path(folder, "chain.c"), pathlib.Path(folder, "chain.so")
        source.write_text(CHAIN)
        command = [*compiler.split(), "-O1", "-shared", "-fPIC", str(source), "-o", str(library)]
        subprocess.run(command, check=True)
        chain = ctypes.CDLL(str(library)).chain
    chain.argtypes, chain.restype = [ctypes.c_ulong], ctypes.c_ulong
    return chain


class Contest:
    """The contenders on the same numbers."""

    def __init__(self, rows, log_length, dtype):
        length = 1 << log_length
        self.x = np.random.default_rng(0).standard_normal((rows, length)).astype(dtype)
        self.spare = np.empty(self.x.size // 2, dtype)
        repeated = rows == 1 and length <= LARGEST_REPEATED
        self.repeats = REALS_REPEATED // length if repeated else 1
        if self.repeats > 1:
            self.x[:] = 0  # zeros do not grow, and are added as fast as other numbers
        self.bound_cycles = log_length / 2 * self.x.nbytes / 64
        self.clock = time.perf_counter if self.x.size < MILLISECONDS else time.thread_time

    def names(self):
        """Return the names of those who take part."""
        has_rows = self.repeats == 1 and installed("fht_cpu")
        return ["subquad", "numpy"] + ["fht_cpu"] * has_rows

    def burst(self, name, chain):
        """Return (seconds, fraction of the bound) of each call, and undo the growth of x."""
        run = getattr(self, name)
        cycle = min(seconds_of(partial(chain, CHAIN_LENGTH)) for _ in range(3)) / CHAIN_LENGTH
        run()
        seconds = [run() for _ in range(CALLS_IN_A_BURST[name])]
        self.x *= self.x.dtype.type(self.x.shape[1] ** (-0.5 * (1 + CALLS_IN_A_BURST[name])))
        return [(taken, self.bound_cycles * cycle / taken) for taken in seconds]

    def subquad(self):
        """Return the seconds of one transform of all rows."""
        x = self.x
        if self.repeats > 1:
            x = as_strided(x, (self.repeats, x.shape[1]), (0, x.itemsize))
        transform = partial(hadamard.transform_rows, x, x, 1, 1.0, 1)
        return seconds_of(transform, self.clock) / self.repeats

    def numpy(self):
        """Return the seconds of the numpy butterfly."""
        return seconds_of(partial(numpy_butterflies, self.x, self.spare), self.clock)

    def fht_cpu(self):
        """Return the seconds of fht-cpu."""
        import fht_cpu

        rows = {4: fht_cpu.fht_2d_f32_rows, 8: fht_cpu.fht_2d_f64_rows}[self.x.itemsize]
        return seconds_of(partial(rows, self.x, 1), self.clock)


def compare(transform, dtype, bursts, chain):
    """Return the median cells: ns a vector, fraction of the bound, what the others take."""
    contest = Contest(*transform, dtype)
    calls = {name: partial(contest.burst, name, chain) for name in contest.names()}
    figures = alternated(calls, bursts, warm_ups=0)
    median = {name: np.median(np.vstack(figures[name]), axis=0) for name in calls}
    ours, fraction = median["subquad"]
    cells = [significant(1e9 * ours / transform[0]), percent(fraction)]
    cells.append(f"{median['numpy'][0] / ours:.0f}x")
    if installed("fht_cpu"):
        peer = median.get("fht_cpu")
        cells.append("" if peer is None else f"{peer[0] / ours:.2f}x")
    return cells


def print_level(level, results):
    """Print one row for each transform, with the dtypes side by side."""
    columns = ["a vector (ns)", "of the bound", "numpy takes"]
    columns += ["fht-cpu takes"] * installed("fht_cpu")
    heads = [level, *(f"{name}: {column}" for name in results for column in columns)]
    rows = [
        [f"{n} x 2^{k}", *(cell for cells in results.values() for cell in cells[n, k])]
        for n, k in TRANSFORMS
    ]
    print_table(heads, rows)


def significant(number, digits=3):
    """Return a number with this many significant digits and no exponent."""
    return f"{round(number, digits - 1 - math.floor(math.log10(number))):.0f}"


def main():
    """Measure and print."""
    best = _simd.best_level()
    available = _simd.LEVELS[: _simd.LEVELS.index(best) + 1]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--levels", nargs="+", choices=[*available, "best"], default=available)
    parser.add_argument("--bursts", type=int, default=9)
    options = parser.parse_args()
    chain = compiled_chain()
    for level in options.levels:
        level = best if level == "best" else level
        _simd.use_level(level)
        results = {
            dtype: {t: compare(t, dtype, options.bursts, chain) for t in TRANSFORMS}
            for dtype in ("float32", "float64")
        }
        print_level(level, results)
        print()


if __name__ == "__main__":
    main()
