"""`Columns`: what filters see of many documents, in typed arrays by row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from annx.errors import CapacityError, FilterError, ParameterError
from annx.filters import _bytes, _read
from annx.filters._cache import MaskCache
from annx.filters._care import Care
from annx.filters._cells import Bools, Ints, grown
from annx.filters._clauses import Clause, reads_all
from annx.filters._evaluate import evaluate
from annx.filters._fields import Fields
from annx.filters._parse import parse
from annx.filters._slots import fit
from annx.filters._tree import And, AtLeast, Expression, Not
from annx.filters._values import Scalar, flatten

#: A mask is a byte a row.
MAX_ROW = (1 << 31) - 2
#: Masks of fewer rows are faster made than kept.
_CACHED_ROWS = 4096
_CACHED_OPERANDS = 1024


class Columns:
    """Fields of documents by row, for filters, facets and features.

    Documents are rows by a number of the caller's. Every key becomes a field, nested ones by
    dotted path; what its values mean to a filter is told by docs/filters.md, and defined by
    `Expression.matches`. All methods may be called from several threads.

    Parameters
    ----------
    skip : iterable of str
        Top-level keys that are no fields, such as long texts and vectors. A filter on one is an
        error.

    Examples
    --------
    >>> import numpy as np
    >>> from annx.filters import Columns, F
    >>> columns = Columns()
    >>> columns.upsert([1, 2], [{"city": "Oslo", "rate": 55.0}, {"city": "Bergen"}])
    >>> columns.mask({"rate": {"$lt": 80}})
    array([False,  True, False])
    >>> columns.select(F("city").prefix("B"))
    array([2])
    >>> columns.facets("city")
    [('Bergen', 1), ('Oslo', 1)]
    """

    def __init__(self, skip: Iterable[str] = ()) -> None:
        self._skip = frozenset(skip)
        self._fields = Fields()
        self._live = np.empty(0, np.bool_)
        self._extent = 0
        self._cache = MaskCache()
        self._lock = RLock()
        self._care = Care()

    def __len__(self) -> int:
        """Number of rows that hold a document."""
        with self._lock, self._care:
            return int(np.count_nonzero(self._live[: self._extent]))

    @property
    def torn(self) -> bool:
        """Whether Ctrl-C or a lack of memory ended a call halfway: only `clear` is of use then."""
        return self._care.torn

    @property
    def fields(self) -> list[str]:
        """Names of the fields that were ever seen, in order."""
        with self._lock, self._care:
            return self._fields.names()

    @property
    def live(self) -> Bools:
        """Which rows hold a document: bool of shape (last row + 1,)."""
        with self._lock, self._care:
            return self._live[: self._extent].copy()

    @property
    def nbytes(self) -> int:
        """Bytes of memory, masks that are kept for later among them."""
        return sum(self.memory().values())

    def memory(self) -> dict[str, int]:
        """Return bytes of memory by part: each field, ``"$rows"`` and ``"$cache"``."""
        with self._lock, self._care:
            columns = self._fields.all()
            parts = {name: column.nbytes for name, column in sorted(columns.items())}
            return {**parts, "$rows": self._live.nbytes, "$cache": self._cache.nbytes}

    def upsert(self, rows: ArrayLike, documents: Sequence[Mapping[str, Any]]) -> None:
        """Put documents into rows, in place of what is there.

        Parameters
        ----------
        rows : array_like of int, shape (n,)
            Not negative. Of a repeated row, the last document counts.
        documents : sequence of n mappings
            What is no JSON value nor date, such as an array, is not seen by filters.

        Raises
        ------
        ParameterError
            Rows are no such numbers, or not as many as documents, or one of these is no mapping.
        CapacityError
            A row is beyond 2**31 - 2.
        """
        numbers = _rows(rows)
        documents = list(documents)
        if len(numbers) != len(documents):
            raise ParameterError(f"expected {len(numbers)} documents, got {len(documents)}")
        for document in documents:
            if not isinstance(document, Mapping):
                raise ParameterError(f"expected a mapping, got {type(document).__name__}")
        seen = [flatten(self._without_skipped(document)) for document in documents]
        with self._lock, self._care:
            if not len(numbers):
                return
            self._extent = max(self._extent, int(numbers.max()) + 1)
            self._live = grown(self._live, self._extent, False)
            had = self._live[numbers].tolist()
            self._live[numbers] = True
            self._fields.note(numbers.tolist(), seen, had)

    def _without_skipped(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        if not self._skip:
            return document
        return {key: value for key, value in document.items() if key not in self._skip}

    def remove(self, rows: ArrayLike) -> None:
        """Take the documents of rows away; rows without one are passed over.

        Parameters
        ----------
        rows : array_like of int, shape (n,)

        Raises
        ------
        ParameterError, CapacityError
            As `upsert`.
        """
        numbers = _rows(rows)
        with self._lock, self._care:
            numbers = numbers[numbers < self._extent]
            numbers = numbers[self._live[numbers]]
            self._live[numbers] = False
            count = len(numbers)
            self._fields.note(numbers.tolist(), [None] * count, [True] * count)

    def clear(self) -> None:
        """Forget all documents."""
        with self._lock:
            self._care.torn = False
        with self._lock, self._care:
            self._fields.clear()
            self._cache.clear()
            self._live, self._extent = np.empty(0, np.bool_), 0

    def mask(self, expression: Expression | Mapping[str, Any]) -> Bools:
        """Return which rows hold a document that satisfies an expression.

        Parameters
        ----------
        expression : Expression or mapping
            As `parse` takes it.

        Returns
        -------
        ndarray of bool, shape (last row + 1,)

        Raises
        ------
        FilterError
            It is no filter, or asks for a field that is skipped.
        """
        tree = parse(expression)
        with self._lock, self._care:
            self._check_fields(tree)
            out = self._mask(tree)
            return np.logical_and(out, self._live[: self._extent], out=out)

    def packed(self, expression: Expression | Mapping[str, Any]) -> NDArray[np.uint8]:
        """Return `mask` as bits, as `np.packbits` packs them."""
        return np.packbits(self.mask(expression))

    def count(self, expression: Expression | Mapping[str, Any]) -> int:
        """Return how many documents satisfy an expression."""
        return int(np.count_nonzero(self.mask(expression)))

    def select(self, expression: Expression | Mapping[str, Any]) -> Ints:
        """Return the rows whose documents satisfy an expression, ascending."""
        return np.flatnonzero(self.mask(expression))

    def _check_fields(self, tree: Expression) -> None:
        if isinstance(tree, Clause):
            self._checked(tree.field)
        elif isinstance(tree, And | AtLeast):
            for part in tree.parts:
                self._check_fields(part)
        elif isinstance(tree, Not):
            self._check_fields(tree.part)

    def _checked(self, name: str) -> str:
        if name in self._skip or name.partition(".")[0] in self._skip:
            raise FilterError(f"field {name!r} is not kept for filters")
        return name

    def _mask(self, tree: Expression) -> Bools:
        """Return a new mask, which may be True for rows without a document."""
        if isinstance(tree, Clause):
            return self._clause(tree)
        if isinstance(tree, Not):
            out = self._mask(tree.part)
            return np.logical_not(out, out=out)
        if isinstance(tree, And):
            if not tree.parts:
                return np.ones(self._extent, np.bool_)
            out = self._mask(tree.parts[0])
            for part in tree.parts[1:]:
                if not out.any():
                    break
                out &= self._mask(part)
            return out
        if not isinstance(tree, AtLeast):
            raise FilterError(f"expected an expression of annx, got {type(tree).__name__}")
        if tree.count == 1:
            out = np.zeros(self._extent, np.bool_)
            for part in tree.parts:
                out |= self._mask(part)
            return out
        holding = np.zeros(self._extent, np.int16)
        for part in tree.parts:
            holding += self._mask(part)
        return np.asarray(holding >= tree.count)

    def _clause(self, clause: Clause) -> Bools:
        column = self._fields.get(clause.field)
        if column is None:
            return np.zeros(self._extent, np.bool_)  # no clause holds of no values
        if self._extent < _CACHED_ROWS or clause.operands > _CACHED_OPERANDS:
            return column.to_rows(evaluate(clause, column), self._extent)
        known = self._cache.get(clause)
        if known is not None:
            version, mask = known
            out = fit(mask, self._extent)
            if version == column.version:
                return out
            changed = column.changed_since(version)
            if changed is not None and not reads_all(clause):
                changed = changed[changed < self._extent]
                new = evaluate(clause, column.subset(changed))
                out[changed] = fit(new, len(changed))
                self._cache.put(clause, column.version, out)
                return out
        out = column.to_rows(evaluate(clause, column), self._extent)
        self._cache.put(clause, column.version, out)
        return out

    def facets(
        self, field: str, allowed: ArrayLike | None = None, limit: int | None = 10
    ) -> list[tuple[Scalar, int]]:
        """Count documents by value of a field.

        Parameters
        ----------
        field : str
        allowed : array_like of bool, optional
            Which rows to count, all by default; rows beyond its end are not counted.
        limit : int, optional
            How many values to return; None for all.

        Returns
        -------
        list of (value, int)
            Most frequent first; equally frequent ones in order of kind (bools, numbers, dates,
            strings) and value. A document counts once for each different value of a list.

        Raises
        ------
        ParameterError
            `allowed` is no mask, or `limit` negative.
        FilterError
            The field is skipped.
        """
        if limit is not None and (isinstance(limit, bool) or limit < 0):
            raise ParameterError(f"expected a limit that is not negative, got {limit!r}")
        with self._lock, self._care:
            column = self._fields.get(self._checked(field))
            live = self._live[: self._extent]
            if allowed is None:
                mask = live
            else:
                given = np.asarray(allowed)
                if given.dtype != np.bool_ or given.ndim != 1:
                    raise ParameterError(
                        f"expected a mask of rows, got {given.dtype} of shape {given.shape}"
                    )
                mask = fit(given, self._extent) & live
            return [] if column is None or limit == 0 else _read.facets(column, mask, limit)

    def values(self, field: str, rows: ArrayLike) -> list[Any]:
        """Return the values of a field in some rows.

        Parameters
        ----------
        field : str
        rows : array_like of int, shape (n,)

        Returns
        -------
        list of length n
            None where there is no value, the value where there is one, else a list: without
            repetitions, bools first, then numbers, dates and other strings.

        Raises
        ------
        ParameterError, CapacityError
            Rows are no such numbers.
        FilterError
            The field is skipped.
        """
        numbers = _rows(rows)
        with self._lock, self._care:
            column = self._fields.get(self._checked(field))
            return [None] * len(numbers) if column is None else _read.values(column, numbers)

    def numbers(self, field: str, rows: ArrayLike) -> NDArray[np.float64]:
        """Return a field as float64, for priors and features.

        Parameters
        ----------
        field : str
        rows : array_like of int, shape (n,)

        Returns
        -------
        ndarray of float64, shape (n,)
            The first number; else a bool as 0 or 1; else a date as seconds since 1970; else NaN.

        Raises
        ------
        ParameterError, CapacityError
            Rows are no such numbers.
        FilterError
            The field is skipped.
        """
        numbers = _rows(rows)
        with self._lock, self._care:
            column = self._fields.get(self._checked(field))
            if column is None:
                return np.full(len(numbers), np.nan)
            return _read.numbers(column, numbers)

    def to_bytes(self) -> bytes:
        """Return all as bytes for `from_bytes`; the same documents need not give the same.

        Fields that no document has any more are left out.
        """
        with self._lock, self._care:
            held = {name: column for name, column in self._fields.all().items() if column.held}
            return _bytes.pack(held, self._live[: self._extent], self._skip)

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Columns:
        """Make columns of what `to_bytes` returned.

        Raises
        ------
        FormatError
            The bytes are not that, or damaged, or of a later version.
        """
        columns, live, skip = _bytes.unpack(data)
        self = cls(skip)
        self._fields, self._live, self._extent = Fields(columns), live, len(live)
        return self


def _rows(rows: ArrayLike) -> Ints:
    array = np.asarray(rows)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise ParameterError(f"expected row numbers, got {array.dtype} of shape {array.shape}")
    if array.size and int(array.min()) < 0:
        raise ParameterError(f"expected row numbers from 0, got {array.min()}")
    if array.size and int(array.max()) > MAX_ROW:
        raise CapacityError(f"expected rows of at most {MAX_ROW:,}, got {int(array.max()):,}")
    return array.astype(np.int64)
