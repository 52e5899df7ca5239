"""One case of each kind, `asv run --bench "^quick"` compares commits by these.

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


class Hadamard(hadamard.Transform):
    params = at(hadamard.Transform, length=1 << 14, rows=64)


class GaussianWeights(gaussian.Product):
    params = at(gaussian.Product, width=4096, n=64)


class ColumnProduct(kernels.ColumnProduct):
    params = at(kernels.ColumnProduct, width=4096)


class FiredNeurons(kernels.FiredNeurons):
    params = at(kernels.FiredNeurons, width=8192, n=256)


class Gram(kernels.Gram):
    params = at(kernels.Gram, width=4096, n=256)


class Flush(kernels.Flush):
    params = at(kernels.Flush, width=4096)


class GroupedGram(grouped.Grams):
    params = at(grouped.Grams, size="sequences")


class HalfSpaceQueries(halfspace.HalfSpaceQueries):
    params = at(halfspace.HalfSpaceQueries, dimension=8)


class CountSketch(sketches.Rows):
    params = at(sketches.Rows, sketch_size=1024)


class TensorSketch(sketches.Pairs):
    params = at(sketches.Pairs, width=16384)


class TangentKernel(ntk.InfiniteWidth):
    params = at(ntk.InfiniteWidth, n=1000)


class EmpiricalKernel(ntk.FiniteWidth):
    params = at(ntk.FiniteWidth)


class GramSolve(gram_solvers.Solve):
    params = at(gram_solvers.Solve, points=256, width=4096)


class Regression(solvers.Regression):
    params = at(solvers.Regression)


class LastLayerFit(training.WholeFit):
    params = at(training.WholeFit)


class TwoLayerStep(two_layer.Step):
    params = at(two_layer.Step)


class FactoredStep(factored.GradientStep):
    params = at(factored.GradientStep)


class LowRankStep(all_layers.Step):
    params = at(all_layers.Step)


class HalfSpaceStep(half_space_sgd.Step):
    params = at(half_space_sgd.Step)
