"""The command ``subquad``, also ``python -m subquad``.

Exit status 0 is success, 2 an input the user can mend (one sentence on standard error), 130 Ctrl-C,
143 SIGTERM.
"""

import importlib
import sys
import time
import warnings

STARTED = time.monotonic()


def main(argv=None):
    """Run one subcommand.

    Parameters
    ----------
    argv : list of str, optional
        The words after ``subquad``; those of this process by default.

    Returns
    -------
    int
        The exit status.

    Raises
    ------
    SystemExit
        From the parser: ``--help``, or words it does not understand (status 2).
    """
    from subquad._command import ranks

    if argv is None and ranks.launched():
        return ranks.run(lambda helpers: _main(None, helpers))
    return _main(argv)


def _main(argv, helpers=None):
    """Run one subcommand, with the help of other ranks where there are any."""
    from subquad._command.parser import build_parser
    from subquad._command.stopping import Signals

    args = build_parser().parse_args(argv)
    args.helpers = helpers
    if helpers is not None and args.command != "fit":
        helpers.say_idle(args.command)
    args.started = STARTED if argv is None else time.monotonic()
    with warnings.catch_warnings(), Signals() as args.signals:
        warnings.simplefilter("always", UserWarning)
        warnings.showwarning = _show_warning
        return _status(args)


def _status(args):
    """Call the subcommand; turn what can go wrong into one sentence and an exit status."""
    from subquad._command.errors import BAD_INPUT, BadInput, missing_package, one_line
    from subquad._command.passes import shown

    try:
        module = importlib.import_module(f"subquad._command.{args.module}")
        with shown(sys.stderr):
            return getattr(module, args.command)(args)
    except KeyboardInterrupt:
        return _stopped("interrupted", args.signals.status)
    except BadInput as error:
        return _stopped(str(error), BAD_INPUT)
    except (ValueError, TypeError, MemoryError, OSError, ImportError) as error:
        # The library's own sentences: its border names the argument and what came.
        if args.traceback:
            raise
        sentence = one_line(error)
        if isinstance(error, ModuleNotFoundError) and error.name:
            sentence = missing_package(error.name.split(".")[0], f"subquad {args.command}")
        return _stopped(sentence, BAD_INPUT)


def _stopped(sentence, status):
    """Say why on standard error and return the status."""
    from subquad._command.report import printable

    print(printable(f"subquad: {sentence.rstrip('.')}."), file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """Print a warning as one line, without the place in the source, which a developer needs."""
    from subquad._command.errors import one_line
    from subquad._command.report import printable

    print(printable(f"subquad: warning: {one_line(message)}"), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
