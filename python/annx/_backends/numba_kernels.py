"""Distances: one query against one stored row, or against a list of them.

The element type decides the arithmetic when a function is compiled: float32, int16
(the bits of a half), uint16 (bfloat16), int8, uint8, and uint64 (packed bits).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload
from numpy.typing import NDArray

from annx._backends.numba_jit import (
    VECTOR_MATH,
    half_to_float,
    inlined,
    inner,
    inner_math,
    popcount,
    prefetch,
)
from annx._backends.numba_layout import L2, SCALED, Store

_types: Any = types

#: Most elements whose sum fits 32 bits: 33,025 * 255^2 < 2^31. Vectorised as 16-bit
#: products added in pairs (vpmaddwd).
_INT32_DIM = 33025
#: Bytes asked for ahead of a row's turn; the hardware streams the rest.
_AHEAD = 512
_LINE = 64


def _overload(function: Any, **options: Any) -> Any:
    # Not strict: a lambda carries no annotations, its template does.
    return overload(function, strict=False, **options)


def decode(value: Any) -> Any:
    """Turn a stored element into what is summed; integers stay as they are."""
    raise NotImplementedError


@_overload(decode)  # type: ignore[untyped-decorator]
def _decode(value: Any) -> Any:
    if value == _types.int16:
        return lambda value: half_to_float(value)
    if value == _types.uint16:
        return lambda value: np.uint32(np.uint32(value) << np.uint32(16)).view(np.float32)
    return lambda value: value


@inner_math
def _float_l2(query: Any, i: int, rows: Any, s: int) -> np.float32:
    total = np.float32(0)
    for j in range(rows.shape[1]):
        gap = decode(query[i, j]) - decode(rows[s, j])
        total += gap * gap
    return total


@inner_math
def _float_dot(query: Any, i: int, rows: Any, s: int) -> np.float32:
    total = np.float32(0)
    for j in range(rows.shape[1]):
        total += decode(query[i, j]) * decode(rows[s, j])
    return total


@inner
def _int_l2(query: Any, i: int, rows: Any, s: int) -> np.int64:
    if rows.shape[1] <= _INT32_DIM:
        short = np.int32(0)
        for j in range(rows.shape[1]):
            gap = np.int16(np.int16(query[i, j]) - np.int16(rows[s, j]))
            short = np.int32(short + np.int32(np.int32(gap) * np.int32(gap)))
        return np.int64(short)
    total = np.int64(0)
    for j in range(rows.shape[1]):
        wide = np.int32(query[i, j]) - np.int32(rows[s, j])
        total += wide * wide
    return total


@inner
def _int_dot(query: Any, i: int, rows: Any, s: int, columns: int) -> np.int64:
    if columns <= _INT32_DIM:
        short = np.int32(0)
        for j in range(columns):
            short = np.int32(short + np.int32(np.int32(query[i, j]) * np.int32(rows[s, j])))
        return np.int64(short)
    total = np.int64(0)
    for j in range(columns):
        total += np.int32(query[i, j]) * np.int32(rows[s, j])
    return total


# Floats against whole numbers are summed in float64, which is exact where the floats
# are whole as well: a query's distances do not depend on which kernel serves its batch.
@inner_math
def _wide_l2(query: Any, i: int, rows: Any, s: int) -> np.float64:
    total = np.float64(0)
    for j in range(rows.shape[1]):
        gap = np.float64(query[i, j]) - np.float64(rows[s, j])
        total += gap * gap
    return total


@inner_math
def _wide_dot(query: Any, i: int, rows: Any, s: int) -> np.float64:
    total = np.float64(0)
    for j in range(rows.shape[1]):
        total += np.float64(query[i, j]) * np.float64(rows[s, j])
    return total


@inner
def _hamming(query: Any, i: int, rows: Any, s: int) -> np.float32:
    total = np.int64(0)
    for j in range(rows.shape[1]):
        total += popcount(query[i, j] ^ rows[s, j])
    return np.float32(total)


@inlined
def _float_distance(store: Store, query: Any, i: int, scale: np.float32, s: int) -> np.float32:
    if store.metric == L2:
        return _float_l2(query, i, store.rows, s)
    dot = _float_dot(query, i, store.rows, s)
    if store.metric == SCALED:
        dot = np.float32(np.float32(dot * scale) * store.scales[s])
    return np.float32(np.float32(1) - dot)


@inlined
def _int_distance(store: Store, query: Any, i: int, scale: np.float32, s: int) -> np.float32:
    if store.metric == L2:
        return np.float32(_int_l2(query, i, store.rows, s))
    dot = _int_dot(query, i, store.rows, s, store.rows.shape[1])
    if store.metric == SCALED:
        cosine = np.float32(np.float32(np.float32(dot) * scale) * store.scales[s])
        return np.float32(np.float32(1) - cosine)
    return np.float32(1 - dot)


@inlined
def _wide_distance(store: Store, query: Any, i: int, scale: np.float32, s: int) -> np.float32:
    if store.metric == L2:
        return np.float32(_wide_l2(query, i, store.rows, s))
    dot = np.float32(_wide_dot(query, i, store.rows, s))
    if store.metric == SCALED:
        dot = np.float32(np.float32(dot * scale) * store.scales[s])
    return np.float32(np.float32(1) - dot)


@inlined
def _positive(store: Store, distance: Any) -> np.float32:
    """Rounding may take a small squared distance below 0."""
    return np.float32(0) if store.metric == L2 and distance < 0 else np.float32(distance)


@inlined
def _scaled_distance(store: Store, query: Any, i: int, scale: Any, s: int) -> np.float32:
    offset, step = scale_of(store, s)
    dot = np.float32(_int_dot(query, i, store.rows, s, store.codes))
    offset = np.float32(scale[0] + offset)
    return _positive(store, np.float32(offset - np.float32(np.float32(scale[1] * step) * dot)))


@inlined
def code_at(store: Store, s: int, j: int) -> int:
    """One code of 10 bits of a row, in quarters of its step."""
    low = np.int32(store.rows[s, store.low + j // 4]) >> np.int32(j % 4 * 2)
    return np.int32(np.int32(4) * np.int32(store.rows[s, j]) + (low & np.int32(3)) - np.int32(2))


@inner_math
def _fine_dot(query: Any, i: int, store: Store, s: int) -> np.float32:
    total = np.float32(0)
    for j in range(store.codes):
        total += query[i, j] * np.float32(code_at(store, s, j))
    return total


@inlined
def _fine_distance(store: Store, query: Any, i: int, scale: Any, s: int) -> np.float32:
    offset, step = scale_of(store, s)
    offset = np.float32(scale[0] + offset)
    dot = _fine_dot(query, i, store, s)
    return _positive(store, np.float32(offset - np.float32(np.float32(scale[1] * step) * dot)))


@inlined
def _bit_distance(store: Store, query: Any, i: int, scale: np.float32, s: int) -> np.float32:
    return _hamming(query, i, store.rows, s)


def distance(store: Store, query: Any, i: int, scale: Any, s: int) -> np.float32:
    """Distance from ``query[i]`` to the row of slot `s`.

    `query` is an array that `load` filled, or ``store.rows`` itself; `scale` is
    what `load` returned, or `scale_at` its row. Against codes of 10 bits, a query of float32 is
    compared with all bits, codes with the upper ones.
    """
    raise NotImplementedError


@_overload(distance, jit_options={"forceinline": True})  # type: ignore[untyped-decorator]
def _distance(store: Any, query: Any, i: Any, scale: Any, s: Any) -> Any:
    element = store.types[store.fields.index("rows")].dtype
    if element == _types.uint64:
        return lambda store, query, i, scale, s: _bit_distance(store, query, i, scale, s)
    if isinstance(scale, _types.BaseTuple):
        if query.dtype == _types.float32:
            return lambda store, query, i, scale, s: _fine_distance(store, query, i, scale, s)
        return lambda store, query, i, scale, s: _scaled_distance(store, query, i, scale, s)
    if element in (_types.int8, _types.uint8):
        if query.dtype == _types.float32:
            return lambda store, query, i, scale, s: _wide_distance(store, query, i, scale, s)
        return lambda store, query, i, scale, s: _int_distance(store, query, i, scale, s)
    return lambda store, query, i, scale, s: _float_distance(store, query, i, scale, s)


def scale_at(metric: int, scales: NDArray[np.float32], r: int) -> Any:
    """What a row adds to its elements in a distance.

    ``1 / |row|`` where the metric needs it, else 1; with scaled codecs the pair of what it adds to
    every distance and what it multiplies every dot product by.
    """
    raise NotImplementedError


@_overload(scale_at, jit_options={"forceinline": True})  # type: ignore[untyped-decorator]
def _scale_at(metric: Any, scales: Any, r: Any) -> Any:
    if scales.ndim == 2:

        def pair(metric: Any, scales: Any, r: Any) -> Any:
            last = scales.shape[1] - 1
            offset = scales[r, last - 1] if metric == L2 else np.float32(0.5)
            return offset, scales[r, last]

        return pair
    return lambda metric, scales, r: scales[r] if metric == SCALED else np.float32(1)


@inlined
def scale_of(store: Store, s: int) -> Any:
    """`scale_at` a stored row."""
    return scale_at(store.metric, store.scales, s)


@inlined
def ask_for(store: Store, s: int) -> None:
    """Prefetch the beginning of a row."""
    size = store.rows.shape[1] * store.rows.itemsize
    for offset in range(0, min(size, _AHEAD), _LINE):
        prefetch(store.rows, s, offset)


@inner
def distances(
    store: Store,
    query: Any,
    i: int,
    scale: Any,
    slots: NDArray[np.uint32],
    count: int,
    out: NDArray[np.float32],
) -> None:
    """Distances from ``query[i]`` to the first `count` of `slots`."""
    for n in range(count):
        out[n] = distance(store, query, i, scale, np.int64(slots[n]))


@inner
def code_distance(store: Store, a: int, b: int) -> np.float32:
    """Distance between two stored rows."""
    return distance(store, store.rows, a, scale_of(store, a), b)


def load(rows: Any, r: int, scale: Any, out: Any, o: int) -> Any:
    """Prepare ``rows[r]`` for comparison in ``out[o]`` and return its remaining scale.

    Float codecs are decoded and multiplied by `scale` here; integers stay exact and
    are scaled after the sum.
    """
    raise NotImplementedError


@_overload(load)  # type: ignore[untyped-decorator]
def _load(rows: Any, r: Any, scale: Any, out: Any, o: Any) -> Any:
    if isinstance(scale, _types.BaseTuple):

        def codes(rows: Any, r: Any, scale: Any, out: Any, o: Any) -> Any:
            for j in range(rows.shape[1]):
                out[o, j] = rows[r, j]
            return scale

        return codes
    if rows.dtype in (_types.int8, _types.uint8, _types.uint64):

        def integers(rows: Any, r: Any, scale: Any, out: Any, o: Any) -> np.float32:
            for j in range(rows.shape[1]):
                out[o, j] = rows[r, j]
            return np.float32(scale)

        return integers

    def floats(rows: Any, r: Any, scale: Any, out: Any, o: Any) -> np.float32:
        if scale == 1.0:
            for j in range(rows.shape[1]):
                out[o, j] = decode(rows[r, j])
        else:
            for j in range(rows.shape[1]):
                out[o, j] = np.float32(np.float64(decode(rows[r, j])) * np.float64(scale))
        return np.float32(1)

    return floats


def squared_norm(rows: Any, r: int) -> np.float64:
    """|row|^2, NaN or infinite as its elements are."""
    raise NotImplementedError


# Vector lanes matter here: every row and query passes through once.
@_overload(squared_norm, jit_options={"fastmath": VECTOR_MATH})  # type: ignore[untyped-decorator]
def _squared_norm(rows: Any, r: Any) -> Any:
    if rows.dtype == _types.uint64:
        return lambda rows, r: np.float64(1)

    def impl(rows: Any, r: Any) -> np.float64:
        total = np.float64(0)
        for j in range(rows.shape[1]):
            value = np.float64(decode(rows[r, j]))
            total += value * value
        return total

    return impl
