"""What suites share: they set threads and instruction sets before the clock, and reset them."""

from subquad._kernels import _simd
from subquad._parallel import resolve_threads

try:
    import torch
except ImportError:
    torch = None
try:
    from threadpoolctl import threadpool_limits
except ImportError:
    threadpool_limits = None

THREADS, LEVELS = [1, 2], ["best", *_simd.LEVELS]


def tensors(*arrays):
    """Return torch tensors that share memory with arrays; NotImplementedError without torch."""
    if torch is None:
        raise NotImplementedError("torch is not installed")
    return [torch.from_numpy(array) for array in arrays]


class Suite:
    """A suite that runs `self.run`, which `setup` chooses, once outside the clock and then on it.

    Attributes
    ----------
    ours : tuple of str
        The implementations that run subquad's kernels.
    """

    ours = ("subquad",)

    def spare(self, implementation, n_threads=1, level="best", *, large=True, levelled=True):
        """Skip what tells nothing new: small sizes on more threads, and peers at other levels."""
        if n_threads > 1 and not (large and level == "best"):
            raise NotImplementedError("threads are for large sizes, at the best level")
        if level != "best" and not (levelled and implementation in self.ours):
            raise NotImplementedError("levels are for some sizes of subquad's own kernels")

    def choose(self, implementation, n_threads=None, level=None):
        """Prepare and warm up the method of an implementation; None keeps threads as they are."""
        best = _simd.best_level()
        if implementation not in self.ours and level not in (None, "best", best):
            raise NotImplementedError("the level is subquad's alone")
        level = best if level == "best" else level or _simd.level()
        if _simd.LEVELS.index(level) > _simd.LEVELS.index(best):
            raise NotImplementedError(f"this processor has no {level}")
        _simd.use_level(level)
        self.n_threads = resolve_threads(n_threads)
        self.run = getattr(self, f"run_{implementation}")
        if implementation == "torch":
            self.tensors = tensors(*self.arrays)
            torch.set_num_threads(self.n_threads)
        elif n_threads is not None and threadpool_limits is not None:
            threadpool_limits(n_threads)
        self.run()

    def teardown(self, *_):
        """Use the best level again, and all threads."""
        _simd.use_level(_simd.best_level())
        if threadpool_limits is not None:
            threadpool_limits(resolve_threads())
