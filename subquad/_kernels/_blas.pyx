"""Row-major GEMM on top of scipy's column-major one, which takes 32-bit sizes and no const.

scipy.linalg.cython_blas declares its inputs without const although BLAS does not write them; the
cast is made here and nowhere else. Sizes above 2**31 - 1 must be refused before they arrive.
"""
from scipy.linalg.cython_blas cimport dgemm, sgemm

from subquad._kernels._types cimport intp_t, real_t


cdef void gemm(
    bint transpose_a, bint transpose_b, intp_t m, intp_t n, intp_t k, real_t alpha,
    const real_t *A, intp_t lda, const real_t *B, intp_t ldb, real_t beta, real_t *C, intp_t ldc,
) noexcept nogil:
    """C := alpha * op(A) @ op(B) + beta * C with op(A) (m, k), op(B) (k, n), C (m, n)."""
    # A row-major matrix is the transpose of the same memory read column-major, so compute
    # C.T = op(B).T @ op(A).T.
    cdef:
        char ta = b"t" if transpose_a else b"n"
        char tb = b"t" if transpose_b else b"n"
        int rows = <int>m
        int cols = <int>n
        int inner = <int>k
        int ld_a = <int>lda
        int ld_b = <int>ldb
        int ld_c = <int>ldc
    if real_t is float:
        sgemm(&tb, &ta, &cols, &rows, &inner, &alpha,
              <float *>B, &ld_b, <float *>A, &ld_a, &beta, C, &ld_c)
    else:
        dgemm(&tb, &ta, &cols, &rows, &inner, &alpha,
              <double *>B, &ld_b, <double *>A, &ld_a, &beta, C, &ld_c)
