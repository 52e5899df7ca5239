"""The page of all claims, made from what the experiments find."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

from experiments._claim import Finding, Number

PAPERS = {
    "szz24": "[SZZ24] Training multi-layer over-parametrized neural network in subquadratic time",
    "bpsw21": "[BPSW21] Training (overparametrized) neural networks in near-linear time",
    "qsy23": "[QSY23] Efficient SGD neural network training via sublinear activated neurons",
    "as22": "[AS22] Efficient NTK using dimensionality reduction",
}
HEAD = """# Every claim, and whether it holds

Each row is an experiment in the folder `experiments/` of the repository: run the command from the
root of a clone, with `--full` for the largest size. This page is made by `python -m experiments
--all --table docs/claims.md`, which runs each experiment at its default size on two disjoint sets
of seeds, "a" and "b". A verdict is computed from the numbers by the rule that is printed with
them; none is written by hand.

- **holds**: every bound of the printed statement is kept.
- **holds corrected**: a printed bound is missed, and every bound of the corrected statement is
  kept.
- **fails at usable sizes**: neither.
- **not testable**: no experiment of a size one can run could contradict the statement, or confirm
  it.

Intervals are 95 % confidence intervals of the mean over seeds. What the corrections are is on the
page of [errata](errata.md).
"""
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def finding(name: str, seeds: str, folder: Path | None = None) -> Finding:
    """Run one experiment in a process and on one core, or read what a run before has kept."""
    kept = folder / f"{name}.{seeds}.json" if folder else None
    if kept and kept.exists():
        return Finding.from_dict(json.loads(kept.read_text(encoding="utf-8")))
    command = [sys.executable, "-m", name, "--json", "--seeds", seeds]
    done = subprocess.run(
        command, env=os.environ | ONE_THREAD, stdout=subprocess.PIPE, text=True, check=True
    )
    print(f"{name} {seeds}", file=sys.stderr)
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(done.stdout, encoding="utf-8")
    return Finding.from_dict(json.loads(done.stdout))


def findings(
    modules: Sequence[ModuleType], n_jobs: int = 2, folder: Path | None = None
) -> dict[str, dict[str, Finding]]:
    """Run all on both seed sets, n_jobs at a time; by module and seed set."""
    tasks = [(module.__name__, seeds) for module in modules for seeds in "ab"]
    with ThreadPoolExecutor(n_jobs) as pool:
        found = dict(zip(tasks, pool.map(lambda task: finding(*task, folder), tasks), strict=True))
    return {m.__name__: {seeds: found[m.__name__, seeds] for seeds in "ab"} for m in modules}


def _cell(text: str) -> str:
    """Text that does not end a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def _figure(number: Number) -> str:
    """A mean with its interval."""
    low, high = number.interval
    return f"{number.mean:.3g}" + (f" [{low:.3g}, {high:.3g}]" if len(number.values) > 1 else "")


def _verdict(pair: Mapping[str, Finding]) -> str:
    """The verdict of both seed sets, or that they differ."""
    a, b = pair["a"].verdict, pair["b"].verdict
    return f"**{a}**" if a == b else f"seed sets disagree: a **{a}**, b **{b}**"


def _row(module: ModuleType, pair: Mapping[str, Finding]) -> str:
    """One claim of the table at the head of a paper's section."""
    first = pair["a"].numbers[0]
    figure = f"{_cell(first.name)}: {_figure(first)}"
    claim = f"{module.CLAIM.place}: {_cell(module.CLAIM.statement)}"
    return f"| {claim} | {_verdict(pair)} | {figure} | `python -m {module.__name__}` |"


def _details(module: ModuleType, pair: Mapping[str, Finding]) -> str:
    """All the numbers of one claim."""
    claim = module.CLAIM
    lines = [
        f"### {claim.place}",
        f"{claim.measured} *Rule:* {claim.rule}",
        f"{_verdict(pair)}. {pair['a'].why}",
        "",
        "| measured | seeds a | seeds b | bound |",
        "| --- | --- | --- | --- |",
    ]
    for a, b in zip(pair["a"].numbers, pair["b"].numbers, strict=True):
        bound = f"{a.form}: {a.bounds}" if a.bounded else ""
        lines.append(f"| {_cell(a.name)} | {_figure(a)} | {_figure(b)} | {bound} |")
    return "\n".join(lines[:3]).replace("\n", "\n\n") + "\n" + "\n".join(lines[3:])


def section(paper: str, modules: Sequence[ModuleType], found: Mapping) -> str:
    """Return the section of one paper: the table, then the numbers claim by claim."""
    rows = [_row(module, found[module.__name__]) for module in modules]
    table = ["| claim | verdict | number | command |", "| --- | --- | --- | --- |", *rows]
    details = [_details(module, found[module.__name__]) for module in modules]
    return "\n\n".join([f"## {PAPERS[paper]}", "\n".join(table), *details]) + "\n"


def sections_of(page: Path) -> dict[str, str]:
    """Return the sections that a page has, by paper."""
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    parts = text.split("\n## ")[1:]
    by_title = {title.split()[0]: paper for paper, title in PAPERS.items()}
    return {by_title[part.split()[0]]: f"## {part.rstrip()}\n" for part in parts}


def write(
    page: Path, modules: Sequence[ModuleType], n_jobs: int = 2, folder: Path | None = None
) -> None:
    """Run the modules and put their papers' sections into the page; other papers' stay."""
    found = findings(modules, n_jobs, folder)
    sections = sections_of(page)
    for paper in PAPERS:
        own = [module for module in modules if module.__name__.split(".")[1] == paper]
        if own:
            sections[paper] = section(paper, own, found)
    ordered = [sections[paper] for paper in PAPERS if paper in sections]
    page.write_text("\n".join([HEAD, *ordered]), encoding="utf-8")
