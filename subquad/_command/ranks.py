"""The command in a job of MPI: the first rank runs it, and the others help where work is shared.

What happens when ``mpiexec -n 4 python -m subquad fit ...`` is called:

    rank 0    all that the command does alone: it reads, compares, prints and saves
    others    wait, asleep, for a fit that ranks can share (`fit`), make it with rank 0, wait again
    the end   rank 0 dismisses them; where they failed apart, it ends the job with its own status

What the ranks tell each other is in `helpers`.
"""

import sys

from subquad._command.errors import BAD_INPUT, one_line
from subquad._command.helpers import Helpers, help_the_first, number_of

# Variables by which a launcher tells how many ranks there are, and which one this is.
_LAUNCHERS = (
    ("PMI_SIZE", "PMI_RANK"),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
)


def launched():
    """Whether a launcher of MPI has started several ranks."""
    return any(number_of(size) > 1 for size, _ in _LAUNCHERS)


def run(command):
    """Call `command` with a `Helpers` on the first rank, or None if there is one rank alone.

    Returns
    -------
    int
        The exit status of this rank: the command's, and on other ranks 0.
    """
    from subquad.distributed import world

    try:
        comm = world()
    except ImportError as error:
        if not any(number_of(rank) > 0 for _, rank in _LAUNCHERS):
            print(f"subquad: {one_line(error).rstrip('.')}.", file=sys.stderr)
        return BAD_INPUT
    if comm.Get_size() == 1:
        return command(None)
    if comm.Get_rank() > 0:
        return help_the_first(comm)
    helpers, status = Helpers(comm), BAD_INPUT
    try:
        status = command(helpers)
    finally:
        helpers.dismiss(status)
    return status


def fit(args, report, estimator, X, y, **callbacks):
    """Fit an estimator, by all ranks where it is one that they can share; say so.

    Parameters
    ----------
    estimator : GaussNewton or NTK regressor or classifier
    X : ndarray, shape (n, d)
    y : ndarray, shape (n,)
    **callbacks : `checkpoint` and `callback`, optional
        What keeps the steps, or None, and what is called after each of them.

    Returns
    -------
    the estimator
    """
    helpers = args.helpers
    if callbacks:
        estimator.set_params(callback=callbacks["callback"])
    if helpers is None:
        return estimator.fit(X, y)
    classes = len(set(y.tolist())) if hasattr(estimator, "predict_proba") else 1
    why = estimator._why_alone(len(y), classes if classes > 2 else 1, helpers.size)
    if why is not None:
        say_alone(args, report, why)
        return estimator.fit(X, y)
    what = "neurons" if callbacks else "rows of the equations of landmarks"
    said = f"{helpers.size} ranks share the {what}; the first alone does all else"
    report.add("ranks", {"ranks": helpers.size, "shared": what}, said)
    return helpers.fit(args, estimator, X, y, callbacks.get("checkpoint"))


def say_alone(args, report, why):
    """Say that all ranks but the first, if there are any, have nothing to do in a fit."""
    if args.helpers is None:
        return
    size = args.helpers.size
    others = f"the other {size - 1} have" if size > 2 else "the other has"
    said = f"{size} ranks, of which the first fits: {others} nothing to do, since {why}"
    report.add("ranks", {"ranks": size, "shared": None}, said)
