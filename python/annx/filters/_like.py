"""Tests of one string: equal without case, prefix, suffix, substring, and LIKE patterns."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TypeAlias

from annx.errors import FilterError

Test: TypeAlias = Callable[[str], bool]


def test(how: str, text: str, ignore_case: bool) -> Test:
    """Return a function that tells whether a string passes.

    Parameters
    ----------
    how : {"equals", "prefix", "suffix", "substring", "like"}
    text : str
        In "like", ``%`` stands for any text, ``_`` for one character, and a backslash takes
        the meaning from what follows.
    ignore_case : bool
        Compare both under `str.casefold`.

    Raises
    ------
    FilterError
        There is no such `how`, or a pattern ends in a lone backslash.
    """
    wanted = text.casefold() if ignore_case else text
    plain = _plain(how, wanted)
    return (lambda value: plain(value.casefold())) if ignore_case else plain


def _plain(how: str, text: str) -> Test:
    if how == "equals":
        return lambda value: value == text
    if how == "prefix":
        return lambda value: value.startswith(text)
    if how == "suffix":
        return lambda value: value.endswith(text)
    if how == "substring":
        return lambda value: text in value
    if how == "like":
        return like(text)
    raise FilterError(f"expected a test of strings, got {how!r}")


def _pieces(pattern: str) -> list[list[str | None]]:
    """Split a pattern at its ``%``; None in a piece is any one character."""
    pieces: list[list[str | None]] = [[]]
    characters = iter(pattern)
    for character in characters:
        if character == "%":
            pieces.append([])
        elif character == "_":
            pieces[-1].append(None)
        elif character == "\\":
            escaped = next(characters, None)
            if escaped is None:
                raise FilterError(f"expected a character after the last backslash of {pattern!r}")
            pieces[-1].append(escaped)
        else:
            pieces[-1].append(character)
    return pieces


def like(pattern: str) -> Test:
    r"""Return a function that tells whether a whole string fits a LIKE pattern.

    Each piece between two ``%`` is taken where it first fits, which finds a way if there is one.
    Unlike a regular expression with several ``.*``, that takes no more than length times length.

    Examples
    --------
    >>> fits = like("%a_c%\\%")
    >>> fits("xxabc 5%"), fits("abc"), fits("ac%")
    (True, False, False)
    """
    pieces = _pieces(pattern)
    fixed = [
        re.compile("".join("." if c is None else re.escape(c) for c in piece), re.DOTALL)
        for piece in pieces
    ]
    if len(pieces) == 1:
        return lambda value: fixed[0].fullmatch(value) is not None
    first, *middle, last = fixed
    tail = len(pieces[-1])

    def fits(value: str) -> bool:
        found = first.match(value)
        if found is None:
            return False
        place = found.end()
        for piece in middle:
            found = piece.search(value, place)
            if found is None:
                return False
            place = found.end()
        start = len(value) - tail
        return start >= place and last.match(value, start) is not None

    return fits
