"""Rows and queries on their way in: defects, norms, preparation."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.numba_jit import entry, inner
from annx._backends.numba_kernels import decode, load, squared_norm
from annx._backends.numba_layout import SCALED, Store
from annx._backends.numba_norm import stored_square

#: Names of the defects that compiled code numbers from 1.
DEFECTS = ("nan", "inf", "overflow", "zero")
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_LARGEST_SQUARE = _FLOAT32_MAX / 4
#: Beneath it 1 / |row| overflows float32.
_NO_DIRECTION = 1e-76


@inner
def _defect(rows: Any, r: int, cosine: bool) -> tuple[int, float]:
    """Kind of defect, or 0, and |row|^2."""
    square = squared_norm(rows, r)
    if square <= _LARGEST_SQUARE:
        return (4 if cosine and square < _NO_DIRECTION else 0), square
    if np.isfinite(square):
        return 3, square
    for j in range(rows.shape[1]):
        if np.isnan(np.float64(decode(rows[r, j]))):
            return 1, square
    return 2, square


@entry
def _find(rows: Any, cosine: bool) -> tuple[int, int]:
    for r in range(rows.shape[0]):
        kind, _ = _defect(rows, r, cosine)
        if kind:
            return r, kind
    return -1, 0


@entry
def _prepare(
    rows: Any, cosine: bool, late: bool, out: Any, scales: NDArray[np.float32]
) -> tuple[int, int]:
    for r in range(rows.shape[0]):
        kind, square = _defect(rows, r, cosine)
        if kind:
            return r, kind
        unit = 1 / np.sqrt(square) if cosine else 1.0
        if late:
            load(rows, r, 1.0, out, r)
            scales[r] = unit
        else:
            scales[r] = load(rows, r, unit, out, r)
    return -1, 0


@entry
def store_rows(store: Store, slot: int, rows: Any, start: int, stop: int, unit: bool) -> None:
    """Put ``rows[start:stop]`` into the slots from `slot`; `unit` divides by the norm."""
    for r in range(start, stop):
        target = slot + r - start
        if unit:
            norm = np.sqrt(stored_square(rows, r))
            store.scales[target] = norm
            for j in range(rows.shape[1]):
                store.rows[target, j] = rows[r, j] * (1 / norm)
        else:
            for j in range(rows.shape[1]):
                store.rows[target, j] = rows[r, j]
            if store.metric == SCALED:
                store.scales[target] = 1 / np.sqrt(stored_square(rows, r))


def find_defect(rows: NDArray[Any], cosine: bool) -> tuple[int, str] | None:
    """First row that cannot be stored, and why."""
    row, kind = _find(rows, cosine)
    return (row, DEFECTS[kind - 1]) if kind else None


def prepare(
    rows: NDArray[Any], cosine: bool, late: bool, out: NDArray[Any], scales: NDArray[Any]
) -> tuple[int, str] | None:
    """Fill `out` and `scales` with what the kernels compare, or report a defect.

    `late` leaves floats as they are, to be scaled after the sum.
    """
    row, kind = _prepare(rows, cosine, late, out, scales)
    return (row, DEFECTS[kind - 1]) if kind else None
