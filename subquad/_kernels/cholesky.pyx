"""Cholesky factors in the memory of their matrices, by the LAPACK that scipy brings.

numpy.linalg.cholesky copies by columns what it factors and what it returns, which for 667 rows took
twice the time of the factorisation itself; scipy.linalg's own functions hold the GIL.
"""
from libc.string cimport memset
from scipy.linalg.cython_lapack cimport dpotrf

from subquad._kernels._types cimport intp_t


def factor(double[:, ::1] A not None):  # IN/OUT  (n, n), of which the lower half is read
    """Put L with L @ L.T = A in the place of A, zeros above; return 0, or where it does not exist.

    That is the number of the first leading minor that is not positive, counted from 1: A is then
    of no more use.
    """
    cdef:
        intp_t i
        intp_t n = A.shape[0]
        int size = <int>n
        int info = 0
        char half = b"U"  # of the same memory by columns
    if n == 0:
        return 0
    with nogil:
        dpotrf(&half, &size, &A[0, 0], &size, &info)
        for i in range(n - 1):
            memset(&A[i, i + 1], 0, (n - 1 - i) * sizeof(double))
    return info
