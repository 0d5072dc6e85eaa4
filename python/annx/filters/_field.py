"""`F`, a field in the operator syntax."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from annx.errors import FilterError
from annx.filters._clauses import All, Compare, Exists, In, Text
from annx.filters._tree import Expression, Not, all_of, any_of


def checked_name(name: Any) -> str:
    """Return a field's name.

    Raises
    ------
    FilterError
        It is not a string, or begins with "$" as operators do.
    """
    if not isinstance(name, str):
        raise FilterError(f"expected the name of a field, got {type(name).__name__}")
    if name.startswith("$"):
        raise FilterError(f"expected the name of a field, got the operator {name!r}")
    return name


class F:
    """A field of documents; comparing it with a value makes an `Expression`.

    Parameters
    ----------
    name : str
        A key, or the keys to a nested value with dots between them.

    Raises
    ------
    FilterError
        The name is not a string, or begins with "$".

    Examples
    --------
    >>> from annx.filters import F
    >>> cheap = (F("rate") < 80) & F("skills").contains_any(["sql", "python"])
    >>> cheap.matches({"rate": 55.0, "skills": ["sql"]})
    True
    >>> (F("meta.city") != "Oslo").matches({"meta": {"city": "Oslo"}})
    False
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = checked_name(name)

    def __eq__(self, value: Any) -> Expression:  # type: ignore[override]
        if value is None:
            return Not(Exists(self.name))
        return Compare(self.name, "==", value)

    def __ne__(self, value: Any) -> Expression:  # type: ignore[override]
        return Exists(self.name) if value is None else Not(self == value)

    def __lt__(self, value: Any) -> Expression:
        return Compare(self.name, "<", value)

    def __le__(self, value: Any) -> Expression:
        return Compare(self.name, "<=", value)

    def __gt__(self, value: Any) -> Expression:
        return Compare(self.name, ">", value)

    def __ge__(self, value: Any) -> Expression:
        return Compare(self.name, ">=", value)

    def __hash__(self) -> int:
        return hash(self.name)

    def __bool__(self) -> bool:
        raise FilterError(f"field {self.name!r} alone is no condition; did you mean .exists()?")

    def __repr__(self) -> str:
        return f"F({self.name!r})"

    def between(self, low: Any, high: Any) -> Expression:
        """Some value is at least `low`, and some at most `high`; of a single value, both."""
        return all_of([self >= low, self <= high])

    def isin(self, values: Iterable[Any]) -> Expression:
        """Some value is one of several; None among them stands for no value."""
        listed = _listed(values, "isin")
        rest = [value for value in listed if value is not None]
        found = In(self.name, tuple(rest))
        return found if len(rest) == len(listed) else any_of([found, Not(Exists(self.name))])

    def not_in(self, values: Iterable[Any]) -> Expression:
        """No value is one of several, or there is no value."""
        return Not(self.isin(values))

    def contains(self, value: Any) -> Expression:
        """The list holds a value; as ``==``."""
        return Compare(self.name, "==", value)

    def contains_any(self, values: Iterable[Any]) -> Expression:
        """The list holds at least one of several values; as `isin`."""
        return self.isin(values)

    def contains_all(self, values: Iterable[Any]) -> Expression:
        """The list holds each of several values; of none, any list and no list does."""
        wanted = tuple(_listed(values, "contains_all"))
        return All(self.name, wanted) if wanted else all_of([])

    def exists(self) -> Expression:
        """There is a value: the key is there, and its value not None, [] or {}."""
        return Exists(self.name)

    def is_empty(self) -> Expression:
        """There is no value: the key is missing, or its value is None, [] or {}."""
        return Not(Exists(self.name))

    def equals(self, text: str, *, ignore_case: bool = False) -> Expression:
        """Some string is the text, letter for letter, even where both are dates."""
        return Text(self.name, "equals", text, ignore_case)

    def prefix(self, text: str, *, ignore_case: bool = False) -> Expression:
        """Some string begins with the text."""
        return Text(self.name, "prefix", text, ignore_case)

    def suffix(self, text: str, *, ignore_case: bool = False) -> Expression:
        """Some string ends with the text."""
        return Text(self.name, "suffix", text, ignore_case)

    def substring(self, text: str, *, ignore_case: bool = False) -> Expression:
        """Some string holds the text."""
        return Text(self.name, "substring", text, ignore_case)

    def like(self, pattern: str, *, ignore_case: bool = False) -> Expression:
        """Some string fits a pattern: % is any text, _ one character, backslash escapes."""
        return Text(self.name, "like", pattern, ignore_case)


def _listed(values: Any, name: str) -> list[Any]:
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        raise FilterError(f"expected a list for {name}, got {type(values).__name__}")
    return list(values)
