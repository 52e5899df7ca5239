"""What becomes of a network as printed: layers in which nothing fires."""

import sys
import warnings

import numpy as np

# Warn where so large a part of the data points is silent in a layer.
_MOST = 0.5


class NetworkWarning(UserWarning):
    """A network is not what it is taken for at these data points; the message says why."""


def warn_of_silence(number, responses, inputs):
    """Warn, by its number, of a layer that most data points leave silent which reached it.

    `responses` and `inputs` have an entry for each data point: the norms of what leaves and what
    enters the layer, or anything that is 0 where they are.
    """
    reached = np.count_nonzero(inputs)
    silent = int(np.count_nonzero((responses == 0) & (inputs != 0)))
    if not reached or silent < _MOST * reached:
        return
    norms = inputs[inputs != 0]
    warnings.warn(
        f"Layer {number} of the network is dead: no neuron fires at {silent} of the {reached} data "
        f"points that reach it, whose inputs have norms of {np.median(norms):.2g} (median). With a "
        "fixed threshold a layer is silent where norms have shrunk. Give normalise=True or an "
        "activation with relative=True and scaling='norm', or lower its shift.",
        NetworkWarning,
        stacklevel=_frames_inside() + 1,
    )


def _frames_inside():
    """How many frames of this package stand between a warning of the caller and the user."""
    frame, count = sys._getframe(1), 0
    while frame is not None and frame.f_globals.get("__name__", "").startswith("subquad."):
        frame, count = frame.f_back, count + 1
    return count
