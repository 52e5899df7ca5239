"""Checksums of what ranks must have alike, and the sentence where they do not."""

import hashlib

import numpy as np


def digest_of(value):
    """Return what only equal values have in common."""
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(value, (tuple, list)):
        for part in value:
            digest.update(digest_of(part))
    elif isinstance(value, np.ndarray):
        digest.update(repr((value.shape, value.dtype.str)).encode())
        digest.update(np.ascontiguousarray(value))
    else:
        digest.update(repr(value).encode())
    return digest.digest()


def another_solution(rank):
    """What is wrong where a rank has solved its equation with another result than the first."""
    return (
        f"Every rank must solve its equation with the same result; got another on rank {rank} than "
        "on rank 0. Give all ranks the same arguments, processor, BLAS and SUBQUAD_SIMD_LEVEL."
    )
