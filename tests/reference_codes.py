"""The scaled codecs in float64, from docs/file-format.md and nothing else but their rotation."""

from __future__ import annotations

import numpy as np

MASK = (1 << 64) - 1
ROUNDS = 2


def _signs(dim, seed):
    """One SplitMix64 output for each coordinate and round; its top bit is the sign."""
    signs = []
    for _ in range(ROUNDS * dim):
        seed = (seed + 0x9E3779B97F4A7C15) & MASK
        x = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9 & MASK
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & MASK
        signs.append(-1.0 if (x ^ (x >> 31)) >> 63 else 1.0)
    return np.array(signs).reshape(ROUNDS, dim)


def rotation(dim, seed):
    """The orthogonal matrix that a column vector is multiplied by."""
    window = 1 << (dim.bit_length() - 1)
    hadamard = np.ones((1, 1))
    while len(hadamard) < window:
        hadamard = np.block([[hadamard, hadamard], [hadamard, -hadamard]])
    whole = np.eye(dim)
    for number, signs in enumerate(_signs(dim, seed)):
        start = 0 if number % 2 == 0 else dim - window
        step = np.eye(dim)
        step[start : start + window, start : start + window] = hadamard / np.sqrt(window)
        whole = step @ np.diag(signs) @ whole
    return whole


def encode(config, rows):
    """Stored rows of float32 vectors."""
    x = rows.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1)
    if config.metric == "cosine":
        x = x / lengths[:, None]
    x = x @ rotation(config.dim, config.seed).T
    largest = np.abs(x).max(axis=1, initial=0)
    most = 119 if config.codec == "sq4" else 127
    steps = np.where(largest > 2.0**-119, largest / most, 1)
    stored = np.zeros((len(rows), config.row_stride), np.uint8)
    if has_ten_bits(config):
        quarters = np.rint(4 * x / steps[:, None]).astype(int) + 2
        bytes_of = quarters >> 2
        for column, low in enumerate(quarters.T & 3):
            stored[:, first_low(config) + column // 4] |= (low << column % 4 * 2).astype(np.uint8)
    else:
        bytes_of = np.rint(x / steps[:, None]).astype(int)
    if config.codec == "sq4":
        for first, shift in ((0, 4), (half(config) + 8, 0)):
            stored[:, first : first + half(config)] = 0x88
            for column, code in enumerate(bytes_of.T + 136):
                place, up = first + column // 2, column % 2 * 4
                stored[:, place] &= 0xF0 if up == 0 else 0x0F
                stored[:, place] |= ((code >> shift & 15) << up).astype(np.uint8)
    else:
        stored[:, : config.dim] = bytes_of.astype(np.int8).view(np.uint8)
    is_l2 = config.metric == "l2"
    factors = (lengths**2, steps * np.sqrt(2)) if is_l2 else (lengths, steps)
    place = first_factor(config)
    stored[:, place : place + 8] = np.stack(factors, axis=1).astype(np.float32).view(np.uint8)
    return stored


def has_ten_bits(config):
    """Whether codes have 2 bits below those of a byte."""
    return config.codec == "sq10" or (config.codec == "sq4" and not config.keep)


def half(config):
    """Bytes of 4 bits of each code of sq4."""
    return -(-config.dim // 8) * 4


def first_factor(config):
    """Where length and step stand in a stored row."""
    return half(config) if config.codec == "sq4" else config.row_stride - 8


def first_low(config):
    """Where the 2 lower bits begin in a stored row."""
    return 2 * half(config) + 8 if config.codec == "sq4" else (config.dim + 3) // 4 * 4


def codes_of(config, stored):
    """The codes of stored rows, in steps."""
    if config.codec == "sq4":
        codes = np.empty((len(stored), config.dim))
        for column in range(config.dim):
            place, shift = column // 2, column % 2 * 4
            high = stored[:, place] >> shift & 15
            low = stored[:, half(config) + 8 + place] >> shift & 15
            codes[:, column] = 16.0 * high + low - 136
    else:
        codes = np.ascontiguousarray(stored[:, : config.dim]).view(np.int8).astype(np.float64)
    if has_ten_bits(config):
        for column in range(config.dim):
            low = stored[:, first_low(config) + column // 4] >> column % 4 * 2 & 3
            codes[:, column] += (low.astype(np.float64) - 2) / 4
    return codes


def factors_of(config, stored):
    """Lengths and steps of stored rows; under l2 the lengths squared."""
    place = first_factor(config)
    raw = np.ascontiguousarray(stored[:, place : place + 8])
    lengths, steps = raw.view(np.float32).astype(np.float64).T
    return lengths, steps / np.sqrt(2) if config.metric == "l2" else steps


def decode(config, stored):
    """The float64 vectors that stored rows stand for."""
    lengths, steps = factors_of(config, stored)
    if config.metric == "cosine":
        steps = steps * lengths
    return (codes_of(config, stored) * steps[:, None]) @ rotation(config.dim, config.seed)


def distances(config, query, rows):
    """Distances of one float32 vector to stored rows.

    With 8 bits the query becomes codes as well; 10 are compared with the query as it is.
    """
    x = query.astype(np.float64)
    if config.metric == "cosine":
        x = x / np.linalg.norm(x)
    turned = rotation(config.dim, config.seed) @ x
    if not has_ten_bits(config):
        coded = encode(config, query[None])
        turned = (codes_of(config, coded) * factors_of(config, coded)[1][:, None])[0]
    lengths, steps = factors_of(config, rows)
    dots = steps * (codes_of(config, rows) @ turned)
    return np.maximum((x @ x) + lengths - 2 * dots, 0) if config.metric == "l2" else 1 - dots
