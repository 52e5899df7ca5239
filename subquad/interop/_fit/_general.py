"""Gauss-Newton for any layer: J is captured anew in every step."""

import numpy as np

from subquad.interop._change import bounded, product
from subquad.jacobian import KeepsGram, gram_times
from subquad.training import CoupledEquation, Equation, StateGaussNewton, Trial


def fit_general(subject, y, options):
    """Return (trainer, outputs, path) of a fit that calls the model in every step."""
    state = ModelState(subject, options["sample_weight"])
    trainer = StateGaussNewton(state, y, subject.dtype, **options)
    return trainer.run(), trainer.outputs, "general"


class ModelState:
    """A layer whose weight moves; `terms` are factors (A, V) of W - W(0).

    Parameters
    ----------
    subject : TorchLayer
    weights : array_like, shape (n,), or None
        Sample weights.

    Attributes
    ----------
    outputs : ndarray of float64, shape (n, C)
    terms : pair of ndarray
    """

    def __init__(self, subject, weights):
        self._subject = subject
        self._weights = None if weights is None else np.asarray(weights, np.float64)
        self.outputs = subject.outputs
        self.terms = tuple(np.zeros((0, size)) for size in subject.initial.shape)
        self._J = None

    @property
    def n_outputs(self):
        """C."""
        return self.outputs.shape[1]

    @property
    def linear(self):
        """J vec(W - W(0)), with the J of the last `linearise`, at its iterate."""
        factors = tuple(x.astype(self._J.dtype) for x in self.terms)
        if len(factors[0]) == 0:
            return np.zeros(self.outputs.shape)
        return self._J.matvec(factors).astype(np.float64).reshape(self.outputs.shape)

    def linearise(self):
        """Return the equation at the current iterate."""
        with self._subject.holding(product(*self.terms)):
            self._J = J = self._subject.jacobian()
        n, n_outputs = self.outputs.shape
        rows = (J.diagonal() > 0).reshape(n, n_outputs)
        if not rows.any():
            raise ValueError(
                f"outputs must depend on {self._subject.name!r}; got a derivative by its weight "
                "that is zero at every sample."
            )
        widths = np.full(n_outputs, J.m_u)
        described = rows * J.m_u, widths, self._weights
        if n_outputs == 1:
            return Equation([J], *described)
        return CoupledEquation(SampleRows(J, n_outputs), *described)

    def propose(self, coefficients, keep):
        """Return what W - W(0) = keep (W - W(0)) + J^T coefficients would give."""
        A, V = self.terms
        step = self._J.adjoint(np.ascontiguousarray(coefficients, self._J.dtype).ravel())
        return self._evaluate(bounded([(keep * A, V), step]))

    def accept(self, trial):
        """Make a proposal the current iterate."""
        self.outputs, self.terms = trial.outputs, trial.terms

    def restore(self, terms):
        """Make an iterate the current one; return whether there was anything to do."""
        if terms is self.terms:
            return False
        self.accept(self._evaluate(terms))
        return True

    def factors(self, terms):
        """Return A (r, m_u) and V (r, m_v) of an iterate: the change of the weights is A^T V."""
        return terms

    def _evaluate(self, terms):
        with self._subject.holding(product(*terms)):
            return Trial(self._subject.evaluate(), None, 0, terms)


class SampleRows(KeepsGram):
    """The Jacobian of n samples and C outputs, whose rows are (i, c), with its diagonal blocks."""

    def __init__(self, J, n_outputs):
        self._J, self._n_outputs = J, n_outputs
        self.n, self.shape, self.dtype = J.n, J.shape, J.dtype

    def output_grams(self):
        """Return the n x n block of every output."""
        G, C = self._kept_gram(), self._n_outputs
        return [np.ascontiguousarray(G[c::C, c::C]) for c in range(C)]

    def _form(self):
        return self._J.gram()

    def _product(self, g):
        return gram_times(self._J, g)
