"""Where a fit stands between two steps, as plain values and arrays, and how another goes on there.

Kept are the coefficients of every change, not the state they led to: a few numbers for each data
point and step in place of arrays of n x width. To resume, the same changes are made again, by the
same arithmetic in the same order, without solving for them: the state is the same in every bit.
"""

import hashlib
import reprlib
from dataclasses import replace

import numpy as np

from subquad._parallel import blas_threads_for
from subquad._validation import as_array, integer
from subquad.training._gauss_newton._fit import Move
from subquad.training._records import StepRecord

# What stands for arrays that are too large to be kept, or to be shown.
_DIGEST = "network and data"
_FOREIGN = "state must be what state_dict returned"


def state_of(trainer):
    """Return the state of a trainer after its last whole step."""
    fit, mark = trainer._fit, trainer._mark
    _require_resumable(fit.state)
    moves = fit.moves[: mark.n_moves]
    changes = [move.coefficients for move, _ in moves if move is not None]
    return {
        "identity": _identity(trainer),
        "moves": [{"mu": mu, **({} if move is None else _numbers_of(move))} for move, mu in moves],
        "coefficients": np.array(changes).reshape(len(changes), *fit.target.shape),
        "linearised_at": mark.linearised_at,
        "rule": mark.rule,
        "first_of_run": trainer._first_of_run,
        "history": list(trainer.history),
    }


def resume(trainer, state):
    """Bring a trainer that has taken no step to a state that `state_of` returned."""
    _require_resumable(trainer._fit.state)
    if trainer.history:
        raise ValueError(
            "state must be loaded before the first step; got a trainer that has taken "
            f"{len(trainer.history)}."
        )
    _require_same_fit(trainer, state)
    try:
        _restore(trainer, state)
    except MemoryError:
        raise
    except Exception as error:  # parts of unknown origin may make the trainer raise anything
        reason = reprlib.repr(str(error).removesuffix("."))[1:-1] or type(error).__name__
        raise ValueError(f"{_FOREIGN}; its parts do not fit together ({reason}).") from error
    norm = trainer._fit.norm
    if trainer.history and trainer.history[-1].residual_norm != norm:
        raise ValueError(
            "state must be resumed by the arithmetic that made it; got a residual of "
            f"{norm!r} where it was {trainer.history[-1].residual_norm!r}. The processor or a "
            "library is another one: start the fit anew."
        )


def _require_same_fit(trainer, state):
    """Refuse what is no state, or one of other data or options."""
    identity = state.get("identity") if isinstance(state, dict) else None
    if not isinstance(identity, dict):
        raise ValueError(f"{_FOREIGN}; got {type(state).__name__} without the identity of a fit.")
    for name, value in _identity(trainer).items():
        had = identity.get(name)
        if type(had) is not type(value) or had != value:
            found = "others" if name == _DIGEST else f"{had!r:.200}, and this one has {value!r}"
            raise ValueError(f"state must be of a fit with the same {name}; got {found}.")


def _restore(trainer, state):
    """Take the steps of a state that is of the same fit."""
    history = list(state["history"])
    if not all(isinstance(record, StepRecord) for record in history):
        raise TypeError("history must hold records of steps; got others.")
    with blas_threads_for(len(trainer._fit.target)):
        _repeat(trainer, state)
    trainer.history = history
    trainer._first_of_run = integer(
        state["first_of_run"], "first_of_run", minimum=0, maximum=len(history)
    )
    trainer._resumed = True


def _repeat(trainer, state):
    """Make the changes of a state again, and know its last linearisation."""
    fit, rule = trainer._fit, trainer._rule
    if state["history"]:  # before the first step there is nothing to know
        rule.restore(state["rule"])
    changes = iter(as_array(state["coefficients"], "coefficients", np.float64))
    moves = [
        (m["mu"], *((next(changes), m["keep"], m) if "keep" in m else ())) for m in state["moves"]
    ]
    at = integer(state["linearised_at"], "linearised_at", minimum=0, maximum=len(moves))
    for i in range(len(moves) + 1):
        if i == at and state["history"]:
            equation = fit.linearise(rule)
            _ = equation.mean_eigenvalue  # formed now: its bits are overwritten later
            rule.linearise(fit, equation)
        if i == len(moves):
            break
        mu, *change = moves[i]
        if not change:
            fit.return_to_best(mu)
            continue
        coefficients, keep, numbers = change
        fit.state.linearise()
        trial = fit.state.propose(coefficients, keep=keep)
        move = Move(trial, numbers["damping"], 1.0, 1, 0, numbers["square_of_change"])
        fit.accept(replace(move, coefficients=coefficients, keep=keep), mu)
    trainer._mark_step(at)


def _numbers_of(move):
    """What of an accepted step is a number."""
    return {"keep": move.keep, "damping": move.damping, "square_of_change": move.square_of_change}


def _identity(trainer):
    """What two fits must share for one to go on where the other stopped."""
    fit = trainer._fit
    digest = hashlib.blake2b(digest_size=16)
    for array in (fit.start, fit.target, fit.offset):
        digest.update(np.ascontiguousarray(array))
    return {
        "number of data points and outputs": list(fit.target.shape),
        _DIGEST: digest.hexdigest(),
        "initial residual": fit.initial_norm,
        **trainer._options,
    }


def _require_resumable(state):
    """Refuse a solver whose own random numbers are not kept."""
    if not getattr(state._solver, "repeatable", state._solver is None):
        raise ValueError(
            f"solver must be 'exact' for a fit that can be resumed; got {state._solver.name!r}."
        )
