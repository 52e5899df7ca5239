"""Print, as Markdown, how products with sparse rows compare with dense and sparse ones.

    python asv_benches/column_product_table.py [--threads 1 2] [--level avx512 avx2 baseline]
        [--width 16384] [--points 1 64 256] [--density 0.05] [--repeats 7] [--cpu]

W is width x width and H has n sparse rows, in float32: H W^T, and after it H W. The bound is the
larger of the time to read the columns that are needed and that of the multiply-adds, at the rates
that roofline.py measures. Contenders are alternated in one process; figures are medians.
"""

import numpy as np
import roofline
import scipy.sparse
from side_by_side import (
    clock_of,
    each_process,
    installed,
    measured_here,
    medians,
    parser,
    percent,
    print_table,
    times,
)

STORAGES = (None, "bfloat16", "int8")
OURS = [f"subquad {storage or 'float32'}" for storage in STORAGES]
RIVALS = ["numpy", "scipy CSR", "torch bfloat16"]
BYTES = dict(zip(OURS, (4, 2, 1), strict=True))


def contenders(weights, H, threads):
    """Return a dict of products H W^T, by name."""
    csr = scipy.sparse.csr_array(H)
    columns = weights[None]._columns
    calls = {
        name: lambda W=W: W.apply(csr, threads)
        for name, W in zip(OURS, weights.values(), strict=True)
    }
    calls["numpy"] = lambda: H @ columns
    if len(H) <= 16:  # scipy takes far too long on more rows
        calls["scipy CSR"] = lambda: csr @ columns
    if not installed("torch"):
        return calls
    import torch

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return calls  # torch then takes a thousand times as long as numpy
    torch.set_num_threads(threads)
    halves = torch.from_numpy(columns).bfloat16()
    rows = torch.from_numpy(H).bfloat16()
    calls["torch bfloat16"] = lambda: rows @ halves
    return calls


def transposed_contenders(weights, G, threads):
    """Return a dict of products G W, by name."""
    csr = scipy.sparse.csr_array(G)
    columns = weights[None]._columns
    calls = {
        name: lambda W=W: W.apply_transposed(csr, threads)
        for name, W in zip(OURS, weights.values(), strict=True)
    }
    return calls | {"numpy": lambda: G @ columns.T}


def bounds(H, rates):
    """Return the least seconds of a product, by storage."""
    width, active = H.shape[1], np.count_nonzero(H.any(axis=0))
    arithmetic = 2 * np.count_nonzero(H) * width / rates["float32"]
    return {
        name: max(active * width * size / rates["bandwidth"], arithmetic)
        for name, size in BYTES.items()
    }


def measure(options):
    """Return, for each n, the seconds of the contenders, of the bounds, and of H W."""
    from subquad.weights import DenseWeights

    rng, width, threads = np.random.default_rng(0), options.width, options.threads[0]
    rates = roofline.measure(threads)
    weights = {
        storage: DenseWeights.gaussian(
            (width, width), std=width**-0.5, rng=rng, dtype=np.float32, storage=storage
        )
        for storage in STORAGES
    }
    table = {}
    for n in options.points:
        H = rng.standard_normal((n, width), np.float32)
        H *= rng.random((n, width)) < options.density
        timing = options.repeats, clock_of(options)
        table[n] = {
            "forward": medians(contenders(weights, H, threads), *timing),
            "transposed": medians(transposed_contenders(weights, H, threads), *timing),
            "bounds": bounds(H, rates),
        }
    return table


def print_tables(results):
    """Print H W^T, and H W."""
    heads = ["level", "threads", "n", *(f"{name} (ms)" for name in OURS + RIVALS)]
    heads += [f"numpy takes, of {name}" for name in OURS]
    print_table([*heads, *(f"{name}: of the bound" for name in OURS)], rows(results, "forward"))
    print("\nThe transposed product, W^T with sparse rows:\n")
    print_table(heads, rows(results, "transposed"))


def rows(results, product):
    """Return the cells of a table."""
    for level, threads, table in results:
        for n, measured in table.items():
            seconds, least = measured[product], measured["bounds"]
            cells = [1e3 * seconds[name] if name in seconds else "" for name in OURS + RIVALS]
            cells += [times(seconds["numpy"], seconds[name]) for name in OURS]
            if product == "forward":
                cells += [percent(least[name] / seconds[name]) for name in OURS]
            yield [level, threads, n, *cells]


def main():
    """Measure and print."""
    arguments = parser(__doc__, levels=True)
    arguments.add_argument("--width", type=int, default=16384)
    arguments.add_argument("--points", type=int, nargs="+", default=[1, 64, 256])
    arguments.add_argument("--density", type=float, default=0.05)
    options = arguments.parse_args()
    if not measured_here(options, measure=measure):
        print_tables(list(each_process(__file__, options)))


if __name__ == "__main__":
    main()
