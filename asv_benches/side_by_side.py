"""The clockwork of the table scripts: alternated contenders, processes of their own, Markdown.

Contenders take turns, so that whatever else the machine does strikes all of them; figures are
medians. A number of threads and an instruction-set level are fixed when a process starts, so each
of them gets a process of its own: the script starts itself again, tells the new process which part
to measure, and reads the JSON that it prints.

    parser          returns a parser of the options that scripts share
    prepared        returns a suite of `benchmarks` that is ready to run
    apart           has a part measured in a process of its own
    measured_here   measures the part that this process was started for, if there is one
    alternated      calls the contenders in turn, and returns what they returned
    medians         calls them in turn, and returns their median seconds
"""

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np

# Pause for 0.05 seconds between two contenders: idle threads of OpenBLAS spin for up to 2^26
# cycles on the processors that the next contender wants.
PAUSE = 0.05
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def seconds_of(call, clock=time.perf_counter):
    """Return the seconds that a call takes."""
    start = clock()
    call()
    return clock() - start


def prepared(suite, *arguments):
    """Return a suite that is ready to run."""
    instance = suite()
    instance.setup(*arguments)
    return instance


def alternated(calls, repeats, warm_ups=1):
    """Return what each call (a dict by name) returned in `repeats` rounds, as a dict of lists.

    The calls take turns with a pause before each. The first `warm_ups` rounds, which start threads
    and touch pages, are left out.
    """
    returned = {name: [] for name in calls}
    for turn in range(warm_ups + repeats):
        for name, call in calls.items():
            time.sleep(PAUSE)
            value = call()
            if turn >= warm_ups:
                returned[name].append(value)
    return returned


def medians(calls, repeats, clock=time.perf_counter):
    """Return the median seconds of each call (a dict by name), alternated `repeats` times.

    Each timed call follows one that is not timed, which finds the cache as the others left it.
    """

    def warm_seconds(call):
        call()
        return seconds_of(call, clock)

    timed = {name: partial(warm_seconds, call) for name, call in calls.items()}
    return medians_of(alternated(timed, repeats, warm_ups=0))


def medians_of(figures):
    """Return the median of each list, or of each list of lists, of a dict."""
    return {name: float(np.median(values)) for name, values in figures.items()}


def parser(doc, *, threads=(1, 2), repeats=7, cpu=True, levels=False):
    """Return a parser with the options that scripts share, those that are None or False left out.

    `threads` and `repeats` are default values.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    if threads:
        parser.add_argument("--threads", type=int, nargs="+", default=list(threads))
    if repeats:
        parser.add_argument("--repeats", type=int, default=repeats)
    if cpu:
        parser.add_argument(
            "--cpu", action="store_true", help="processor time of one thread, on shared processors"
        )
    if levels:
        parser.add_argument("--level", nargs="+", default=[None], help="instruction sets")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    return parser


def clock_of(options):
    """Return the clock that the options ask for."""
    return time.thread_time if options.cpu else time.perf_counter


def measured_here(options, **parts):
    """Print, as JSON, what the part returns that this process was started for, if there is one.

    Parts are functions of the options, whose `threads` are those of the process, and of the
    arguments that `apart` was given. Return whether there was a part.
    """
    if options.part is None:
        return False
    threads, name, *arguments = map(json.loads, options.part)
    options.threads = [threads]
    print(json.dumps(parts[name](options, *arguments)))
    return True


def apart(script, threads, part, *arguments, blas_threads=None, level=None):
    """Return what a part of a script measures in a process of its own, with so many threads.

    The process gets the options of this one.
    """
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(blas_threads or threads))}
    environment["OMP_NUM_THREADS"] = str(threads)
    if level:
        environment["SUBQUAD_SIMD_LEVEL"] = level
    words = map(json.dumps, (threads, part, *arguments))
    command = [sys.executable, str(Path(script).resolve()), *sys.argv[1:], "--part", *words]
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def each_process(script, options):
    """Yield (level, threads, what `measure` returns) for every level and number of threads."""
    for level in options.level:
        for threads in options.threads:
            yield level or "best", threads, apart(script, threads, "measure", level=level)


def installed(module):
    """Return whether a peer can be imported."""
    return importlib.util.find_spec(module) is not None


def times(theirs, ours):
    """Return how many times as long a rival takes, as a cell such as 3.1x."""
    return f"{theirs / ours:.3g}x"


def percent(fraction):
    """Return a fraction as a cell such as 83 %."""
    return f"{100 * fraction:.0f} %"


def print_table(heads, rows):
    """Print a Markdown table, each row as it comes; cells that are floats get three digits."""
    print("| " + " | ".join(heads) + " |")
    print("|---:" * len(heads) + "|", flush=True)
    for row in rows:
        print("| " + " | ".join(cell(value) for value in row) + " |", flush=True)


def cell(value):
    """Return a value as a table cell."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
