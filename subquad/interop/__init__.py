"""Models of other libraries in, Jacobians of the package out. PyTorch is imported on first use.

capture    the Jacobian of every linear layer of a torch model, from one backward pass an output
fit_layer  one layer moved by Gauss-Newton until the outputs are y: a LayerChange
apply_change, export_peft    the change merged, attached, or written as a LoRA adapter
load_layer    weights from a safetensors file, without torch

    weight gradient of output f in sample i  =  sum over positions t of  u_it (x) v_it
    v_it   what enters the layer at position t: a forward hook keeps it
    u_it   the derivative of f by what leaves the layer there: autograd gives it
"""

from subquad.interop._capture import capture
from subquad.interop._change import LayerChange, apply_change
from subquad.interop._files import StoredLayer, load_layer
from subquad.interop._fit import fit_layer
from subquad.interop._peft import export_peft

__all__ = [
    "LayerChange",
    "StoredLayer",
    "apply_change",
    "capture",
    "export_peft",
    "fit_layer",
    "load_layer",
]
