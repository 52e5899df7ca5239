"""Jacobians whose rows are sums of tensor products, J[i] = sum_t u_t (x) v_t over a group.

matvec, product    a block of rows at a time
gram, diagonal     by the cheapest of the ways below
gram_work          the multiply-adds of each, by which they are chosen
matrices           J itself, a row vec(U_i^T V_i) for each group

The ways to a Gram matrix
    tiles          (U U^T) o (V V^T), a tile in cache at a time, summed by groups
    matrices       M M^T for the rows M_i = vec(U_i^T V_i), a block of weights at a time
    columns        sum_k R_k R_k^T over the columns k of a sparse V, R_k the groups that have one
"""

from subquad.jacobian._grouped._gram import diagonal, gram
from subquad.jacobian._grouped._matrices import matrices
from subquad.jacobian._grouped._products import matvec, product
from subquad.jacobian._grouped._work import gram_work

__all__ = ["diagonal", "gram", "gram_work", "matrices", "matvec", "product"]
