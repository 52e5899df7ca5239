"""Models that take their rows in chunks.

What happens when `partial_fit(X, y)` is called (`_models.py`):

    twice the rows of the last choice    `_fit` of all rows, as `fit`, which chooses all anew
    fewer                                `_joined`: the rows join those that are solved for
                                         (`_joining.py`; `_kernel.py`, `_network.py`)
    where these cannot                   `_go_on`: a fit of all rows with what was chosen
"""

from subquad.estimators._streams._kernel import KernelStream
from subquad.estimators._streams._models import StreamedClassifier, StreamedRegressor
from subquad.estimators._streams._network import NetworkStream

__all__ = ["KernelStream", "NetworkStream", "StreamedClassifier", "StreamedRegressor"]
