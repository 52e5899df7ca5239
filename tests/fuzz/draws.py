"""Hostile arguments, drawn from a seed and a case number."""

import random

import numpy as np

# Lengths around the blocks of the kernels, and short ones more often.
SIZES = (1, 1, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 33, 40, 64, 65)
# What is no integer, or none that fits anything. No size in between: it would merely take long.
WRONG_INTEGERS = (
    *(0, -1, -7, 2**62, 2**63, 2**64, -(2**63), 10**30, True, np.True_, 1.5, 2.0),
    *(float("nan"), float("inf"), -float("inf"), "3", "", b"3", 3j, np.float64(3), (3,), [3], {}),
    *(np.array([3]), np.array(3.0), np.datetime64("2020"), object(), len, "all"),
)
WRONG_REALS = (
    *(-1.0, -1e-300, float("nan"), float("inf"), -float("inf"), True, np.True_, "1", "", b"1", 1j),
    *(10**400, np.nan, np.array([1.0]), np.array(1.0), (1.0,), [1.0], {}, object(), len),
    *(np.complex128(1), np.longdouble("1e4000"), np.datetime64("2020"), "loo", "auto"),
)
WRONG_THINGS = (
    *(None, True, 0, 1.5, "text", b"bytes", (), [], {}, set(), object(), len, float, 1j),
    *([[]], [[1.0], [1.0, 2.0]], [None], [[None]], ["a"], np.float64(1), np.array(1.0)),
    *(range(3), {"a": 1.0}, np.array([object()]), np.ma.masked_array([[1.0]], [[True]])),
    *([[[1.0]]], np.zeros((2, 0)), np.zeros((0, 2)), np.zeros(0), np.zeros((1, 1, 1))),
    np.zeros(2, [("a", float)]),
)
WRONG_DTYPES = (
    *("i8", "i1", "u2", "f2", "c8", "c16", "?", "O", "U3", "S3", "M8[s]", "m8[s]"),
    np.longdouble,
)
N_THREADS = (None, None, 1, 1, 1, 1, 2, -1, 3)
WRONG_THREADS = (0, 1025, 2**40, "2", 1.0, True, float("nan"), (), -(2**70), np.array([1]))
_POOL = np.random.default_rng(0).standard_normal(2**17)


class Draw:
    """Arguments of one case.

    Attributes
    ----------
    rate : float
        Chance that an argument is wrong; 0 in many cases, which must be answered then.
    hostile : bool
        Whether anything that may be refused has been drawn.
    wrong : str or None
        What must be refused in the next call.
    extreme, scaled : bool
        Whether values have been drawn whose products may overflow, or that are tiny or huge.
    """

    def __init__(self, seed, number):
        self.random = random.Random(f"{seed}:{number}")
        self.rate = self.random.choice((0.0, 0.0, 0.1, 0.3))
        self.hostile, self.wrong, self.extreme, self.scaled = False, None, False, False

    def chance(self, p):
        return self.random.random() < p

    def choice(self, values):
        return values[int(self.random.random() * len(values))]

    def between(self, low, high):
        """An integer in [low, high]."""
        return low + int(self.random.random() * (high - low + 1))

    def goes_wrong(self):
        """Whether to draw something wrong now."""
        wrong = self.random.random() < self.rate
        self.hostile |= wrong
        return wrong

    def size(self, largest=65):
        while (size := self.choice(SIZES)) > largest:
            pass
        return size

    def integer(self, good):
        """One of the good values, or a wrong one."""
        return self.choice(WRONG_INTEGERS) if self.goes_wrong() else self.choice(good)

    def real(self, good):
        return self.choice(WRONG_REALS) if self.goes_wrong() else self.choice(good)

    def option(self, good):
        """One of a few values, or something else."""
        return self.choice(WRONG_THINGS) if self.goes_wrong() else self.choice(good)

    def n_threads(self):
        return self.choice(WRONG_THREADS) if self.goes_wrong() else self.choice(N_THREADS)

    def rng(self):
        """A seed, a Generator, or something else."""
        if self.goes_wrong():
            return self.choice((-1, 1.5, "seed", True, np.random.RandomState(0), (), np.random))
        seed = self.between(0, 999)
        return np.random.default_rng(seed) if self.chance(0.2) else seed

    def dtype(self):
        return self.choice((np.float64, np.float64, np.float32))

    def dtype_argument(self):
        """A value for a parameter `dtype`."""
        if self.goes_wrong():
            return self.choice((int, "f2", "c16", object, "no dtype", 3, (), np.longdouble))
        return self.choice((np.float64, np.float32, "float64", "f4", np.dtype("f8")))

    def shape(self, shape):
        """The shape, or another."""
        if not self.goes_wrong():
            return shape
        shape, kind = list(shape), self.between(0, 4)
        if kind == 0:
            shape.insert(self.between(0, len(shape)), self.choice((0, 1, 2)))
        elif kind == 1:
            shape = shape[1:]
        elif kind == 2:
            shape[self.between(0, len(shape) - 1)] = 0
        else:
            shape[self.between(0, len(shape) - 1)] += self.choice((1, 1, -1, 7))
        return tuple(max(0, n) for n in shape)

    def array(self, shape, *, dtype=None, scales=True, finite=True, layouts=True, positive=False):
        """An array of real numbers of about this shape, or what passes for one.

        Parameters
        ----------
        shape : tuple
        dtype : float32 or float64, optional
            Either by default.
        scales : bool
            Whether numbers may be tiny or huge.
        finite : bool
            Whether NaN and infinity must be refused.
        layouts : bool
            Whether the array may be strided, read-only, of the other byte order or a list.
        positive : bool
        """
        if self.chance(self.rate / 2):
            self.hostile, self.wrong = True, "no array"
            thing = self.choice(WRONG_THINGS)
            if isinstance(thing, (np.ndarray, float, list, tuple, type(None))):
                self.wrong = None  # another shape may be taken, and None where it is the default
            return thing
        x = np.asarray(self.values(self.shape(shape), scales, positive))
        with np.errstate(over="ignore"):
            x = x.astype(dtype or self.dtype())
        if self.extreme and finite and not np.isfinite(x).all():
            self.wrong = "not finite"
        if self.goes_wrong():
            x = self._damaged(x, finite)
        return self._laid_out(x) if layouts and self.chance(0.4) else x

    def values(self, shape, scales=True, positive=False):
        """Real numbers in float64."""
        size = 1
        for n in shape:
            size *= n
        start = self.between(0, len(_POOL) - 1 - size)
        x = _POOL[start : start + size].reshape(shape)
        kind = self.random.random()
        if kind < 0.6:
            x = x.copy()
        elif kind < 0.7:
            x = np.round(2 * x)
        elif kind < 0.75:
            x = np.full(shape, self.choice((0.0, -0.0, 1.0, -2.5)))
        elif kind < 0.8 and x.ndim and len(x):
            x = np.repeat(x[:1], len(x), axis=0)
        elif kind < 0.88:
            x = np.where(x > 0.5, x, 0.0)
        elif scales:
            x = x * self._scale()
        return np.abs(x) + 0.1 if positive else x

    def indices(self, count, limit):
        """Indices below a limit, distinct unless wrong."""
        good = self.random.sample(range(limit), min(count, limit))
        if not self.goes_wrong():
            return np.array(good, self.choice((np.intp, np.int32))) if good else np.zeros(0, int)
        kind = self.between(0, 5)
        if kind == 0:
            self.wrong = "no index"
            return self.choice(
                ([limit], [-limit - 1], [2**62], [1.5], ["a"], [[0, 0]], 0.5, [None])
            )
        if kind == 1:
            return [*good, *good[:1]]
        return self.choice(([True], [], np.zeros(0), None, np.array([0.0]), -1, [-1], "0", {}))

    def _scale(self):
        scale = self.choice((1e-310, 1e-200, 1e-30, 1e-8, 1e8, 1e30, 1e200, 1e300))
        self.extreme |= scale > 1e10 or scale < 1e-10
        self.hostile |= scale > 1e18  # float32 holds no products of it
        self.scaled = True
        return scale

    def _damaged(self, x, finite):
        """The same with another dtype, or with entries that are no numbers."""
        if self.chance(0.5):
            self.wrong = "of a wrong dtype"
            with np.errstate(all="ignore"):
                # An array, also of no dimension: as a scalar, an object is a float again.
                sound = np.asarray(np.clip(np.nan_to_num(np.asarray(x)), -1e30, 1e30))
                return sound.astype(self.choice(WRONG_DTYPES))
        if x.size:
            x.flat[self.between(0, x.size - 1)] = self.choice((np.nan, np.inf, -np.inf))
            self.wrong = "not finite" if finite else None
            self.extreme = True
        return x

    def _laid_out(self, x):
        """The same entries elsewhere in memory."""
        kind, x = self.between(0, 8), np.asarray(x)
        if x.size == 0 or x.ndim == 0 or x.dtype.kind not in "fiuc":
            return x
        if kind == 0:
            return np.asfortranarray(x)
        if kind == 1:
            return x[::-1].copy()[::-1]
        if kind == 2:
            return np.repeat(x, 2, axis=-1)[..., ::2]
        if kind == 3:
            x.flags.writeable = False
            return x
        if kind == 4:
            buffer = np.zeros(x.nbytes + 1, np.uint8)
            unaligned = buffer[1:].view(x.dtype).reshape(x.shape)
            unaligned[...] = x
            return unaligned
        if kind == 5:
            return x.astype(x.dtype.newbyteorder())
        if kind == 6 and x.dtype == np.float64:
            return x.tolist()
        if kind == 7:
            far = np.zeros((*x.shape[:-1], x.shape[-1] + 4096), x.dtype)[..., : x.shape[-1]]
            far[...] = x
            return far
        return np.array(x, copy=True, subok=True).view(_Subclass)


class _Subclass(np.ndarray):
    """An array of somebody else's class."""


def as_float64(x):
    """What an argument that was accepted stands for."""
    return np.asarray(x, np.float64)


def dtype_of(x):
    """float32 or float64, the dtype of what was accepted, in native byte order."""
    return np.dtype(np.asarray(x).dtype.type)
