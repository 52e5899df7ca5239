"""Print, as Markdown, what regressions and Newton's method cost beside numpy, scipy, scikit-learn.

    python asv_benches/solver_table.py [--threads 1 2] [--rows 200000] [--repeats 5]
        [--only regression conditioning columns logistic]

regression    min |A x - b|, A of rows x 200 and condition 1e4, dense and CSR with 1 % nonzeros
conditioning  the sketched solver from condition 1e1 to 1e12: iterations, residual, rounding floor
columns       sketch against the exact Gram matrix as preconditioner, rows x k for growing k
logistic      L2-regularised logistic regression: breast_cancer, digits, rows x 100 synthetic

Contenders are alternated in one process; figures are medians. scipy's lsqr is run once, and
stops after 5 k iterations. Gaps are f - min f over min f, the minimum being the least that any
contender found.
Thread counts run in processes of their own, with every BLAS set to as many threads.
"""

import warnings

import numpy as np
from benchmarks.solvers import (
    classification_calls,
    classification_problem,
    regression_calls,
    regression_problem,
)
from side_by_side import (
    apart,
    clock_of,
    installed,
    measured_here,
    medians,
    parser,
    print_table,
    seconds_of,
)

from subquad.solvers import fast_regression

COLUMNS = (50, 100, 200, 400, 800)


def remembering(calls):
    """Return calls that leave their results in a dict, and that dict."""
    results = {}

    def remembered(name, call):
        results[name] = call()

    return {name: lambda n=name, c=call: remembered(n, c) for name, call in calls.items()}, results


def regression(options):
    """Return rows of seconds and relative residuals of the normal equations."""
    table = []
    for kind, density in (("dense", None), ("CSR 1 %", 0.01)):
        A, b = regression_problem(options.rows, 200, density)
        calls, results = remembering(regression_calls(A, b))
        lsqr = calls.pop("scipy lsqr")
        clock = clock_of(options)
        seconds = medians(calls, options.repeats, clock)
        seconds["scipy lsqr"] = seconds_of(lsqr, clock)
        y = A.T @ b
        scale = np.linalg.norm(y)
        for name, x in results.items():
            residual = float(np.linalg.norm(A.T @ (A @ x) - y) / scale)
            table.append([kind, name, seconds[name], residual, iterations(name, A, y)])
    return table


def iterations(name, A, y):
    """Return the iterations of a contender that reports them."""
    if not name.startswith("fast_regression"):
        return ""
    return fast_regression(A, y, preconditioner=name.split()[1], rng=0).n_iterations


def conditioning(options):
    """Return rows of iterations, residual and floor of the sketched solver, by condition."""
    table = []
    for cond in (1e1, 1e4, 1e6, 1e8, 1e10, 1e12):
        A, _ = regression_problem(options.rows, 200, cond=cond)
        y = A.T @ np.random.default_rng(1).standard_normal(options.rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            solution = fast_regression(A, y, preconditioner="sketch", rtol=1e-12, rng=0)
        info = solution.info
        table.append(
            [
                cond,
                solution.n_iterations,
                info["relative_residual"],
                info["rounding_floor"],
                info["condition_estimate"],
                "floor" if info["at_rounding_floor"] else "rtol",
            ]
        )
    return table


def columns(options):
    """Return rows of seconds with either preconditioner."""
    table = []
    for k in COLUMNS:
        A, b = regression_problem(options.rows, k)
        calls = {
            name: call
            for name, call in regression_calls(A, b).items()
            if name.startswith("fast_regression")
        }
        seconds = medians(calls, options.repeats, clock_of(options))
        chosen = fast_regression(A, A.T @ b, rng=0).info["preconditioner"]
        table.append([f"{options.rows} x {k}", *seconds.values(), chosen])
    return table


def problems(rows):
    """Yield name, X and y."""
    if installed("sklearn"):
        from sklearn.datasets import load_breast_cancer, load_digits

        for name, load, label in (
            ("breast_cancer", load_breast_cancer, 1),
            ("digits, 8 or not", load_digits, 8),
        ):
            X, y = load(return_X_y=True)
            std = X.std(0)
            yield name, (X - X.mean(0)) / np.where(std > 0, std, 1), (y == label).astype(float)
    yield f"{rows} x 100", *classification_problem(rows, 100)
    yield f"{rows // 8} x 800", *classification_problem(rows // 8, 800)


def logistic(options):
    """Return rows of seconds and relative gaps to the least objective."""
    from subquad.solvers.objectives import Logistic

    table = []
    for name, X, y in problems(options.rows):
        calls, results = remembering(classification_calls(X, y))
        seconds = medians(calls, options.repeats, clock_of(options))
        f = Logistic(X, y, l2=1.0, intercept=True)
        values = {who: f.value(x) for who, x in results.items()}
        least = min(values.values())
        for who, value in values.items():
            table.append([name, who, seconds[who], (value - least) / least])
    return table


TABLES = {
    "regression": (regression, ["A", "contender", "seconds", "relative residual", "iterations"]),
    "conditioning": (
        conditioning,
        ["cond(A)", "iterations", "relative residual", "floor", "cond(A) estimated", "ended by"],
    ),
    "columns": (columns, ["A", "sketch, s", "exact Gram, s", "auto takes"]),
    "logistic": (logistic, ["data", "contender", "seconds", "relative gap"]),
}


def main():
    """Measure each table in a process for each number of threads, and print it."""
    arguments = parser(__doc__, repeats=5)
    arguments.add_argument("--rows", type=int, default=200_000)
    arguments.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    options = arguments.parse_args()
    if measured_here(options, **{name: measure for name, (measure, _) in TABLES.items()}):
        return
    for name in options.only:
        for threads in options.threads if name != "conditioning" else options.threads[:1]:
            print(f"\n{name}, {threads} thread{'s' * (threads > 1)}\n")
            print_table(TABLES[name][1], apart(__file__, threads, name))


if __name__ == "__main__":
    main()
