"""The command line of an experiment, its seeds, and the printing of what it finds."""

import argparse
import json
import textwrap
from types import ModuleType
from typing import Literal

from experiments._claim import Finding, Number, Verdict

SIZE_NAMES = ("smallest", "default", "full")
# The sets are disjoint while no experiment takes more than 1000 seeds; "fresh" is for `--repeat`.
FIRST_SEED = {"a": 0, "b": 1000, "fresh": 10_000}


def seeds_of(module: ModuleType, size: str, seed_set: str, repeat: int = 0) -> range:
    """Return the seeds of one run: as many as the size asks for by "n_seeds"."""
    count = module.SIZES[size]["n_seeds"]
    start = FIRST_SEED[seed_set] + repeat * count
    return range(start, start + count)


def run(module: ModuleType, size: str = "default", seed_set: Literal["a", "b"] = "a") -> Finding:
    """Run one experiment."""
    return module.measure(size, seeds_of(module, size, seed_set))


def line(number: Number) -> str:
    """One number as text: mean, interval, range and bounds."""
    low, high = number.interval
    least, most = min(number.values), max(number.values)
    text = f"{number.name}: {number.mean:.3g}"
    if len(number.values) > 1:
        text += f" [{low:.3g}, {high:.3g}], seeds {least:.3g} to {most:.3g}"
    if number.bounded:
        text += f"; {number.form}: {number.bounds}, {'kept' if number.kept else 'missed'}"
    return text


def report(module: ModuleType, finding: Finding) -> str:
    """Return the claim, the numbers and the verdict as text."""
    claim = module.CLAIM
    paragraphs = [
        f"[{claim.paper}] {claim.place}",
        f"Claim: {claim.statement}",
        f"Measured: {claim.measured}",
        f"Rule: {claim.rule}",
    ]
    text = "\n".join(textwrap.fill(p, 100, subsequent_indent="  ") for p in paragraphs)
    numbers = "\n".join(f"  {line(number)}" for number in finding.numbers)
    verdict = textwrap.fill(f"Verdict: {finding.verdict}. {finding.why}", 100)
    return f"{text}\n{numbers}\n{verdict}"


def stability(module: ModuleType, size: str, repeats: int) -> dict[Verdict, int]:
    """Count the verdicts of fresh seed sets: how often another draw would say another thing."""
    counts: dict[Verdict, int] = {}
    for repeat in range(repeats):
        verdict = module.measure(size, seeds_of(module, size, "fresh", repeat)).verdict
        counts[verdict] = counts.get(verdict, 0) + 1
    return counts


def main(module: ModuleType) -> None:
    """Run one experiment from the command line."""
    name = module.__spec__.name
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=module.__doc__)
    parser.add_argument("--full", action="store_true", help="the largest size")
    parser.add_argument("--smallest", action="store_true", help="the size that the tests run")
    parser.add_argument("--seeds", choices=["a", "b"], default="a", help="one of two disjoint sets")
    parser.add_argument("--json", action="store_true", help="print the finding as JSON")
    parser.add_argument(
        "--repeat", type=int, default=0, metavar="N", help="count the verdicts of N fresh seed sets"
    )
    options = parser.parse_args()
    size = "full" if options.full else "smallest" if options.smallest else "default"
    if options.repeat:
        for verdict, count in stability(module, size, options.repeat).items():
            print(f"{name}: {verdict} {count} of {options.repeat}")
        return
    finding = run(module, size, options.seeds)
    print(json.dumps(finding.to_dict()) if options.json else report(module, finding))
