"""The columns of all fields, each brought up to date when it is asked for.

Documents may have any number of different keys, of which a filter asks for a few. So a change of a
row is noted once, and a column reads the notes when somebody wants it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from annx.filters._cells import Ints
from annx.filters._column import Column
from annx.filters._values import Scalar

#: What filters see of a document, by field; None: there is none any more.
Seen = dict[str, list[Scalar]] | None

#: Notes that wait for columns, and values in them.
_PENDING = 16_384
_PENDING_VALUES = 1 << 20


class _Tail(NamedTuple):
    """The last notes in short.

    Attributes
    ----------
    after : int
        Notes that there are before them.
    old : ndarray of int64
        Rows that had a document before one of them, ascending.
    latest : list of (row, Seen)
        The last of each row, in order of rows.
    """

    after: int
    old: Ints
    latest: list[tuple[int, Seen]]


class Fields:
    """Columns by field.

    Parameters
    ----------
    columns : dict of str to Column, optional
    """

    def __init__(self, columns: dict[str, Column] | None = None) -> None:
        self._columns = {} if columns is None else columns
        self._notes: list[tuple[int, Seen]] = []
        self._values = 0
        # Of each note, whether the row had a document before it.
        self._had: list[bool] = []
        # Fields that notes have values of.
        self._noted: set[str] = set()
        # Notes that a column has read; none if it is not named.
        self._read: dict[str, int] = {}
        self._tail: _Tail | None = None

    def note(self, rows: Iterable[int], seen: Iterable[Seen], had: Iterable[bool]) -> None:
        """Put documents into rows, or take those away.

        Parameters
        ----------
        rows : iterable of int
        seen : iterable of Seen
        had : iterable of bool
            Whether each row had a document.
        """
        before = len(self._notes)
        self._notes.extend(zip(rows, seen, strict=True))
        self._had.extend(had)
        for _, each in self._notes[before:]:
            if each is not None:
                self._noted.update(each)
                self._values += sum(map(len, each.values()))
        self._tail = None
        if len(self._notes) >= _PENDING or self._values >= _PENDING_VALUES:
            self._settle()

    def names(self) -> list[str]:
        """Return all fields that were ever seen, in order."""
        return sorted(self._columns.keys() | self._noted)

    def get(self, name: str) -> Column | None:
        """Return the column of a field as of now; None where there never was a value."""
        count = self._read.get(name, 0)
        if count < len(self._notes) and (name in self._columns or name in self._noted):
            tail = self._since(count)
            values = [(row, seen[name]) for row, seen in tail.latest if seen and name in seen]
            self._bring(name, tail.old, values)
            self._read[name] = len(self._notes)
        return self._columns.get(name)

    def all(self) -> dict[str, Column]:
        """Return all columns as of now."""
        self._settle()
        return self._columns

    def _settle(self) -> None:
        """Let all columns read all notes, which are dropped."""
        # By what they have read: those that were asked for lately have less before them.
        groups: dict[int, list[str]] = {}
        for name in [*self._columns, *sorted(self._noted - self._columns.keys())]:
            groups.setdefault(self._read.get(name, 0), []).append(name)
        for count, names in groups.items():
            tail = self._since(count)
            by_field: dict[str, list[tuple[int, list[Scalar]]]] = {}
            for row, seen in tail.latest:
                for name, values in (seen or {}).items():
                    by_field.setdefault(name, []).append((row, values))
            for name in names:
                self._bring(name, tail.old, by_field.get(name, []))
        self._drop_notes()

    def _bring(self, name: str, old: Ints, values: list[tuple[int, list[Scalar]]]) -> None:
        column = self._columns.get(name)
        if column is None:
            if not values:
                return
            column = self._columns[name] = Column()
        elif len(old):
            column.clear(old)
        if values:
            rows = np.array([row for row, _ in values], np.int64)
            column.put(rows, [each for _, each in values])

    def _since(self, count: int) -> _Tail:
        """Sum up the notes after the first so many."""
        if self._tail is None or self._tail.after != count:
            some = self._notes[count:]
            old = {row for (row, _), had in zip(some, self._had[count:], strict=True) if had}
            self._tail = _Tail(count, np.array(sorted(old), np.int64), sorted(dict(some).items()))
        return self._tail

    def _drop_notes(self) -> None:
        self._notes.clear()
        self._values = 0
        self._had.clear()
        self._noted.clear()
        self._read.clear()
        self._tail = None

    def clear(self) -> None:
        """Forget all."""
        self._drop_notes()
        self._columns.clear()
