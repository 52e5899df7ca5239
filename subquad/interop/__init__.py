"""Models of other libraries in, Jacobians of the package out. PyTorch is imported on first use.

capture    the Jacobian of every linear layer of a torch model, from one backward pass an output

    weight gradient of output f in sample i  =  sum over positions t of  u_it (x) v_it
    v_it   what enters the layer at position t: a forward hook keeps it
    u_it   the derivative of f by what leaves the layer there: autograd gives it
"""

from subquad.interop._capture import capture

__all__ = ["capture"]
