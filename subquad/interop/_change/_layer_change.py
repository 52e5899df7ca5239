"""What a fit of a layer gives: factors, how it went, and what it is not sure of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from subquad.interop._change._deviations import deviations
from subquad.interop._change._factors import bounded, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from numpy.typing import ArrayLike, NDArray

    from subquad.training import StepRecord


@dataclass(frozen=True)
class Training:
    """What a change was fitted to."""

    X: Any
    y: np.ndarray
    sample_weight: Any
    batch_size: int


@dataclass(frozen=True, eq=False)
class LayerChange:
    """The change of one layer that `fit_layer` found: W = W(0) + A^T V.

    Attributes
    ----------
    layer : str
        Name of the layer.
    A, V : ndarray of float64, shapes (r, m_u) and (r, m_v)
        For a Linear layer W is (m_u, m_v); for a convolution (channels, rest of the axes); for an
        embedding its transpose (`transposed`).
    shape : tuple
        Of the weight in the model.
    bias : ndarray of float64, shape (m_u,), or None
        Change of the bias, where that was asked for.
    outputs : ndarray of float64, shape (n, C)
        f of the changed model at the samples.
    path : str
        "last layer", or "general".
    history : list of StepRecord
    converged : bool
    message : str
        How the fit ended.
    residual_norm, relative_residual, change_norm : float
        |f - y|, |f - y| / |f_0 - y| and the Frobenius norm of the change.
    regularization : float
        mu.
    loo_error : float or None
        Mean squared leave-one-out error at the last linearisation, with regularization only.
    """

    layer: str
    A: NDArray[np.float64]
    V: NDArray[np.float64]
    shape: tuple[int, ...]
    transposed: bool
    bias: NDArray[np.float64] | None
    outputs: NDArray[np.float64]
    path: str
    history: list[StepRecord]
    converged: bool
    message: str
    residual_norm: float
    relative_residual: float
    change_norm: float
    regularization: float | None
    loo_error: float | None
    _training: Training = field(repr=False)
    _print: np.ndarray = field(repr=False)

    @classmethod
    def _fitted(cls, subject, y, sample_weight, trainer, outputs, path):
        """Return what a trainer of a `TorchLayer` found."""
        A, V = bounded([trainer.factors])
        bias = None
        if subject.bias:
            bias, V = A.T @ V[:, -1], np.ascontiguousarray(V[:, :-1])
        same = ("history", "converged", "message", "residual_norm", "relative_residual")
        return cls(
            subject.name, A, V, subject.shape, subject.rule.transposed, bias, outputs, path,
            **{name: getattr(trainer, name) for name in same},
            change_norm=trainer.change_norm,
            regularization=trainer.regularization_,
            loo_error=trainer.loo_error,
            _training=Training(subject.X, y, sample_weight, subject.batch_size),
            _print=fingerprint(subject.initial),
        )  # fmt: skip

    def __repr__(self) -> str:
        return (
            f"LayerChange(layer={self.layer!r}, rank={self.rank}, bias={self.bias is not None}, "
            f"path={self.path!r}, relative_residual={self.relative_residual:.2g}, "
            f"converged={self.converged})"
        )

    @property
    def rank(self) -> int:
        """Rows of A and V."""
        return len(self.A)

    @property
    def factors(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(A, V): W - W(0) = A^T V."""
        return self.A, self.V

    def weight_change(self) -> NDArray[np.float64]:
        """Return W - W(0) in the shape of the weight, in float64."""
        D = self.A.T @ self.V
        return np.ascontiguousarray(D.T) if self.transposed else D.reshape(self.shape)

    @property
    def _matrix(self):
        """W - W(0), and the change of the bias as a last column."""
        D = self.A.T @ self.V
        return D if self.bias is None else np.column_stack([D, self.bias])

    def deviations(
        self,
        model: torch.nn.Module,
        X: ArrayLike | torch.Tensor | tuple[Any, ...] | Mapping[str, Any],
        *,
        noise: bool = False,
    ) -> NDArray[np.float64]:
        """Return standard deviations of the outputs of the changed model at other samples.

        Parameters
        ----------
        model : torch.nn.Module
            The model that was fitted, with or without the change.
        X : array_like, torch.Tensor, tuple or mapping
            m samples.
        noise : bool
            Of observations instead of outputs: add the variance of the noise.

        Returns
        -------
        ndarray of float64, shape (m, C)

        Raises
        ------
        TypeError, ValueError
            If an argument is not as described, the fit had regularization 0, or the weights are
            neither those that were fitted nor these with the change.

        Notes
        -----
        The linearised Laplace approximation: at the weights of the fit, with k the tangent kernel
        of the layer, for each output by itself,

            s^2 (k(x, x) - k(x, X) (G + mu W^-1)^-1 k(X, x)),

        with sample weights W. The scale s^2, and the noise from mu s^2 upwards, are those that
        explain the leave-one-out residuals: see `subquad.solvers.predictive_variance`.
        """
        return deviations(self, model, X, noise)
