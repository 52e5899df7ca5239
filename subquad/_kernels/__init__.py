"""Compiled kernels. This folder imports nothing of subquad outside itself.

Contract of every kernel
    Arrays are C-contiguous, aligned and in native byte order; all real arrays of a call share one
    dtype (float32 or float64) unless a comment says otherwise. Indices are intp, in range, and
    sorted within a row. Shapes agree. Outputs are allocated by the caller and distinct from the
    inputs; they are written (`# OUT`) or updated (`# IN/OUT`), inputs (`# IN`) are const.
    `n_threads >= 1`. Nothing is checked, nothing is allocated, nothing raises, the GIL is not held,
    and the result is bitwise the same for every n_threads.

How the instruction sets are served
    The hot loops are C templates in simd/. multiversion.h includes a template once for every
    instruction set (baseline, AVX2 + FMA, AVX-512) and dtype; each module keeps a table of the
    results, indexed by the level that _simd chose when it was imported.
"""

try:
    from subquad._kernels import _simd, _teams  # noqa: F401
except ImportError as error:
    raise ImportError(
        "subquad's compiled kernels are not in this folder. Leave the folder of the sources, or "
        "build the kernels in it with `pip install -e .`."
    ) from error
