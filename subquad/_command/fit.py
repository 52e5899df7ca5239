"""``subquad fit``: read a table, fit the best of a few models, save it, say how good it is."""

import io
import os

import numpy as np

from subquad._command import describe
from subquad._command.errors import SUCCESS, BadInput, require_another_file, require_package
from subquad._command.models import automatic, kinds, network, resuming, scores
from subquad._command.models.encoding import Encoding
from subquad._command.models.kinds import Recipe
from subquad._command.report import Report, size
from subquad._command.tables import BUILT_IN, STANDARD_INPUT, Split, read_training, split_rows
from subquad._command.tables.delimited import Dialect
from subquad._command.tables.targets import choose_task
from subquad._parallel import blas_threads_for
from subquad.io import check_writable, replacing, save_model

TEST_FRACTION = 0.25
# The split on which the package's own measurements on digits are made: 1000 rows to train on.
DIGITS_TEST_FRACTION = 797 / 1797
# These ask for the network, since no other model has them.
OF_THE_NETWORK = (*network.OPTIONS, "scale_features", "resume", "plot")


def fit(args):
    """Fit as `args` say and report it; return the exit status."""
    kind = _kind(args)
    args.model = _model_path(args)
    _check(args)
    report = Report(args.json)
    dialect = Dialect(args.sep, args.encoding, args.decimal, args.thousands, tuple(args.na))
    ignore = [*args.ignore, *([] if args.id is None else [args.id])]
    table = read_training(args.source, args.target, ignore, dialect, args.gaps == "drop")
    task, reason = choose_task(table.y, args.task)
    automatic.require_folds(args, len(table.frame))
    split = split_rows(table, task, _test_fraction(args), args.seed)
    describe.data(report, table, split, task, reason)
    encoding = Encoding.fit(split.X, table.frame, keep_all=args.source in BUILT_IN)
    describe.columns(report, table.frame, encoding)
    job = _Job(args, report, table, split, task, encoding)
    with blas_threads_for(len(split.y)):  # in predictions, too: its threads wait by spinning
        if kind == "gn":
            return job.fit_network(Recipe("gn", options=network.asked_for(args)))
        return job.fit_best(kind)


class _Job:
    """One run of the command, once the table is read."""

    def __init__(self, args, report, table, split, task, encoding):
        self.args, self.report, self.table = args, report, table
        self.split, self.task, self.encoding = split, task, encoding
        self.outcome = automatic.Outcome()

    def fit_best(self, kind):
        """Compare, fit and save; return the exit status."""
        args, report = self.args, self.report
        found = automatic.chosen(args, report, self.encoding, self.split, self.task, kind)
        self.outcome = found
        if found.recipe.kind == "gn" and not found.interrupted:
            return self.fit_network(found.recipe)
        if not found.interrupted:
            found = automatic.fitted(args, report, self.encoding, self.split, self.task, found)
        estimator, encoding = found.model.estimator, found.model.encoding
        fitted = scores.of_fit(estimator, self._matrices(encoding))
        if args.model is not None:
            with args.signals.held():
                self._save(estimator, encoding, fitted, found.recipe)
        report.add("scores", fitted, describe.score_line(fitted))
        self._test_and_show(estimator, encoding, found.recipe, found.interrupted)
        self._close(found.interrupted, "the model is that of the comparison")
        return args.signals.status if found.interrupted else SUCCESS

    def fit_network(self, recipe):
        """Fit a network step by step and save it; return the exit status."""
        args, report = self.args, self.report
        X = self.encoding.transform(self.split.X)
        encoding, given = kinds.scaled(recipe, self.encoding, X, self.split.y, self.task, args)
        split = self._matrices(encoding)
        estimator, fitted, checkpoint = network.fit(args, report, split, self.task, given)
        interrupted = fitted is None
        if args.model is not None:
            with args.signals.held():
                self._save(estimator, encoding, fitted, recipe)
                resuming.keep_or_remove(report, checkpoint, interrupted)
        if not interrupted:
            describe.scores(report, fitted, scores.of_ridge(estimator, split))
        if args.plot is not None:
            with args.signals.held():
                _plot(report, args.plot, estimator.history_)
        self._test_and_show(estimator, encoding, recipe, interrupted)
        after = f"after step {estimator.n_iter_}"
        self._close(interrupted, f"{after}; the best model so far is kept")
        return args.signals.status if interrupted else SUCCESS

    def _matrices(self, encoding):
        """The rows as matrices."""
        X_test = np.empty((0, len(encoding.labels)))
        if len(self.split.y_test):
            X_test = encoding.transform(self.split.X_test)
        X = encoding.transform(self.split.X)
        return Split(X, self.split.y, X_test, self.split.y_test)

    def _save(self, estimator, encoding, fitted, recipe):
        """Save the model and say so."""
        best = self.outcome.best
        notes = {
            **describe.notes(self.table, self.split, self.task, self.args.seed, fitted),
            "kind": recipe.name,
            "encoding": encoding.as_json(),
        }
        if best is not None and self.task == "regression":
            notes["deviation"] = best.error
        if self.table.columns is not None:
            notes["columns"] = [*encoding.used]
        path = self.args.model
        save_model(estimator, path, notes=notes)
        n_bytes = os.path.getsize(path)
        said = f"saved to {path}, {size(n_bytes)}"
        self.report.add("model", {"path": path, "bytes": n_bytes}, said)

    def _test_and_show(self, estimator, encoding, recipe, interrupted):
        """Cross-validate and write the page, where either was asked for."""
        if interrupted:
            return
        model = kinds.Model(recipe, encoding, estimator)
        predicted = None
        if self.args.cv is not None:
            predicted = automatic.cross_validated(
                self.args, self.report, self.encoding, self.split, self.task, recipe
            )
        if self.args.report is not None:
            from subquad._command import page

            page.write(self.args, self.report, self, model, predicted)

    def _close(self, interrupted, how):
        """Print what remains to be printed."""
        describe.seconds(self.report, self.args.started)
        self.report.document["interrupted"] = interrupted
        if interrupted:
            self.report.line(f"interrupted {how}")
        self.report.close()


def _kind(args):
    """The kind of model: as asked, the network where one of its options is given, else the best."""
    given = [name for name in OF_THE_NETWORK if getattr(args, name) not in (None, False)]
    if args.scale_features is not None and "scale_features" not in given:
        given.append("scale_features")
    if args.kind in ("ntk", "ridge") and given:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in given)
        raise BadInput(f"--model must be gn to go with {options}; got {args.kind}")
    if args.kind is None or (args.kind == "auto" and given):
        return "gn" if given else "auto"
    return args.kind


def _model_path(args):
    """Where the model goes: as asked, else the source's name with .subquad in this folder."""
    if args.no_model:
        if args.model is not None:
            raise BadInput(f"--no-model must come without a file; got --model {args.model}")
        return None
    name = "table" if args.source == STANDARD_INPUT else os.path.basename(args.source)
    return f"{os.path.splitext(name)[0]}.subquad" if args.model is None else args.model


def _check(args):
    """Find out before the work whether its results could be written."""
    require_package("sklearn", "subquad fit")
    taken = {"the data": args.source if os.path.exists(args.source) else None}
    if args.model is not None:
        require_another_file("--model", args.model, taken)
        check_writable(args.model, name="--model")
    resuming.check(args)
    for option in ("plot", "report"):
        if (path := getattr(args, option)) is None:
            continue
        taken |= {"the model": args.model}
        require_another_file(f"--{option}", path, taken)
        check_writable(path, name=f"--{option}")
        taken[f"the {option}"] = path
        if option == "plot":
            _check_picture(path)
        else:
            require_package("matplotlib", "--report")
    if args.seed < 0:
        raise BadInput(f"--seed must be at least 0; got {args.seed}")


def _check_picture(path):
    """Refuse a picture that matplotlib is not there for, or could not write."""
    require_package("matplotlib", "--plot")
    from matplotlib.figure import Figure

    kinds = Figure().canvas.get_supported_filetypes()
    if _kind_of_picture(path) not in kinds:
        raise BadInput(f"--plot must end in one of {', '.join(sorted(kinds))}; got {path!r}")


def _kind_of_picture(path):
    """Kind of a picture by the suffix of its name."""
    return os.path.splitext(path)[1].lstrip(".").lower()


def _test_fraction(args):
    """Fraction of rows to hold out: as asked, none for folds, or the default of the source."""
    if args.cv is not None:
        return 0.0
    if args.test_fraction is None:
        return DIGITS_TEST_FRACTION if args.source == "digits" else TEST_FRACTION
    if not 0 <= args.test_fraction < 1:
        raise BadInput(f"--test-fraction must be at least 0 and below 1; got {args.test_fraction}")
    return args.test_fraction


def _plot(report, path, history):
    """Save a picture of the residuals and say so."""
    from matplotlib.figure import Figure

    from subquad.plotting import residuals

    picture = io.BytesIO()
    figure = residuals(history, Figure(layout="constrained").add_subplot()).figure
    figure.savefig(picture, format=_kind_of_picture(path))
    with replacing(path) as file:
        file.write(picture.getvalue())
    report.add("plot", path, f"saved to {path}")
