"""What losses of labels share: which labels they admit."""

import numpy as np

from subquad._validation import even_array
from subquad.training.half_space._losses._loss import Loss


class LabelLoss(Loss):
    """A loss of the margin y f of a label y, which is -1 or 1."""

    def _numbers(self, y):
        """Return labels as floats; they may be integers or bools."""
        labels = y if isinstance(y, np.ma.MaskedArray) else even_array(y, "y")
        return labels.astype(np.float64) if labels.dtype.kind in "biu" else y

    def _admitted(self, y):
        """Return labels -1 and 1, for 0 and 1 as well."""
        low = -1 if (y == -1).any() else 0
        others = y[(y != low) & (y != 1)]
        if others.size:
            raise ValueError(
                f"y must be -1 or 1, or 0 or 1, for the {self.name} loss; got "
                f"{others.flat[0]:.6g}{' beside -1' if low else ''}."
            )
        return np.where(y > 0, 1.0, -1.0)
