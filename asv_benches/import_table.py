"""Print, as Markdown, what imports and the fits of the command cost a processor.

    python asv_benches/import_table.py [--repeats 5] [--modules NAME ...] [--fits auto gn ntk ridge]

Two tables, of processes of their own whose modules are compiled already. The first has the
processor time of a process that imports a module and does nothing else, and what Python says of
its parts (-X importtime, on the wall): the package's own modules, scikit-learn with all that it
imports, and numpy, scipy and Python. The second has the processor time of whole fits of digits by
the command, with `--model` as named. Figures are medians.
"""

import os
import re

import numpy as np
from benchmarks.imports import imports_of, processor_seconds
from side_by_side import parser, print_table

MODULES = (
    *("numpy", "scipy.sparse", "sklearn.base", "subquad", "subquad.hadamard", "subquad.sketch"),
    *("subquad.halfspace", "subquad.solvers", "subquad.ntk", "subquad.networks"),
    *("subquad.training", "subquad.interop", "subquad.estimators"),
)
OWNERS = ("subquad", "scikit-learn", "others")
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|( *)(\S+)")


def shares(told):
    """Return the seconds that each of OWNERS takes, from what -X importtime prints.

    A module is printed after those that it imports, which are indented by more.
    """
    seconds, above = dict.fromkeys(OWNERS, 0.0), []
    for microseconds, indent, name in reversed(LINE.findall(told)):
        above = [entry for entry in above if entry[0] < len(indent)]
        package = name.split(".")[0]
        owner = above[-1][1] if above else "others"
        if owner != "scikit-learn":
            owner = {"subquad": "subquad", "sklearn": "scikit-learn"}.get(package, "others")
        above.append((len(indent), owner))
        seconds[owner] += 1e-6 * int(microseconds)
    return seconds


def import_rows(modules, repeats):
    """Yield the cells of each module, in milliseconds."""
    for module in modules:
        words = ["-c", imports_of(module)]
        processor_seconds(words)  # compiles what is not compiled yet
        total = np.median([processor_seconds(words)[0] for _ in range(repeats)])
        parts = [shares(processor_seconds(["-X", "importtime", *words])[1]) for _ in range(repeats)]
        cells = [float(1e3 * np.median([part[owner] for part in parts])) for owner in OWNERS]
        yield [module, float(1e3 * total), *cells]


def fit_rows(fits, repeats):
    """Yield the processor seconds of `subquad fit digits`, by kind of model."""
    for kind in fits:
        words = ["-m", "subquad", "fit", "digits", "--model", kind, "--no-model"]
        yield [kind, float(np.median([processor_seconds(words)[0] for _ in range(repeats)]))]


def main(words=None):
    """Measure and print."""
    arguments = parser(__doc__, threads=None, repeats=5, cpu=False)
    arguments.add_argument("--modules", nargs="*", default=MODULES)
    arguments.add_argument("--fits", nargs="*", default=("auto", "gn", "ntk", "ridge"))
    options = arguments.parse_args(words)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    heads = ["import", "processor time (ms)", *(f"{owner} (ms)" for owner in OWNERS)]
    print_table(heads, import_rows(options.modules, options.repeats))
    if options.fits:
        print("\n`subquad fit digits --model ...`:\n")
        print_table(["model", "processor time (s)"], fit_rows(options.fits, options.repeats))


if __name__ == "__main__":
    main()
