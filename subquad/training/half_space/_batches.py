"""Mini-batches of arrays, and of whatever yields pairs."""

import itertools


def shuffled(X, y, batch_size, n_epochs, rng):
    """Yield mini-batches of so many passes over the rows, each in an order of its own.

    None of n_epochs stands for passes without end.
    """
    for _ in itertools.count() if n_epochs is None else range(n_epochs):
        order = rng.permutation(len(X))
        for i in range(0, len(X), batch_size):
            rows = order[i : i + batch_size]
            yield X[rows], y[rows]


def in_order(X, y, batch_size):
    """Yield mini-batches of one pass over the rows as they come."""
    for i in range(0, len(X), batch_size):
        yield X[i : i + batch_size], y[i : i + batch_size]


def pairs(stream):
    """Yield the pairs of a stream, refusing anything else."""
    try:
        batches = iter(stream)
    except TypeError:
        raise TypeError(
            f"X must be an array with a y, or yield pairs (X, y); got {type(stream).__name__}."
        ) from None
    for batch in batches:
        if not isinstance(batch, (tuple, list)) or len(batch) != 2:
            raise TypeError(f"X must yield pairs (X, y); got {type(batch).__name__}.")
        yield batch
