"""``subquad plan``: what a fit would take, alone or shared by ranks of a job of MPI."""

from subquad._command import forecast, rank_forecast
from subquad._command.errors import SUCCESS, BadInput
from subquad._command.report import as_json, size
from subquad._machine import available_memory

# The plan refuses an option below the least value that it can have.
LEAST = {"n": 1, "width": 1, "depth": 2, "features": 1, "outputs": 1, "steps": 1, "shift": 0}

SOLVERS = {
    "exact": "one factorisation a step and output",
    "pcg": f"conjugate gradients, which {forecast.LANDMARKS} landmarks precondition",
}


def plan(args):
    """Print the forecast; return the exit status."""
    fit, n_ranks = _planned(args), args.ranks
    rank_forecast.require_shareable(fit, n_ranks)
    rates, n_bytes, shared = forecast.probe(args.dtype), forecast.memory(fit), []
    times = forecast.seconds(fit, rates, args.steps)
    if n_ranks > 1:
        n_bytes = rank_forecast.memory(fit, n_ranks)
        times = rank_forecast.seconds(fit, rates, args.steps, n_ranks)
        shared = rank_forecast.sentences(fit, n_ranks)
    room = available_memory()
    if args.json:
        known = {"solver": fit.solver, "expected_active": fit.expected_active}
        known["available_bytes"] = room
        if n_ranks > 1:
            known |= {"ranks": n_ranks, "message_bytes": rank_forecast.messages(fit, n_ranks)}
        print(as_json({"memory_bytes": n_bytes, "seconds": times, **known}))
        return SUCCESS
    print(f"A forecast, for {args.n} rows and {args.steps} steps on this machine as it is now:")
    for label, line in [("solver", SOLVERS[fit.solver]), *shared]:
        print(f"{label:<9}{line}")
    of_each = " of each rank" * bool(shared)
    _print_parts("memory", n_bytes, size, of_each)
    if room is not None:
        verdict = "fits" if n_bytes["total"] <= room else "does not fit"
        print(f"{'':<9}{verdict} in the {size(room)} available; Python and libraries take 0.2 GB")
    _print_parts("time", times, _duration, of_each)
    return SUCCESS


def _planned(args):
    """Size of the fit asked about."""
    for name, least in LEAST.items():
        if not getattr(args, name) >= least:
            raise BadInput(f"--{name} must be at least {least}; got {getattr(args, name)}")
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


def _print_parts(label, parts, shown, whose=""):
    """Print the total, then what it is made of."""
    inside = ", ".join(f"{name} {shown(value)}" for name, value in parts.items() if name != "total")
    print(f"{label:<9}{shown(parts['total'])}{whose} ({inside})")


def _duration(seconds):
    """Seconds with three digits."""
    return f"{seconds:.3g} s"
