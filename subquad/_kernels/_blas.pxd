"""Row-major GEMM on top of scipy's BLAS."""
from subquad._kernels._types cimport intp_t, real_t

cdef void gemm(
    bint transpose_a, bint transpose_b, intp_t m, intp_t n, intp_t k, real_t alpha,
    const real_t *A, intp_t lda, const real_t *B, intp_t ldb, real_t beta, real_t *C, intp_t ldc,
) noexcept nogil
