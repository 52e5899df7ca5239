"""List the experiments, or run all and write the page of claims."""

import argparse
import importlib
import pkgutil
import re
from pathlib import Path
from types import ModuleType

import experiments
from experiments._page import PAPERS, write


def _order(module: ModuleType) -> tuple:
    """The paper, the section, the number: Theorem 1.2 before Lemma D.5, that before D.10."""
    paper = list(PAPERS).index(module.__name__.split(".")[1])
    section, number = re.search(r" ([A-Z]|\d+)\.?(\d*)", module.CLAIM.place).groups()
    key = section.zfill(2) if section.isdigit() else section
    return paper, key, int(number or 0), module.CLAIM.place


def discover(paper: str | None = None) -> list[ModuleType]:
    """Return every experiment, in the order of its place in the paper's own list."""
    names = [
        info.name
        for info in pkgutil.walk_packages(experiments.__path__, "experiments.")
        if info.name.count(".") == 2 and not info.name.split(".")[2].startswith("_")
    ]
    modules = [importlib.import_module(name) for name in sorted(names)]
    chosen = [m for m in modules if paper in (None, m.__name__.split(".")[1])]
    return sorted(chosen, key=_order)


def main() -> None:
    """Do what the options ask."""
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("--all", action="store_true", help="run all on both seed sets")
    parser.add_argument("--table", type=Path, metavar="PAGE", help="the page to write")
    parser.add_argument("--paper", choices=list(PAPERS), help="only those of one paper")
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="keep each finding there, and resume from it"
    )
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    options = parser.parse_args()
    if options.all != bool(options.table):
        parser.error("--all and --table PAGE go together.")
    modules = discover(options.paper)
    if options.all:
        write(options.table, modules, options.jobs, options.keep)
        return
    for module in modules:
        print(f"{module.__name__:<44} [{module.CLAIM.paper}] {module.CLAIM.place}")


if __name__ == "__main__":
    main()
