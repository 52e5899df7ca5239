"""A preconditioner that is kept from one Newton step to the next while that pays."""

import math

from subquad._parallel import resolve_threads
from subquad._validation import generator
from subquad.solvers._tall import sketching

_MAX_SKETCHES = 3


class KeptPreconditioner:
    """Builds preconditioners, keeps them while that pays, and strengthens bad ones."""

    def __init__(self, sketch, sketch_size, preconditioner, rng, n_threads):
        self._arguments = sketch, sketch_size, preconditioner
        self._rng, self.n_threads = generator(rng), resolve_threads(n_threads)
        self.M, self.label, self.n_built, self._weights = None, None, 0, None
        self._choice, self._cost, self._wasted, self._usual = None, 0.0, 0.0, 0

    @property
    def size_in_use(self):
        """Rows of the sketch in use; 0 for the exact factor."""
        return 0 if self.label == "exact" else self._size_used

    @property
    def patience(self):
        """Iterations after which an old preconditioner is given up."""
        return self._usual + max(4, int(self._cost))

    @property
    def serves(self):
        """Whether the preconditioner at hand may be tried again."""
        return self.M is not None and self._wasted < self._cost

    def expire(self):
        """Have the next step build a preconditioner of its own."""
        self._wasted = math.inf

    def least_ratio(self, tall):
        """The least factor by which weights have changed since M was built, at most 1.

        B^T B is at least that multiple of what it was then, where B = diag(sqrt(w)) A; 0 where B is
        not given that way.
        """
        old, new = self._weights, getattr(tall, "weights", None)
        if old is None or new is None:
            return 0.0
        positive = old > 0
        return float(min(1.0, (new[positive] / old[positive]).min(initial=1.0)))

    def build(self, tall, damping):
        """Make a preconditioner for this B."""
        self._weights = getattr(tall, "weights", None)
        if self._choice is None:
            self._plan(tall)
        self.M = sketching.factored_gram(tall, damping) if self._gram else None
        self.label = "exact"
        if self.M is None:
            self._gram = False
            self._sketch(tall, damping)
        built = tall.gram_ns if self._gram else sketching.build_ns(tall, self._size_used)
        self._cost = built / (tall.pass_ns or 1.0)  # in iterations; a sparse B may be all zero
        self.n_built += 1

    def account(self, tall, n_iterations, fresh):
        """Note the iterations that a step took."""
        if not fresh:
            self._wasted += max(n_iterations - self._usual, 0)
            return
        self._wasted, self._usual = 0.0, n_iterations
        if n_iterations > 2 * sketching.expected_iterations(8) and not self._fixed:
            self._choice, self._size = sketching.stronger(tall, self._choice), 2 * self._size

    def _plan(self, tall):
        sketch, sketch_size, preconditioner = self._arguments
        self._choice, self._size, self._fixed = sketching.checked_choice(sketch, sketch_size, tall)
        asked = self._fixed or sketch is not None
        self._gram = sketching.wants_gram(preconditioner, tall, self._size, asked)
        sketching.require_room(tall, self._size)

    def _sketch(self, tall, damping):
        """Sketch B, anew and larger while that loses rank."""
        for _ in range(_MAX_SKETCHES):
            self.M, self.label, self._size_used = sketching.factored(
                tall, self._choice, self._size, damping, self._rng, self.n_threads
            )
            if self._fixed or self.label == "none" or sketching.is_null(tall, self.M):
                return
            self._choice, self._size = sketching.stronger(tall, self._choice), 2 * self._size
