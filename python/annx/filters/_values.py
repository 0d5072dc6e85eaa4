"""What of a document filters see: values of five kinds, and dates among the strings.

docs/filters.md states the rules for users; this file is where they are made true, for the columns
and for `Expression.matches` alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, TypeAlias

import numpy as np

from annx.errors import FilterError

#: A value that a field may hold, once dates are text.
Scalar: TypeAlias = bool | int | float | str

#: Levels of dicts and lists that filters look into. JSON parsers stop at about a thousand.
MAX_LEVELS = 32

_ZONE = r"Z|[+-]\d\d:?\d\d(?::\d\d(?:\.\d{1,6})?)?"
# Python 3.14 reads 24:00 too; a rule may not depend on the version.
_TIME = r"(?!24)\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?"
_DATE = re.compile(rf"\d{{4}}-\d\d-\d\d(?:[T ]{_TIME}(?:{_ZONE})?)?", re.ASCII)
#: What is seen as it is; most values are.
_PLAIN = frozenset((str, int, float, bool))
_EPOCH = datetime(1970, 1, 1)


def scalar(value: Any) -> Scalar | None:
    """Return what a filter sees of one value; None for what has no meaning to a filter."""
    if type(value) in _PLAIN:
        return value  # type: ignore[no-any-return]
    if value is None:
        return None
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else _of_numpy(value)
    if isinstance(value, np.generic):
        return scalar(value.item())
    if isinstance(value, date):
        # pandas.NaT calls itself a datetime, and equals nothing.
        return value.isoformat() if value == value else None
    if isinstance(value, str):
        return str.__str__(value)  # str(value) of an enumeration's member is its name
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else None


def _of_numpy(value: np.datetime64) -> str:
    day = np.datetime_data(value.dtype)[0] in ("Y", "M", "W", "D")
    return str(np.datetime_as_string(value, unit="D" if day else "us"))


def is_list(value: Any) -> bool:
    """Whether a value is several."""
    return isinstance(value, list | tuple | set | frozenset)


def _distinct(values: list[Scalar]) -> list[Scalar]:
    """Drop repetitions. 1 and 1.0 are one value, 1 and True two."""
    if len(values) < 2:
        return values
    return list({(isinstance(value, bool), value): value for value in values}.values())


def flatten(document: Mapping[str, Any]) -> dict[str, list[Scalar]]:
    """Return all that filters see of a document: values by dotted path."""
    found: dict[str, list[Scalar]] = {}
    _flatten(document, "", 1, found)
    return {path: _distinct(values) for path, values in found.items()}


def _flatten(
    document: Mapping[Any, Any], prefix: str, level: int, found: dict[str, list[Scalar]]
) -> None:
    for key, value in document.items():
        if isinstance(key, str):
            _collect(value, prefix + key, level, found)


def _collect(value: Any, path: str, level: int, found: dict[str, list[Scalar]]) -> None:
    if type(value) in _PLAIN:
        found.setdefault(path, []).append(value)
    elif isinstance(value, Mapping):
        if level < MAX_LEVELS:
            _flatten(value, path + ".", level + 1, found)
    elif is_list(value):
        if level < MAX_LEVELS:
            for each in value:
                _collect(each, path, level + 1, found)
    elif (one := scalar(value)) is not None:
        found.setdefault(path, []).append(one)


def values_at(document: Mapping[str, Any], path: str) -> list[Scalar]:
    """Return a document's values at one dotted path, straight from the document."""
    return _distinct(list(_at(document, path, 1)))


def _at(value: Any, path: str | None, level: int) -> Iterator[Scalar]:
    """Values at a path within a value; the path None means the value itself."""
    if isinstance(value, Mapping):
        if path is None or level > MAX_LEVELS:
            return
        for key, inner in value.items():
            if not isinstance(key, str):
                continue
            if key == path:
                yield from _at(inner, None, level + 1)
            elif path.startswith(key + "."):
                yield from _at(inner, path[len(key) + 1 :], level + 1)
    elif is_list(value):
        if level <= MAX_LEVELS:
            for each in value:
                yield from _at(each, path, level + 1)
    elif path is None and (one := scalar(value)) is not None:
        yield one


def instant(text: str) -> int | None:
    """Return the microseconds since 1970 in UTC of an ISO 8601 date, or None for other text.

    A date is its midnight; what names no time zone is UTC; digits beyond microseconds are cut.

    Examples
    --------
    >>> instant("1970-01-02"), instant("1970-01-01T01:00+01:00"), instant("soon")
    (86400000000, 0, None)
    """
    if len(text) < 10 or text[4] != "-" or not _DATE.fullmatch(text):
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:  # such as 30 February
        return None
    zone = when.utcoffset()
    # Not `when - epoch` of aware ones: year 1 in UTC may lie before what datetime can hold.
    since = when.replace(tzinfo=None) - _EPOCH - (zone or when.min - when.min)
    return (since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds


def operand(value: Any, what: str) -> Scalar:
    """Return a value that an expression compares with.

    Raises
    ------
    FilterError
        It is not a bool, a number but NaN, a string or a date.
    """
    found = scalar(value)
    if found is None:
        raise FilterError(
            f"{what} must be a bool, number, string or date, got {type(value).__name__}"
        )
    if found != found:
        raise FilterError(f"{what} must be a value, got NaN, which nothing equals")
    return found


def kind_of(value: Scalar) -> type[bool] | type[float] | type[str]:
    """Return the kind of a value; values of two kinds never compare."""
    if isinstance(value, bool):
        return bool
    return str if isinstance(value, str) else float
