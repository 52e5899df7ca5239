"""The types all kernels share."""
from libc.stdint cimport int32_t, int64_t, uint64_t

ctypedef Py_ssize_t intp_t

ctypedef fused real_t:
    float
    double
