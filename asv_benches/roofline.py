"""Print, as Markdown, what this machine allows: memory bandwidth and multiply-add rates.

    python asv_benches/roofline.py [--threads 1 2] [--megabytes 512]

Bandwidth is that of reading memory far larger than the caches, each thread its own part, with
prefetches 1 KiB ahead. The rates are of independent fused multiply-adds of the widest vectors, two
operations each. A few lines of C do both; this script compiles them for the processor it runs on.
Figures are the best of several runs: they bound what is possible.
"""

import argparse
import ctypes
import functools
import os
import pathlib
import subprocess
import sysconfig
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from side_by_side import print_table

SOURCE = """
#include <stddef.h>
#if defined(__AVX512F__)
#define BYTES 64
#elif defined(__AVX__)
#define BYTES 32
#else
#define BYTES 16
#endif

/* Sums the first number of every 64 bytes, 16 lines at a time. */
double read_memory(const double *p, size_t n_lines) {
    double sum[16] = {0};
    for (size_t i = 0; i + 16 <= n_lines; i += 16)
        for (int k = 0; k < 16; k++) {
            __builtin_prefetch(p + 8 * (i + k + 16));
            sum[k] += p[8 * (i + k)];
        }
    for (int k = 1; k < 16; k++) sum[0] += sum[k];
    return sum[0];
}

#if defined(__x86_64__)
#define REGISTER(x) "+v"(x)
#elif defined(__aarch64__)
#define REGISTER(x) "+w"(x)
#else
#define REGISTER(x) "+m"(x)
#endif
/* Variables and not an array, which would be kept in memory. The empty assembler keeps the compiler
   from merging steps. */
#define TWELVE(f) f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11)
#define START(k) vec x##k = a * (k + 1);
#define STEP(k) x##k = x##k * a + b; __asm__ volatile("" : REGISTER(x##k));
#define TOTAL(k) total += x##k;
#define RATE(real)                                                                               \\
double multiply_add_##real(size_t n) {                                                           \\
    typedef real vec __attribute__((vector_size(BYTES)));                                        \\
    vec total = {0}, a = total + (real)0.5, b = total + (real)1;                                 \\
    TWELVE(START)                                                                                \\
    for (size_t i = 0; i < n; i++) { TWELVE(STEP) }                                              \\
    TWELVE(TOTAL)                                                                                \\
    return (double)total[0];                                                                     \\
}
RATE(float)
RATE(double)
int vector_bytes(void) { return BYTES; }
"""
# An iteration does this number of operations in each lane.
OPERATIONS = 12 * 2
ITERATIONS = 20_000_000
RUNS = 5


@functools.cache
def library():
    """Return the compiled functions."""
    compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    native = "-mcpu=native" if os.uname().machine.startswith("a") else "-march=native"
    with tempfile.TemporaryDirectory() as folder:
        source, target = pathlib.Path(folder, "roofline.c"), pathlib.Path(folder, "roofline.so")
        source.write_text(SOURCE)
        flags = ["-O3", native, "-ffp-contract=fast", "-shared", "-fPIC"]
        subprocess.run([*compiler.split(), *flags, str(source), "-o", str(target)], check=True)
        functions = ctypes.CDLL(str(target))
    functions.read_memory.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
    functions.read_memory.restype = ctypes.c_double
    for name in ("multiply_add_float", "multiply_add_double"):
        getattr(functions, name).argtypes = [ctypes.c_size_t]
        getattr(functions, name).restype = ctypes.c_double
    return functions


def best_seconds(work, n_threads):
    """Return the processor seconds of work(thread), least over runs and averaged over threads."""

    def timed(thread):
        start = time.thread_time()  # processor time: other work on the machine may stop a thread
        work(thread)
        return time.thread_time() - start

    with ThreadPoolExecutor(n_threads) as pool:  # ctypes releases the interpreter's lock
        return min(np.mean(list(pool.map(timed, range(n_threads)))) for _ in range(RUNS))


def bandwidth(n_threads, megabytes=512):
    """Return the bytes that n_threads read per second."""
    read, lines = library().read_memory, megabytes * 2**20 // 64 // n_threads
    memory = np.zeros((n_threads, 8 * lines + 256))
    memory += 1.0  # so that it has pages of its own

    def work(thread):
        read(memory[thread].ctypes.data, lines)

    return 64 * lines * n_threads / best_seconds(work, n_threads)


def multiply_add_rate(dtype, n_threads):
    """Return the floating-point operations of n_threads per second."""
    functions = library()
    name = {"float32": "multiply_add_float", "float64": "multiply_add_double"}[np.dtype(dtype).name]
    lanes = functions.vector_bytes() // np.dtype(dtype).itemsize
    work = getattr(functions, name)
    seconds = best_seconds(lambda _: work(ITERATIONS), n_threads)
    return OPERATIONS * lanes * ITERATIONS * n_threads / seconds


def measure(n_threads, megabytes=512):
    """Return bytes per second, and operations per second in both dtypes."""
    return {
        "bandwidth": bandwidth(n_threads, megabytes),
        **{dtype: multiply_add_rate(dtype, n_threads) for dtype in ("float32", "float64")},
    }


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--megabytes", type=int, default=512)
    options = parser.parse_args()
    rows = []
    for threads in options.threads:
        figures = measure(threads, options.megabytes)
        rows.append([threads, *(figures[name] / 1e9 for name in figures)])
    print_table(["threads", "reading (GB/s)", "float32 (GFLOP/s)", "float64 (GFLOP/s)"], rows)


if __name__ == "__main__":
    main()
