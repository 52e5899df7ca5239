"""A bar for each long pass over weights that are made from their seed, with the time left."""

import contextlib

from subquad._passes import watch_passes

# Show none for a pass that is over sooner, in seconds.
_DELAY = 1.0
_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} gone, {remaining} left"


@contextlib.contextmanager
def shown(stream):
    """Show the passes within on a terminal, where tqdm is installed; nothing elsewhere."""
    if not stream.isatty():
        yield
        return
    bars = PassBars(stream)
    with contextlib.closing(bars), watch_passes(bars):
        yield


class PassBars:
    """The callback of `watch_passes`: one bar after the other."""

    def __init__(self, stream):
        self._stream, self._bar = stream, None

    def __call__(self, done, total):
        """Begin, move or end a bar."""
        if done == 0:
            self.close()
            self._bar = self._new(total)
        if self._bar is None:
            return
        with contextlib.suppress(OSError):  # a terminal that has gone away must not cost the fit
            self._bar.update(done - self._bar.n)
        if done == total:
            self.close()

    def close(self):
        """Remove the bar, if there is one: of a pass that an exception ended, too."""
        bar, self._bar = self._bar, None
        if bar is not None:
            with contextlib.suppress(OSError):
                bar.close()

    def _new(self, total):
        """Return a bar that is not shown yet, or None without tqdm."""
        try:
            from tqdm import tqdm
        except ImportError:
            return None
        options = {"bar_format": _FORMAT, "delay": _DELAY, "leave": False}
        with contextlib.suppress(OSError):
            return tqdm(total=total, desc="making weights", file=self._stream, **options)
