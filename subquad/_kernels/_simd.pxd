"""The instruction-set level the kernels use: an index into their tables."""

cdef int simd_level() noexcept nogil
