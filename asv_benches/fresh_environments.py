"""Time, in fresh virtual environments, what a new user does first, and print a Markdown table.

    python asv_benches/fresh_environments.py [--python PATH ...] [--only sources wheel]
        [--steps install fit tutorial docs] [--rows 5000] [--torch]

Every interpreter (this one by default) gets an environment in which the sources are installed by
the README's command. The first one gets another, in which a wheel built from the sources is
installed where no compiler can be found: nothing but the environment is on PATH, and CC is
/bin/false. The copy of the repository in which its pages are built holds no package. Then, timed:

    install     pip install ".[all]", or the same of the wheel; compiling included
    fit         subquad fit on made houses: text, dates, gaps, an id, and a price
    tutorial    the blocks of the tutorial as they are printed, by tests/pages.py
    docs        sphinx-build -W, gallery included

Seconds are those of the clock on the wall, and in brackets those of processors, of one run. What
pip fetches counts; what it has kept from an earlier run, it does not fetch again. Not counted is
what the tutorial and the pages need besides: Sphinx, and torch, which is installed where pip finds
a wheel without asking an index, or with --torch from anywhere. Without torch the tutorial ends
before its last section. The script needs no package but Python's own. It ends with status
1 if a command failed.
"""

import argparse
import csv
import datetime
import math
import os
import platform
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import processor

REPOSITORY = Path(__file__).resolve().parents[1]
STEPS = ("install", "fit", "tutorial", "docs")
KINDS = ("sources", "wheel")
TUTORIAL = Path("docs", "start", "tutorial.md")
RUN_PAGE = "import sys, pathlib, pages; pages.run(pathlib.Path(sys.argv[1]))"


def houses(rows, seed=0):
    """Return a table of made houses as lists of cells, its heads first; empty cells are gaps."""
    rng = random.Random(seed)
    places = {f"{side} {part}": rng.gauss(0, 0.2) for side in "NESW" for part in ("hill", "port")}
    heads = ["id", "area", "rooms", "built", "sold", "district", "heating", "garden", "price"]
    table = [heads]
    for number in range(1, rows + 1):
        area, built = rng.uniform(30, 220), rng.randint(1890, 2023)
        sold = datetime.date(2015, 1, 1) + datetime.timedelta(days=rng.randrange(3650))
        district = rng.choice(list(places))
        heating = rng.choice(["gas", "oil", "heat pump", "district"])
        garden = max(0.0, rng.gauss(100, 150))
        log_price = 0.8 * math.log(area) + places[district] + 0.05 * (sold.year - 2015)
        log_price += 0.002 * (built - 1950) + 0.1 * (heating == "heat pump") + 0.0004 * garden
        price = round(9.0 * math.exp(log_price + rng.gauss(0, 0.08)), 1)
        cells = [f"{area:.1f}", max(1, round(area / 28)), built, sold, district, heating]
        cells.append(f"{garden:.0f}")
        # Each cell but those of the id and the price is left out with probability 0.04.
        cells = ["" if rng.random() < 0.04 else cell for cell in cells]
        table.append([number, *cells, price])
    return table


def fresh_copy(folder):
    """Copy what a clone would hold, uncommitted changes included."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=REPOSITORY, check=True, stdout=subprocess.PIPE).stdout
    for name in filter(None, names.decode().split("\0")):
        if (REPOSITORY / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)


def now():
    """Return the seconds on the wall, and those that ended child processes spent on processors."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter(), spent.ru_utime + spent.ru_stime


class Environment:
    """A virtual environment, with a copy of the repository beside it."""

    def __init__(self, folder, python, *, compiler=True):
        self.folder, self.binaries, self.copy = folder, folder / "env" / "bin", folder / "copy"
        subprocess.run([python, "-m", "venv", str(folder / "env")], check=True)
        fresh_copy(self.copy)
        kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
        path = str(self.binaries) + (os.pathsep + kept.get("PATH", "") if compiler else "")
        self.variables = {**kept, "PATH": path, "MPLBACKEND": "Agg"}
        if not compiler:
            self.variables |= {"CC": "/bin/false", "CXX": "/bin/false"}

    def run(self, program, *words, folder=None, **variables):
        """Run a program of the environment; return its seconds, or raise with what it printed."""
        command = [str(self.binaries / program), *map(str, words)]
        start = now()
        done = subprocess.run(
            command, cwd=folder or self.copy, env={**self.variables, **variables},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}\n{done.stdout}")
        return tuple(end - begin for begin, end in zip(start, now(), strict=True))

    def succeeds(self, *words):
        """Return whether a program of the environment ends well."""
        try:
            self.run(*words)
        except RuntimeError:
            return False
        return True


def wheel_of(environment):
    """Build a wheel from the copy of an environment, and return its path."""
    target = environment.folder / "dist"
    environment.run("pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", target, ".")
    (found,) = target.glob("*.whl")
    return found


def fit(environment, rows):
    """Fit made houses by the command."""
    folder = environment.folder / "table"
    folder.mkdir()
    with open(folder / "houses.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(houses(rows))
    return environment.run("subquad", "fit", "houses.csv", "--target", "price", folder=folder)


def tutorial(environment, from_index):
    """Run the tutorial, as far as torch is at hand."""
    page = environment.copy / TUTORIAL
    downloaded = ["download", "--quiet", "--no-deps", "--dest", environment.folder / "torch"]
    if from_index or environment.succeeds("pip", *downloaded, "--no-index", "torch"):
        environment.run("pip", "install", "--quiet", "torch")
    if not environment.succeeds("python", "-c", "import torch"):
        print("no torch: the tutorial ends before its last section", file=sys.stderr)
        page.write_text(before_torch(page.read_text(encoding="utf-8")), encoding="utf-8")
    folder = environment.folder / "tutorial"
    folder.mkdir()
    tests = str(environment.copy / "tests")
    return environment.run("python", "-c", RUN_PAGE, page, folder=folder, PYTHONPATH=tests)


def before_torch(text):
    """Return the sections of a page before the one that imports torch."""
    before, found, _ = text.partition("\nimport torch")
    return before[: before.rindex("\n## ")] if found else text


def docs(environment):
    """Build the pages; a warning is an error."""
    with open(environment.copy / "pyproject.toml", "rb") as file:
        needs = tomllib.load(file)["project"]["optional-dependencies"]["docs"]
    others = [need for need in needs if not need.startswith("subquad[")]
    environment.run("pip", "install", "--quiet", *others)
    return environment.run("sphinx-build", "-q", "-W", "docs", "build/html")


def measured(environment, what, options):
    """Return the seconds of each step that was asked for; None stands for one that failed."""
    calls = {
        "fit": lambda: fit(environment, options.rows),
        "tutorial": lambda: tutorial(environment, options.torch),
        "docs": lambda: docs(environment),
        "install": lambda: environment.run("pip", "install", "--quiet", f"{what}[all]"),
    }
    seconds = {}
    for step in STEPS:
        if step != "install" and step not in options.steps:
            continue
        try:
            seconds[step] = calls[step]()
        except RuntimeError as failure:
            print(f"{step} failed: {failure}", file=sys.stderr)
            seconds[step] = None
            if step == "install":
                break
    return seconds


def version_of(python):
    """Return which interpreter a path leads to, such as CPython 3.13.0."""
    code = "import platform as p; print(p.python_implementation(), p.python_version())"
    return subprocess.check_output([python, "-c", code], text=True).strip()


def each_environment(options, work):
    """Yield what each environment is called, and its seconds."""
    for number, python in enumerate(options.python):
        version = version_of(python)
        if "sources" in options.only:
            environment = Environment(work / f"sources-{number}", python)
            yield f"{version}, sources", measured(environment, ".", options)
        if "wheel" in options.only and number == 0:
            wheel = wheel_of(Environment(work / "builder", python))
            environment = Environment(work / "wheel", python, compiler=False)
            shutil.rmtree(environment.copy / "subquad")
            yield f"{version}, wheel, no compiler", measured(environment, wheel, options)


def main(words=None):
    """Make the environments, and print a row of each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", nargs="+", default=[sys.executable], metavar="PATH")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=STEPS)
    parser.add_argument("--rows", type=int, default=5000, help="of the table that is fitted")
    parser.add_argument("--torch", action="store_true", help="fetch torch where it is not at hand")
    options = parser.parse_args(words)
    print(f"{processor.name()}, {processor.count()} processors, {platform.system()}\n")
    print_row("environment", *(f"{step} (s)" for step in STEPS))
    print_row("---", *["---:"] * len(STEPS))
    failed = False
    with tempfile.TemporaryDirectory() as work:
        for label, seconds in each_environment(options, Path(work)):
            print_row(label, *(cell(seconds.get(step, "")) for step in STEPS))
            failed |= None in seconds.values()
    return int(failed)


def print_row(*cells):
    """Print a row of a Markdown table."""
    print("| " + " | ".join(cells) + " |", flush=True)


def cell(seconds):
    """Return seconds, on the wall and of processors, as a cell."""
    return "failed" if seconds is None else seconds and "{:.0f} ({:.0f})".format(*seconds)


if __name__ == "__main__":
    sys.exit(main())
