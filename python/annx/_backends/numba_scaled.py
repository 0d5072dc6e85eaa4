"""Codec ``sq8``: vectors rotated and rounded to 8 bits, with a scale of their own.

A seeded random rotation in O(d log d), rounds of random signs and a fast Hadamard
transform on the largest power-of-two window, at the front and at the back in turn
(FhtKac of Gao et al., "RaBitQ", SIGMOD 2024), spreads every vector evenly over its
coordinates. Each operation is rounded on its own and in the order of the C++ core, so
that both store the same bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import Config
from annx._backends.numba_hash import mixed
from annx._backends.numba_jit import entry, inner
from annx._backends.numba_layout import L2, SCALED_TAIL
from annx._backends.numba_norm import stored_square

_ROUNDS = 2
_ROOT2 = np.float32(1.41421356)
#: Adding and subtracting it rounds a small float32 to the nearest even whole number.
_ROUNDER = np.float32(1.5 * 2**23)
#: Beneath it the inverse of a step overflows; such a row is stored as zeros.
_TINIEST = np.float32(2.0**-119)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)

#: For indexes without codes.
NO_SIGNS = np.empty((0, 0), np.float32)


def rotation_signs(config: Config) -> NDArray[np.float32]:
    """Make the rotation of an index: a sign for each round and coordinate.

    Inside a round's window they carry the transform's factor, 1 / sqrt(window).
    """
    if config.codec != "sq8":
        return NO_SIGNS
    dim = config.dim
    steps = np.arange(_ROUNDS * dim, dtype=np.uint64) * _GOLDEN
    words = mixed(steps + np.uint64(config.seed & 0xFFFFFFFFFFFFFFFF))
    signs = np.where(words >> np.uint64(63), np.float32(-1), np.float32(1)).reshape(_ROUNDS, dim)
    window = _window(dim)
    factor = np.float32(1) / np.sqrt(np.float32(window))
    for number in range(_ROUNDS):
        start = _start(number, dim)
        signs[number, start : start + window] *= factor
    return signs


def _window(dim: int) -> int:
    return 1 << (dim.bit_length() - 1)


def _start(number: int, dim: int) -> int:
    return 0 if number % 2 == 0 else dim - _window(dim)


@inner
def _place(signs: NDArray[np.float32], number: int) -> Any:
    """Start and length of a round's window."""
    window: Any = np.int64(1)
    while 2 * window <= signs.shape[1]:
        window *= 2
    return (np.int64(0) if number % 2 == 0 else signs.shape[1] - window), window


@inner
def _hadamard(x: NDArray[np.float32], start: int, window: int) -> None:
    half = np.int64(1)
    if window >= 4:  # the two narrowest steps together
        for i in range(start, start + window, 4):
            a, b = x[i] + x[i + 1], x[i] - x[i + 1]
            c, d = x[i + 2] + x[i + 3], x[i + 2] - x[i + 3]
            x[i] = a + c
            x[i + 1] = b + d
            x[i + 2] = a - c
            x[i + 3] = b - d
        half = np.int64(4)
    while half < window:
        for i in range(start, start + window, 2 * half):
            for j in range(i, i + half):
                a, b = x[j], x[j + half]
                x[j] = a + b
                x[j + half] = a - b
        half *= 2


@inner
def _rotate(signs: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    for number in range(signs.shape[0]):
        for i in range(x.size):
            x[i] *= signs[number, i]
        start, window = _place(signs, number)
        _hadamard(x, start, window)


@inner
def _rotate_back(signs: NDArray[np.float32], x: NDArray[np.float32]) -> None:
    """Undo it: the scaled transform and the signs are each their own inverse."""
    for number in range(signs.shape[0] - 1, -1, -1):
        start, window = _place(signs, number)
        _hadamard(x, start, window)
        for i in range(x.size):
            x[i] *= signs[number, i]


@entry
def _encode(
    signs: NDArray[np.float32],
    rows: NDArray[np.float32],
    start: int,
    stop: int,
    metric: int,
    cosine: bool,
    work: NDArray[np.float32],
    codes: NDArray[np.int8],
    factors: NDArray[np.float32],
    to: int,
) -> None:
    dim = work.size
    for r in range(start, stop):
        out = to + r - start
        square = stored_square(rows, r)
        norm = np.sqrt(square)
        unit = 1 / norm if cosine else 1.0
        for i in range(dim):
            work[i] = np.float32(rows[r, i] * unit)
        _rotate(signs, work)
        largest = np.float32(0)
        for i in range(dim):
            largest = max(largest, abs(work[i]))
        step = np.float32(largest / np.float32(127)) if largest > _TINIEST else np.float32(1)
        inverse = np.float32(np.float32(1) / step)
        for i in range(dim):
            shifted = np.float32(np.float32(work[i] * inverse) + _ROUNDER)
            codes[out, i] = np.int8(np.int32(np.float32(shifted - _ROUNDER)))
        codes[out, dim : codes.shape[1] - SCALED_TAIL] = 0
        last = factors.shape[1] - 1
        factors[out, last - 1] = np.float32(square if metric == L2 else norm)
        factors[out, last] = np.float32(step * _ROOT2) if metric == L2 else step


@entry
def _decode(
    signs: NDArray[np.float32],
    codes: NDArray[np.int8],
    factors: NDArray[np.float32],
    slots: NDArray[np.int64],
    metric: int,
    cosine: bool,
    work: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    last = factors.shape[1] - 1
    for r in range(slots.size):
        slot = slots[r]
        step = factors[slot, last]
        if metric == L2:
            step = np.float32(step / _ROOT2)
        if cosine:
            step = np.float32(step * factors[slot, last - 1])
        for i in range(work.size):
            work[i] = step * np.float32(codes[slot, i])
        _rotate_back(signs, work)
        for i in range(work.size):
            out[r, i] = work[i]


def encode(
    config: Config,
    metric: int,
    signs: NDArray[np.float32],
    rows: NDArray[np.float32],
    start: int,
    stop: int,
    codes: NDArray[np.int8],
    to: int,
) -> None:
    """Put the codes of ``rows[start:stop]`` into the rows of `codes` from `to`."""
    work = np.empty(config.dim, np.float32)
    cosine = config.metric == "cosine"
    factors = codes.view(np.float32)
    _encode(signs, rows, start, stop, metric, cosine, work, codes, factors, to)


def decode(
    config: Config,
    metric: int,
    signs: NDArray[np.float32],
    codes: NDArray[np.int8],
    slots: NDArray[Any],
) -> NDArray[np.float32]:
    """Vectors of `slots`, as near as their codes say."""
    work = np.empty(config.dim, np.float32)
    out = np.empty((len(slots), config.dim), np.float32)
    cosine = config.metric == "cosine"
    _decode(signs, codes, codes.view(np.float32), slots, metric, cosine, work, out)
    return out
