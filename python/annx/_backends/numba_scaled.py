"""Scaled codecs: vectors rotated and rounded to 8 or 10 bits, with a scale of their own.

What sq4 splits into planes has a byte for each code here as well (`numba_planes`).

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
from annx._backends.numba_kernels import code_at
from annx._backends.numba_layout import L2, Store, is_scaled
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
    if not is_scaled(config):
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


@inner
def _turned(
    signs: NDArray[np.float32],
    rows: NDArray[np.float32],
    r: int,
    cosine: bool,
    out: NDArray[np.float32],
) -> np.float64:
    """Rotate a row, under cosine a unit vector, into `out`; return its squared length."""
    square = stored_square(rows, r)
    unit = 1 / np.sqrt(square) if cosine else 1.0
    for i in range(out.size):
        out[i] = np.float32(rows[r, i] * unit)
    _rotate(signs, out)
    return square


@inner
def _round(x: np.float32) -> Any:
    return np.int32(np.float32(np.float32(x + _ROUNDER) - _ROUNDER))


@entry
def _encode(
    signs: NDArray[np.float32],
    rows: NDArray[np.float32],
    start: int,
    stop: int,
    cosine: bool,
    top: np.float32,
    work: NDArray[np.float32],
    store: Store,
    to: int,
) -> None:
    codes, factors, low = store.rows, store.scales, store.low
    last = factors.shape[1] - 1
    for r in range(start, stop):
        out = to + r - start
        square = _turned(signs, rows, r, cosine, work)
        largest = np.float32(0)
        for i in range(work.size):
            largest = max(largest, abs(work[i]))
        step = np.float32(largest / top) if largest > _TINIEST else np.float32(1)
        codes[out] = 0
        if low:
            inverse = np.float32(np.float32(4) / step)
            for i in range(work.size):
                code = np.int32(_round(np.float32(work[i] * inverse)) + np.int32(2))
                codes[out, i] = np.int8(code >> np.int32(2))
                rest = np.int32((code & np.int32(3)) << np.int32(i % 4 * 2))
                codes[out, low + i // 4] |= np.int8(rest)
        else:
            inverse = np.float32(np.float32(1) / step)
            for i in range(work.size):
                codes[out, i] = np.int8(_round(np.float32(work[i] * inverse)))
        l2 = store.metric == L2
        factors[out, last - 1] = np.float32(square if l2 else np.sqrt(square))
        factors[out, last] = np.float32(step * _ROOT2) if l2 else step


@entry
def _turn_queries(
    signs: NDArray[np.float32],
    queries: NDArray[np.float32],
    metric: int,
    cosine: bool,
    out: NDArray[np.float32],
    factors: NDArray[np.float32],
) -> None:
    for q in range(queries.shape[0]):
        factors[q, 0] = _turned(signs, queries, q, cosine, out[q])
        # Codes of 10 bits count quarters of the step that a row has.
        factors[q, 1] = (_ROOT2 if metric == L2 else np.float32(1)) / np.float32(4)


@entry
def _decode(
    signs: NDArray[np.float32],
    store: Store,
    slots: NDArray[np.int64],
    cosine: bool,
    out: NDArray[np.float32],
) -> None:
    factors = store.scales
    last = factors.shape[1] - 1
    for r in range(slots.size):
        slot = slots[r]
        step = factors[slot, last]
        if store.metric == L2:
            step = np.float32(step / _ROOT2)
        if cosine:
            step = np.float32(step * factors[slot, last - 1])
        if store.low:
            step = np.float32(step / np.float32(4))
        for i in range(store.codes):
            code = code_at(store, slot, i) if store.low else np.int32(store.rows[slot, i])
            out[r, i] = step * np.float32(code)
        _rotate_back(signs, out[r])


def encode(
    config: Config,
    signs: NDArray[np.float32],
    rows: NDArray[np.float32],
    start: int,
    stop: int,
    store: Store,
    to: int,
) -> None:
    """Put the codes of ``rows[start:stop]`` into the rows of `store` from `to`."""
    work = np.empty(config.dim, np.float32)
    top = np.float32(119 if config.codec == "sq4" else 127)
    _encode(signs, rows, start, stop, config.metric == "cosine", top, work, store, to)


def turned_queries(
    config: Config, metric: int, signs: NDArray[np.float32], queries: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rotate queries, to be compared with all 10 bits of rows without codes of their own."""
    out = np.empty((len(queries), config.dim), np.float32)
    factors = np.empty((len(queries), 2), np.float32)
    _turn_queries(signs, queries, metric, config.metric == "cosine", out, factors)
    return out, factors


def decode(
    config: Config, signs: NDArray[np.float32], store: Store, slots: NDArray[Any]
) -> NDArray[np.float32]:
    """Vectors of `slots`, as near as their codes say."""
    out = np.empty((len(slots), config.dim), np.float32)
    _decode(signs, store, slots, config.metric == "cosine", out)
    return out
