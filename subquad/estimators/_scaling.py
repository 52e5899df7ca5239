"""From a raw table to the rows and targets of a network, and back to the units of the targets."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse

from subquad._validation import real

# Sizes of the constant coordinate that leave-one-out chooses from, in units of the root mean square
# of the scaled features.
_CONSTANTS = (1.0, 2.0)
# Columns have one unit where 16 or more of them vary and at least half of these have a range of at
# least 0.9 of the largest. Of the pixels that vary in 50 or more digits or MNIST images, 57 to 90
# per cent have such a range; of the columns of eight measured tables, at most 33 per cent. Iris
# shows what the rule cannot see: four lengths in centimetres, classified as they are to .978 and
# standardised to .953 (raw wine, though, to .85 and .995).
_LIKE_RANGE = 0.9
_LIKE_SHARE = 0.5
_FEWEST_LIKE = 16

# Median distance of a standard normal variable from 0 is 1 / 1.4826: the quantile at 3/4.
_NORMAL = 1.4826022185056018

SCALE_FEATURES = """
    scale_features : "auto" or bool
        Whether to centre the features and divide them by their standard deviations. "auto" does so
        unless the features have one unit, as pixels and counts do: at least 16 of them vary, and
        at least half of these have a range of at least 0.9 times the largest, with 0 in it. Of
        the pixels of digits and MNIST, 57 to 90 per cent have such a range, and to standardise
        them would enlarge the rarest most (test accuracy on digits .980 instead of .994). Of the
        columns of eight measured tables, at most 33 per cent have such a range."""
CONSTANT = """
    constant : "auto", "loo" or float
        Size of the constant coordinate that is appended to every row, in units of the root mean
        square of the scaled features; rows are then divided by their norms. "loo" takes 1 or 2,
        whichever has the smaller leave-one-out error. "auto" is "loo" for standardised features
        and 1 for others."""


@dataclass
class Scaling:
    """Affine maps of features and targets, and the constant coordinate; plain arrays and numbers.

    A row x becomes ((x - center) / scale, constant), divided by its norm; a target t becomes
    (t - target_mean) / target_scale.

    Attributes
    ----------
    center, scale : ndarray, shape (n_features,)
    feature_size : float
        Root mean square of the scaled features; 1 if they are all zero.
    target_mean, target_scale : ndarray, shape (n_outputs,)
    constant : float
    """

    center: np.ndarray
    scale: np.ndarray
    feature_size: float
    target_mean: np.ndarray
    target_scale: np.ndarray
    constant: float = 0.0

    @classmethod
    def fit(cls, X, T, weights, standardise, target_deviation=1.0):
        """Measure weighted rows X (n, d) and targets T (n, C).

        Features are centred and get deviation 1 if `standardise`, targets are centred and get
        deviation `target_deviation`; targets stay as they are if that is None.
        """
        center, scale = np.zeros(X.shape[1]), np.ones(X.shape[1])
        if standardise:
            center, scale = _moments(X, weights)
        units = (X - center) / scale if standardise else X
        size = _root_mean_square(units, weights) or 1.0
        mean, deviation = np.zeros(T.shape[1]), np.ones(T.shape[1])
        if target_deviation is not None:
            mean, deviation = _moments(T, weights)
            deviation = deviation / target_deviation
        return cls(center, scale, size, mean, deviation)

    def with_constant(self, constant):
        """Return the same with a constant coordinate, in units of `feature_size`."""
        return replace(self, constant=float(constant) * self.feature_size)

    def with_robust_targets(self, T, weights=None):
        """Return the same with medians of the targets (n, C), and distances from them."""
        median, distance = _robust_moments(T, np.ones(len(T)) if weights is None else weights)
        return replace(self, target_mean=median, target_scale=distance)

    def with_factors(self, factors):
        """Return the same with the scaled features multiplied by factors, shape (n_features,)."""
        return replace(self, scale=self.scale / factors)

    def rows(self, X, dtype=np.float64, n_columns=None):
        """Return the rows of X, scaled, with the constant coordinate, and of unit norm.

        Their shape is (n, n_columns), padded with zeros; (n, n_features + 1) if not given. Sparse
        rows stay sparse if the features are left as they are, and are not padded.
        """
        if scipy.sparse.issparse(X):
            if self.leaves_features():
                return self._sparse_rows(X, dtype)
            X = X.toarray()
        d = X.shape[1]
        padded = np.zeros((len(X), d + 1 if n_columns is None else n_columns))
        rows = padded[:, : d + 1]
        np.divide(X - self.center, self.scale, out=rows[:, :-1])
        rows[:, -1] = self.constant
        largest = np.abs(rows).max(axis=1, keepdims=True)
        rows /= np.where(largest > 0, largest, 1.0)  # so that no square overflows
        norms = np.linalg.norm(rows, axis=1, keepdims=True)
        rows /= np.where(norms > 0, norms, 1.0)
        return padded.astype(dtype, copy=False)

    def leaves_features(self):
        """Whether features are neither centred nor divided by anything."""
        return not self.center.any() and bool((self.scale == 1.0).all())

    def _sparse_rows(self, X, dtype):
        """The same for a csr_array."""
        column = np.full((X.shape[0], 1), self.constant)
        rows = scipy.sparse.hstack([X, scipy.sparse.csr_array(column)], format="csr")
        largest = abs(rows).max(axis=1).toarray().ravel()
        _divide_rows(rows, largest)
        _divide_rows(rows, np.sqrt(rows.multiply(rows).sum(axis=1)))
        return rows.astype(dtype, copy=False)

    def scaled(self, T):
        """Return targets (n, C) in the units of the network."""
        return (T - self.target_mean) / self.target_scale

    def unscaled(self, f):
        """Return outputs (n, C) of the network in the units of the targets."""
        return f * self.target_scale + self.target_mean


def standardises(scale_features, X, weights):
    """Whether features are to be standardised: as asked, or for "auto" unless they have one unit.

    Columns have one unit where at least 16 of them vary and at least half of these have a range,
    with 0 in it, of at least 0.9 of the largest. A row of weight 0 is absent. Sparse features stay
    as they are: centred, they would not be sparse.
    """
    if scipy.sparse.issparse(X):
        if scale_features not in ("auto", False):
            raise ValueError(
                "scale_features must be 'auto' or False for sparse X, whose zeros centring would "
                f"fill; got {scale_features!r}."
            )
        return False
    if not isinstance(scale_features, str):
        return bool(scale_features)
    if scale_features != "auto":
        return True
    X = X[weights > 0]
    low, high = X.min(axis=0) / 2, X.max(axis=0) / 2  # halved, so that no range overflows
    extent = high - low
    like = (extent >= _LIKE_RANGE * extent.max()) & (low <= 0) & (high >= 0)
    n_varying = np.count_nonzero(extent)
    return n_varying < _FEWEST_LIKE or np.count_nonzero(like) < _LIKE_SHARE * n_varying


def constants(constant, standardised):
    """Return the sizes of the constant coordinate to choose from, best guess first."""
    if constant == "loo" or (constant == "auto" and standardised):
        return _CONSTANTS
    return _CONSTANTS[:1] if constant == "auto" else (float(constant),)


def check_scale_features(scale_features, words=("auto",)):
    """Refuse what is neither True nor False nor one of the words."""
    if not isinstance(scale_features, (bool, np.bool_)) and scale_features not in words:
        others = " or ".join(map(repr, words))
        raise ValueError(f"scale_features must be True, False or {others}; got {scale_features!r}.")


def check_constant(constant):
    """Refuse what is neither "auto" nor "loo" nor a number of at least 0."""
    if constant not in ("auto", "loo"):
        real(constant, "constant", minimum=0.0)


def _moments(A, weights):
    """Return mean and standard deviation of the columns; 1 for a deviation that is rounding."""
    size = np.abs(A).max(axis=0)
    size[size == 0] = 1.0  # in units of it no square overflows or underflows
    mean = np.average(A / size, axis=0, weights=weights)
    std = np.sqrt(np.average(np.square(A / size - mean), axis=0, weights=weights))
    return mean * size, np.where(std > 1e-12, std * size, 1.0)


def _robust_moments(A, weights):
    """Return medians of the columns, and 1.4826 times the median distances from them.

    For normal numbers that is the deviation, which also stands in where most distances are 0. A row
    of weight 2 counts as two.
    """
    size = np.abs(A).max(axis=0)
    size[size == 0] = 1.0
    median = _medians(A / size, weights)
    distance = _NORMAL * _medians(np.abs(A / size - median), weights)
    deviation = _moments(A, weights)[1]
    with np.errstate(over="ignore"):  # up to three times the largest entry
        distances = np.minimum(distance * size, np.finfo(np.float64).max)
    return median * size, np.where(distance > 1e-12, distances, deviation)


def _medians(A, weights):
    """Return the medians of the columns, the mean of two where half of the weight ends at one."""
    medians = np.empty(A.shape[1])
    for c, column in enumerate(A.T):
        order = np.argsort(column, kind="stable")
        below = np.cumsum(weights[order])
        places = [np.searchsorted(below, 0.5 * below[-1], side) for side in ("left", "right")]
        medians[c] = column[order[places]].mean()
    return medians


def _divide_rows(rows, numbers):
    """Divide the rows of a csr_array by numbers in place; a row whose number is 0 is 0."""
    rows.data /= np.repeat(np.where(numbers > 0, numbers, 1.0), np.diff(rows.indptr))


def _root_mean_square(A, weights):
    """Return sqrt(mean A_ij^2), the rows weighted."""
    size = abs(A).max() or 1.0
    units = A / size
    squares = (units * units).mean(axis=1)
    return float(size * np.sqrt(np.average(squares, weights=weights)))
