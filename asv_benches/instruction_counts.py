"""Count the instructions of each kernel, and fail where one needs many more than before.

    python asv_benches/instruction_counts.py [--only NAME ...] [--write FILE]
    python asv_benches/instruction_counts.py --against FILE
    python asv_benches/instruction_counts.py --base REVISION [--limit 0.1]

The first form counts what is installed, or lies first on PYTHONPATH, prints a Markdown table and
writes the counts as JSON. The second compares with such a file. The third builds a revision of the
repository and the working tree, each in a temporary folder and with this interpreter, which needs
Cython and setuptools, and compares both. The status is 1 where a kernel needs over 10 % more
instructions than in the base, or was in the base and cannot be counted now.

Instructions hardly depend on what else a machine does, but they depend on the compiler and on the
libraries of numpy and scipy: compare counts of one machine only. A file remembers the compiler, and
another one is refused. Counting needs valgrind with its headers, and takes a minute; building takes
some more. Fewer instructions need not be faster: caches, branches and the level AVX-512, which
valgrind does not know, are not seen.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import fresh_environments
import processor
from benchmarks import counting
from side_by_side import print_table

SCRIPT = Path(__file__).resolve()
LIMIT = 0.1


def machine():
    """Return what counts depend on, besides the sources."""
    command = [*counting.compiler(), "--version"]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {
        "processor": processor.name(),
        "compiler": told.splitlines()[0],
        "python": platform.python_version(),
    }


def compared(base, new, limit=LIMIT):
    """Return rows (kernel, before, now, change in per cent) and the names of those that fail.

    A kernel fails if it needs more than 1 + limit times the instructions of the base, or if it is
    counted no more. One that the base did not have is shown.
    """
    rows, failing = [], []
    for name in [*base, *(name for name in new if name not in base)]:
        before, after = base.get(name), new.get(name)
        change = ""
        if before and after:
            change = f"{100 * (after / before - 1):+.1f} %"
        if before and (after is None or after > (1 + limit) * before):
            failing.append(name)
        rows.append([name, before or "", after or "", change])
    return rows, failing


def tree_of(revision, folder):
    """Lay out a revision, or the working tree for None, and build its kernels in place."""
    if revision is None:
        fresh_environments.fresh_copy(folder)
    else:
        folder.mkdir()
        archive = ["git", "archive", "--format=tar", revision]
        with subprocess.Popen(archive, cwd=SCRIPT.parent.parent, stdout=subprocess.PIPE) as git:
            unpack = ["tar", "--extract", f"--directory={folder}"]
            subprocess.run(unpack, stdin=git.stdout, check=True)
    build = [sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"]
    subprocess.run(build, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return folder


def require_revision(name):
    """Refuse what is no revision of the repository."""
    command = ["git", "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}"]
    if subprocess.run(command, cwd=SCRIPT.parent.parent, stdout=subprocess.DEVNULL).returncode:
        sys.exit(f"--base must be a revision of this repository; got {name!r}.")


def counts_of(folder, only):
    """Return the counts of a tree, by its own list of kernels where it has one."""
    own = folder / "asv_benches" / SCRIPT.name
    script = own if own.exists() else SCRIPT
    target = folder / "counts.json"
    command = [sys.executable, str(script), "--write", str(target)]
    if only:
        command += ["--only", *only]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return json.loads(target.read_text())["counts"]


def counted_here(only):
    """Return the counts of the package that is imported here."""
    from benchmarks.counted import KERNELS

    import subquad

    unknown = sorted({*only} - {*KERNELS})
    if unknown:
        sys.exit(f"--only must name kernels of {', '.join(KERNELS)}; got {', '.join(unknown)}.")
    paths = [Path(subquad.__file__).parents[1]]
    return counting.count(only or KERNELS, paths=paths)


def base_counts(path):
    """Return the counts of a file, which must come from the compiler that is used here."""
    base = json.loads(path.read_text())
    if base["machine"]["compiler"] != machine()["compiler"]:
        sys.exit(
            f"--against must hold counts of {machine()['compiler']}; got those of "
            f"{base['machine']['compiler']}."
        )
    return base["counts"]


def main(words=None):
    """Count, compare, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="of kernels")
    parser.add_argument("--write", type=Path, metavar="FILE")
    before = parser.add_mutually_exclusive_group()
    before.add_argument("--against", type=Path, metavar="FILE")
    before.add_argument("--base", metavar="REVISION")
    parser.add_argument("--limit", type=float, default=LIMIT, help="0.1 by default")
    options = parser.parse_args(words)
    if lacking := counting.missing():
        sys.exit(f"Instructions cannot be counted: {lacking}.")
    base = {}
    if options.base is None:
        base = base_counts(options.against) if options.against else {}
        counts = counted_here(options.only)
    else:
        require_revision(options.base)
        with tempfile.TemporaryDirectory() as work:
            base = counts_of(tree_of(options.base, Path(work, "base")), options.only)
            counts = counts_of(tree_of(None, Path(work, "new")), options.only)
    if options.write:
        text = json.dumps({"machine": machine(), "counts": counts}, indent=1)
        options.write.write_text(text + "\n")
    if options.only:
        base = {name: base[name] for name in options.only if name in base}
    rows, failing = compared(base, counts, options.limit)
    print_table(["kernel", "instructions before", "now", "change"], rows)
    if failing:
        print(f"\nOver the limit of {100 * options.limit:g} %, or gone: {', '.join(failing)}.")
    return int(bool(failing))


if __name__ == "__main__":
    sys.exit(main())
