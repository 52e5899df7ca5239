"""What the table scripts share: their options, alternated contenders, tables in Markdown.

Alternation lets whatever else the machine does strike all contenders alike; figures are medians.
Numbers of threads and instruction-set levels get processes of their own.
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PAUSE = 0.05  # seconds: idle threads of OpenBLAS spin for up to 2^26 cycles
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def medians(calls, repeats, clock=time.perf_counter):
    """Return the median seconds of each call (a dict by name), alternated `repeats` times.

    Between two contenders is a pause, in which the idle threads of one stop to spin on the
    processors that the next one wants, and a call that is not counted.
    """
    seconds = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            time.sleep(PAUSE)
            call()
            start = clock()
            call()
            seconds[name].append(clock() - start)
    return {name: float(np.median(values)) for name, values in seconds.items()}


def parser(doc, *, threads=(1, 2), repeats=7):
    """Return a parser with what every script takes."""
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, nargs="+", default=list(threads))
    parser.add_argument("--level", nargs="+", default=[None], help="instruction sets")
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument(
        "--cpu", action="store_true", help="processor time of one thread, on shared processors"
    )
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    return parser


def clock_of(options):
    """Return the clock that the options ask for."""
    return time.thread_time if options.cpu else time.perf_counter


def run_script(script, options, measure, print_tables):
    """Print the tables of (level, threads, what `measure` returns), each from its own process."""
    if options.json:
        print(json.dumps(measure(options)))
        return
    results = []
    for level in options.level:
        for threads in options.threads:
            asked = (*sys.argv[1:], "--json", "--threads", threads)
            results.append(
                (level or "best", threads, in_process(script, threads, *asked, level=level))
            )
    print_tables(results)


def in_process(script, threads, *options, level=None):
    """Run a script with options in a process of so many threads; return the JSON it prints."""
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    if level:
        environment["SUBQUAD_SIMD_LEVEL"] = level
    command = [sys.executable, str(Path(script).resolve()), *map(str, options)]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def installed(module):
    """Return whether a peer can be imported."""
    return importlib.util.find_spec(module) is not None


def print_table(heads, rows):
    """Print a Markdown table; cells that are floats with three digits."""
    print("| " + " | ".join(heads) + " |")
    print("|---:" * len(heads) + "|")
    for row in rows:
        print("| " + " | ".join(cell(value) for value in row) + " |")


def cell(value):
    """Return a table cell."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
