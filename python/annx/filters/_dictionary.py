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

#: So many values are tested one by one before they are sorted.
_FEW = 256
_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_NO_DATE = np.iinfo(np.int64).min


class Dictionary:
    """Different values by code, in order of arrival.

    Parameters
    ----------
    items : sequence
        Values of one type that has an order: strings, or ints of any size.
    joined : (str, ndarray of int64), optional
        Instead: strings in one, and their lengths. They are taken apart when first needed.
    """

    __slots__ = ("_index", "_instants", "_items", "_joined", "_order")

    def __init__(
        self, items: Iterable[Any] = (), *, joined: tuple[str, Codes] | None = None
    ) -> None:
        self._items = list(items)
        self._joined = joined
        self._index: dict[Any, int] | None = None
        self._order: tuple[list[Any], Codes] = [], np.empty(0, np.int64)
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
        return strings + index + 16 * len(self._order[0]) + self._instants.nbytes

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

    def between(self, op: str, value: Any) -> Codes:
        """Return the codes of values before or after one, as strings or numbers are ordered."""
        ordered, codes = self._ordered()
        side = bisect_left if op in ("<", ">=") else bisect_right
        place = side(ordered, value)
        sorted_ones = codes[:place] if op.startswith("<") else codes[place:]
        return self._with_new(sorted_ones, lambda item: bool(_ORDER[op](item, value)))

    def prefix(self, text: str) -> Codes:
        """Return the codes of strings that begin with a text."""
        ordered, codes = self._ordered()
        size = len(text)
        first = bisect_left(ordered, text)
        last = bisect_right(ordered, text, lo=first, key=lambda item: item[:size])
        return self._with_new(codes[first:last], lambda item: item.startswith(text))

    def _ordered(self) -> tuple[list[Any], Codes]:
        """Return all values but some of the newest in order, and their codes."""
        known = len(self._order[0])
        if len(self) - known > max(_FEW, known // 16):
            # Sorting what is sorted but for its end takes little more than reading it.
            before = self._order[1].tolist()
            codes = sorted([*before, *range(known, len(self))], key=self.items.__getitem__)
            self._order = [self.items[code] for code in codes], np.array(codes, np.int64)
        return self._order

    def _with_new(self, codes: Codes, passes: Callable[[Any], bool]) -> Codes:
        """Add the codes of values that are not in order yet and pass a test."""
        known = len(self._order[0])
        if known == len(self):
            return codes
        new = [known + at for at, item in enumerate(self.items[known:]) if passes(item)]
        return np.concatenate([codes, np.array(new, np.int64)])

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
