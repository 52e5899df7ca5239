"""``subquad plan``: the memory and time of a fit, forecast before anything is allocated."""

from subquad._command import forecast
from subquad._command.errors import SUCCESS, BadInput
from subquad._command.report import as_json, size
from subquad._machine import available_memory

LEAST = {"n": 1, "width": 1, "depth": 2, "features": 1, "outputs": 1, "steps": 1, "shift": 0}


def run(args):
    """Print the forecast; return the exit status."""
    fit = _fit(args)
    memory = forecast.memory(fit)
    times = forecast.seconds(fit, forecast.probe(args.dtype), args.steps)
    room = available_memory()
    if args.json:
        known = {"expected_active": fit.expected_active, "available_bytes": room}
        print(as_json({"memory_bytes": memory, "seconds": times, **known}))
        return SUCCESS
    print(f"A forecast, for {args.n} rows and {args.steps} steps on this machine as it is now:")
    _print_parts("memory", memory, size)
    if room is not None:
        verdict = "fits" if memory["total"] <= room else "does not fit"
        print(f"{'':<9}{verdict} in the {size(room)} available; Python and libraries take 0.2 GB")
    _print_parts("time", times, _duration)
    return SUCCESS


def _fit(args):
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


def _print_parts(label, parts, shown):
    """Print the total, then what it is made of."""
    inside = ", ".join(f"{name} {shown(value)}" for name, value in parts.items() if name != "total")
    print(f"{label:<9}{shown(parts['total'])} ({inside})")


def _duration(seconds):
    """Seconds with three digits."""
    return f"{seconds:.3g} s"
