"""Codec ``sq8`` in float64, from docs/file-format.md and nothing else but its rotation."""

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
    stored[:, : config.dim] = np.rint(x / steps[:, None]).astype(np.int8).view(np.uint8)
    is_l2 = config.metric == "l2"
    factors = (lengths**2, steps * np.sqrt(2)) if is_l2 else (lengths, steps)
    stored[:, -8:] = np.stack(factors, axis=1).astype(np.float32).view(np.uint8)
    return stored


def decode(config, stored):
    """The float64 vectors that stored rows stand for."""
    codes = np.ascontiguousarray(stored[:, : config.dim]).view(np.int8).astype(np.float64)
    lengths, steps = np.ascontiguousarray(stored[:, -8:]).view(np.float32).astype(np.float64).T
    if config.metric == "l2":
        steps = steps / np.sqrt(2)
    elif config.metric == "cosine":
        steps = steps * lengths
    return (codes * steps[:, None]) @ rotation(config.dim, config.seed)


def distances(config, query, rows):
    """Distances of one stored row to others, all of them codes."""
    (q, *_), x = (np.ascontiguousarray(r[:, : config.dim]).view(np.int8) for r in (query, rows))
    (q_length, q_step), *_ = np.ascontiguousarray(query[:, -8:]).view(np.float32).astype(float)
    lengths, steps = np.ascontiguousarray(rows[:, -8:]).view(np.float32).astype(float).T
    dots = q_step * steps * (x.astype(np.float64) @ q.astype(np.float64))
    return q_length + lengths - dots if config.metric == "l2" else 1 - dots
