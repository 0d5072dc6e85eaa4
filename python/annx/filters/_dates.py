"""Dates in 64 bits: most ways to write one, packed so that their order is that of time.

A field of time stamps has a value a document, each different: as strings of a dictionary they
would take some 150 bytes each. Dates written otherwise stay strings, and compare all the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from annx.filters._values import instant

_EPOCH = datetime(1970, 1, 1)
_COMPACT = re.compile(
    r"\d{4}-\d\d-\d\d(?:T\d\d:\d\d:\d\d(\.\d{3}(?:\d{3})?)?(Z|\+00:00)?)?", re.ASCII
)
#: How a date is written, by the low bits of its number: whether it has a time, its digits of a
#: second, its zone.
_STYLES = [(False, 0, "")] + [(True, n, zone) for n in (0, 3, 6) for zone in ("", "Z", "+00:00")]
_NUMBERS = {style: number for number, style in enumerate(_STYLES)}
#: Year 9999 in microseconds needs 58 bits and a sign: 5 bits are left.
_SPAN = 32
_SPECS = {0: "seconds", 3: "milliseconds", 6: "microseconds"}

IntTest = Callable[[NDArray[np.int64]], NDArray[np.bool_]]


def pack(text: str) -> int | None:
    """Return a date as a number that `unpack` makes the same text of; None for other text.

    Examples
    --------
    >>> unpack(pack("2024-02-29T12:00:00Z")), pack("2024-02-29T12:00:00+02:00")
    ('2024-02-29T12:00:00Z', None)
    """
    if len(text) < 10 or text[4] != "-":
        return None
    found = _COMPACT.fullmatch(text)
    when = instant(text) if found else None
    if found is None or when is None:
        return None
    fraction, zone = found.groups()
    style = (len(text) > 10, len(fraction) - 1 if fraction else 0, zone or "")
    return when * _SPAN + _NUMBERS[style]


def unpack(number: int) -> str:
    """Return the text that `pack` was given."""
    when, style = divmod(number, _SPAN)
    timed, digits, zone = _STYLES[style]
    moment = _EPOCH + timedelta(microseconds=when)
    return moment.isoformat(timespec=_SPECS[digits]) + zone if timed else str(moment.date())


def is_packed(numbers: NDArray[np.int64]) -> bool:
    """Whether each number is one that `unpack` can read."""
    low = instant("0001-01-01")
    high = instant("9999-12-31T23:59:59.999999")
    assert low is not None and high is not None
    when = numbers // _SPAN
    return bool(np.all((when >= low) & (when <= high) & (numbers % _SPAN < len(_STYLES))))


def seconds(numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return packed dates as seconds since 1970."""
    return (numbers // _SPAN) / 1e6


def compare(op: str, when: int) -> IntTest:
    """Return a test of packed dates against an instant."""
    low, high = when * _SPAN, (when + 1) * _SPAN
    if op == "<":
        return lambda dates: dates < low
    if op == "<=":
        return lambda dates: dates < high
    if op == ">":
        return lambda dates: dates >= high
    if op == ">=":
        return lambda dates: dates >= low
    return lambda dates: (dates >= low) & (dates < high)


def isin(whens: list[int]) -> IntTest:
    """Return a test of whether packed dates are among instants."""
    return lambda dates: np.isin(dates // _SPAN, whens)


def by_text(passes: Callable[[str], bool]) -> IntTest:
    """Return a test of packed dates by their text, each different one read once."""

    def test(dates: NDArray[np.int64]) -> NDArray[np.bool_]:
        different, where = np.unique(dates, return_inverse=True)
        # Empty cells hold 0, the first moment of 1970.
        passing = [passes(unpack(number)) for number in different.tolist()]
        return np.asarray(np.array(passing, np.bool_)[where.reshape(-1)])

    return test
