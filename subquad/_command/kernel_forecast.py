"""What `subquad plan --model ntk` prints: memory, time and messages of a kernel's fit.

Ranks share a kernel's fit where landmarks stand for its rows: the normal equations and the
leave-one-out errors are added up over the rows of each rank, and solved by all.
"""

import math
from dataclasses import dataclass

from subquad._command import forecast
from subquad._command.errors import BadInput
from subquad._command.rank_forecast import BANDWIDTH, ROUND
from subquad._command.report import size
from subquad._ranks import PARTS

# Beyond so many rows landmarks stand for them, so many if none are asked for: the numbers of
# `subquad.estimators`, which a plan does not wait for.
ITERATED_ROWS, LANDMARKS = 16384, 2048
# Leave-one-out looks at so many rows, and depth and constant are chosen by so many,
ROWS_LEFT_OUT, ROWS_FOR_CHOICE = 16384, 2048
# of so many depths, if none is given, and constants.
DEPTHS, CONSTANTS = 3, 2
# One entry of the kernel takes so many seconds, of one hidden layer or of three.
SECONDS_OF_AN_ENTRY = 1e-8
# The table, scaled and sorted, stands so many times beside itself.
COPIES = 5
# Blocks of K_nZ have so many numbers, or 256 rows where that is more, and there are four of them.
ENTRIES_PER_BLOCK = 2**22


@dataclass(frozen=True)
class KernelFit:
    """What a kernel's fit costs: rows n, columns d, outputs C, landmarks M, depths to choose of."""

    n: int
    n_features: int
    n_outputs: int
    n_landmarks: int | None = None
    n_depths: int = DEPTHS

    @property
    def solver(self):
        """How the estimators solve the equations."""
        if self.n_landmarks is not None or self.n > ITERATED_ROWS:
            return "nystrom"
        return "exact" if self.n <= forecast.EXACT_ROWS else "pcg"

    @property
    def landmarks(self):
        """M."""
        return min(self.n, self.n_landmarks or LANDMARKS)


def require_shareable(fit, n_ranks):
    """Refuse a fit that ranks cannot share, and landmarks that are no rows."""
    if n_ranks < 1:
        raise BadInput(f"--ranks must be at least 1; got {n_ranks}")
    if fit.n_landmarks is not None and not 1 <= fit.n_landmarks <= fit.n:
        raise BadInput(f"--landmarks must be from 1 to the {fit.n} rows; got {fit.n_landmarks}")
    if n_ranks > 1 and fit.solver != "nystrom":
        raise BadInput(
            f"--ranks must be 1 for {fit.n} rows; ranks share the equations of landmarks alone, "
            f"which stand for more than {ITERATED_ROWS} rows; got {n_ranks}"
        )
    if n_ranks > PARTS:
        raise BadInput(f"--ranks must be at most {PARTS} for landmarks; got {n_ranks}")


def memory(fit, n_ranks=1):
    """Bytes by purpose of a rank, and their total."""
    n, M = fit.n, fit.landmarks
    parts = {"rows": 8 * (COPIES * n * (fit.n_features + 1) + 3 * n * fit.n_outputs)}
    if fit.solver == "nystrom":
        parts["equations"] = 32 * M * M
        parts["blocks"] = 32 * max(256 * M, ENTRIES_PER_BLOCK)
        if n_ranks > 1:
            parts["parts"] = 8 * PARTS * M * M // n_ranks
    else:
        kept = 4 * n * n if fit.solver == "exact" else n * n + 3 * forecast.LANDMARKS * n
        parts["kernel"] = 8 * kept
    return {**parts, "total": sum(parts.values())}


def messages(fit, n_ranks):
    """Bytes that a rank receives: its share of the sums of all ranks, and the whole of them."""
    sums = 8 * fit.landmarks * (fit.landmarks + fit.n_outputs)
    found = {"parts": PARTS * sums // n_ranks, "sums": sums}
    return {**found, "total": sum(found.values())}


def seconds(fit, rates, n_ranks=1):
    """Seconds by phase of the work of a rank, and their total."""
    n, M, rate = fit.n, fit.landmarks, rates.products64
    few = ROWS_FOR_CHOICE if fit.solver == "exact" else forecast.ROWS_FOR_QUICK_CHOICE
    few = min(n, few)
    entry, tries = SECONDS_OF_AN_ENTRY, fit.n_depths * CONSTANTS
    phases = {"choice": tries * (forecast.EIGEN_OPERATIONS * few**3 / rate + few**2 * entry)}
    if fit.solver == "nystrom":
        passes = n + min(n, ROWS_LEFT_OUT)
        phases["equations"] = passes * M * (2 * M / rate + entry) / n_ranks
        phases["solution"] = forecast.EIGEN_OPERATIONS * M**3 / rate
        if n_ranks > 1:
            waits = 8 * ROUND * math.ceil(math.log2(n_ranks))
            phases["messages"] = messages(fit, n_ranks)["total"] / BANDWIDTH + waits
    else:
        phases["kernel"] = n * n * entry / 2
        factored = 2 * n**3 if fit.solver == "exact" else 2 * n * forecast.LANDMARKS**2
        read = forecast.ITERATIONS * 8 * n * n / rates.copied_bytes
        phases["solution"] = factored / rate + (read if fit.solver == "pcg" else 0.0)
    return {**phases, "total": sum(phases.values())}


def sentences(fit, n_ranks):
    """What a person reads beside memory and time: pairs of a label and a line."""
    sent = messages(fit, n_ranks)
    return [
        ("ranks", f"{n_ranks}, each with the table and {fit.n // n_ranks} rows of the equations of "
         "the landmarks; the first alone does all else"),
        ("messages", f"{size(sent['total'])} received by each rank, once (sums of parts "
         f"{size(sent['parts'])}, of all {size(sent['sums'])})"),
    ]  # fmt: skip
