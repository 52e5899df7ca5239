"""Signals that ask the command to end: what it has so far is saved first.

SIGTERM, which `kill`, schedulers and containers send, and SIGHUP, of a terminal that closes, do
what Ctrl-C does. One that comes while a file is written waits until the file is whole.
"""

import contextlib
import signal
import threading

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Signals:
    """Raises KeyboardInterrupt for each of the signals, while it is entered.

    Attributes
    ----------
    status : int
        Exit status of a command that a signal ended: 128 and its number, so 130 for Ctrl-C.
    """

    def __init__(self):
        self._received, self._holds, self._before = None, False, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                # One that is ignored was meant to be: nohup does so, and a shell's background jobs.
                if callable(before := signal.getsignal(number)) or before is signal.SIG_DFL:
                    self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_):
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    @property
    def status(self):
        """128 and the number of the last signal; that of Ctrl-C where none was seen."""
        return 128 + (self._received or signal.SIGINT)

    @contextlib.contextmanager
    def held(self):
        """Let a first signal wait until the block ends; a second one ends the block.

        What it yields tells whether one waits.
        """
        before, self._holds = self._received, self._received is None
        try:
            yield lambda: self._received != before
        finally:
            self._holds = False
        if self._received != before:
            raise KeyboardInterrupt

    def _receive(self, number, _):
        waits, self._received, self._holds = self._holds, number, False
        if not waits:
            raise KeyboardInterrupt
