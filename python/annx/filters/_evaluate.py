"""What a condition says of a column, in arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.errors import FilterError
from annx.filters import _dates, _numbers
from annx.filters._cells import Bools, Cells, Test
from annx.filters._clauses import All, Clause, Compare, Exists, In, Text
from annx.filters._column import Column
from annx.filters._dictionary import Codes
from annx.filters._values import Scalar, instant

#: So many comparisons of codes are cheaper than a look into a table of codes.
_FEW = 4


def evaluate(clause: Clause, column: Column) -> Bools:
    """Return whether a clause holds of each slot of a column; the twin of `Clause.test`."""
    out = np.zeros(column.size, np.bool_)
    if isinstance(clause, Exists):
        return column.filled()
    if isinstance(clause, Compare):
        _compare(clause, column, out)
    elif isinstance(clause, In):
        _isin(clause.values, column, out)
    elif isinstance(clause, All):
        out[:] = True
        for value in clause.values:
            if out.any():
                out &= evaluate(Compare(clause.field, "==", value), column)
    elif isinstance(clause, Text):
        _text(clause, column, out)
    else:
        raise FilterError(f"expected a condition on a field, got {type(clause).__name__}")
    return out


def _equal(value: int) -> Test:
    return lambda held: np.asarray(held == value)


def _merge(out: Bools, hits: Bools) -> None:
    # Of a field with one kind of value, one of these is all there is.
    out[: len(hits)] |= hits


def _coded(out: Bools, cells: Cells, codes: Codes, entries: int) -> None:
    """Add the slots whose code is one of some."""
    if len(codes):
        codes = np.sort(codes)
        _merge(out, cells.hits(_among(codes, entries), codes))


def _among(codes: Codes, entries: int) -> Test:
    """Return a test of whether arrays of codes below `entries` hold one of some."""
    low, high = int(codes[0]), int(codes[-1])
    if low == high:
        return _equal(low)
    if high - low < len(codes):
        return lambda held: np.asarray((held >= low) & (held <= high))
    if len(codes) <= _FEW:
        return _any_of([_equal(code) for code in codes.tolist()])
    # The last place is where the code -1 of an empty cell looks.
    table = np.zeros(entries + 1, np.bool_)
    table[codes] = True
    return table.take


def _any_of(tests: list[Test]) -> Test:
    def test(held: NDArray[Any]) -> Bools:
        found = tests[0](held)
        for each in tests[1:]:
            found |= each(held)
        return found

    return test


def _compare(clause: Compare, column: Column, out: Bools) -> None:
    op, value = clause.op, clause.value
    if isinstance(value, bool):
        _merge(out, column.booleans.hits(_equal(value)))
    elif isinstance(value, str):
        _compare_text(op, value, column, out)
    else:
        _merge(out, column.numbers.hits(_numbers.compare(op, value, column.numbers.values.dtype)))
        bigs = column.bigs
        if op == "==":
            codes = bigs.find([value])
        else:
            column.sort()
            codes = bigs.between(op, value)
        _coded(out, column.big, codes, len(bigs))


_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "==": np.equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}


def _compare_text(op: str, value: str, column: Column, out: Bools) -> None:
    strings = column.strings
    when = instant(value)
    if when is not None:
        if column.dates.size:
            _merge(out, column.dates.hits(_dates.compare(op, when)))
        codes = strings.dated(lambda held: np.asarray(_ORDER[op](held, when)))
    elif op == "==":
        codes = strings.find([value])
    else:
        column.sort()
        codes = strings.between(op, value)
        if column.dates.size:
            passes = Compare("", op, value)._compare
            _merge(out, column.dates.hits(_dates.by_text(passes)))
    _coded(out, column.string, codes, len(strings))


def _isin(values: tuple[Scalar, ...], column: Column, out: Bools) -> None:
    for value in {value for value in values if isinstance(value, bool)}:
        _merge(out, column.booleans.hits(_equal(value)))
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if numbers:
        _merge(out, column.numbers.hits(_numbers.isin(numbers, column.numbers.values.dtype)))
        _coded(out, column.big, column.bigs.find(set(numbers)), len(column.bigs))
    texts = [value for value in values if isinstance(value, str)]
    whens = [when for value in texts if (when := instant(value)) is not None]
    codes = column.strings.find({value for value in texts if instant(value) is None})
    if whens:
        _merge(out, column.dates.hits(_dates.isin(whens)))
        dated = column.strings.dated(lambda held: np.isin(held, whens))
        codes = np.union1d(codes, dated)
    _coded(out, column.string, codes, len(column.strings))


def _text(clause: Text, column: Column, out: Bools) -> None:
    strings = column.strings
    if clause.how == "prefix" and not clause.ignore_case:
        column.sort()
        codes = strings.prefix(clause.text)
    elif clause.how == "equals" and not clause.ignore_case:
        codes = strings.find([clause.text])
    else:
        codes = strings.passing(clause.tester())
    if column.dates.size:
        _merge(out, column.dates.hits(_dates.by_text(clause.tester())))
    _coded(out, column.string, codes, len(strings))
