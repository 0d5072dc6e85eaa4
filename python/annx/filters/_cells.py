"""Values of one kind of one field, in arrays by slot: none, one or several a slot."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.filters._postings import MOST, SCANNED, Postings

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Test = Callable[[NDArray[Any]], Bools]

NONE, ONE, SEVERAL = 0, 1, 2
#: Fewer dead values than this are not worth a copy of the others.
_FEW = 1024


def grown(array: NDArray[Any], size: int, fill: Any) -> NDArray[Any]:
    """Return an array of at least `size`, with room to grow; the old one if it is that long."""
    if len(array) >= size:
        return array
    new = np.full(max(size, len(array) + len(array) // 2, 8), fill, array.dtype)
    new[: len(array)] = array
    return new


@cache
def _nothing(dtype: Any) -> NDArray[Any]:
    # Of ten thousand fields with five kinds of cells each, most of which stay empty.
    return np.empty(0, dtype)


def ranges(starts: Ints, counts: Ints) -> Ints:
    """Return the numbers of several ranges, one range after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.asarray(np.arange(total) + np.repeat(starts - (ends - counts), counts))


class Cells:
    """Values by slot.

    A slot's only value lies in an array by slot. Several lie side by side in a pool, each with
    its owner, so that a test of them is one pass over the pool.

    Parameters
    ----------
    dtype : dtype
    blank : scalar
        What an empty cell holds.
    blank_fails : bool
        No test that is ever made passes a blank cell.
    """

    __slots__ = (
        "blank",
        "blank_fails",
        "count",
        "dead",
        "owner",
        "pool",
        "postings",
        "singles",
        "size",
        "start",
        "state",
        "used",
        "values",
    )

    def __init__(self, dtype: Any, blank: Any, blank_fails: bool) -> None:
        self.blank = blank
        self.blank_fails = blank_fails
        self.values = _nothing(dtype)
        self.state = _nothing(np.uint8)
        self.size = 0
        self.singles = 0
        self.pool = _nothing(dtype)
        self.owner = _nothing(np.int32)
        self.start = _nothing(np.int64)
        self.count = _nothing(np.int32)
        self.used = 0
        self.dead = 0
        self.postings: Postings | None = None

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        arrays = (self.values, self.state, self.pool, self.owner, self.start, self.count)
        postings = self.postings.nbytes if self.postings else 0
        return sum(array.nbytes for array in arrays) + postings

    def resize(self, size: int) -> None:
        """Make room for slots below `size`."""
        self.values = grown(self.values, size, self.blank)
        self.state = grown(self.state, size, NONE)
        self.size = max(size, self.size)

    def put(self, slots: Ints, counts: Ints, values: NDArray[Any]) -> None:
        """Fill empty slots, each different, with `counts` values each."""
        if not len(slots):
            return
        self.resize(int(slots.max()) + 1)
        one = counts == 1
        if one.all():
            self._put_one(slots, values)
            return
        each = np.repeat(one, counts)
        self._put_one(slots[one], values[each])
        several, counts, values = slots[~one], counts[~one], values[~each]
        end = self.used + len(values)
        self.pool = grown(self.pool, end, self.blank)
        self.owner = grown(self.owner, end, -1)
        self.start = grown(self.start, len(self.values), 0)
        self.count = grown(self.count, len(self.values), 0)
        self.pool[self.used : end] = values
        self.owner[self.used : end] = np.repeat(several, counts)
        self.start[several] = self.used + np.cumsum(counts) - counts
        self.count[several] = counts
        self.state[several] = SEVERAL
        self.used = end

    def _put_one(self, slots: Ints, values: NDArray[Any]) -> None:
        self.values[slots] = values
        self.state[slots] = ONE
        self.singles += len(slots)

    def put_pairs(self, slots: Ints, values: NDArray[Any]) -> None:
        """Fill empty slots with values given in any order of slots."""
        if not len(slots):
            return
        order = np.argsort(slots, kind="stable")
        different, counts = np.unique(slots, return_counts=True)
        self.put(different, counts, values[order])

    def clear(self, slots: Ints) -> int:
        """Empty slots, each different, and return how many values were there."""
        slots = slots[slots < self.size]
        if not len(slots):
            return 0
        state = self.state[slots]
        one, several = slots[state == ONE], slots[state == SEVERAL]
        self.state[slots] = NONE
        self.values[one] = self.blank
        self.singles -= len(one)
        if not len(several):
            return len(one)
        places = ranges(self.start[several], self.count[several].astype(np.int64))
        self.pool[places] = self.blank
        self.owner[places] = -1
        if self.postings:
            self.postings.lose(several)
        self.dead += len(places)
        if self.dead > _FEW and self.dead > self.used // 2:
            self._squeeze()
        return len(one) + len(places)

    def _squeeze(self) -> None:
        """Take dead values out of the pool."""
        alive = np.flatnonzero(self.owner[: self.used] >= 0)
        self.pool, self.owner = self.pool[alive], self.owner[alive]
        self.used, self.dead, self.postings = len(alive), 0, None
        first = np.flatnonzero(np.diff(self.owner, prepend=-1))
        self.start[self.owner[first]] = first

    def filled(self) -> Bools:
        """Whether each slot has a value."""
        return np.asarray(self.state[: self.size] != NONE)

    def hits(self, test: Test, codes: Ints | None = None) -> Bools:
        """Return whether each slot has a value that passes a test of arrays.

        Parameters
        ----------
        test : callable
        codes : ndarray of int, optional
            All the values that pass, ascending, where values are codes.
        """
        if self.singles:
            out = test(self.values[: self.size])
            if not self.blank_fails and self.singles < self.size:
                out &= self.state[: self.size] == ONE
        else:
            out = np.zeros(self.size, np.bool_)
        if self.used:
            start = 0
            if codes is not None and self.used >= SCANNED and len(codes) <= MOST:
                postings = self._posted()
                postings.mark(codes, out)
                start = postings.size
            owners = self.owner.take(start + np.flatnonzero(test(self.pool[start : self.used])))
            out[owners[owners >= 0] if self.dead else owners] = True
        return out

    def _posted(self) -> Postings:
        old = self.postings
        # To scan and to correct a sixteenth costs less than new ones.
        if old is None or self.used - old.size + old.lost_count > self.used // 16:
            old = self.postings = Postings(self.pool[: self.used], self.owner[: self.used])
        return old

    def pairs(self, allowed: Bools | None = None) -> tuple[Ints, NDArray[Any]]:
        """Return slots and values, those of one slot in order; of allowed slots alone."""
        one = self.state[: self.size] == ONE
        if allowed is not None:
            one &= allowed
        slots = np.flatnonzero(one)
        values = self.values[slots]
        if not self.used:
            return slots, values
        alive = self.owner[: self.used] >= 0
        if allowed is not None:
            alive &= allowed[self.owner[: self.used]]
        places = np.flatnonzero(alive)
        return (
            np.concatenate([slots, self.owner[places].astype(np.int64)]),
            np.concatenate([values, self.pool[places]]),
        )

    def at(self, slots: Ints) -> tuple[Ints, NDArray[Any]]:
        """Return how many values each of some slots has, and these, in order of the slots."""
        inside = (slots >= 0) & (slots < self.size)
        safe = np.where(inside, slots, 0)
        state = np.where(inside, self.state[safe], NONE) if self.size else np.zeros_like(slots)
        counts = (state == ONE).astype(np.int64)
        several = state == SEVERAL
        if not several.any():
            return counts, self.values[slots[state == ONE]]
        counts[several] = self.count[slots[several]]
        values = np.empty(int(counts.sum()), self.values.dtype)
        from_pool = np.repeat(several, counts)
        values[~from_pool] = self.values[slots[state == ONE]]
        values[from_pool] = self.pool[ranges(self.start[slots[several]], counts[several])]
        return counts, values
