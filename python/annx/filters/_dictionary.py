"""Different values of a field, numbered: rows hold codes, and a test runs once a value."""

from __future__ import annotations

import operator
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.filters._values import instant

Codes = NDArray[np.int64]

#: So many values are tested one by one rather than sorted.
_FEW = 256
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NO_DATE = np.iinfo(np.int64).min


class Dictionary:
    """Different values by code: first those in order, then the others as they came.

    Parameters
    ----------
    items : sequence
        Values of one type that has an order: strings, or ints of any size.
    joined : (str, ndarray of int64), optional
        Instead: strings in one, and their lengths. They are taken apart when first needed.
    """

    __slots__ = ("_index", "_instants", "_items", "_joined", "_ordered")

    def __init__(
        self, items: Iterable[Any] = (), *, joined: tuple[str, Codes] | None = None
    ) -> None:
        self._items = list(items)
        self._joined = joined
        self._index: dict[Any, int] | None = None
        self._ordered = 0
        self._instants = np.empty(0, np.int64)

    @property
    def items(self) -> list[Any]:
        """Values by code."""
        if self._joined is not None:
            text, sizes = self._joined
            ends = np.cumsum(sizes).tolist()
            self._items = [text[a:b] for a, b in zip([0, *ends], ends, strict=False)]
            self._joined = None
        return self._items

    def __len__(self) -> int:
        return len(self._items) if self._joined is None else len(self._joined[1])

    @property
    def nbytes(self) -> int:
        """Bytes of the values and of what is kept to find them."""
        if self._joined is not None:
            return sys.getsizeof(self._joined[0]) + self._joined[1].nbytes
        strings = sum(map(sys.getsizeof, self._items)) + sys.getsizeof(self._items)
        index = sys.getsizeof(self._index) if self._index is not None else 0
        return strings + index + self._instants.nbytes

    def _by_value(self) -> dict[Any, int]:
        if self._index is None:
            self._index = dict(zip(self.items, range(len(self.items)), strict=True))
        return self._index

    def encode(self, values: Sequence[Any]) -> NDArray[np.int32]:
        """Return codes of values, new ones for values not seen before."""
        index = self._by_value()
        codes = np.empty(len(values), np.int32)
        for place, value in enumerate(values):
            code = index.get(value)
            if code is None:
                code = index[value] = len(self.items)
                self.items.append(value)
            codes[place] = code
        return codes

    def find(self, values: Iterable[Any]) -> Codes:
        """Return the codes of those values that are there."""
        index = self._by_value()
        found = [index[value] for value in values if value in index]
        return np.array(found, np.int64)

    def sort(self) -> NDArray[np.int32] | None:
        """Put all in order if many are not; return the new code of each old one if so."""
        if len(self) - self._ordered <= max(_FEW, self._ordered // 16):
            return None
        items = self.items
        # Sorting what is sorted but for its end takes little more than reading it.
        codes = sorted(range(len(items)), key=items.__getitem__)
        new = np.empty(len(items), np.int32)
        new[codes] = np.arange(len(items))
        self._items = [items[code] for code in codes]
        self._index, self._instants = None, np.empty(0, np.int64)
        self._ordered = len(codes)
        return new

    def between(self, op: str, value: Any) -> Codes:
        """Return the codes of values before or after one, as strings or numbers are ordered."""
        items, known = self.items, self._ordered
        side = bisect_left if op in ("<", ">=") else bisect_right
        place = side(items, value, hi=known)
        first, last = (0, place) if op.startswith("<") else (place, known)
        return self._with_new(first, last, lambda item: bool(_ORDER[op](item, value)))

    def prefix(self, text: str) -> Codes:
        """Return the codes of strings that begin with a text."""
        items, known, size = self.items, self._ordered, len(text)
        first = bisect_left(items, text, hi=known)
        last = bisect_right(items, text, lo=first, hi=known, key=lambda item: item[:size])
        return self._with_new(first, last, lambda item: item.startswith(text))

    def _with_new(self, first: int, last: int, passes: Callable[[Any], bool]) -> Codes:
        """Return a range of the values in order, and of the others those that pass a test."""
        known = self._ordered
        new = [known + at for at, item in enumerate(self.items[known:]) if passes(item)]
        return np.concatenate([np.arange(first, last), np.array(new, np.int64)])

    def passing(self, passes: Callable[[Any], bool]) -> Codes:
        """Return the codes of values that pass a test, made of each."""
        return np.flatnonzero(np.fromiter(map(passes, self.items), np.bool_, len(self.items)))

    def instants(self) -> NDArray[np.int64]:
        """Return the instants of strings that are dates, and `NO_DATE` for others."""
        known = len(self._instants)
        if known < len(self.items):
            found = [instant(item) for item in self.items[known:]]
            new = [_NO_DATE if when is None else when for when in found]
            self._instants = np.concatenate([self._instants, np.array(new, np.int64)])
        return self._instants

    def dated(self, test: Callable[[NDArray[np.int64]], NDArray[np.bool_]]) -> Codes:
        """Return the codes of strings that are dates whose instants pass a test."""
        instants = self.instants()
        return np.flatnonzero(test(instants) & (instants != _NO_DATE))
