"""Gauss-Newton state of a last layer whose neurons feed one output each.

The outputs are then independent regressions that share K. Neurons are kept as rows over the data
points, grouped by output. The accumulator A is never formed while training: after any number of
steps it is a sum of terms (readout o D) diag(g), a bit mask and n numbers each. One class, longer
than others since all that it does reads the arrays in which the neurons are so grouped.
"""

import hashlib
import itertools
from dataclasses import dataclass

import numpy as np
import scipy.sparse

from subquad._kernels import gauss_newton, low_rank
from subquad._parallel import blocks, worth_threads
from subquad._products import multiply_csr, nonzeros
from subquad._ranks import NEURONS_PER_CHUNK
from subquad.jacobian import FiredJacobian, FixedSide, bits_as_numbers, transposed_bits
from subquad.training._equation import Equation
from subquad.training._gauss_newton import Trial

# Add terms up above so many, which take as much memory as their sum does in float64.
_MOST_TERMS = 64
_VECTOR_BYTES = 64
# A thread does so many operations in half a millisecond.
_OPERATIONS_PER_THREAD = 1.5e7
# Add the terms of so many entries of A up at a time, in float64.
_ENTRIES_PER_SUM = 2**16
# Square so many entries of K at a time.
_SQUARES_PER_BLOCK = 2**18


@dataclass(frozen=True)
class Summed:
    """Terms that were added up: A of the neurons of each output, in float64; their `_reach`."""

    blocks: tuple
    reach: np.ndarray


class SeparableState:
    """Z = Z0 + K A for a readout with at most one output per neuron.

    Attributes
    ----------
    outputs : ndarray, shape (n, C)
        f(x_i), in float64.
    linear : ndarray, shape (n, C)
        J vec(W - W(0)): row i is sum_r a_cr phi'(z_ir) (z_ir - z0_ir).
    terms : tuple
        The iterate: A as a sum of (fired masks, coefficients); the first term of a long sum may be
        (what the others before it make, its factor).
    """

    has_kinks = True

    def __init__(self, layer, weights, n_threads, solver=None):
        self._layer, self._weights, self._solver = layer, weights, solver
        self._side = FixedSide(layer._inputs)
        fired = layer.n * layer.activation.firing_probability
        operations = layer.n * layer.width * (16 + fired)
        self._n_threads = worth_threads(n_threads, operations, _OPERATIONS_PER_THREAD)
        self.K = layer.gram()
        self._sums = sums_of_equal_rows(layer._inputs)
        self._width = layer.preactivations.shape[1]
        self._neurons, self._edges, self._readout = self._grouped(layer.readout)
        self._widths = np.diff(self._edges)
        self._mean_squares = np.add.reduceat(self._readout**2, self._edges[:-1]) / self._widths
        self._chunks, self._first_chunks = _chunks(self._edges)
        self._keep_own()
        self._in_order = np.array_equal(self._neurons, np.arange(self._width))
        self._largest_move = largest_magnitude(self.K) * float(np.abs(self._readout).max())
        self._base = self._shifted_preactivations()
        # Pages of zeros that are only read take no memory: the first move writes the spare.
        self._change = np.zeros(self._base.shape, layer.dtype)
        self._spare = np.empty_like(self._base)
        tile = min(gauss_newton.tile_points(layer.dtype.itemsize), self._ld)
        self._packed_gram = np.empty(layer.n * self._ld)
        gauss_newton.pack_gram(self.K, tile, self._packed_gram)
        self._moves = np.empty((self._n_threads, layer.n * tile), layer.dtype)
        words = (layer.n + 63) // 64
        self._fired = np.zeros((len(self._neurons), words), np.uint64)
        self._spare_fired = np.empty_like(self._fired)
        self._jump = _padded(layer.thresholds, self._ld) if layer.activation.jumps else None
        self.terms, self._pending = (), None
        self._squares = np.zeros((layer.n, layer.n_outputs))
        self.accept(self.propose(np.zeros((layer.n, layer.n_outputs)), keep=0.0))
        self._exact = self.terms  # the iterate of which `_change` is known to be K A

    def __setstate__(self, state):
        """Take arrays that can be written to, also from a file that is mapped into memory."""
        vars(self).update(state)
        for name in ("_change", "_spare", "_fired", "_spare_fired", "_moves"):
            setattr(self, name, np.require(getattr(self, name), requirements="W"))

    def _grouped(self, readout):
        """Return the neurons grouped by output, the edges of the groups, and scaled readouts."""
        neurons, edges = _group_by_output(readout)
        owners = np.repeat(np.arange(len(readout)), np.diff(edges))
        scale = self._layer.activation.scale
        return neurons, edges, scale * readout[owners, neurons].astype(np.float64)

    def _keep_own(self):
        """Forget neurons that are kept elsewhere: none are."""

    def _totals(self, outputs, linear, flips):
        """Return the sums over all neurons of what chunks of them give."""
        return self._sum_of_chunks(outputs), self._sum_of_chunks(linear), int(flips.sum())

    def _everywhere(self, truth):
        """Whether something holds of all neurons, which are here."""
        return truth

    @property
    def _ld(self):
        """Points per row, padding included."""
        return self._base.shape[1]

    @property
    def firing(self):
        """Bits of who fires, by neuron."""
        return (self._fired,)

    def fired_by_point(self):
        """Return who fires, shape (n, width / 8): bits by data point, neurons as in the layer."""
        fired = np.zeros((self._layer.n, self._width), bool)
        fired[:, self._neurons] = bits_as_numbers(self._fired, self._layer.n, bool).T
        return np.packbits(fired, axis=1, bitorder="little")

    def linearise(self):
        """Return the equation at the current iterate ([SZZ24], Algorithm 2, lines 11-16)."""
        jacobians = self._jacobians()
        self._fired_by_point = [J.fired for J in jacobians]
        active = np.stack([J.active for J in jacobians]).T
        self._squares = active * self._mean_squares
        return Equation(
            jacobians, active, self._widths, self._weights, self._solver, n_threads=self._n_threads
        )

    def _jacobians(self):
        """The Jacobian of each output."""
        return [self._jacobian(own) for own in self._own_neurons()]

    def _jacobian(self, neurons):
        """The Jacobian of the output that these neurons feed."""
        by_neuron = self._fired[neurons]
        return FiredJacobian(
            transposed_bits(by_neuron, self._layer.n, self._n_threads),
            self._readout[neurons],
            self._side,
            self.K,
            by_neuron=by_neuron,
            n_threads=self._n_threads,
        )

    def propose(self, coefficients, keep):
        """Return what A = keep * A + (readout o D) diag(coefficients) would give.

        D is that of the last `linearise`, coefficients has shape (n, C).
        """
        if self._sums is not None:
            coefficients = self._sums @ coefficients
        weights = np.ascontiguousarray(coefficients.T, dtype=np.float64)
        outputs, linear = np.zeros((2, len(self._chunks), self._ld))
        flips = np.empty(len(self._chunks), np.intp)
        gauss_newton.move_all(
            self._base, self._change, self._fired, self._packed_gram, weights, self._readout, keep,
            self._jump, self._chunks, self._spare, self._spare_fired, outputs, linear, flips,
            self._moves, self._n_threads,
        )  # fmt: skip
        if not self._holds(weights):
            outputs[...] = np.nan
        terms = self._terms_after(weights, keep)
        return Trial(
            *self._totals(outputs, linear, flips),
            terms,
            rounding=rounding_of_outputs(self.K, self._reach(terms), self._layer.dtype),
        )

    def accept(self, trial):
        """Make the last proposal the current iterate."""
        self.outputs, self.linear, self.terms = trial.outputs, trial.linear, trial.terms
        if len(self.terms) > _MOST_TERMS:
            own = [slice(0, own.stop - own.start) for own in self._own_neurons()]
            sums = tuple(self._block(self.terms, c, some) for c, some in enumerate(own))
            summed = Summed(sums, self._reach(self.terms))
            self.terms = ((summed, 1.0),)
        self._change, self._spare = self._spare, self._change
        self._fired, self._spare_fired = self._spare_fired, self._fired

    def restore(self, terms):
        """Make an iterate the current one; return whether there was anything to do.

        In float32 the change is evaluated anew, as K A in float64 for A as `factors` rounds it.
        """
        if terms is self._exact or (terms is self.terms and self._layer.dtype == np.float64):
            return False
        finite = True
        for places, block in self._accumulated(terms):
            # A neuron that was silent throughout has an empty row: these products are sparse.
            rows = nonzeros(np.ascontiguousarray(block.T, dtype=np.float64))
            moved = multiply_csr(*rows, self.K, self._n_threads)
            self._change[places, : self._layer.n] = moved
            finite = finite and bool(np.isfinite(block).all())
        self.terms = terms
        self.accept(self.propose(np.zeros_like(self.outputs), keep=1.0))
        self._exact = self.terms
        if not self._everywhere(finite):
            self.outputs = np.full_like(self.outputs, np.nan)
        return True

    def terms_of(self, A):
        """Return the iterate W(0) + A^T V in the form of `terms`."""
        sums = [A[:, self._columns(own)].astype(np.float64) for own in self._own_neurons()]
        readouts = [np.abs(self._readout[own]) for own in self._own_neurons()]
        reach = [np.abs(block) @ a for block, a in zip(sums, readouts, strict=True)]
        return ((Summed(tuple(sums), np.column_stack(reach)), 1.0),)

    def squared_change(self):
        """Return ||W - W(0)||_F^2 of the current iterate, which was restored."""
        square, n = 0.0, self._layer.n
        for places, block in self._accumulated(self.terms):
            moved = self._change[places, :n].T
            square += float(np.einsum("ij,ij->", block, moved, dtype=np.float64))
        return max(square, 0.0)

    def factors(self, terms):
        """Return A (n, width) and V of an iterate: the change of the weights is A^T V."""
        return self._accumulator(terms), self._layer.features

    def _accumulator(self, terms):
        """A, added up from the terms."""
        layer = self._layer
        A = (np.empty if self._in_order else np.zeros)((layer.n, self._width), layer.dtype)
        for places, block in self._accumulated(terms):
            A[:, self._columns(places)] = block
        return A

    def _accumulated(self, terms):
        """Yield slices of the grouped neurons, and A of them, rounded once, when it is summed."""
        for c, own in enumerate(self._own_neurons()):
            step = _ENTRIES_PER_SUM // self._layer.n // 64 * 64  # whole words of bits
            for some in blocks(own.stop - own.start, max(64, step)):
                block = self._block(terms, c, some)
                if self._sums is not None:
                    block = self._sums @ block
                places = slice(own.start + some.start, own.start + some.stop)
                yield places, block.astype(self._layer.dtype)

    def _own_neurons(self):
        """Return the slice of the grouped neurons of each output."""
        return [slice(start, stop) for start, stop in itertools.pairwise(self._edges)]

    def _columns(self, places):
        """Return the numbers of grouped neurons, as a slice where they are consecutive."""
        return places if self._in_order else self._neurons[places]

    def _block(self, terms, c, some):
        """A of some neurons of an output in float64, equal rows apart; they begin a word of bits.

        `some` counts within the neurons of the output.
        """
        own = self._readout[self._edges[c] : self._edges[c + 1]][some]
        block = np.zeros((self._layer.n, len(own)))
        words = slice(some.start // 64, -(-some.stop // 64))
        for fired, coefficients in terms:
            if isinstance(fired, Summed):
                block += coefficients * fired.blocks[c][:, some]
                continue
            bits = np.ascontiguousarray(fired[c][:, words])
            low_rank.accumulate(bits, coefficients[c], own, block, self._n_threads)
        return block

    def _reach(self, terms):
        """Estimate sum_r |a_cr A_jr|, shape (n, C), from the neurons that fire now."""
        net, before = np.zeros((2, self._layer.n, self._layer.n_outputs))
        for fired, coefficients in terms:
            if isinstance(fired, Summed):
                before += abs(coefficients) * fired.reach
            else:
                net += coefficients.T
        if self._sums is not None:
            net = self._sums @ net
        return before + np.abs(net) * self._squares

    def _holds(self, weights):
        """Whether a move by these coefficients stays finite; a NaN would count as not firing."""
        with np.errstate(over="ignore", invalid="ignore"):
            reach = np.abs(weights).sum(axis=1).max() * self._largest_move
        return bool(reach <= float(np.finfo(self._layer.dtype).max))

    def _terms_after(self, weights, keep):
        """The terms of keep * A plus the proposed one."""
        kept = tuple((fired, keep * old) for fired, old in self.terms) if keep else ()
        if keep == 1.0:
            kept = self.terms
        return (*kept, (self._fired_by_point, weights)) if weights.any() else kept

    def _sum_of_chunks(self, partial):
        """Sum the chunks of each output, in order: (n, C)."""
        sums = np.add.reduceat(partial, self._first_chunks)
        return np.ascontiguousarray(sums[:, : self._layer.n].T)

    def _shifted_preactivations(self):
        """Z0^T - thresholds, neurons grouped by output, padded with what never fires."""
        layer = self._layer
        lanes = _VECTOR_BYTES // layer.dtype.itemsize
        base = np.empty((len(self._neurons), -(-layer.n // lanes) * lanes), layer.dtype)
        base[:, layer.n :] = -np.inf
        thresholds = layer.thresholds[:, None]
        for some in blocks(len(base), NEURONS_PER_CHUNK):
            block = layer.preactivations[:, self._columns(some)]
            base[some, : layer.n] = (block - thresholds).T
        return base


def largest_magnitude(K):
    """Return the largest |K_ij|, without another array of the size of K."""
    return max(float(K.max()), -float(K.min()))


def rounding_of_outputs(K, reach, dtype):
    """Estimate what a unit in the last place of K does to sum_jr a_r D_ir K_ij A_jr, shape (n, C).

    `reach` is sum_r |a_r A_jr|: over neurons the errors of one K_ij agree, over points they differ.
    """
    largest, size = float(np.abs(reach).max()), largest_magnitude(K)
    if not 0.0 < largest * size < np.inf:
        return np.full(reach.shape, largest * size)
    squares, sums = (reach / largest) ** 2, np.empty(reach.shape)
    for points in blocks(len(K), max(1, _SQUARES_PER_BLOCK // len(K))):
        part = K[points] / size
        part *= part
        sums[points] = part @ squares
    return float(np.finfo(dtype).eps) * size * largest * np.sqrt(sums)


def sums_of_equal_rows(V):
    """Return S with (S A)^T V = A^T V, the rows of A summed that equal rows of V have; or None.

    Rows of equal data points with different targets are large and cancel in A^T V: rounded to
    float32 one by one, they would not. float64 holds them, and they stay as they are.
    """
    n = V.shape[0]
    if V.dtype == np.float64:
        return None
    seen = {}
    first = [seen.setdefault(key, i) for i, key in enumerate(_digests(V))]
    if len(seen) == n:
        return None
    return scipy.sparse.csr_array((np.ones(n), (first, np.arange(n))), shape=(n, n))


def _digests(V):
    """Yield what only equal rows have in common; V is dense, or canonical CSR."""
    if scipy.sparse.issparse(V):
        parts = zip(*(np.split(x, V.indptr[1:-1]) for x in (V.indices, V.data)), strict=True)
    else:
        parts = ((row,) for row in np.ascontiguousarray(V))
    for arrays in parts:
        digest = hashlib.blake2b(digest_size=16)
        for array in arrays:
            digest.update(array)
        yield digest.digest()


def _group_by_output(readout):
    """Neurons that feed an output, grouped by output, and the edges of the groups."""
    groups = [np.flatnonzero(row) for row in readout]
    edges = np.cumsum([0] + [len(group) for group in groups])
    return np.concatenate(groups), edges.astype(np.intp)


def _chunks(edges):
    """Rows (output, first, last + 1) of at most NEURONS_PER_CHUNK neurons; where outputs begin."""
    chunks, first = [], []
    for c, (start, stop) in enumerate(itertools.pairwise(edges)):
        first.append(len(chunks))
        for r in range(start, stop, NEURONS_PER_CHUNK):
            chunks.append((c, r, min(r + NEURONS_PER_CHUNK, stop)))
    return np.array(chunks, np.intp), np.array(first)


def _padded(vector, size):
    padded = np.zeros(size)
    padded[: len(vector)] = vector
    return padded
