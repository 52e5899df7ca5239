"""Print, as Markdown, what sketches cost beside scikit-learn, scipy and matrix products.

    python asv_benches/sketch_table.py [--threads 1 2] [--repeats 11] [--cpu] [--skip-sklearn]

Four tables: TensorSketch of 256 pairs of rows of 16384 entries, s = 4096, dense and in CSR with
5 % of the entries, against scikit-learn's PolynomialCountSketch of degree 2 (the same work; it
sums in float64 and sketches u (x) u alone) and against a pipeline of scipy's (sparse products with
the hash matrices for the scatter, which is its fastest form, then scipy.fft.rfft); CountSketch for
each entry of rows; sketches of a tall matrix, with the distortion of its range beside the time;
PolynomialTensorSketch beside scikit-learn's, of which one call is measured.
"prepared" has the spectra of V; "spectra" are the products that a Gram is made of, without the
inverse transform; "gram" adds the product by BLAS, for the pipeline too. TensorSRHT has the same s.

Contenders are alternated in one process, one for each number of threads, and figures are medians.
Where the processors are shared, --cpu counts processor time of one thread instead.
"""

import warnings

import numpy as np
from side_by_side import (
    apart,
    clock_of,
    installed,
    measured_here,
    medians,
    parser,
    print_table,
)

N, WIDTH, SIZE = 256, 16384, 4096
SIZES = 1024, 4096, 16384
PAIRS = ("apply", "prepared", "spectra", "gram", "TensorSRHT")
RIVALS = ("pipeline", "pipeline gram")
TALL = {"dense": (200_000, 200), "csr": (200_000, 2000)}
POLYNOMIALS = {"dense": (1000, 784, 2048), "csr": (256, 16384, 4096)}
DEGREES = 2, 3, 4
SCIKIT_LEARN_REPEATS = 1


def pair_calls(form, dtype, threads):
    """Return the contenders for sketches of pairs, by name."""
    from benchmarks.sketches import PlainTensorSketch, rows_of

    from subquad.sketch import TensorSketch, TensorSRHT

    rng = np.random.default_rng(0)
    U, V = (rows_of(form, rng, N, WIDTH, dtype) for _ in range(2))
    sketch = TensorSketch(WIDTH, SIZE, rng=0)
    plain = PlainTensorSketch(sketch, dtype, threads)
    prepared = sketch.prepare(V)
    hadamard = TensorSRHT(WIDTH, SIZE, rng=0)

    def plain_gram():
        Z = plain.apply(U, V)
        return Z @ Z.T

    return {
        "apply": lambda: sketch.apply(U, V, n_threads=threads),
        "prepared": lambda: sketch.apply(U, prepared, n_threads=threads),
        "spectra": lambda: sketch._panel(*sketch._sides(U, prepared), slice(0, N), threads, None),
        "gram": lambda: sketch.gram(U, prepared, n_threads=threads),
        "TensorSRHT": lambda: hadamard.apply(U, V, n_threads=threads),
        "pipeline": lambda: plain.apply(U, V),
        "pipeline gram": plain_gram,
    }


def scikit_learn_call(form, dtype):
    """Return scikit-learn's transform of as many rows."""
    from benchmarks.sketches import rows_of
    from sklearn.kernel_approximation import PolynomialCountSketch

    X = rows_of(form, np.random.default_rng(0), N, WIDTH, dtype)
    theirs = PolynomialCountSketch(n_components=SIZE, random_state=0).fit(X)

    def call():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs.transform(X)

    return {"scikit-learn": call}


def measure_pairs(form, dtype, threads, repeats, clock, with_scikit_learn):
    """Return seconds by name."""
    seconds = medians(pair_calls(form, dtype, threads), repeats, clock)
    if with_scikit_learn:
        call = scikit_learn_call(form, dtype)
        seconds |= medians(call, SCIKIT_LEARN_REPEATS, clock)  # more would take minutes
    return seconds


def measure_rows(form, dtype, size, threads, repeats, clock):
    """Return nanoseconds per stored entry of CountSketch and of scipy's product."""
    from benchmarks.sketches import rows_of, scatter_matrix

    from subquad.sketch import CountSketch

    X = rows_of(form, np.random.default_rng(0), N, WIDTH, dtype)
    sketch = CountSketch(WIDTH, size, rng=0)
    matrix = scatter_matrix(size, sketch.buckets, sketch.signs, dtype)
    out = np.empty((N, size), dtype)
    calls = {
        "subquad": lambda: sketch.apply(X, out=out, n_threads=threads),
        "scipy": lambda: X @ matrix,
    }
    count = X.size if form == "dense" else X.nnz
    return {name: 1e9 * t / count for name, t in medians(calls, repeats, clock).items()}


def distortion(Z, R):
    """Return by how much the sketch Z of A = Q R distorts squared norms in the range of A."""
    squares = np.linalg.svd(np.linalg.solve(R.T, Z.T), compute_uv=False) ** 2
    return float(np.abs(squares - 1).max())


def measure_tall(form, threads, repeats, clock):
    """Return (seconds, distortion) of sketches of tall columns; s = 4 k."""
    from benchmarks.sketches import rows_of, scatter_matrix

    from subquad.sketch import SRHT, CountSketch, GaussianSketch

    m, k = TALL[form]
    A = rows_of(form, np.random.default_rng(0), m, k, np.float64, density=0.01)
    R = None
    if form == "dense":
        R = np.linalg.cholesky(A.T @ A).T
    sketches = {"CountSketch": CountSketch(m, 4 * k, rng=1)}
    count = sketches["CountSketch"]
    matrix = scatter_matrix(4 * k, count.buckets, count.signs, np.float64).T.tocsr()
    if form == "dense":
        sketches |= {
            "SRHT": SRHT(m, 4 * k, rng=1),
            "GaussianSketch": GaussianSketch(m, 4 * k, rng=1),
        }
    calls = {
        name: lambda sketch=sketch: sketch.apply_columns(A, n_threads=threads)
        for name, sketch in sketches.items()
    }
    calls["scipy: sparse S @ A"] = lambda: matrix @ A
    seconds = medians(calls, repeats, clock)
    kept = {name: R is not None and distortion(calls[name](), R) for name in sketches}
    return {name: (t, kept.get(name, kept["CountSketch"])) for name, t in seconds.items()}


def measure_polynomials(form, dtype, degree, threads, repeats, clock, with_scikit_learn):
    """Return seconds by name, for features of one degree."""
    from benchmarks.sketches import rows_of
    from sklearn.kernel_approximation import PolynomialCountSketch

    from subquad.estimators import PolynomialTensorSketch

    n, m, size = POLYNOMIALS[form]
    X = rows_of(form, np.random.default_rng(0), n, m, dtype)
    options = {"degree": degree, "n_components": size, "random_state": 0}
    ours = PolynomialTensorSketch(**options, n_threads=threads).fit(X)
    seconds = medians({"subquad": lambda: ours.transform(X)}, repeats, clock)
    if with_scikit_learn:
        theirs = PolynomialCountSketch(**options).fit(X)
        calls = {"scikit-learn": lambda: theirs.transform(X)}
        seconds |= medians(calls, SCIKIT_LEARN_REPEATS, clock)
    return seconds


def worker(options):
    """Return the figures of all four tables."""
    clock, threads, repeats = clock_of(options), options.threads[0], options.repeats
    sklearn = not options.skip_sklearn and installed("sklearn")
    return {
        "pairs": [
            [form, dtype, measure_pairs(form, dtype, threads, repeats, clock, sklearn)]
            for form in ("dense", "csr")
            for dtype in ("float32", "float64")
        ],
        "rows": [
            [form, dtype, size, measure_rows(form, dtype, size, threads, repeats, clock)]
            for form in ("dense", "csr")
            for dtype in ("float32", "float64")
            for size in SIZES
        ],
        "tall": [[form, measure_tall(form, threads, max(1, repeats // 4), clock)] for form in TALL],
        "polynomials": [
            [
                form,
                dtype,
                degree,
                measure_polynomials(form, dtype, degree, threads, repeats, clock, sklearn),
            ]
            for form in POLYNOMIALS
            for dtype in ("float32", "float64")
            for degree in DEGREES
            if installed("sklearn")
        ],
    }


def print_pairs(results):
    """Print milliseconds and ratios to the rivals."""
    heads = ["threads", "rows", *(f"{name} (ms)" for name in (*PAIRS, *RIVALS, "scikit-learn"))]
    ratios = [f"pipeline / {name}" for name in PAIRS[:3]] + ["pipeline gram / gram"]
    rows = []
    for threads, result in results:
        for form, dtype, t in result["pairs"]:
            theirs = t.get("scikit-learn", float("nan"))
            cells = [threads, f"{form} {dtype}", *(1e3 * t[name] for name in (*PAIRS, *RIVALS))]
            cells += [1e3 * theirs, *(t["pipeline"] / t[name] for name in PAIRS[:3])]
            cells += [t["pipeline gram"] / t["gram"], theirs / t["apply"]]
            rows.append(cells)
    print_table([*heads, *ratios, "scikit-learn / apply"], rows)


def print_rows(results):
    """Print nanoseconds per entry."""
    rows = [
        [threads, f"{form} {dtype}", size, t["subquad"], t["scipy"], t["scipy"] / t["subquad"]]
        for threads, result in results
        for form, dtype, size, t in result["rows"]
    ]
    heads = ["threads", "rows", "s", "CountSketch (ns an entry)", "scipy (ns)", "ratio"]
    print_table(heads, rows)


def print_tall(results):
    """Print milliseconds, and the distortion."""
    rows = []
    for threads, result in results:
        for form, contenders in result["tall"]:
            for name, (seconds, kept) in contenders.items():
                shape = "{} x {}".format(*TALL[form])
                rows.append([threads, f"{form} {shape}", name, 1e3 * seconds, kept or "-"])
    print_table(["threads", "A", "sketch, s = 4 k", "S A (ms)", "distortion"], rows)


def print_polynomials(results):
    """Print milliseconds and ratios."""
    rows = []
    for threads, result in results:
        for form, dtype, degree, t in result["polynomials"]:
            theirs = t.get("scikit-learn", float("nan"))
            what = "{} x {} to {}, {} {}".format(*POLYNOMIALS[form], form, dtype)
            ours = t["subquad"]
            rows.append([threads, what, degree, 1e3 * ours, 1e3 * theirs, theirs / ours])
    heads = ["threads", "features", "degree", "subquad (ms)", "scikit-learn (ms)", "ratio"]
    print_table(heads, rows)


def print_tables(results):
    """Print all four tables."""
    for show in (print_pairs, print_rows, print_tall, print_polynomials):
        show(results)
        print()


def main():
    """Measure and print."""
    arguments = parser(__doc__, repeats=11)
    arguments.add_argument("--skip-sklearn", action="store_true")
    options = arguments.parse_args()
    if not measured_here(options, sketches=worker):
        print_tables(
            [(threads, apart(__file__, threads, "sketches")) for threads in options.threads]
        )


if __name__ == "__main__":
    main()
