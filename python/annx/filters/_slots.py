"""Where a field keeps which row: at the row's own number, or in a table of the rows it has."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from annx.filters._cells import Bools, Ints, grown


class RowTable:
    """Rows by slot, for a field that few of the rows have.

    Rows grow with time, so that a new one mostly comes last; a search in order of slots finds
    a row then. Otherwise an order is made once and kept until the next new row.
    """

    __slots__ = ("_ascending", "_order", "rows", "size")

    def __init__(self, rows: Ints | None = None) -> None:
        self.rows: Ints = np.empty(0, np.int64) if rows is None else rows
        self.size = len(self.rows)
        self._order: Ints | None = None
        self._ascending = rows is None or bool(np.all(rows[1:] > rows[:-1]))

    def find(self, rows: Ints) -> Ints:
        """Return the slot of each row, -1 for rows that have none."""
        if not self.size:
            return np.full(len(rows), -1)
        known = self.rows[: self.size]
        if not self._ascending and self._order is None:
            self._order = np.argsort(known, kind="stable")
        places = np.searchsorted(known, rows, sorter=self._order)
        places = np.minimum(places, self.size - 1)
        slots = places if self._order is None else self._order[places]
        return np.where(known[slots] == rows, slots, -1)

    def add(self, rows: Ints) -> Ints:
        """Return the slots of ascending rows, new ones where they have none."""
        slots = self.find(rows)
        fresh = slots < 0
        new = rows[fresh]
        if len(new):
            self._ascending &= not self.size or bool(new[0] > self.rows[self.size - 1])
            self._order = None
            end = self.size + len(new)
            self.rows = grown(self.rows, end, -1)
            self.rows[self.size : end] = new
            slots[fresh] = np.arange(self.size, end)
            self.size = end
        return slots

    def to_rows(self, hits: Bools, extent: int) -> Bools:
        """Return a mask by row of a mask by slot."""
        out = np.zeros(extent, np.bool_)
        out[self.rows[np.flatnonzero(hits)]] = True
        return out


def fit(mask: Bools, extent: int) -> Bools:
    """Return a mask of just `extent`, False where there was none."""
    if len(mask) >= extent:
        return mask[:extent]
    out = np.zeros(extent, np.bool_)
    out[: len(mask)] = mask
    return out


def at(mask: NDArray[np.bool_], places: Ints) -> Bools:
    """Return a mask at places, False beyond its end."""
    inside = places < len(mask)
    return np.asarray(mask[np.where(inside, places, 0)] & inside) if len(mask) else inside & False
