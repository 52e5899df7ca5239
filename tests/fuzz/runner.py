"""The process that watches workers: the command line of the harness."""

import argparse
import collections
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import cases, public, worker

# A case that runs for so many seconds hangs.
_LONGEST_CASE = 120.0
_SECONDS_BETWEEN_LOOKS = 0.2
# Workers whose idle threads sleep, and that open no window.
_ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1", "MPLBACKEND": "Agg"}
# A run of fewer calls than these need not have come to every name.
_ENOUGH_CALLS = 200_000


def main(arguments=None):
    """Run the harness; return 1 if any call failed, else 0."""
    options = _parser().parse_args(arguments)
    if options.worker:
        folder, first = options.worker
        limits = {"seconds": options.minutes and 60 * options.minutes, "calls": options.calls}
        worker.work(folder, options.seed, int(first), only=options.only, **limits)
        return 0
    if options.replay:
        return replay(*map(int, options.replay.split(":")))
    if options.minutes is None and options.calls is None:
        options.minutes = 5.0
    counts, failures = run(options.seed, options.only, options.minutes, options.calls)
    print(report(counts, failures, options.seed, complete=options.only is None))
    return 1 if failures or (options.only is None and missed(counts)) else 0


def replay(seed, number):
    """Run one case here and show what came of it."""
    with cases.recorded_warnings() as log:
        outcome = cases.run_case(seed, number, log)
    for name, word in outcome.calls:
        print(f"{name}: {word}")
    if outcome.failure is not None:
        print(outcome.trace)
    return 0 if outcome.failure is None else 1


def run(seed, only, minutes, calls):
    """Run workers, one after another where they die; return counts and failures."""
    end = None if minutes is None else time.monotonic() + 60 * minutes
    counts, failures, first = collections.Counter(), [], 0
    while first is not None:
        left = [] if end is None else [f"--minutes={max(0.0, end - time.monotonic()) / 60}"]
        left += [] if calls is None else [f"--calls={calls - counts.total()}"]
        left += [] if only is None else [f"--only={only}"]
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", __package__, f"--seed={seed}", *left]
            command += ["--worker", folder, str(first)]
            first, death = watch(command, Path(folder))
            made, failed = _word_of(Path(folder))
        counts.update(made)
        failures += failed
        if death is not None:
            name = cases.target_of(first - 1).function.__name__
            failures.append([first - 1, f"{name}: {death}", name, death])
        if (end is not None and time.monotonic() > end) or (calls and counts.total() >= calls):
            break
    return counts, failures


def watch(command, folder, longest=_LONGEST_CASE):
    """Run a worker; return (None, None), or where to go on and what it died of."""
    environment = {**os.environ, **{k: os.environ.get(k, v) for k, v in _ENVIRONMENT.items()}}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    last, since = -1, time.monotonic()
    try:
        while process.poll() is None:
            time.sleep(_SECONDS_BETWEEN_LOOKS)
            now = _number(folder)
            if now != last:
                last, since = now, time.monotonic()
            if time.monotonic() - since > longest:
                process.kill()
                process.wait()
                return last + 1, f"a hang of more than {longest:.0f} s"
    finally:
        process.kill()
        errors = process.stderr.read()
        process.stderr.close()
        process.wait()
    if process.returncode == 0:
        return None, None
    last = _number(folder)
    if last < 0:
        raise RuntimeError(f"The worker did not begin:\n{errors}")
    return last + 1, _cause(process.returncode, errors)


def report(counts, failures, seed, complete=True):
    """The table of calls by name, and the failures, the first of each kind in full."""
    table = collections.defaultdict(collections.Counter)
    for (name, word), n in counts.items():
        table[name][word] += n
    words = ("checked", "answered", "refused", "failed")
    lines = [f"{'':44}{'calls':>9}" + "".join(f"{word:>10}" for word in words)]
    for name, row in sorted(table.items()):
        cells = "".join(f"{row[word]:10}" for word in words)
        lines.append(f"{name:44}{row.total():9}{cells}")
    total = collections.Counter()
    for row in table.values():
        total += row
    cells = "".join(f"{total[word]:10}" for word in words)
    lines.append(f"{'all':44}{total.total():9}{cells}")
    if complete and missed(counts):
        lines.append(f"Not called: {', '.join(sorted(missed(counts)))}")
    kinds = collections.Counter(kind for _, kind, _, _ in failures)
    for kind, n in kinds.most_common():
        number, _, name, text = next(each for each in failures if each[1] == kind)
        lines.append(f"FAILED {n} times, --replay {seed}:{number}: {name}: {text}")
    return "\n".join(lines)


def missed(counts):
    """Names that a long run has not come to."""
    if counts.total() < _ENOUGH_CALLS:
        return set()
    beyond = public.EXCUSED.keys() | public.out_of_reach()
    return public.callables() - beyond - {name for name, _ in counts}


def _parser():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, help="how long to run; 5 unless --calls is given")
    parser.add_argument("--calls", type=int, help="how many calls to make")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", metavar="NAME", help="cases of targets with this in their names")
    parser.add_argument("--replay", metavar="SEED:NUMBER", help="run one case again, here")
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    return parser


def _number(folder):
    """The case that a worker is at, -1 before the first."""
    path = folder / "at"
    content = path.read_bytes() if path.exists() else b""
    return struct.unpack("q", content)[0] if len(content) == 8 else -1


def _word_of(folder):
    """Counts and failures that a worker left."""
    counts, failures = collections.Counter(), []
    if (path := folder / "counts.json").exists():
        for name, word, n in json.loads(path.read_text(encoding="utf-8")):
            counts[name, word] = n
    if (path := folder / "failures.jsonl").exists():
        failures = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return counts, failures


def _cause(code, errors):
    if code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit with status {code}: {errors.strip()[-300:]}"
