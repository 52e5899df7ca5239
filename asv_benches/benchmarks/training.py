"""A whole step and a whole fit of a last layer: L = 3, n = 64 points, float32, alpha = 0.1."""

import numpy as np

from subquad.networks import LastLayer, WideNetwork
from subquad.training import LastLayerGaussNewton
from subquad.weights import DenseWeights

from .contenders import NEEDS_WEIGHTS, contender, step_seconds
from .problems import step_problem

N_POINTS = 64
IMPLEMENTATIONS = ["subquad", "numpy-structured", "numpy", "torch"]


class WholeStep:
    """One Gauss-Newton step, from the current weights to the next."""

    params = [IMPLEMENTATIONS, [512, 4096, 8192, 16384]]
    param_names = ["implementation", "width"]

    def setup(self, implementation, width):
        problem = step_problem(N_POINTS, width, with_weights=implementation in NEEDS_WEIGHTS)
        self.steps = contender(implementation, problem)
        step_seconds(self.steps)  # starts threads and touches pages outside the clock

    def track_step(self, implementation, width):
        return float(np.median([step_seconds(self.steps) for _ in range(5)]))

    track_step.unit = "s"


class FirstSteps:
    """The part of the residual that three steps leave: the same for every implementation."""

    params = [IMPLEMENTATIONS, [512, 4096]]
    param_names = ["implementation", "width"]

    def setup(self, implementation, width):
        self.problem = step_problem(N_POINTS, width, with_weights=True)
        self.steps = contender(implementation, self.problem)

    def track_relative_residual(self, implementation, width):
        before = self.steps.residual_norm()
        for _ in range(3):
            self.steps.step()
        return self.steps.residual_norm() / before

    track_relative_residual.unit = "|r| / |r_0|"


class WholeFit:
    """A fit from the weights and inputs of the layer to a relative residual of 1e-6."""

    params = [["subquad", "numpy", "torch"], [512, 4096, 8192]]
    param_names = ["implementation", "width"]
    number = 1  # call of a sample, since each starts from the weights as drawn
    warmup_time = 0

    def setup(self, implementation, width):
        self.problem = step_problem(N_POINTS, width, with_weights=True)
        if implementation == "subquad":
            self.weights = DenseWeights(self.problem.W)
            self.weights.apply(self.problem.V)
        else:
            self.steps = contender(implementation, self.problem)
            self.initial_norm = self.steps.residual_norm()

    def time_fit(self, implementation, width):
        if implementation == "subquad":
            p = self.problem
            Z0 = self.weights.apply(p.V)
            layer = LastLayer(p.V, Z0, p.readout, p.activation, thresholds=p.thresholds)
            LastLayerGaussNewton(layer, p.y, tol=1e-6).run()
            return
        for _ in range(20):
            if self.steps.residual_norm() <= 1e-6 * self.initial_norm:
                break
            self.steps.step()


class Memory:
    """Peak memory of drawing a network and fitting n = 256 points, weights included."""

    params = [[512, 8192, 16384]]
    param_names = ["width"]

    def peakmem_fit(self, width):
        rng = np.random.default_rng(0)
        X, y = rng.standard_normal((256, 16)), rng.standard_normal(256)
        network = WideNetwork(16, width=width, rng=1, dtype=np.float32)
        LastLayerGaussNewton(network.last_layer(X), y).run()
