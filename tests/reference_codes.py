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
    steps = np.where(largest > 2.0**-119, largest / 127, 1)
    stored = np.zeros((len(rows), config.row_stride), np.uint8)
    if config.codec == "sq10":
        quarters = np.rint(4 * x / steps[:, None]).astype(int) + 2
        stored[:, : config.dim] = (quarters >> 2).astype(np.int8).view(np.uint8)
        for column, low in enumerate(quarters.T & 3):
            stored[:, first_low(config) + column // 4] |= (low << column % 4 * 2).astype(np.uint8)
    else:
        stored[:, : config.dim] = np.rint(x / steps[:, None]).astype(np.int8).view(np.uint8)
    is_l2 = config.metric == "l2"
    factors = (lengths**2, steps * np.sqrt(2)) if is_l2 else (lengths, steps)
    stored[:, -8:] = np.stack(factors, axis=1).astype(np.float32).view(np.uint8)
    return stored


def first_low(config):
    """Where the lower bits of sq10 begin in a stored row."""
    return (config.dim + 3) // 4 * 4


def codes_of(config, stored):
    """The codes of stored rows, in steps."""
    codes = np.ascontiguousarray(stored[:, : config.dim]).view(np.int8).astype(np.float64)
    if config.codec == "sq10":
        for column in range(config.dim):
            low = stored[:, first_low(config) + column // 4] >> column % 4 * 2 & 3
            codes[:, column] += (low.astype(np.float64) - 2) / 4
    return codes


def factors_of(config, stored):
    """Lengths and steps of stored rows; under l2 the lengths squared."""
    lengths, steps = np.ascontiguousarray(stored[:, -8:]).view(np.float32).astype(np.float64).T
    return lengths, steps / np.sqrt(2) if config.metric == "l2" else steps


def decode(config, stored):
    """The float64 vectors that stored rows stand for."""
    lengths, steps = factors_of(config, stored)
    if config.metric == "cosine":
        steps = steps * lengths
    return (codes_of(config, stored) * steps[:, None]) @ rotation(config.dim, config.seed)


def distances(config, query, rows):
    """Distances of one float32 vector to stored rows.

    With sq8 the query becomes codes as well; sq10 is compared with the query as it is.
    """
    x = query.astype(np.float64)
    if config.metric == "cosine":
        x = x / np.linalg.norm(x)
    turned = rotation(config.dim, config.seed) @ x
    if config.codec == "sq8":
        coded = encode(config, query[None])
        turned = (codes_of(config, coded) * factors_of(config, coded)[1][:, None])[0]
    lengths, steps = factors_of(config, rows)
    dots = steps * (codes_of(config, rows) @ turned)
    return np.maximum((x @ x) + lengths - 2 * dots, 0) if config.metric == "l2" else 1 - dots
