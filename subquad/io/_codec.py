"""Values as JSON and arrays, and back: plain values, and the few classes a fitted estimator holds.

What JSON has no word for is an object of one key that says what it is, as {"array": name}.
"""

import dataclasses
import functools
import math

import numpy as np
import scipy.sparse

from subquad._compact import STORAGES, CompactColumns
from subquad._implicit import GENERATOR
from subquad._sparse import require_sound
from subquad._validation import as_matrix, integer, real
from subquad.activations import ReLU, ShiftedReLU, ThresholdedReLU
from subquad.estimators import Scaling
from subquad.io._networks import READERS, parts_of
from subquad.networks import WideNetwork
from subquad.training import Diagnostics, HuberLoss, Loss, StepRecord, as_loss
from subquad.weights import DenseWeights, GaussianWeights

_ACTIVATIONS = {cls.__name__: cls for cls in (ReLU, ShiftedReLU, ThresholdedReLU)}

# How weights of a seed are kept where they are stored, and their grids.
_STORED = (("dense", "float32"), ("int8", "int8"))


class Writer:
    """Turns values into JSON; an array is kept under a name, which stands for it."""

    def __init__(self):
        self.arrays = {}

    def encode(self, name, value):
        """Return the JSON of a value; `name` says where it stands."""
        if value is None or isinstance(value, (bool, int, str)):
            return value
        if isinstance(value, np.generic):
            return self.encode(name, value.item())
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": repr(value)}
        if isinstance(value, (np.dtype, type)):
            return {"dtype": _dtype_name(name, value)}
        if isinstance(value, list):
            return [self.encode(f"{name}.{i}", item) for i, item in enumerate(value)]
        if isinstance(value, tuple):
            return {"tuple": self.encode(name, list(value))}
        if isinstance(value, dict) and not all(isinstance(key, str) for key in value):
            return {"pairs": self.encode(name, [list(pair) for pair in value.items()])}
        if isinstance(value, dict):
            return {"dict": {key: self.encode(f"{name}.{key}", v) for key, v in value.items()}}
        return self._object(name, value)

    def _object(self, name, value):
        """JSON of an array or of an object of a known class, by its parts."""
        if isinstance(value, np.ndarray):
            return self._array(name, value)
        if isinstance(value, scipy.sparse.csr_array):
            parts = {name: getattr(value, name) for name in ("data", "indices", "indptr", "shape")}
            return {"csr": self.encode(name, parts)}
        if isinstance(value, StepRecord):
            fields = dataclasses.asdict(value)
            if value.diagnostics is None:  # as older versions know it
                del fields["diagnostics"]
            return {"step": self.encode(name, fields)}
        if type(value) in _ACTIVATIONS.values():
            fields = {"shift": value.shift, "relative": value.relative}
            if value.scaling != "norm":  # as older versions know it
                fields["scaling"] = value.scaling
            return {"activation": self.encode(name, {"class": type(value).__name__, **fields})}
        if isinstance(value, Scaling):
            return {"scaling": self.encode(name, vars(value))}
        if isinstance(value, WideNetwork):
            parts = {"activation": value.activation, "readout": value.readout}
            columns = [_columns_of(weights, name) for weights in value.weights]
            if not value.normalise:
                parts["normalise"] = False
            return {"network": self.encode(name, {**parts, "columns": columns})}
        if isinstance(value, Loss):
            fields = {"name": value.name, "delta": getattr(value, "delta", None)}
            return {"loss": self.encode(name, fields)}
        known = parts_of(value)
        if known is not None:
            kind, parts = known
            return {kind: self.encode(name, parts)}
        raise TypeError(f"{name} must be plain to be saved; got {type(value).__name__}.")

    def _array(self, name, value):
        """JSON of an array: its name, or the strings that one of objects holds."""
        if value.dtype != object:
            self.arrays[name] = value
            return {"array": name}
        if value.ndim != 1 or not all(isinstance(item, str) for item in value):
            raise TypeError(f"{name} must hold numbers or strings to be saved; got objects.")
        return {"strings": value.tolist()}


@dataclasses.dataclass(frozen=True)
class _ToStore:
    """Weights that `Reader.finish` makes and stores."""

    made: GaussianWeights
    storage: object

    @property
    def shape(self):
        """(m_out, m_in)."""
        return self.made.shape


class Reader:
    """Turns the JSON of a `Writer` back into values. Makes no class but those named here."""

    def __init__(self, arrays):
        self.unused = dict(arrays)
        self._kinds = {
            "array": self.unused.pop,
            "strings": _strings,
            "float": lambda text: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[text],
            "dtype": lambda name: {"float32": np.dtype("f4"), "float64": np.dtype("f8")}[name],
            "tuple": lambda items: tuple(self.decode(items)),
            "dict": lambda items: {key: self.decode(item) for key, item in items.items()},
            "pairs": lambda pairs: dict(self.decode(pairs)),
            "step": lambda fields: _step(**self.decode(fields)),
            "activation": lambda fields: _activation(**self.decode(fields)),
            "csr": lambda parts: _sparse_rows(**self.decode(parts)),
            "scaling": lambda fields: Scaling(**self.decode(fields)),
            "network": lambda parts: self._network(**self.decode(parts)),
            "loss": lambda fields: _loss(**self.decode(fields)),
            **{kind: functools.partial(self._made, make) for kind, make in READERS.items()},
        }
        self._networks = []

    def _made(self, make, parts):
        """What a function makes of decoded parts."""
        return make(**self.decode(parts))

    def decode(self, value):
        """Return the value that a piece of JSON stands for."""
        if isinstance(value, list):
            return [self.decode(item) for item in value]
        if not isinstance(value, dict):
            return value
        ((kind, content),) = value.items()
        return self._kinds[kind](content)

    def _network(self, **parts):
        self._networks.append(_network(**parts))
        return self._networks[-1]

    def finish(self):
        """Store the weights that are given by a seed and were stored.

        A short file can ask for much memory: call this once all that it holds fits together.
        """
        for network in self._networks:
            network.weights = [
                DenseWeights._storing(W.made, W.storage) if isinstance(W, _ToStore) else W
                for W in network.weights
            ]


def _dtype_name(name, value):
    """Name of one of the two dtypes that files know."""
    dtype = np.dtype(value).name
    if dtype not in ("float32", "float64"):
        raise TypeError(f"{name} must be float32 or float64 to be saved; got {dtype}.")
    return dtype


def _strings(strings):
    """Array of objects, all of them strings."""
    if not all(isinstance(string, str) for string in strings):
        raise TypeError("strings must hold strings alone")
    array = np.empty(len(strings), dtype=object)
    array[:] = strings
    return array


def _loss(name, delta=None):
    """Loss of one of the known names."""
    return as_loss(name) if delta is None else HuberLoss(delta)


def _sparse_rows(data, indices, indptr, shape):
    """A csr_array, once its parts are found to fit together."""
    rows = scipy.sparse.csr_array((data, indices, indptr), shape=shape)
    require_sound(rows, "rows")
    return rows


def _step(diagnostics=None, **fields):
    """Record of a step; diagnostics are a record within it."""
    if diagnostics is not None:
        diagnostics = Diagnostics(**diagnostics)
    return StepRecord(diagnostics=diagnostics, **fields)


def _activation(shift, relative, scaling="norm", **names):
    """Activation of one of the known classes; ReLU has no shift to give."""
    cls = _ACTIVATIONS[names["class"]]
    if not isinstance(relative, bool):
        raise TypeError("relative must be true or false")
    return cls(relative=relative) if cls is ReLU else cls(shift, relative, scaling)


def _columns_of(W, name):
    """Columns of weights as an array, or in plain values what stands for them."""
    if not isinstance(W, (DenseWeights, GaussianWeights)):
        raise TypeError(f"{name} must have drawn weights to be saved; got {type(W).__name__}.")
    made, kept = (W, "implicit") if isinstance(W, GaussianWeights) else (W._origin, W.storage)
    if made is not None:
        law = {name: getattr(made, name) for name in ("shape", "seed", "grid", "std")}
        return {**law, "generator": GENERATOR, "kept": kept or "dense"}
    if W.storage is not None:
        return {"stored": W._columns.stored, "scale": W._columns.scale}
    return W._columns


def _network(activation, readout, columns, normalise=True):
    """WideNetwork of given weights, once shapes and types fit: the kernels trust them."""
    if type(activation) not in _ACTIVATIONS.values():
        raise TypeError("an activation must be one of the known classes")
    if not isinstance(normalise, bool):
        raise TypeError("normalise must be true or false")
    readout = as_matrix(readout, "readout")
    width = readout.shape[1]
    if len(columns) < 2:
        raise ValueError("too few weights")
    shapes = [(width, _n_columns(columns[0]))] + [(width, width)] * (len(columns) - 1)
    weights = [
        _weights(part, shape, readout.dtype) for part, shape in zip(columns, shapes, strict=True)
    ]
    return WideNetwork._from_parts(weights, readout, activation, normalise)


def _weights(columns, shape, dtype):
    """Weights of a shape (m_out, m_in) from what `_columns_of` gave."""
    if isinstance(columns, dict) and "seed" in columns:
        return _made_weights(shape, dtype, **columns)
    stored = columns["stored"] if isinstance(columns, dict) else columns
    if stored.shape != shape[::-1]:
        raise ValueError("weights whose shapes do not fit together")
    if not isinstance(columns, dict):
        return DenseWeights._from_columns(as_matrix(columns, "weights", dtype=dtype))
    if stored.dtype not in STORAGES.values() or dtype != np.float32:
        raise ValueError("compact weights of a type that does not fit")
    scale = real(columns["scale"], "scale")
    return DenseWeights._from_columns(CompactColumns(np.ascontiguousarray(stored), scale))


def _n_columns(columns):
    """How many columns there are in what `_columns_of` gave."""
    if isinstance(columns, dict):
        return tuple(columns["shape"])[1] if "shape" in columns else len(columns["stored"])
    return len(columns)


def _made_weights(expected, dtype, shape, generator=1, kept="implicit", **law):
    """Weights of a seed, the same bits, and how they were kept, for `Reader.finish`.

    Files of version 1 hold no other than implicit ones so, and do not name the generator.
    """
    if tuple(shape) != expected:
        raise ValueError("weights whose shapes do not fit together")
    if integer(generator, "generator") > GENERATOR:
        raise ValueError(f"weights of generator {generator}, which a newer subquad has; upgrade it")
    W = GaussianWeights(expected, **law, dtype=dtype)
    if kept == "implicit":
        return W
    if (kept, W.grid) not in _STORED or (kept == "int8" and dtype != np.float32):
        raise ValueError("weights kept in a way that does not fit")
    return _ToStore(W, None if kept == "dense" else kept)
