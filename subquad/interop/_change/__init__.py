"""The change of a layer: what it is, and how it is put into a model.

_factors         A^T V: stacked, bounded in rank, recompressed
_layer_change    LayerChange, what `fit_layer` returns
_deviations      what its linearised fit is not sure of
_apply, _branch  merged with the weight, or beside it
"""

from subquad.interop._change._apply import apply_change, fitted_layer
from subquad.interop._change._factors import bounded, product, recompressed
from subquad.interop._change._layer_change import LayerChange

__all__ = [
    "LayerChange",
    "apply_change",
    "bounded",
    "fitted_layer",
    "product",
    "recompressed",
]
