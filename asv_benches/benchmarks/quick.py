"""One case of each kind: `asv run --bench "^quick"` compares commits by these.

Each is a suite of another module, with its own kernels or methods alone, at one size that takes
milliseconds. The other modules compare with other packages, and tell how times grow.
"""

from . import (
    all_layers,
    factored,
    gaussian,
    gram_solvers,
    grouped,
    hadamard,
    half_space_sgd,
    halfspace,
    kernels,
    ntk,
    sketches,
    solvers,
    training,
    two_layer,
)


def at(suite, **chosen):
    """Return the parameters of a suite with one value for each: the chosen one, or the first."""
    values = zip(suite.param_names, suite.params, strict=True)
    return [[chosen.get(name, choices[0])] for name, choices in values]


class Once:
    """A process for each benchmark instead of two, and at most seven samples in five seconds."""

    rounds, repeat = 1, (3, 7, 5.0)


class Hadamard(Once, hadamard.Transform):
    params = at(hadamard.Transform, length=1 << 14, rows=64)


class GaussianWeights(Once, gaussian.Product):
    params = at(gaussian.Product, width=4096, n=64)


class ColumnProduct(Once, kernels.ColumnProduct):
    params = at(kernels.ColumnProduct, width=4096)


class FiredNeurons(Once, kernels.FiredNeurons):
    params = at(kernels.FiredNeurons, width=8192, n=256)


class Gram(Once, kernels.Gram):
    params = at(kernels.Gram, width=4096, n=256)


class Flush(Once, kernels.Flush):
    params = at(kernels.Flush, width=4096)


class GroupedGram(Once, grouped.Grams):
    params = at(grouped.Grams, size="sequences")


class HalfSpaceQueries(Once, halfspace.HalfSpaceQueries):
    params = at(halfspace.HalfSpaceQueries, dimension=8)


class CountSketch(Once, sketches.Rows):
    params = at(sketches.Rows, sketch_size=1024)


class TensorSketch(Once, sketches.Pairs):
    params = at(sketches.Pairs, width=16384)


class TangentKernel(Once, ntk.InfiniteWidth):
    params = at(ntk.InfiniteWidth, n=1000)


class EmpiricalKernel(Once, ntk.FiniteWidth):
    params = at(ntk.FiniteWidth)


class GramSolve(Once, gram_solvers.Solve):
    params = at(gram_solvers.Solve, points=256, width=4096)


class Regression(Once, solvers.Regression):
    params = at(solvers.Regression)


class LastLayerFit(Once, training.WholeFit):
    params = at(training.WholeFit)


class TwoLayerStep(Once, two_layer.Step):
    params = at(two_layer.Step)


class FactoredStep(Once, factored.GradientStep):
    params = at(factored.GradientStep)


class LowRankStep(Once, all_layers.Step):
    params = at(all_layers.Step)


class HalfSpaceStep(Once, half_space_sgd.Step):
    params = at(half_space_sgd.Step)
