"""Arrays of safetensors files, read without the package of that name: nothing there is trusted."""

import json
import math
import os

import numpy as np

# safetensors allows no larger header.
_LARGEST_HEADER = 10**8
_PREFIX = 8
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


class Tensors:
    """The arrays of an open safetensors file; nothing in it is trusted."""

    def __init__(self, opened, path):
        self._file, self.path = opened, path
        self._size = os.fstat(opened.fileno()).st_size
        length = int.from_bytes(opened.read(_PREFIX), "little")
        self._start = _PREFIX + length
        if self._size < _PREFIX or not 0 < length <= _LARGEST_HEADER or self._start > self._size:
            raise self._damaged("its header does not fit")
        try:
            header = json.loads(opened.read(length))
            self._entries = {k: v for k, v in header.items() if k != "__metadata__"}
        except (ValueError, AttributeError, RecursionError):
            raise self._damaged("its header is not the JSON of one") from None
        for name in self._entries:
            self._described(name)

    def has(self, name):
        """Whether the file has this array."""
        return name in self._entries

    def read(self, name, argument):
        """Return an array in float32 or float64."""
        self.require(name, argument)
        kind, shape, start = self.place(name, argument)
        self._file.seek(start)
        n_bytes = math.prod(shape) * np.dtype(DTYPES[kind]).itemsize
        x = np.frombuffer(self._file.read(n_bytes), DTYPES[kind]).reshape(shape)
        return widened(x, kind)

    def require(self, name, argument):
        """Return the name of an array of the file, or raise."""
        if name in self._entries:
            return name
        names = sorted(k.removesuffix(".weight") for k in self._entries if k.endswith(".weight"))
        listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
        raise ValueError(
            f"{argument} must be one of the layers of {self.path}; got {name!r}, which is not "
            f"there. It has: {listed or 'none'}."
        )

    def matrices(self):
        """Return the names of the arrays of two dimensions, in alphabetical order."""
        return sorted(name for name in self._entries if len(self._described(name)[1]) == 2)

    def place(self, name, argument):
        """Return (type, shape, first byte) of an array of the file."""
        kind, shape, start, n_bytes = self._described(name)
        if kind not in DTYPES:
            raise ValueError(
                f"{argument} must hold numbers in F64, F32, F16 or BF16; got {name!r} in {kind}, "
                "which is quantized, or newer than this version."
            )
        if n_bytes != math.prod(shape) * np.dtype(DTYPES[kind]).itemsize:
            raise self._damaged(f"{name!r} has another size than its shape")
        return kind, shape, self._start + start

    def _described(self, name):
        """Return (type, shape, start, bytes) of an array within the file."""
        try:
            entry = self._entries[name]
            kind, shape = str(entry["dtype"]), tuple(entry["shape"])
            start, end = entry["data_offsets"]
            sound = all(type(k) is int and k >= 0 for k in (*shape, start, end))
        except (KeyError, TypeError, ValueError):
            sound = False
        if not sound or not start <= end <= self._size - self._start:
            raise self._damaged(f"{name!r} does not lie within it")
        return kind, shape, start, end - start

    def _damaged(self, reason):
        return ValueError(
            f"file must be a safetensors file; got {self.path}, of another kind, truncated or "
            f"damaged: {reason}."
        )


def widened(x, kind):
    """Return numbers in native float32 or float64, which hold the narrower types exactly."""
    if kind == "BF16":  # the upper half of a float32
        return (x.astype(np.uint32) << 16).view(np.float32)
    return x.astype(np.float64 if kind == "F64" else np.float32)
