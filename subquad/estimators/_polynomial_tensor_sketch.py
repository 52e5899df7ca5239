"""Features whose inner products approximate a polynomial kernel, by TensorSketch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from subquad._sparse import require_sound
from subquad._validation import integer, real, require_memory
from subquad.sketch.polynomial import MAX_SIZE, as_rows, encoded, is_finite, polynomial_sketch

if TYPE_CHECKING:
    from typing import Self

    from subquad._typing import FloatArray, MatrixLike


class PolynomialTensorSketch(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Features z(x) with E <z(x), z(y)> = (gamma <x, y> + coef0)^degree.

    z(x) is the TensorSketch of x' (x) ... (x) x' (`degree` factors), x' = (sqrt(gamma) x,
    sqrt(coef0)). Takes the place of `sklearn.kernel_approximation.PolynomialCountSketch`: the same
    parameters, the same draws from the same `random_state`, the same features to rounding.

    Parameters
    ----------
    gamma : float, at least 0
    degree : int, at least 1
    coef0 : float, at least 0
        Scale, exponent and constant of the kernel.
    n_components : int
        s, the number of features. The standard deviation of <z(x), z(y)> is at most
        sqrt((2 + 3^degree) / s) |x'|^degree |y'|^degree.
    random_state : int, RandomState or None
    n_threads : int, optional
        None means all available; as `n_jobs` otherwise.

    Attributes
    ----------
    indexHash_ : ndarray of int, shape (degree, n_features), with coef0 != 0 n_features + 1
    bitHash_ : ndarray of int, as `indexHash_`
        Buckets in [0, s) and signs, named as in scikit-learn.
    n_features_in_ : int
    feature_names_in_ : ndarray of str, shape (n_features_in_,)
        Where X was a table with column names.

    See Also
    --------
    subquad.sketch.TensorSketch : products of two different vectors.

    Notes
    -----
    degree (nnz(X) + n s) additions and degree + 1 real Fourier transforms of length s for each
    row, none for degree 1. Beyond scikit-learn: float32 stays float32, sparse rows are read as
    they are, and a negative coef0, for which there are no such features, is refused.

    Source: Pham and Pagh 2013; [SZZ24], Definition D.2, with one bucket and sign function a factor.

    Examples
    --------
    >>> X = np.random.default_rng(0).standard_normal((50, 10))
    >>> Z = PolynomialTensorSketch(degree=2, n_components=2000, random_state=0).fit_transform(X)
    >>> K = (X @ X.T) ** 2
    >>> bool(np.linalg.norm(Z @ Z.T - K) < 0.1 * np.linalg.norm(K))
    True
    """

    def __init__(
        self,
        *,
        gamma: float = 1.0,
        degree: int = 2,
        coef0: float = 0.0,
        n_components: int = 100,
        random_state: int | np.random.RandomState | None = None,
        n_threads: int | None = None,
    ) -> None:
        self.gamma = gamma
        self.degree = degree
        self.coef0 = coef0
        self.n_components = n_components
        self.random_state = random_state
        self.n_threads = n_threads

    def fit(self, X: MatrixLike, y: object = None) -> Self:
        """Draw buckets and signs. Of X, only the number of columns matters.

        Parameters
        ----------
        X : array_like or sparse array, shape (n, n_features)
        y : ignored

        Returns
        -------
        PolynomialTensorSketch

        Raises
        ------
        TypeError, ValueError
            If a parameter has the wrong kind or value, or X is not a finite real matrix.
        """
        self._check_parameters()
        X = self._validated(X)
        n_columns = X.shape[1] + (self.coef0 != 0)
        random_state = check_random_state(self.random_state)
        shape = self.degree, n_columns
        what = f"Buckets and signs of degree {self.degree} for {n_columns} columns"
        require_memory(16 * self.degree * n_columns, what, "Lower degree.")
        self.indexHash_ = random_state.randint(0, high=self.n_components, size=shape)
        self.bitHash_ = random_state.choice(a=[-1, 1], size=shape)
        self._n_features_out = self.n_components
        return self

    def transform(self, X: MatrixLike) -> FloatArray:
        """Return the features of every row.

        Parameters
        ----------
        X : array_like or sparse array, shape (n, n_features)

        Returns
        -------
        ndarray, shape (n, n_components)
            In float32 for float32 X, else in float64.

        Raises
        ------
        ValueError
            If X is not a finite real matrix with as many columns as in `fit`, or if features are
            too large for their dtype.

        Notes
        -----
        Rows whose sketches overflow in float32 on the way are sketched in float64.
        """
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        Z = self._sketched(X)
        if is_finite(Z):
            return Z
        overflown = np.flatnonzero(~np.isfinite(Z).all(axis=1))
        if Z.dtype == np.float32 and len(overflown):
            with np.errstate(over="ignore"):
                Z[overflown] = self._sketched(X[overflown].astype(np.float64))
            overflown = overflown[~np.isfinite(Z[overflown]).all(axis=1)]
        if len(overflown):
            remedy = "Use float64, scale X down" if Z.dtype == np.float32 else "Scale X down"
            raise ValueError(
                f"X must have features within the range of {Z.dtype}; got larger ones of degree "
                f"{self.degree} in row {overflown[0]}. {remedy}, or lower gamma or degree."
            )
        return Z

    def _sketched(self, X):
        """The features of validated rows, where they overflow infinite or NaN."""
        codes = encoded(self.indexHash_, self.bitHash_)
        gamma, coef0 = float(self.gamma), float(self.coef0)
        rows = as_rows(X, "X")
        return polynomial_sketch(rows, codes, self.n_components, gamma, coef0, self.n_threads)

    def _validated(self, X, reset=True):
        """X in float32 or float64; in `transform`, NaN and infinity show in the sketches."""
        if scipy.sparse.issparse(X):
            require_sound(X, "X")  # before scikit-learn converts it
        return validate_data(
            self,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite=reset,
        )

    def _check_parameters(self):
        real(self.gamma, "gamma", minimum=0.0)
        integer(self.degree, "degree")
        real(self.coef0, "coef0", minimum=0.0)
        integer(self.n_components, "n_components", maximum=MAX_SIZE)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
