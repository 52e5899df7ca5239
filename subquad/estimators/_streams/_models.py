"""Models that take their rows in chunks, and end where a fit of all rows does."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse

from subquad._validation import require_weights_in_range
from subquad.estimators._base import checked_weights
from subquad.estimators._streams._joining import stacked
from subquad.training import TrainingWarning

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import ArrayLike

    from subquad._typing import MatrixLike

# Scalings and hyperparameters are chosen anew once there are so many times the rows.
_MUCH = 2

_CLASSES = """
        classes : array_like, shape (n_classes,), optional
            All labels that may come, in the first call; those of its y if not given. Of multilabel
            targets none."""
_ARGUMENTS = """

        Parameters
        ----------
        X : array_like, shape (n, n_features)
            Sparse arrays as for `fit`, then in every chunk.
        y : array_like, {y}{classes}
        sample_weight : array_like, shape (n,), optional
"""
_TELLS = """
        Returns
        -------
        Self
            The model itself.

        Raises
        ------
        ValueError
            As of `fit`; or if the rows are not like the first ones, or of labels that are not among
            the classes. The model is then as before.
        MemoryError
            As of `fit`. The model is then as before.

        Warns
        -----
        TrainingWarning
            As of `fit`; and if the model was made by `fit`, which keeps no rows: then this begins
            anew.

        Notes
        -----
        All rows are kept, and saved with the model. Each time that their number has doubled the
        model is fitted as by `fit`; in between, scalings, regularisation and what else was chosen
        stay. So the scalings come from at least half of the rows. An interrupted call (Ctrl-C)
        leaves the model as before.

        In between b new rows join n others in some n^2 b operations, and n^2 / 2 numbers are kept
        for that, n^2 / 2 for each output of a network. Equal rows stay apart. This is so up to
        16,384 rows with `solver` "auto" or "exact", where regularization is not 0 and the weights
        of earlier rows stay (those of class_weight="balanced" do not). Of more rows, landmarks take
        b M^2 + M^3 / 3. A network of 1,024 rows or more is linearised at each row when it comes, as
        an extended Kalman filter does, and is trained on all rows where its outputs bend away from
        that; so it is in every call with fewer rows, another loss, or outputs that share neurons.
        """


class _Stream(dict):
    """The rows that came and what was chosen for them, as they are saved.

    `solved` is what the next rows join, and is not saved: it is made anew, in the same bits.
    """

    solved = None

    def __reduce__(self):
        return dict, (dict(self),)


class StreamedModel:
    """A model that keeps the rows that `partial_fit` had.

    It has `_chunk(X, y, classes)` and `_of_all(y, weights)`, which check and translate targets, and
    three ways of taking in what came, (X, T, weights) of all rows so far: `_fitted_anew`, which
    chooses all; `_go_on(.., n)`, which keeps what was chosen for the first n; and
    `_joined(.., stream)`, which only adds rows to what is solved, or returns None where that cannot
    be. Each returns (facts, solved), to be kept with the rows.
    """

    def _take_in(self, X, y, sample_weight, classes):
        """Fit all rows so far; whatever stops this leaves the model as it was."""
        before = dict(vars(self))
        try:
            return self._taken_in(X, y, sample_weight, classes)
        except BaseException:
            self.__dict__ = before
            raise

    def _taken_in(self, X, y, sample_weight, classes):
        seen = vars(self).get("_stream")
        if seen is None and hasattr(self, self._FITTED):
            warnings.warn(
                f"partial_fit begins anew with these rows: fit, which made this "
                f"{type(self).__name__}, keeps none. Give all rows to partial_fit.",
                TrainingWarning,
                stacklevel=4,
            )
        X, y = self._chunk(X, y, classes)
        weights = checked_weights(sample_weight, X)
        require_weights_in_range(weights, "sample_weight")
        n_before, many = 0, True
        if seen is not None:
            X, y, weights, n_before = *_stacked(seen, X, y, weights), seen["X"].shape[0]
            many = X.shape[0] >= _MUCH * seen["n_chosen"]
        T, by_class = self._of_all(y, weights)
        if many:
            if isinstance(seen, _Stream):
                seen.solved = None  # a factor that takes memory, and could be made again
            for name in ("_stream", self._FITTED):  # so that nothing is continued
                vars(self).pop(name, None)
            kept = self._fitted_anew(X, T, by_class)
        else:
            kept = self._joined(X, T, by_class, seen) or self._go_on(X, T, by_class, n_before)
        facts, solved = kept
        n_chosen = X.shape[0] if many else seen["n_chosen"]
        self._stream = _Stream(X=X, y=y, weights=weights, n_chosen=n_chosen, **facts)
        self._stream.solved = solved
        return self

    def _has_begun(self):
        """Whether rows came before."""
        return "_stream" in vars(self)

    def _chunk_options(self):
        """How the arrays of a chunk are checked."""
        begun = self._has_begun()
        return {"ensure_min_samples": 1 if begun else 2, "reset": not begun}


def _described(y, classes=""):
    """Return a decorator that adds to the docstring of `partial_fit` what both kinds share."""

    def described(method):
        if method.__doc__ is not None:  # as it is with -OO
            arguments = _ARGUMENTS.replace("{y}", y).replace("{classes}", classes)
            method.__doc__ += arguments + _TELLS
        return method

    return described


class StreamedRegressor(StreamedModel):
    """A regressor that does so."""

    @_described("shape (n,) or (n, n_outputs)")
    def partial_fit(
        self, X: MatrixLike, y: ArrayLike, sample_weight: ArrayLike | None = None
    ) -> Self:
        """Take in more rows, and fit all rows so far."""
        return self._take_in(X, y, sample_weight, None)

    def _chunk(self, X, y, classes):
        """X and targets (n, C)."""
        one_dimensional = vars(self).get("_one_dimensional")
        X, T = self._targets(X, y, **self._chunk_options())
        if self._has_begun():
            shape = self._stream["y"].shape[1:]
            if T.shape[1:] != shape or self._one_dimensional != one_dimensional:
                wanted = "(n,)" if one_dimensional else f"(n, {shape[0]})"
                raise ValueError(f"y must have shape {wanted}, as at first; got {np.shape(y)}.")
        return X, T

    def _of_all(self, y, weights):
        """Targets (n, C) and weights of all rows."""
        return y, weights


class StreamedClassifier(StreamedModel):
    """A classifier that does so."""

    @_described("shape (n,), or (n, n_labels) of 0 and 1, which may be sparse", _CLASSES)
    def partial_fit(
        self,
        X: MatrixLike,
        y: ArrayLike,
        classes: ArrayLike | None = None,
        sample_weight: ArrayLike | None = None,
    ) -> Self:
        """Take in more rows, and fit all rows so far."""
        return self._take_in(X, y, sample_weight, classes)

    def _chunk(self, X, y, classes):
        """X and labels, all of known classes."""
        X, y = self._labels(X, y, **self._chunk_options())
        if not self._has_begun():
            self._learn_classes(y if classes is None or y.ndim == 2 else np.asarray(classes))
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"classes must be {self.classes_.tolist()}, as at first; got {classes!r:.200}."
            )
        self._require_as_learned(y)
        unknown = [] if y.ndim == 2 else np.setdiff1d(y, self.classes_).tolist()
        if unknown:
            raise ValueError(
                f"y must have no other classes than {self.classes_.tolist()}; got {unknown}. Give "
                "all of them as classes in the first call."
            )
        return X, y

    def _of_all(self, y, weights):
        """Indicators and weights of all rows."""
        return self._indicators(y), self._weights_by_class(y, weights)


def _stacked(seen, X, y, weights):
    """The rows so far and the new ones."""
    kinds = [scipy.sparse.issparse(rows) for rows in (seen["X"], X)]
    if kinds[0] != kinds[1]:
        wanted, got = ("sparse" if kind else "dense" for kind in kinds)
        raise ValueError(f"X must be {wanted}, as at first; got {got} rows.")
    rows, labels = stacked(seen["X"], X), np.concatenate([seen["y"], y])
    return rows, labels, np.concatenate([seen["weights"], weights])
