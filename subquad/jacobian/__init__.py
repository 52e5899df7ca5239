"""The one object of the package: Jacobians whose rows are tensor products u_i (x) v_i.

The gradient of an output by the weight matrix of a layer is u v^T, v what enters the layer and u
the derivative by what leaves it. So J is known by U and V, and everything a Gauss-Newton step, a
tangent kernel or a sketch needs of it by products of these: G = J J^T = (U U^T) o (V V^T).

    Jacobian              what every solver asks of J, a protocol: yours may implement it too
    KhatriRao             U and V as arrays, dense or CSR; a row, or the sum of a group of rows
      FiredJacobian       U as bits: which neurons fire ([SZZ24], [BPSW21])
      ReadoutJacobian     the same bits for several outputs that share neurons
      SharedJacobian      several outputs that share the weights ([AS22])
    MatrixFreeJacobian    bits and X, nothing of n^2 or n m numbers ([BPSW21])
    JacobianSum           several layers: Gram matrices add ([SZZ24], Remark C.6)
    ScaledRows            sample weights
    KeepsGram             what keeps G once it is formed, for the methods that use it again

Those indented inherit the products of `KhatriRao`, and replace the ones they know a faster way to.
"""

from subquad.jacobian._composed import JacobianSum, ScaledRows
from subquad.jacobian._factors import FixedSide, cross_gram
from subquad.jacobian._fired import FiredJacobian, bits_as_numbers, transposed_bits
from subquad.jacobian._khatri_rao import KhatriRao
from subquad.jacobian._matrix_free import MatrixFreeJacobian, neuron_blocks
from subquad.jacobian._protocol import Jacobian, KeepsGram, gram_times, kept_gram, sketched_gram
from subquad.jacobian._shared import ReadoutJacobian, SharedJacobian

__all__ = [
    "FiredJacobian",
    "FixedSide",
    "Jacobian",
    "JacobianSum",
    "KeepsGram",
    "KhatriRao",
    "MatrixFreeJacobian",
    "ReadoutJacobian",
    "ScaledRows",
    "SharedJacobian",
    "bits_as_numbers",
    "cross_gram",
    "gram_times",
    "kept_gram",
    "neuron_blocks",
    "sketched_gram",
    "transposed_bits",
]
