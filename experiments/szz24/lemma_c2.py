"""What do queries and flushes of low-rank changes cost, against the budget?"""

import sys
from collections.abc import Sequence

import numpy as np

from experiments._claim import Claim, Finding, Number, Verdict
from experiments._inputs import slope
from experiments._run import main
from subquad.lowrank import LowRankMaintenance

CLAIM = Claim(
    paper="SZZ24",
    place="Lemma C.2",
    statement="With a budget of m^a, a = 1/3, an update of rank n costs O(n m^(2 - a)), amortised, "
    "and a query O(m (nnz(y) + r)).",
    measured="Multiplications of the package's own structure, from its ranks and flushes for "
    "updates of 2 new rows: m (m + r) for a query, m² r for a flush of rank r by an ordinary "
    "product.",
    rule="holds if the exponent in m of an update, amortised, is at most 2 - 1/3 + 0.05 at the "
    "printed budget; when it is cheaper never to flush is reported.",
)
SIZES = {
    "smallest": {"widths": (64, 128, 256), "n_seeds": 1},
    "default": {"widths": (128, 256, 512, 1024), "n_seeds": 2},
    "full": {"widths": (512, 1024, 2048, 4096), "n_seeds": 2},
}
N = 2


def costs(m: int, budget: float, steps: int, seed: int) -> tuple[int, int]:
    """Multiplications of all flushes, and of all queries' factors, in so many steps."""
    rng = np.random.default_rng([seed, 6])
    maintained = LowRankMaintenance(np.zeros((m, m)), rank_budget=budget)
    queries = flushes = 0
    for _ in range(steps):
        queries += N * m * maintained.rank
        rank, flushed = maintained.rank + N, maintained.n_flushes
        maintained.update(*rng.standard_normal((2, N, m)))
        flushes += m**2 * rank * (maintained.n_flushes - flushed)
    return flushes, queries


def update_cost(m: int, budget: float, seed: int) -> float:
    """Multiplications of the flushes a step, over 12 whole cycles."""
    steps = 12 * int(np.ceil(budget / N))
    return costs(m, budget, steps, seed)[0] / steps


def break_even(m: int, seed: int) -> float:
    """Least rank over m at which never to flush costs as much as to flush at every step."""
    for steps in range(m // 4, 4 * m, m // 8):
        if costs(m, np.inf, steps, seed)[1] >= sum(costs(m, N, steps, seed)):
            return N * steps / m
    return np.inf


def measure(size: str, seeds: Sequence[int]) -> Finding:
    """Count at each width; the counts do not depend on the seed."""
    widths = SIZES[size]["widths"]
    flushes = {seed: [update_cost(m, int(m ** (1 / 3)), seed) for m in widths] for seed in seeds}
    exponents = [slope(widths, flushes[seed]) for seed in seeds]
    tall = update_cost(widths[0], 16 * N, seeds[0]) / update_cost(widths[0], N, seeds[0])
    ranks = [break_even(widths[0], seed) for seed in seeds]
    numbers = [
        Number("exponent of m in flushes at budget m^(1/3)", exponents, at_most=5 / 3 + 0.05),
        Number("flushes a step at budget 16 n over those at budget n", [tall]),
        Number("rank / m up to which it is cheaper never to flush", ranks),
    ]
    why = {
        Verdict.FAILS: "A flush by an ordinary product costs m² r, hence m² n a step whatever the "
        "budget; the gain needs fast products of rectangular matrices. Never to flush is cheaper "
        "up "
        "to a rank of about 2 m."
    }
    return Finding.judge(numbers, why)


if __name__ == "__main__":
    main(sys.modules[__name__])
