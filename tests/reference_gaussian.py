"""What the entries of GaussianWeights are, in plain numpy: integers exactly, normals in float64."""

import numpy as np

MASK = 2**64 - 1
STEP = 0x9E3779B97F4A7C15


def split_mix(z):
    """SplitMix64's bijection of 64-bit numbers."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def keys(seed, count):
    """Keys (3, count) of the first columns."""
    start = split_mix((seed + STEP) & MASK)
    draws = [split_mix((start + i * STEP) & MASK) for i in range(1, 2 * count + 1)]
    a = [draw % 2**32 | 1 for draw in draws[::2]]
    b = [draw >> 32 for draw in draws[::2]]
    c = [draw % 2**32 for draw in draws[1::2]]
    return np.array([a, b, c], np.uint32)


def words_at(keys, positions):
    """Words (columns, positions)."""
    a, b, c = keys[:, :, None]
    x = b + positions.astype(np.uint32) * a
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x21F0AAAD)
    x ^= (x >> np.uint32(15)) ^ c
    x *= np.uint32(0x735A2D97)
    return x ^ (x >> np.uint32(15))


def integers(keys, rows, table):
    """Entries (columns, rows) of the table law."""
    words = words_at(keys, rows // 64 * 16 + rows % 16)
    return table[(words >> (8 * (rows // 16 % 4)).astype(np.uint32)) & np.uint32(255)]


def normals(keys, rows):
    """Entries (columns, rows) of the normal law, in float64."""
    x, y = words_at(keys, rows & ~16), words_at(keys, rows | 16)
    radius = np.sqrt(-2 * np.log(((x >> np.uint32(1)) + 0.5) / 2**31))
    angle = (y << np.uint32(2)).view(np.int32) * (np.pi / 4 / 2**31)
    cosine = np.cos(angle) * np.where(y >> np.uint32(31), -1, 1)
    exchanged = (y >> np.uint32(30)) % 2 == 1
    pair = np.where(exchanged, [np.sin(angle), cosine], [cosine, np.sin(angle)])
    return radius * np.where(rows & 16, pair[1], pair[0])
