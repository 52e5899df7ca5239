"""Networks and half-space trainers as plain parts, and back.

Sizes are those of the arrays that a file holds, so that none is believed which the file is too
short for. The classes then make an object of these sizes, whose numbers are replaced.
"""

import numpy as np

from subquad._validation import as_matrix, integer, real, require_finite
from subquad.networks import FactoredNetwork, PairedNetwork, TwoLayerNetwork
from subquad.sketch import SRHT
from subquad.training import HalfSpaceSGD, TaskChain


def parts_of(value):
    """Return (kind, parts) of an object of a class that this module knows, or None."""
    if type(value) is TwoLayerNetwork:
        parts = {name: getattr(value, name) for name in ("activation", "weights", "readout")}
        return "two_layer", parts
    if type(value) is PairedNetwork:
        names = "weights", "signs", "shift", "scale"
        return "paired", {name: getattr(value, name) for name in names}
    if type(value) is FactoredNetwork:
        return "factored", _factored_parts(value)
    if type(value) is HalfSpaceSGD:
        return "half_space", _trainer_parts(value)
    if type(value) is TaskChain:
        tasks = [[name, *pair, list(on)] for name, (pair, on) in value._tasks.items()]
        return "chain", {"network": value.network, "tasks": tasks}
    return None


def chain(network, tasks):
    """TaskChain of a network and its tasks, each of which stands on earlier ones."""
    made = TaskChain(network)
    for name, A, V, on in tasks:
        made.add(name, (A, V), on=on)
    return made


def _factored_parts(network):
    names = "activation", "sketch", "weights", "readout"
    parts = {name: getattr(network, name) for name in names}
    srht = isinstance(network.inner, SRHT)
    parts["inner"] = [network.inner.signs, network.inner.rows] if srht else [network.inner._normals]
    parts["outer"] = None
    if network.outer_size is not None:
        outer = network._outer
        parts["outer"] = outer._matrix if outer.is_dense else outer.signs
    return parts


def two_layer(activation, weights, readout):
    """TwoLayerNetwork of given weights."""
    weights = as_matrix(weights, "weights")
    network = TwoLayerNetwork(
        weights.shape[1], len(weights), activation=activation, n_outputs=len(readout), rng=0,
        dtype=weights.dtype,
    )  # fmt: skip
    network.weights = _like(network.weights, weights)
    network.weights.flags.writeable = False
    network.readout = _like(network.readout, readout)
    return network


def paired(weights, signs, shift, scale):
    """PairedNetwork of given weights."""
    weights = as_matrix(weights, "weights")
    width, d = weights.shape
    network = PairedNetwork(
        d, width=width, n_outputs=signs.shape[1], shift=shift, scale=scale, rng=0,
        dtype=weights.dtype,
    )  # fmt: skip
    network.weights, network.signs = _like(network.weights, weights), _signs(network.signs, signs)
    network.weights.flags.writeable = network.signs.flags.writeable = False
    return network


def factored(activation, sketch, weights, readout, inner, outer):
    """FactoredNetwork of given weights and sketches."""
    weights, readout = as_matrix(weights, "weights"), as_matrix(readout, "readout")
    rows, inner_size = weights.shape
    network = FactoredNetwork(
        len(inner[0]), width=readout.shape[1], inner_size=inner_size,
        outer_size=None if outer is None else rows, sketch=sketch, n_outputs=len(readout),
        activation=activation, rng=0, dtype=weights.dtype,
    )  # fmt: skip
    network.weights = _like(network.weights, weights)
    network.readout = _like(network.readout, readout)
    vars(network.inner).update(_inner_parts(network.inner, inner))
    if outer is not None:
        name = "_matrix" if network._outer.is_dense else "signs"
        setattr(network._outer, name, _like(getattr(network._outer, name), outer))
    network._finish(weights.dtype)
    return network


def _inner_parts(sketch, stored):
    """What C is drawn as, in place of what a sketch has."""
    if not isinstance(sketch, SRHT):
        return {"_normals": _like(sketch._normals, stored[0])}
    signs, rows = _signs(sketch.signs, stored[0]), _like(sketch.rows, stored[1])
    if not ((rows >= 0) & (rows < sketch.padded_length)).all():
        raise ValueError("rows of a transform beyond its length")
    return {"signs": signs, "rows": rows}


def _trainer_parts(trainer):
    """What a trainer goes on from, and how; its history stays behind."""
    rows = trainer._rows
    if trainer._iterate == "random" or trainer._diagnosed or trainer._count_flips:
        raise TypeError("trainer must have a last or averaged iterate, and no diagnostics.")
    return {
        "network": trainer.network,
        "rows": rows.rows,
        "late": rows.late,
        "dynamics": "kernel" if type(rows).__name__ == "TangentRows" else "network",
        "report": getattr(rows._fired, "_method", None),
        "learning_rate": trainer.learning_rate,
        "batch_size": trainer._batch_size,
        "loss": trainer.loss,
        "average_from": trainer._average_from,
        "generator": trainer._rng.bit_generator.state,
        "counts": [trainer.n_steps, trainer.diverged, trainer._largest],
    }


def half_space(network, rows, late, generator, counts, learning_rate, **options):
    """HalfSpaceSGD that goes on where one stood."""
    trainer = HalfSpaceSGD(
        network,
        iterate="last" if late is None else "averaged",
        learning_rate="auto" if learning_rate is None else learning_rate,
        rng=0,
        **options,
    )
    trainer._rng.bit_generator.state = generator
    trainer._rows.rows = np.array(_like(trainer._rows.rows, rows))
    if late is not None:
        trainer._rows.late = np.array(_like(trainer._rows.late, late))
    n_steps, diverged, largest = counts
    trainer.n_steps = integer(n_steps, "n_steps", minimum=0)
    trainer.diverged, trainer._largest = bool(diverged), real(largest, "largest", minimum=0.0)
    return trainer


def _like(array, stored):
    """The stored array, finite and of the shape and dtype of another."""
    if stored.shape != array.shape or stored.dtype != array.dtype:
        raise ValueError("arrays of a network that do not fit together")
    require_finite(stored, "array")
    return stored


def _signs(array, stored):
    """The same of signs."""
    if not (np.abs(_like(array, stored)) == 1).all():
        raise ValueError("signs that are none")
    return stored


READERS = {
    "chain": chain,
    "two_layer": two_layer,
    "paired": paired,
    "factored": factored,
    "half_space": half_space,
}
