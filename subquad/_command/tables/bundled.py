"""The data sets that scikit-learn brings with it."""

import importlib.util
import os

import numpy as np

# Digits, 8 by 8 pixels and the label, lie in this file of scikit-learn's folder.
_DIGITS, _SIDE = os.path.join("datasets", "data", "digits.csv.gz"), 8


def read(name):
    """Return X (n, d), y (n,) and the names of the columns; nothing is downloaded.

    Digits are read without scikit-learn, whose import takes longer than that of a model's fit.
    """
    (folder,) = importlib.util.find_spec("sklearn").submodule_search_locations
    path = os.path.join(folder, _DIGITS)
    if name == "digits" and os.path.exists(path):
        table = np.loadtxt(path, delimiter=",")
        names = [f"pixel_{i}_{j}" for i in range(_SIDE) for j in range(_SIDE)]
        return table[:, :-1], table[:, -1], names
    from sklearn import datasets

    bunch = getattr(datasets, f"load_{name}")()
    return bunch.data, bunch.target, [str(column) for column in bunch.feature_names]
