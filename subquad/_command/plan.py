"""``subquad plan``: what a fit would take, alone or shared by ranks of a job of MPI."""

from subquad._command import forecast, kernel_forecast, rank_forecast
from subquad._command.errors import SUCCESS, BadInput
from subquad._command.report import as_json, size
from subquad._machine import available_memory

# The least value that an option of a network can have.
LEAST = {"n": 1, "width": 1, "depth": 2, "features": 1, "outputs": 1, "steps": 1, "shift": 0}

SOLVERS = {
    "exact": "one factorisation a step and output",
    "pcg": f"conjugate gradients, which {forecast.LANDMARKS} landmarks precondition",
}
KERNEL_SOLVERS = {
    "exact": "one factorisation of the kernel",
    "pcg": SOLVERS["pcg"],
    "nystrom": "least squares on {} landmarks",
}
OF_THE_NETWORK = {"width": None, "shift": 0.0, "steps": 5, "readout": "partition"}
OF_THE_NETWORK |= {"weights": "dense", "dtype": "float64"}


def plan(args):
    """Print the forecast; return the exit status."""
    known = _of_kernel(args) if args.kind == "ntk" else _of_network(args)
    n_bytes, times, room = known["memory_bytes"], known["seconds"], available_memory()
    said, work = known.pop("said"), known.pop("work")
    if args.json:
        print(as_json({**known, "available_bytes": room}))
        return SUCCESS
    print(f"A forecast, for {args.n} rows{work} on this machine as it is now:")
    for label, line in said:
        print(f"{label:<9}{line}")
    of_each = " of each rank" * (args.ranks > 1)
    _print_parts("memory", n_bytes, size, of_each)
    if room is not None:
        verdict = "fits" if n_bytes["total"] <= room else "does not fit"
        print(f"{'':<9}{verdict} in the {size(room)} available; Python and libraries take 0.2 GB")
    _print_parts("time", times, _duration, of_each)
    return SUCCESS


def _of_network(args):
    """The forecast of a network's fit."""
    fit, n_ranks = _planned(args), args.ranks
    rank_forecast.require_shareable(fit, n_ranks)
    rates, n_bytes, shared = forecast.probe(args.dtype), forecast.memory(fit), []
    times, told = forecast.seconds(fit, rates, args.steps), {}
    if n_ranks > 1:
        n_bytes = rank_forecast.memory(fit, n_ranks)
        times = rank_forecast.seconds(fit, rates, args.steps, n_ranks)
        shared = rank_forecast.sentences(fit, n_ranks)
        told = {"ranks": n_ranks, "message_bytes": rank_forecast.messages(fit, n_ranks)}
    return {
        **{"memory_bytes": n_bytes, "seconds": times, "solver": fit.solver},
        **{"expected_active": fit.expected_active, **told},
        **{"said": [("solver", SOLVERS[fit.solver]), *shared], "work": f" and {args.steps} steps"},
    }


def _of_kernel(args):
    """The forecast of a kernel's fit."""
    given = [name for name, default in OF_THE_NETWORK.items() if getattr(args, name) != default]
    if given:
        options = ", ".join(f"--{name}" for name in given)
        raise BadInput(f"--model must be gn to go with {options}; got ntk")
    for name in ("n", "features", "outputs"):
        _require_least(args, name, 1)
    n_depths = kernel_forecast.DEPTHS
    if args.depth is not None:
        _require_least(args, "depth", 1)
        n_depths = 1
    sizes = args.n, args.features, args.outputs, args.landmarks, n_depths
    fit, n_ranks = kernel_forecast.KernelFit(*sizes), args.ranks
    kernel_forecast.require_shareable(fit, n_ranks)
    said, told = [("solver", KERNEL_SOLVERS[fit.solver].format(fit.landmarks))], {}
    if n_ranks > 1:
        said += kernel_forecast.sentences(fit, n_ranks)
        told = {"ranks": n_ranks, "message_bytes": kernel_forecast.messages(fit, n_ranks)}
    times = kernel_forecast.seconds(fit, forecast.probe("float64"), n_ranks)
    n_bytes = kernel_forecast.memory(fit, n_ranks)
    return {
        **{"memory_bytes": n_bytes, "seconds": times, "solver": fit.solver, **told},
        **{"said": said, "work": ""},
    }


def _planned(args):
    """Size of the fit asked about."""
    if args.landmarks is not None:
        raise BadInput(f"--model must be ntk to go with --landmarks; got {args.kind}")
    for name in ("width", "depth"):
        if getattr(args, name) is None:
            raise BadInput(f"--{name} must be given for a network; got none")
    for name, least in LEAST.items():
        _require_least(args, name, least)
    return forecast.Fit(
        n=args.n,
        width=args.width,
        depth=args.depth,
        n_features=args.features,
        n_outputs=args.outputs,
        shift=args.shift,
        dtype=args.dtype,
        readout=args.readout,
        weights=args.weights,
    )


def _require_least(args, name, least):
    """Refuse an option below the least value that it can have."""
    if not getattr(args, name) >= least:
        raise BadInput(f"--{name} must be at least {least}; got {getattr(args, name)}")


def _print_parts(label, parts, shown, whose=""):
    """Print the total, then what it is made of."""
    inside = ", ".join(f"{name} {shown(value)}" for name, value in parts.items() if name != "total")
    print(f"{label:<9}{shown(parts['total'])}{whose} ({inside})")


def _duration(seconds):
    """Seconds with three digits."""
    return f"{seconds:.3g} s"
