"""Print, as Markdown, one fit shared by ranks of MPI: one rank of one thread beside two.

    python asv_benches/ranks_table.py [--width 262144] [--ranks 1 2] [--rows 64] [--repeats 1]

The last layer of a network of two layers, float32, weights="implicit", the shift of alpha = 0.2,
until the residual is 1e-6 of what it was, on rows of norm one: digits of mnist10k.npz in the folder
SUBQUAD_DATA, if that is set, or normal numbers. Needs mpi4py and mpiexec. Each job of ranks has
processes of its own; jobs take turns. The results of all jobs must be equal in every bit.

layer, trainer, steps   seconds of the clock that the slowest rank took
wall (s)                their sum
processor (s)           seconds of the processor, of the rank that had most; waiting is not work
speed-up                of one rank, by both
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from side_by_side import THREAD_VARIABLES, print_table

ALPHA, TOL, FEATURES = 0.2, 1e-6, 784
PHASES = ("network", "layer", "trainer", "steps")
HEADS = ["ranks", "rows", "width", "layer (s)", "trainer (s)", "steps (s)", "wall (s)"]
HEADS += ["processor (s)", "speed-up, wall", "speed-up, processor", "steps", "result"]


def data(n):
    """Return n rows of norm one, and targets +-1."""
    folder = os.environ.get("SUBQUAD_DATA")
    if folder:
        from wide_table import digits

        return digits(folder, n)
    X = np.random.default_rng(0).standard_normal((n, FEATURES)).astype(np.float32)
    y = np.where(X[:, 0] * X[:, 1] > 0, 1.0, -1.0)
    return X / np.linalg.norm(X, axis=1, keepdims=True), y


def measure(width, n):
    """Fit on all ranks of this job; print what the first has gathered as JSON."""
    from subquad.activations import ShiftedReLU
    from subquad.distributed import world
    from subquad.networks import WideNetwork
    from subquad.training import LastLayerGaussNewton

    comm, (X, y) = world(), data(n)
    comm.Barrier()
    walls, processor = [time.perf_counter()], [time.process_time()]

    def note():
        walls.append(time.perf_counter())
        processor.append(time.process_time())

    network = WideNetwork(
        X.shape[1], width=width, activation=ShiftedReLU.for_sparsity(ALPHA, width),
        weights="implicit", rng=0, dtype=np.float32,
    )  # fmt: skip
    note()
    layer = network.last_layer(X, 1, comm=comm)
    note()
    trainer = LastLayerGaussNewton(layer, y, tol=TOL, n_threads=1)
    note()
    trainer.run()
    note()
    A = trainer.factors[0]
    parts = comm.gather((np.diff(walls), np.diff(processor), layer.neurons.start, A))
    if parts is None:
        return
    digest = hashlib.blake2b(np.ascontiguousarray(trainer.outputs), digest_size=8)
    for part in sorted(parts, key=lambda part: part[2]):
        digest.update(np.ascontiguousarray(part[3].T))
    walls, processor = (np.array([part[i] for part in parts]) for i in (0, 1))
    found = {
        "wall": dict(zip(PHASES, walls.max(axis=0).tolist(), strict=True)),
        "processor": dict(zip(PHASES, processor.max(axis=0).tolist(), strict=True)),
        "steps": len(trainer.history),
        "converged": trainer.converged,
        "result": digest.hexdigest(),
    }
    print(json.dumps(found))


def mpiexec():
    """Return the path of mpiexec, that of this environment first, or None."""
    folders = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    return shutil.which("mpiexec", path=folders)


def job(ranks, width, n):
    """Return what a job of so many ranks, of one thread each, has found."""
    if mpiexec() is None:
        sys.exit("ranks_table needs mpi4py and mpiexec: pip install mpi4py mpich")
    command = [mpiexec(), "-n", str(ranks), sys.executable, __file__, "--measure"]
    one = dict.fromkeys(THREAD_VARIABLES, "1")
    done = subprocess.run(
        [*command, "--width", str(width), "--rows", str(n)],
        env=os.environ | one, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def rows(options):
    """Yield the rows of the table: medians of the jobs of each number of ranks."""
    found = {ranks: [] for ranks in options.ranks}
    for _ in range(options.repeats):
        for ranks in options.ranks:
            found[ranks].append(job(ranks, options.width, options.rows))
    results = {each["result"] for jobs in found.values() for each in jobs}
    first = None
    for ranks, jobs in found.items():
        wall, processor = (
            {phase: float(np.median([each[clock][phase] for each in jobs])) for phase in PHASES}
            for clock in ("wall", "processor")
        )
        totals = sum(wall.values()), sum(processor.values())
        first = totals if first is None else first
        parts = [wall[phase] for phase in PHASES[1:]]
        gains = [one / this for one, this in zip(first, totals, strict=True)]
        equal = "equal" if len(results) == 1 else "DIFFERS"
        yield [ranks, options.rows, options.width, *parts, *totals, *gains, jobs[0]["steps"], equal]


def main(arguments=None):
    """Print the table, or measure on this rank."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=262_144)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--measure", action="store_true", help="used by the script itself")
    options = parser.parse_args(arguments)
    if options.measure:
        measure(options.width, options.rows)
    else:
        print_table(HEADS, rows(options))


if __name__ == "__main__":
    main()
