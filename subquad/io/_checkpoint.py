"""A fit's steps in a file, from which it goes on after it was interrupted."""

from __future__ import annotations

import contextlib
import os
import reprlib
import time
import warnings
from typing import TYPE_CHECKING

from subquad._validation import as_path
from subquad.io._container import read_container, write_container
from subquad.io._header import ModelFileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from subquad.training import GaussNewtonTrainer, StepRecord


CHECKPOINT = "subquad checkpoint"
# Write no more often than takes this fraction of the time.
SHARE = 0.1
# From this format on, networks are made of the weights that the same options give now.
_SEEDED = 2


class Checkpoint:
    """A callback of an estimator, or of its trainer, that keeps the fit's steps in a file.

    Parameters
    ----------
    path : str or path-like
        The file. It is written whole or not at all, after steps, as often as takes a tenth of the
        time or less.
    resume : bool
        Go on after the last step that the file holds. Data and options must be the same; the fit
        then ends the same in every bit as one that was not interrupted, on the same machine.
    about : dict, optional
        Plain values that must be the same to resume, beside what the trainer compares itself.
    callback : callable, optional
        Called after this one.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as described, or `begin` takes another trainer.
    ModelFileError
        A ValueError: from `begin`, if the file is no checkpoint, or one of another fit.
    OSError
        From `begin`, if there is no file to resume from.

    Warns
    -----
    UserWarning
        If the file cannot be written: the fit goes on without.

    Notes
    -----
    For `GaussNewtonRegressor`, `GaussNewtonClassifier` and `LastLayerGaussNewton` without a
    `solver` of its own. The file holds a few numbers for each row and step; data and network are
    made again, from the data and the seed, which therefore must be an integer. As a model file it
    holds nothing that can execute. Where ranks share a layer, the first writes and all read.

    Examples
    --------
    >>> import numpy as np, tempfile
    >>> from subquad.estimators import GaussNewtonRegressor
    >>> X = np.random.default_rng(0).standard_normal((40, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "fit.checkpoint")
    ...     options = {"width": 256, "random_state": 0}
    ...     first = GaussNewtonRegressor(**options, callback=Checkpoint(path)).fit(X, X[:, 0])
    ...     goes_on = Checkpoint(path, resume=True)
    ...     second = GaussNewtonRegressor(**options, callback=goes_on).fit(X, X[:, 0])
    >>> np.array_equal(first.predict(X), second.predict(X))
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        resume: bool = False,
        about: dict[str, Any] | None = None,
        callback: Callable[[Any], object] | None = None,
    ) -> None:
        if not isinstance(about, (dict, type(None))):
            raise TypeError(f"about must be a dict or None; got {type(about).__name__}.")
        if not isinstance(resume, bool):
            raise TypeError(f"resume must be True or False; got {type(resume).__name__}.")
        if callback is not None and not callable(callback):
            raise TypeError(f"callback must be callable; got {type(callback).__name__}.")
        as_path(path)
        self.path, self.resume, self.about = path, resume, about or {}
        self.callback, self._trainer = callback, None
        self._written, self._seconds = None, 0.0

    def begin(self, trainer: GaussNewtonTrainer) -> None:
        """Take the trainer whose steps are to be kept, and bring it to where the file stands."""
        if not hasattr(trainer, "state_dict"):
            kind = type(trainer).__name__
            raise TypeError(f"trainer must be a LastLayerGaussNewton; got {kind}.")
        self._trainer = trainer
        if self.resume:
            self._bring_back(trainer)
        if hasattr(self.callback, "begin"):
            self.callback.begin(trainer)

    def __call__(self, record: StepRecord) -> None:
        """Keep a step, if that is due."""
        if self._trainer is not None and time.monotonic() >= self._due():
            self.save()
        if self.callback is not None:
            self.callback(record)

    def save(self) -> None:
        """Write the last whole step, unless the file has it; return whether there is one."""
        n_steps = 0 if self._trainer is None else len(self._trainer.history)
        if not n_steps:
            return False
        if self._written is None or self._written[0] != n_steps:
            started = time.monotonic()
            try:
                self._write()
            except OSError as error:
                self._seconds = float("inf")  # so that it is said once
                warnings.warn(
                    f"The fit goes on without a checkpoint, which cannot be written: {error}.",
                    UserWarning,
                    stacklevel=3,
                )
                return False
            ended = time.monotonic()
            self._written, self._seconds = (n_steps, ended), ended - started
        return True

    def remove(self) -> None:
        """Remove the file of a fit that needs it no more."""
        with contextlib.suppress(OSError):
            if is_checkpoint(self.path):
                os.unlink(self.path)

    def _due(self):
        """When to write next."""
        ended = 0.0 if self._written is None else self._written[1]
        return ended + self._seconds / SHARE

    def _write(self):
        from subquad import __version__
        from subquad.io._codec import Writer

        if not self._trainer._writes:  # another rank does
            return
        writer, state = Writer(), self._trainer.state_dict()
        header = {
            "subquad_version": __version__,
            "class": type(self._trainer).__name__,
            "parameters": {},
            "state": {key: writer.encode(key, value) for key, value in state.items()},
            "notes": self.about,
        }
        write_container(self.path, header, writer.arrays, CHECKPOINT)

    def _bring_back(self, trainer):
        """Load the file into the trainer."""
        from subquad.io._codec import Reader

        header, arrays = read_container(self.path, CHECKPOINT)
        had = header["notes"] or {}
        for name in (*self.about, *had):
            if had.get(name) != self.about.get(name):
                raise ModelFileError(
                    f"{self.path} must be resumed with the same {name}; it has "
                    f"{reprlib.repr(had.get(name))}, got {reprlib.repr(self.about.get(name))}."
                )
        try:
            trainer.load_state_dict(Reader(arrays).decode({"dict": header["state"]}))
        except (MemoryError, ImportError):
            raise
        except Exception as error:  # parts of unknown origin may make the trainer raise anything
            old = header["format_version"] < _SEEDED
            remark = " Networks of the subquad that wrote it drew other weights." if old else ""
            reason = str(error).removesuffix(".")
            raise ModelFileError(
                f"{self.path} must be a checkpoint of this fit; {reason}.{remark}"
            ) from error
        self._written = len(trainer.history), time.monotonic()


def is_checkpoint(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a whole checkpoint."""
    try:
        read_container(path, CHECKPOINT)
    except (OSError, ValueError):
        return False
    return True
