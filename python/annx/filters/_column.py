"""One field of all rows: typed cells, and how they are filled and emptied."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.filters import _dates
from annx.filters._cells import Bools, Cells, Ints
from annx.filters._dictionary import Dictionary
from annx.filters._numbers import EXACT, INT64
from annx.filters._slots import RowTable, fit
from annx.filters._values import Scalar

#: A field in fewer rows than one in `_RARE` keeps a table of its rows; one in more than one in
#: `_COMMON` a cell for every row. A cell takes 9 bytes, an entry of the table 8 beside its cell.
_RARE = 16
_COMMON = 4
#: Rows remembered as changed, of which masks made before need to be corrected.
_CHANGES = 1024
#: Cells cleared before a dictionary is searched for values that no row has any more.
_FEW = 1024


class _NeedsFloats(Exception):
    """A float among the ints of a field."""


class Column:
    """Values of one field.

    A field may hold values of every kind, each kind in cells of its own; most hold one. Numbers
    are int64 until the first float, then float64; ints that the array cannot hold exactly go to
    a dictionary of Python ints. So do strings; dates of the usual spellings are packed in int64.
    """

    __slots__ = (
        "big",
        "bigs",
        "booleans",
        "borrowed",
        "changes",
        "cleared",
        "dates",
        "floats",
        "numbers",
        "string",
        "strings",
        "table",
        "version",
    )

    def __init__(self) -> None:
        self.version = 0
        self.changes: list[tuple[int, Ints]] = []
        self.cleared = 0
        self.borrowed = False
        self.table: RowTable | None = RowTable()
        self.strings = Dictionary()
        self.bigs = Dictionary()
        self.set_cells(False)

    def set_cells(self, floats: bool) -> None:
        """Start with empty cells."""
        self.floats = floats
        self.numbers = Cells(np.float64, np.nan, True) if floats else Cells(np.int64, 0, False)
        self.booleans = Cells(np.uint8, 2, True)
        self.dates = Cells(np.int64, 0, False)
        self.string = Cells(np.int32, -1, True)
        self.big = Cells(np.int32, -1, True)

    @property
    def cells(self) -> tuple[Cells, ...]:
        """The cells of each kind, in the order of facets."""
        return (self.booleans, self.numbers, self.big, self.dates, self.string)

    @property
    def size(self) -> int:
        """Slots there are."""
        return self.table.size if self.table else max(cells.size for cells in self.cells)

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        table = self.table.rows.nbytes if self.table else 0
        cells = sum(cells.nbytes for cells in self.cells)
        return table + cells + self.strings.nbytes + self.bigs.nbytes

    @property
    def held(self) -> bool:
        """Whether any slot has a value."""
        return any(cells.singles or cells.used > cells.dead for cells in self.cells)

    def filled(self) -> Bools:
        """Whether each slot has a value."""
        size = self.size
        out = np.zeros(size, np.bool_)
        for cells in self.cells:
            if cells.size:
                out[: cells.size] |= cells.filled()
        return out

    def to_rows(self, hits: Bools, extent: int) -> Bools:
        """Return a mask by row of a mask by slot."""
        return self.table.to_rows(hits, extent) if self.table else fit(hits, extent)

    def slots_of(self, rows: Ints) -> Ints:
        """Return the slots of rows, -1 for those that have none."""
        if self.table:
            return self.table.find(rows)
        return np.where(rows < self.size, rows, -1)

    def clear(self, rows: Ints) -> None:
        """Take the values of rows away."""
        slots = self.slots_of(rows)
        slots = slots[slots >= 0]
        taken = sum(cells.clear(slots) for cells in self.cells) if len(slots) else 0
        if taken:
            self._note(rows)
            self.cleared += taken
            if self.cleared > max(_FEW, (len(self.strings) + len(self.bigs)) // 2):
                self._forget()

    def put(self, rows: Ints, values: Sequence[list[Scalar]]) -> None:
        """Give ascending rows, which have none, their values."""
        self._note(rows)
        self._make_room(rows)
        slots = self.table.add(rows) if self.table else rows
        try:
            batch = _Batch(slots.tolist(), values, self.floats)
        except _NeedsFloats:
            self._to_floats()
            batch = _Batch(slots.tolist(), values, self.floats)
        for cells, kind in (
            (self.numbers, batch.numbers),
            (self.booleans, batch.booleans),
            (self.dates, batch.dates),
        ):
            if kind.slots:
                cells.put(*kind.arrays(cells.values.dtype))
        if batch.strings.slots:
            self.string.put(*batch.strings.coded(self.strings))
        if batch.bigs.slots:
            self.big.put(*batch.bigs.coded(self.bigs))

    def _note(self, rows: Ints) -> None:
        """Remember that rows change."""
        self.version += 1
        self.changes.append((self.version, rows))
        while sum(len(changed) for _, changed in self.changes) > _CHANGES:
            del self.changes[0]

    def changed_since(self, version: int) -> Ints | None:
        """Return the rows that changed since a version; None where they are forgotten."""
        later = [rows for number, rows in self.changes if number > version]
        if len(later) != self.version - version:
            return None
        return np.unique(np.concatenate(later)) if later else np.empty(0, np.int64)

    def subset(self, rows: Ints) -> Column:
        """Return a column that holds the values of some rows, the first in row 0, and so on."""
        new = Column()
        new.table = None
        new.strings, new.bigs, new.borrowed = self.strings, self.bigs, True
        new.set_cells(self.floats)
        slots = self.slots_of(rows)
        for cells, copy in zip(self.cells, new.cells, strict=True):
            counts, values = cells.at(slots)
            filled = np.flatnonzero(counts)
            copy.put(filled, counts[filled], values)
        return new

    def _make_room(self, rows: Ints) -> None:
        extent, size = int(rows[-1]) + 1, self.size
        if self.table:
            # Counting takes as long as copying, so only when the table has to grow anyway.
            if size + len(rows) <= len(self.table.rows):
                return
            count = int(np.count_nonzero(self.filled()))
            if (count + len(rows)) * _COMMON >= max(extent, self._last_row() + 1):
                self._move(None)
            elif count < size // 2:
                self._move(RowTable(np.sort(self.table.rows[:size][self.filled()])))
        elif extent > max(len(cells.values) for cells in self.cells):
            filled = self.filled()
            if (np.count_nonzero(filled) + len(rows)) * _RARE < extent:
                self._move(RowTable(np.flatnonzero(filled)))

    def _last_row(self) -> int:
        assert self.table
        return int(self.table.rows[: self.table.size].max()) if self.table.size else -1

    def _move(self, table: RowTable | None) -> None:
        """Put every value where a table, or none, has its row."""
        before, old, empty = self.cells, self.table, not self.size
        self.table = table
        if empty:
            return
        self.set_cells(self.floats)
        for cells, new in zip(before, self.cells, strict=True):
            if not cells.size:
                continue
            slots, values = cells.pairs()
            rows = old.rows[slots] if old else slots
            new.put_pairs(table.find(rows) if table else rows, values)

    def _to_floats(self) -> None:
        slots, values = self.numbers.pairs()
        exact = (values >= -EXACT) & (values <= EXACT)
        self.floats = True
        self.numbers = Cells(np.float64, np.nan, True)
        self.numbers.put_pairs(slots[exact], values[exact].astype(np.float64))
        old_slots, old_codes = self.big.pairs()
        codes = self.bigs.encode(values[~exact].tolist())
        self.big = Cells(np.int32, -1, True)
        self.big.put_pairs(
            np.concatenate([old_slots, slots[~exact]]), np.concatenate([old_codes, codes])
        )

    def _forget(self) -> None:
        """Drop what no row has any more from the dictionaries."""
        self.cleared = 0
        self.strings = _without_dead(self.strings, self.string)
        self.bigs = _without_dead(self.bigs, self.big)

    def sort(self) -> None:
        """Put dictionaries in order, if they are not nearly so."""
        for dictionary, cells in ((self.strings, self.string), (self.bigs, self.big)):
            if not self.borrowed and (new := dictionary.sort()) is not None:
                _recode(cells, new)


def _without_dead(dictionary: Dictionary, cells: Cells) -> Dictionary:
    used = np.zeros(len(dictionary), np.bool_)
    used[cells.pairs()[1]] = True
    alive = np.flatnonzero(used)
    if 2 * len(alive) > len(dictionary):
        return dictionary
    new = np.full(len(dictionary), -1, np.int32)
    new[alive] = np.arange(len(alive))
    _recode(cells, new)
    return Dictionary([dictionary.items[code] for code in alive.tolist()])


def _recode(cells: Cells, new: NDArray[np.int32]) -> None:
    new = np.append(new, np.int32(-1))  # where the code of an empty cell looks
    cells.postings = None
    for codes in (cells.values[: cells.size], cells.pool[: cells.used]):
        new.take(codes, out=codes, mode="wrap")


class _Kind:
    """Values of one kind in a batch."""

    __slots__ = ("counts", "slots", "values")

    def __init__(self) -> None:
        self.slots: list[int] = []
        self.counts: list[int] = []
        self.values: list[Any] = []

    def add(self, slot: int, value: Any) -> None:
        if self.slots and self.slots[-1] == slot:
            self.counts[-1] += 1
        else:
            self.slots.append(slot)
            self.counts.append(1)
        self.values.append(value)

    def arrays(self, dtype: Any) -> tuple[Ints, Ints, NDArray[Any]]:
        return self._places() + (np.array(self.values, dtype),)

    def coded(self, dictionary: Dictionary) -> tuple[Ints, Ints, NDArray[np.int32]]:
        return self._places() + (dictionary.encode(self.values),)

    def _places(self) -> tuple[Ints, Ints]:
        return np.array(self.slots, np.int64), np.array(self.counts, np.int64)


class _Batch:
    """Values of a batch by kind."""

    __slots__ = ("bigs", "booleans", "dates", "numbers", "strings")

    def __init__(self, slots: Iterable[int], values: Iterable[list[Scalar]], floats: bool) -> None:
        self.numbers, self.booleans, self.dates = _Kind(), _Kind(), _Kind()
        self.strings, self.bigs = _Kind(), _Kind()
        low, high = (-EXACT, EXACT) if floats else (INT64.min, INT64.max)
        for slot, several in zip(slots, values, strict=True):
            for value in several:
                if isinstance(value, str):
                    packed = _dates.pack(value)
                    if packed is None:
                        self.strings.add(slot, value)
                    else:
                        self.dates.add(slot, packed)
                elif isinstance(value, bool):
                    self.booleans.add(slot, value)
                elif isinstance(value, float):
                    if not floats:
                        raise _NeedsFloats
                    self.numbers.add(slot, value)
                elif low <= value <= high:
                    self.numbers.add(slot, value)
                else:
                    self.bigs.add(slot, value)
