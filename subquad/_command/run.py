"""Calls the subcommand and turns what can go wrong into one sentence and an exit status."""

import importlib
import sys
import warnings

from subquad._command.errors import BAD_INPUT, INTERRUPTED, BadInput, one_line


def run(args, started):
    """Run the subcommand named in `args`; `started` is the monotonic second it began in."""
    args.started = started
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _show_warning
            return importlib.import_module(f"subquad._command.{args.command}").run(args)
    except KeyboardInterrupt:
        return _stopped("interrupted", INTERRUPTED)
    except BadInput as error:
        return _stopped(str(error), BAD_INPUT)
    except (ValueError, TypeError, MemoryError, OSError) as error:
        # The library's own sentences: its border names the argument and what came.
        if args.traceback:
            raise
        return _stopped(one_line(error), BAD_INPUT)


def _stopped(sentence, status):
    """Say why on standard error and return the status."""
    print(f"subquad: {sentence.rstrip('.')}.", file=sys.stderr)
    return status


def _show_warning(message, category, filename, lineno, file=None, line=None):
    """Print a warning as one line, without the place in the source, which a developer needs."""
    print(f"subquad: warning: {one_line(message)}", file=sys.stderr)
