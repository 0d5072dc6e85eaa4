"""Rows and queries on their way in: defects, norms, preparation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import decode, load, squared_norm
from annx._backends.numba_layout import SCALED, Store

#: Names of the defects that compiled code numbers from 1.
DEFECTS = ("nan", "inf", "overflow", "zero")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_LARGEST_SQUARE = _FLOAT32_MAX / 4
#: A shorter row's 1 / |row| is infinite in float32; only bfloat16 has such rows.
_SMALLEST_SQUARE = _FLOAT32_MAX**-2


@inner
def _defect(rows: Any, r: int, cosine: bool, smallest: float) -> tuple[int, float]:
    """Kind of defect, or 0, and |row|^2."""
    square = squared_norm(rows, r)
    if square <= _LARGEST_SQUARE:
        return (4 if cosine and square <= smallest else 0), square
    if np.isfinite(square):
        return 3, square
    for j in range(rows.shape[1]):
        if np.isnan(np.float64(decode(rows[r, j]))):
            return 1, square
    return 2, square


@entry
def _find(rows: Any, cosine: bool, smallest: float) -> tuple[int, int]:
    for r in range(rows.shape[0]):
        kind, _ = _defect(rows, r, cosine, smallest)
        if kind:
            return r, kind
    return -1, 0


@entry
def _prepare(
    rows: Any, cosine: bool, smallest: float, out: Any, scales: NDArray[np.float32]
) -> tuple[int, int]:
    for r in range(rows.shape[0]):
        kind, square = _defect(rows, r, cosine, smallest)
        if kind:
            return r, kind
        scales[r] = load(rows, r, 1 / np.sqrt(square) if cosine else 1.0, out, r)
    return -1, 0


@entry
def store_rows(store: Store, slot: int, rows: Any, start: int, stop: int, unit: bool) -> None:
    """Put ``rows[start:stop]`` into the slots from `slot`; `unit` divides by the norm."""
    for r in range(start, stop):
        target = slot + r - start
        if unit:
            norm = np.sqrt(squared_norm(rows, r))
            store.scales[target] = norm
            for j in range(rows.shape[1]):
                store.rows[target, j] = rows[r, j] * (1 / norm)
        else:
            for j in range(rows.shape[1]):
                store.rows[target, j] = rows[r, j]
            if store.metric == SCALED:
                store.scales[target] = 1 / np.sqrt(squared_norm(rows, r))


def _smallest(metric: int) -> float:
    return _SMALLEST_SQUARE if metric == SCALED else 0.0


def find_defect(rows: NDArray[Any], cosine: bool, metric: int) -> tuple[int, str] | None:
    """First row that cannot be stored, and why."""
    row, kind = _find(rows, cosine, _smallest(metric))
    return (row, DEFECTS[kind - 1]) if kind else None


def prepare(
    rows: NDArray[Any], cosine: bool, metric: int, out: NDArray[Any], scales: NDArray[Any]
) -> tuple[int, str] | None:
    """Fill `out` and `scales` with what the kernels compare, or report a defect."""
    row, kind = _prepare(rows, cosine, _smallest(metric), out, scales)
    return (row, DEFECTS[kind - 1]) if kind else None
