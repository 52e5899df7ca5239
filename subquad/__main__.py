"""The command ``subquad``, also ``python -m subquad``.

Exit status 0 is success, 2 an input the user can mend (one sentence on standard error), 130 Ctrl-C.
"""

import sys
import time

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
    from subquad._command.parser import build_parser
    from subquad._command.run import run

    return run(build_parser().parse_args(argv), STARTED if argv is None else time.monotonic())


if __name__ == "__main__":
    sys.exit(main())
