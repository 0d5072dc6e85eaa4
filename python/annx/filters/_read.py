"""Values of a column for those who want them back: facets, group caps, priors, features."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.filters import _dates
from annx.filters._cells import Bools, Cells, Ints
from annx.filters._column import Column
from annx.filters._dictionary import Dictionary
from annx.filters._slots import at
from annx.filters._values import Scalar

Decoder = Callable[[NDArray[Any]], list[Any]]


def _by_code(dictionary: Dictionary) -> Decoder:
    return lambda codes: [dictionary.items[code] for code in codes.tolist()]


def decoders(column: Column) -> list[tuple[Cells, Decoder]]:
    """Return each kind's cells and what makes values of their elements, in order of kinds."""
    return [
        (column.booleans, lambda held: held.astype(np.bool_).tolist()),
        (column.numbers, lambda held: held.tolist()),
        (column.big, _by_code(column.bigs)),
        (column.dates, lambda held: list(map(_dates.unpack, held.tolist()))),
        (column.string, _by_code(column.strings)),
    ]


def values(column: Column, rows: Ints) -> list[Any]:
    """Return for each row None, its value, or a list of its values."""
    slots = column.slots_of(rows)
    out: list[Any] = [None] * len(rows)
    for cells, decode in decoders(column):
        counts, held = cells.at(slots)
        decoded = iter(decode(held))
        for place in np.flatnonzero(counts).tolist():
            taken = [next(decoded) for _ in range(int(counts[place]))]
            before = out[place]
            if before is not None:
                taken = [*(before if isinstance(before, list) else [before]), *taken]
            out[place] = taken[0] if len(taken) == 1 else taken
    return out


def numbers(column: Column, rows: Ints) -> NDArray[np.float64]:
    """Return for each row its first number, else its date in seconds, else NaN."""
    slots = column.slots_of(rows)
    out = np.full(len(rows), np.nan)
    missing = np.ones(len(rows), np.bool_)
    strings = column.strings

    def of_strings(codes: NDArray[Any]) -> NDArray[np.float64]:
        instants, dated = strings.instants(), strings.dated(lambda held: held == held)
        known = np.full(len(strings), np.nan)
        known[dated] = instants[dated] / 1e6
        return np.asarray(known[codes])

    for cells, convert in (
        (column.numbers, lambda held: held.astype(np.float64)),
        (column.big, lambda codes: np.array([_float(column.bigs.items[c]) for c in codes])),
        (column.booleans, lambda held: held.astype(np.float64)),
        (column.dates, _dates.seconds),
        (column.string, of_strings),
    ):
        counts, held = cells.at(slots)
        takes = missing & (counts > 0)
        if takes.any():
            first = (np.cumsum(counts) - counts)[takes]
            out[takes] = convert(held[first])
            missing &= ~takes
    return out


def _float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return float("inf") if number > 0 else float("-inf")


def facets(column: Column, allowed: Bools, limit: int | None) -> list[tuple[Scalar, int]]:
    """Count the allowed rows that hold each value, most frequent first."""
    table = column.table
    mask = at(allowed, table.rows[: table.size] if table else np.arange(column.size))
    found: list[tuple[int, int, Scalar]] = []
    for order, (cells, decode) in enumerate(decoders(column)):
        held = cells.pairs(mask[: cells.size])[1]
        if held.dtype == np.int32:  # codes
            counts = np.bincount(held) if len(held) else np.empty(0, np.int64)
            different = np.flatnonzero(counts)
            counts = counts[different]
        else:
            different, counts = np.unique(held, return_counts=True)
        if limit is not None and len(counts) > limit:
            least = np.partition(counts, len(counts) - limit)[len(counts) - limit]
            kept = counts >= least
            different, counts = different[kept], counts[kept]
        decoded = decode(different)
        found.extend(zip((-counts).tolist(), [order] * len(decoded), decoded, strict=True))
    found.sort(key=_rank)
    return [(value, -count) for count, _, value in found[:limit]]


def _rank(entry: tuple[int, int, Scalar]) -> tuple[int, int, Any]:
    count, order, value = entry
    return count, order, float("inf") if value != value else value
