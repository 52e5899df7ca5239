"""Hand corrupt sparse matrices of every format to the border; print as JSON what it answers.

Run in a process of its own by ``test_validation``: what the border lets through can crash.
"""

import json
import sys

import numpy as np
import scipy.sparse

from subquad._validation import as_csr
from subquad.weights import DenseWeights, GaussianWeights

FAR = 10**8


def put(attribute, position, value):
    """Return a change of one entry of an array of the matrix."""

    def change(x):
        getattr(x, attribute)[position] = value

    return change


def replace(attribute, value):
    """Return a change of a whole attribute of the matrix."""
    return lambda x: setattr(x, attribute, value(x))


def clear_first_row(attribute):
    """Return a change after which a LIL matrix has values without indices, or the reverse."""
    return lambda x: getattr(x, attribute)[0].clear()


def add_key(*key):
    """Return a change that adds an entry to a DOK matrix behind its back."""
    return lambda x: x._dict.__setitem__(key, 1.0)


POINTERS = {
    "index far": put("indices", 5, FAR),
    "index below": put("indices", 5, -FAR),
    "pointers fall": put("indptr", 2, FAR),
    "pointers negative": put("indptr", 1, -5),
    "too many": put("indptr", -1, FAR),
    "too few pointers": replace("indptr", lambda x: x.indptr[:3]),
    "no pointers": replace("indptr", lambda x: x.indptr[:0]),
    "few values": replace("data", lambda x: x.data[:2]),
    "few indices": replace("indices", lambda x: x.indices[:2]),
    "fractions": replace("indices", lambda x: x.indices + 0.5),
    "a matrix of indices": replace("indices", lambda x: x.indices[:, None]),
}
CASES = {
    "csr": POINTERS,
    "csc": POINTERS,
    "bsr": {
        **POINTERS,
        "flat data": replace("data", lambda x: x.data.reshape(-1)),
        "large blocks": replace("data", lambda x: np.ones((len(x.data), 50, 50))),
        "empty blocks": replace("data", lambda x: x.data[:, :0]),
    },
    "coo": {
        "column far": put("col", 3, FAR),
        "row far": put("row", 3, FAR),
        "row below": put("row", 3, -FAR),
        "few values": replace("data", lambda x: x.data[:2]),
        "few rows": replace("row", lambda x: x.row[:2]),
    },
    "dia": {
        "few offsets": replace("offsets", lambda x: x.offsets[:1]),
        "flat data": replace("data", lambda x: x.data[0]),
        "offset far": put("offsets", 0, 2**31 - 1),
        "offset below": put("offsets", 0, -(2**31)),
    },
    "lil": {
        "index far": lambda x: x.rows[0].__setitem__(0, FAR),
        "index below": lambda x: x.rows[0].__setitem__(0, -FAR),
        "a fraction": lambda x: x.rows[0].__setitem__(0, 0.5),
        "few values": clear_first_row("data"),
        "few indices": clear_first_row("rows"),
        "few rows": replace("rows", lambda x: x.rows[:2]),
    },
    "dok": {
        "row far": add_key(FAR, 0),
        "column below": add_key(0, -FAR),
        "a fraction": add_key(0, 0.5),
    },
}


def answers(layout):
    """Yield for every corruption and every way in a name and the answer."""
    ways = {
        "as_csr": lambda x: as_csr(x, "H"),
        "DenseWeights": DenseWeights(np.ones((4, 12))).apply,
        "GaussianWeights": GaussianWeights((4, 12), 0).apply,
    }
    for kind in ("array", "matrix"):
        build = getattr(scipy.sparse, f"{layout}_{kind}")
        for corruption, change in CASES[layout].items():
            for way, call in ways.items():
                x = build(np.eye(12) + np.eye(12, k=3))
                change(x)
                try:
                    call(x)
                    answer = "accepted"
                except Exception as error:
                    answer = f"{type(error).__name__}: {error}"
                yield f"{layout}_{kind}, {corruption}, {way}", answer


if __name__ == "__main__":
    print(json.dumps(dict(answers(sys.argv[1]))))
