"""Print, as Markdown, spectra of the last layer's tangent kernel for weights of several kinds.

    python asv_benches/spectra_table.py [--points 64] [--width 2048] [--depth 3] [--draws 10]

Digits of scikit-learn as rows of norm one, a ShiftedReLU(1.0), one output. G is the Gram matrix of
the gradients by W_L, divided by the width. Figures are means over --draws seeds, and +- their
standard deviation; "distance" is |G - mean G of dense weights| / |mean G|, Frobenius; "steps" those
of LastLayerGaussNewton to 1e-8 for targets that say whether a digit is odd.
"""

import argparse

import numpy as np
from side_by_side import print_table

from subquad.activations import ShiftedReLU
from subquad.networks import WideNetwork
from subquad.training import LastLayerGaussNewton
from subquad.weights import StructuredWeights

KINDS = ("float32 grid", "int8 grid", "hadamard", "circulant")
HEADS = ["weights", "largest eigenvalue", "median", "smallest", "distance", "steps"]


def network_of(kind, seed, width, depth, n_features):
    """Return a network with weights of a kind."""
    options = {"activation": ShiftedReLU(1.0), "width": width, "depth": depth, "rng": seed}
    drawn = WideNetwork(
        n_features, weights="implicit", grid="int8" if kind == "int8 grid" else "float32", **options
    )
    if kind.endswith("grid"):
        return drawn
    layers = [StructuredWeights(W.shape, W.seed, kind, std=drawn.weight_std) for W in drawn.weights]
    return WideNetwork.from_weights(layers, drawn.readout, activation=drawn.activation)


def figures(kind, X, y, options):
    """Return the kernels, and the numbers of steps, of all draws."""
    kernels, steps = [], []
    for seed in range(options.draws):
        network = network_of(kind, seed, options.width, options.depth, X.shape[1])
        kernels.append(network.jacobian(X).gram() / options.width)
        trainer = LastLayerGaussNewton(network.last_layer(X), y, tol=1e-8).run()
        steps.append(len(trainer.history))
    return np.array(kernels), steps


def rows(options):
    """Yield the rows of the table."""
    from sklearn.datasets import load_digits

    X, labels = load_digits(return_X_y=True)
    X = X[: options.points] / np.linalg.norm(X[: options.points], axis=1, keepdims=True)
    y, mean = np.where(labels[: options.points] % 2, 1.0, -1.0), None
    for kind in KINDS:
        kernels, steps = figures(kind, X, y, options)
        mean = kernels.mean(axis=0) if mean is None else mean
        spectra = np.linalg.eigvalsh(kernels)[:, [-1, len(X) // 2, 0]]
        distances = np.linalg.norm(kernels - mean, axis=(1, 2)) / np.linalg.norm(mean)
        columns = [*spectra.T, distances]
        cells = [f"{column.mean():.3g} +- {column.std():.1g}" for column in columns]
        yield [kind, *cells, f"{min(steps)} to {max(steps)}"]


def main(arguments=None):
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name, value in (("points", 64), ("width", 2048), ("depth", 3), ("draws", 10)):
        parser.add_argument(f"--{name}", type=int, default=value)
    print_table(HEADS, rows(parser.parse_args(arguments)))


if __name__ == "__main__":
    main()
