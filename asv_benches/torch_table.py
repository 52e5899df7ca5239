"""Print, as Markdown, what projections and kernels of per-sample gradients cost beside torch.

    python asv_benches/torch_table.py [--threads 1 2] [--repeats 5] [--draws 20] [--skip-trak]
                                      [--points 4096]

Four tables, all in float32; some five minutes, most of them trak's.

1  Projections to 1024 dimensions of the gradients of one layer: 32 samples of a 1024 x 1024 layer,
   and 64 sequences of 128 tokens of a 768 x 3072 layer. `TensorSketch.apply` takes the factors u
   and v. The rivals take the gradients: trak's BasicProjector (--skip-trak leaves it out, since it
   needs most of a minute), and a sparse sign matrix with one entry a column, the cheapest there is,
   by scipy. "gradients" is what making them from u and v takes, by a batched matrix product; the
   rivals' times are with it.
2  The error of Gram matrices after projection, |Z Z^T - J J^T| / |J J^T| by Frobenius norms, in
   quadratic mean over --draws draws. All of them for trak on a layer of 256 x 256; on the larger
   one, where 20 draws would take it a quarter of an hour, the one that was timed.
3  The empirical tangent kernel of a 784-1024-1024-1 GELU network on 96 points, all weights without
   biases: `capture` and its Jacobians' Gram matrices, against Jacobians by torch.func.
4  The same kernel on --points points, where the Jacobians would not fit: seconds, and the peak
   memory of the process, with torch's own.

Contenders are alternated in one process, one for each number of threads, and figures are medians.
"""

import itertools
import resource
import time

import numpy as np
import scipy.sparse
from side_by_side import apart, installed, measured_here, medians, parser, print_table, times

SIZE = 1024
# Samples, tokens of each, and the shape of the layer.
SMALL = 32, 1, 256, 256
LARGE = 32, 1, 1024, 1024
SEQUENCES = 64, 128, 768, 3072
SIZES = 784, 1024, 1024, 1
KERNEL_POINTS = 96


def factors(case):
    """Return U, V (n t, m) of random layers, and the number of samples."""
    n, tokens, m_u, m_v = case
    rng = np.random.default_rng(0)
    return (*(rng.standard_normal((n * tokens, m), np.float32) for m in (m_u, m_v)), n)


def named(case):
    """Return what a case is called in a table."""
    n, tokens, m_u, m_v = case
    return f"{n} {'samples' if tokens == 1 else f'x {tokens} tokens'} of {m_u} x {m_v}"


def gradients(U, V, n):
    """Return the gradients, shape (n, m_u m_v)."""
    import torch

    U, V = (torch.from_numpy(x).reshape(n, -1, x.shape[1]) for x in (U, V))
    return (U.transpose(1, 2) @ V).reshape(n, -1).numpy()


class SparseSigns:
    """A sign at one random row for every column: `apply` returns X S^T."""

    def __init__(self, n_features, size, seed):
        rng = np.random.default_rng(seed)
        rows = rng.integers(size, size=n_features)
        signs = rng.choice(np.array([-1, 1], np.float32), n_features)
        indptr = np.arange(n_features + 1)
        self._matrix = scipy.sparse.csr_array((signs, rows, indptr), shape=(n_features, size))

    def apply(self, X):
        """Return the projection of rows."""
        return X @ self._matrix


def trak_projector(n_features, seed):
    """Return trak's projector for processors without CUDA, as a function of gradients."""
    import torch
    from trak.projectors import BasicProjector, ProjectionType

    projector = BasicProjector(
        n_features, SIZE, seed, ProjectionType.rademacher, torch.device("cpu"), dtype=torch.float32
    )
    return lambda X: projector.project(torch.from_numpy(X), model_id=0).numpy() / np.sqrt(SIZE)


def groups_of(U, n):
    """Return the groups of tokens, or None for one a sample."""
    return None if len(U) == n else np.arange(n + 1) * (len(U) // n)


def time_projections(case, threads, repeats):
    """Return seconds by name; trak's are not among them."""
    from subquad.sketch import TensorSketch

    U, V, n = factors(case)
    S = TensorSketch((U.shape[1], V.shape[1]), SIZE, rng=0)
    signs = SparseSigns(U.shape[1] * V.shape[1], SIZE, 0)
    groups = groups_of(U, n)
    calls = {
        "subquad": lambda: S.apply(U, V, groups=groups, n_threads=threads),
        "gradients": lambda: gradients(U, V, n),
        "sparse signs": lambda: signs.apply(gradients(U, V, n)),
    }
    return medians(calls, repeats)


def time_trak(case):
    """Return the seconds of one projection by trak, and the error of its Gram matrix.

    The drawing of the first block, which the projector does when it is made, is left out.
    """
    U, V, n = factors(case)
    project = trak_projector(U.shape[1] * V.shape[1], 0)
    start = time.perf_counter()
    Z = project(gradients(U, V, n))
    return time.perf_counter() - start, gram_error(Z, exact_gram(U, V, n))


def exact_gram(U, V, n):
    """Return the Gram matrix of the gradients."""
    from subquad.jacobian import KhatriRao

    return KhatriRao(U, V, groups=groups_of(U, n)).gram()


def gram_error(Z, G):
    """Return |Z Z^T - G| / |G|."""
    Z = Z.astype(np.float64)
    return float(np.linalg.norm(Z @ Z.T - G) / np.linalg.norm(G))


def errors(case, draws, with_trak):
    """Return the error of the Gram matrix by name, in quadratic mean over draws."""
    from subquad.sketch import TensorSketch

    U, V, n = factors(case)
    groups, G, X = groups_of(U, n), exact_gram(U, V, n), gradients(U, V, n)
    n_features = X.shape[1]

    def mean_error(project):
        return float(np.sqrt(np.mean([gram_error(project(k), G) ** 2 for k in range(draws)])))

    def by_sketch(seed):
        return TensorSketch((U.shape[1], V.shape[1]), SIZE, rng=seed).apply(U, V, groups=groups)

    found = {
        "subquad": mean_error(by_sketch),
        "sparse signs": mean_error(lambda k: SparseSigns(n_features, SIZE, k).apply(X)),
    }
    if with_trak:
        found["trak"] = mean_error(lambda seed: trak_projector(n_features, seed)(X))
    return found


def gelu_network():
    """Return the network of the third table."""
    import torch

    torch.manual_seed(0)
    layers = []
    for wide, narrow in itertools.pairwise(SIZES):
        layers += [torch.nn.Linear(wide, narrow), torch.nn.GELU()]
    return torch.nn.Sequential(*layers[:-1]).eval().requires_grad_(False)


def kernel_by_capture(model, X):
    """Return the kernel of all layers."""
    from subquad.interop import capture
    from subquad.jacobian import JacobianSum

    return JacobianSum(capture(model, X).values()).gram()


def kernel_by_torch(model, X):
    """Return the same by explicit Jacobians of vmap and jacrev."""
    import torch
    from torch.func import functional_call, jacrev, vmap

    weights = {k: v.detach() for k, v in model.named_parameters() if k.endswith("weight")}

    def output(weights, x):
        return functional_call(model, weights, (x[None],))[0, 0]

    rows = vmap(jacrev(output), (None, 0))(weights, torch.from_numpy(X))
    J = torch.cat([row.reshape(len(X), -1) for row in rows.values()], dim=1)
    return (J @ J.T).numpy()


def time_kernels(repeats):
    """Return seconds by name, and the relative difference of the two kernels."""
    model = gelu_network()
    X = np.random.default_rng(0).standard_normal((KERNEL_POINTS, SIZES[0]), np.float32)
    seconds = medians(
        {
            "subquad": lambda: kernel_by_capture(model, X),
            "torch.func": lambda: kernel_by_torch(model, X),
        },
        repeats,
    )
    ours, theirs = kernel_by_capture(model, X), kernel_by_torch(model, X)
    return seconds, float(np.linalg.norm(ours - theirs) / np.linalg.norm(ours))


def large_kernel(n):
    """Return the seconds of a kernel of n points, and the peak memory of the process in GB."""
    model = gelu_network()
    X = np.random.default_rng(0).standard_normal((n, SIZES[0]), np.float32)
    start = time.perf_counter()
    kernel_by_capture(model, X)
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def worker(options):
    """Return all figures but the large kernel's, for one number of threads."""
    trak = installed("trak") and not options.skip_trak
    threads, found = options.threads[0], {"errors": {}}
    cases = SMALL, LARGE, SEQUENCES
    found["projections"] = [time_projections(case, threads, options.repeats) for case in cases[1:]]
    found["trak"] = time_trak(LARGE) if trak else None
    found["kernel"] = time_kernels(options.repeats)
    if threads == max(options.all_threads):
        for case in cases:
            found["errors"][named(case)] = errors(case, options.draws, trak and case == SMALL)
    return found


def projection_rows(results):
    """Yield the rows of the first table."""
    for threads, result in results:
        for case, t in zip((LARGE, SEQUENCES), result["projections"], strict=True):
            by_trak, ours = result["trak"] if case == LARGE else None, t["subquad"]
            figures = [ours, t["gradients"], t["sparse signs"]]
            rival = [f"{by_trak[0]:.3g}", times(by_trak[0], ours)] if by_trak else ["-", "-"]
            cells = [f"{1e3 * seconds:.3g}" for seconds in figures]
            yield [threads, named(case), *cells, rival[0], times(figures[2], ours), rival[1]]


def error_rows(results):
    """Yield the rows of the second table."""
    for _, result in results:
        for case, error in result["errors"].items():
            by_trak = error.get("trak", "-")
            if case == named(LARGE) and result["trak"]:
                by_trak = f"{result['trak'][1]:.3g} (1 draw)"
            yield [case, error["subquad"], error["sparse signs"], by_trak]


def print_tables(results, large):
    """Print all tables."""
    heads = ["threads", "layer", "TensorSketch (ms)", "gradients (ms)", "sparse signs (ms)"]
    heads += ["trak (s)", "sparse signs take", "trak takes"]
    print_table(heads, list(projection_rows(results)))
    print()
    heads = ["layer", "TensorSketch: error of the Gram matrix", "sparse signs", "trak"]
    print_table(heads, list(error_rows(results)))
    print()
    rows = [
        [threads, t["subquad"], t["torch.func"], times(t["torch.func"], t["subquad"]), gap]
        for threads, result in results
        for t, gap in [result["kernel"]]
    ]
    heads = ["threads", "capture (s)", "torch.func (s)", "torch.func takes", "difference"]
    print_table(heads, rows)
    print()
    n, (seconds, gigabytes) = large
    print_table(["points", "capture (s)", "peak memory (GB)"], [[n, seconds, gigabytes]])


def main():
    """Measure and print."""
    arguments = parser(__doc__, repeats=5, cpu=False)
    arguments.add_argument("--draws", type=int, default=20)
    arguments.add_argument("--points", type=int, default=4096)
    arguments.add_argument("--skip-trak", action="store_true")
    options = arguments.parse_args()
    options.all_threads = options.threads
    if not measured_here(options, torch=worker, large=lambda options: large_kernel(options.points)):
        if not installed("torch"):
            raise SystemExit("This table compares with torch: pip install torch")
        results = [(threads, apart(__file__, threads, "torch")) for threads in options.threads]
        print_tables(results, (options.points, apart(__file__, max(options.threads), "large")))


if __name__ == "__main__":
    main()
