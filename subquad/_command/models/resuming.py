"""Checkpoints of ``subquad fit``: beside the model, while a fit runs."""

import hashlib
import json
import os

import numpy as np

from subquad._command.errors import BadInput, require_file
from subquad.io import Checkpoint, is_checkpoint


def check(args):
    """Refuse to resume from what is not there, and to write over what is no checkpoint."""
    path = _checkpoint_path(args.model)
    if args.resume and path is None:
        raise BadInput("--resume must go with a model file, beside which the checkpoint is kept")
    if args.resume and not os.path.exists(path):
        raise BadInput(
            f"--resume must find the checkpoint of an interrupted fit; there is no {path!r}. "
            "Leave out --resume to begin anew"
        )
    if args.resume:
        require_file("the checkpoint", path)
    if not args.resume and path and os.path.exists(path) and not is_checkpoint(path):
        raise BadInput(
            f"--model must leave {path!r} to its checkpoint; there is another file of that name"
        )


def checkpoint(args, estimator, split):
    """Return what keeps the steps of the fit, or None where no model is kept either."""
    path = _checkpoint_path(args.model)
    if path is None:
        return None
    options = estimator.get_params()
    names = sorted({*options} - {"callback", "n_threads", "random_state", "verbose"})
    about = {"seed": args.seed, **{name.replace("_", "-"): options[name] for name in names}}
    about["data"] = _digest(split)
    return Checkpoint(path, resume=args.resume, about=about)


def keep_or_remove(report, checkpoint, interrupted):
    """Say that an interrupted fit can go on; remove what a whole one needs no more."""
    if checkpoint is None:
        return
    if not interrupted:
        checkpoint.remove()
    elif checkpoint.save():
        report.add(
            "checkpoint",
            checkpoint.path,
            f"saved to {checkpoint.path}; the same command with --resume goes on",
        )


def _checkpoint_path(model):
    """Where a fit keeps its steps: beside the model, if that is a file."""
    if model is None or (os.path.exists(model) and not os.path.isfile(model)):
        return None
    return f"{model}.checkpoint"


def _digest(split):
    """Return what tells one table of training rows from another."""
    digest = hashlib.blake2b(np.ascontiguousarray(split.X), digest_size=16)
    digest.update(json.dumps(split.y.tolist()).encode())
    return digest.hexdigest()
