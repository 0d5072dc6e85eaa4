"""The expression tree: what every front end builds, and what the columns compile.

`matches` is the definition of each node. It reads one document at a time and is slow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from annx.errors import FilterError

#: Bounds on an expression, so that one from a stranger cannot take a service down.
MAX_DEPTH = 64
MAX_CLAUSES = 1024
MAX_OPERANDS = 1_000_000


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Expression(ABC):
    """A condition on documents.

    Made by `F` or `parse`; combined by ``&``, ``|`` and ``~``. Expressions are immutable, hashable,
    and equal if they are written alike.

    Attributes
    ----------
    depth, clauses, operands : int
        Levels of the tree, its conditions, and the values in its lists; all three are bounded.
    """

    depth: int = field(init=False)
    clauses: int = field(init=False)
    operands: int = field(init=False)

    @abstractmethod
    def matches(self, document: Mapping[str, Any]) -> bool:
        """Whether a document satisfies the expression.

        Parameters
        ----------
        document : mapping
            As given to `Columns.upsert`.

        Returns
        -------
        bool

        Examples
        --------
        >>> from annx.filters import F
        >>> (F("rate") < 80).matches({"rate": 55.0})
        True
        """

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Return the expression in the dict syntax; `parse` makes the same of it again.

        Returns
        -------
        dict
            Of JSON's types alone.

        Examples
        --------
        >>> from annx.filters import F
        >>> ((F("rate") < 80) & ~F("city").isin(["Oslo"])).to_dict()
        {'$and': [{'rate': {'$lt': 80}}, {'city': {'$nin': ['Oslo']}}]}
        """

    def _denied(self) -> dict[str, Any]:
        """The opposite, in the dict syntax."""
        return {"$not": self.to_dict()}

    @abstractmethod
    def _key(self) -> tuple[Any, ...]:
        """What makes two expressions of one class the same."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._key()))

    def __and__(self, other: Expression) -> Expression:
        return all_of([self, other]) if isinstance(other, Expression) else NotImplemented

    def __or__(self, other: Expression) -> Expression:
        return any_of([self, other]) if isinstance(other, Expression) else NotImplemented

    def __invert__(self) -> Expression:
        return Not(self)

    def __bool__(self) -> bool:
        raise FilterError(
            "an expression is neither true nor false: combine expressions by &, | and ~, "
            "not by `and`, `or`, `not` or chained comparisons"
        )

    def __repr__(self) -> str:
        return f"parse({self.to_dict()!r})"

    def _measure(self, children: Iterable[Expression], clauses: int, operands: int = 0) -> None:
        depth = 0
        for child in children:
            depth = max(depth, child.depth)
            clauses += child.clauses
            operands += child.operands
        for name, size, most in (
            ("depth", depth + 1, MAX_DEPTH),
            ("clauses", clauses, MAX_CLAUSES),
            ("operands", operands, MAX_OPERANDS),
        ):
            if size > most:
                raise FilterError(f"expected a filter of at most {most:,} {name}, got {size:,}")
            object.__setattr__(self, name, size)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class And(Expression):
    """All of several; without any, all documents."""

    parts: tuple[Expression, ...]

    def __post_init__(self) -> None:
        self._measure(self.parts, 0)

    def matches(self, document: Mapping[str, Any]) -> bool:
        return all(part.matches(document) for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        return {"$and": [part.to_dict() for part in self.parts]} if self.parts else {}

    def _key(self) -> tuple[Any, ...]:
        return self.parts


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class AtLeast(Expression):
    """At least `count` of several. Of one it is "or", which without any matches nothing."""

    count: int
    parts: tuple[Expression, ...]

    def __post_init__(self) -> None:
        self._measure(self.parts, 0)

    def matches(self, document: Mapping[str, Any]) -> bool:
        return sum(part.matches(document) for part in self.parts) >= self.count

    def to_dict(self) -> dict[str, Any]:
        parts = [part.to_dict() for part in self.parts]
        return {"$or": parts} if self.count == 1 else {"$atLeast": [self.count, *parts]}

    def _key(self) -> tuple[Any, ...]:
        return (self.count, self.parts)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Not(Expression):
    """Everything that a part does not match, documents without the field among it."""

    part: Expression

    def __post_init__(self) -> None:
        self._measure([self.part], 0)

    def matches(self, document: Mapping[str, Any]) -> bool:
        return not self.part.matches(document)

    def to_dict(self) -> dict[str, Any]:
        return self.part._denied()

    def _key(self) -> tuple[Any, ...]:
        return (self.part,)


def all_of(parts: Iterable[Expression]) -> Expression:
    """Join expressions by "and"; none of them is the one that matches every document.

    Parameters
    ----------
    parts : iterable of Expression

    Returns
    -------
    Expression

    Raises
    ------
    FilterError
        A part is no expression, or all are too many.

    Examples
    --------
    >>> from annx.filters import F, all_of
    >>> all_of([F("rate") < 80, F("city") == "Oslo"])
    parse({'$and': [{'rate': {'$lt': 80}}, {'city': {'$eq': 'Oslo'}}]})
    >>> all_of([])
    parse({})
    """
    flat: list[Expression] = []
    for part in _checked(parts):
        flat.extend(part.parts if isinstance(part, And) else [part])
    return flat[0] if len(flat) == 1 else And(tuple(flat))


def any_of(parts: Iterable[Expression]) -> Expression:
    """Join expressions by "or"; none of them is the one that matches no document.

    Parameters
    ----------
    parts : iterable of Expression

    Returns
    -------
    Expression

    Raises
    ------
    FilterError
        A part is no expression, or all are too many.

    Examples
    --------
    >>> from annx.filters import F, any_of
    >>> any_of(F("city") == city for city in ("Oslo", "Bergen"))
    parse({'$or': [{'city': {'$eq': 'Oslo'}}, {'city': {'$eq': 'Bergen'}}]})
    """
    flat: list[Expression] = []
    for part in _checked(parts):
        joined = isinstance(part, AtLeast) and part.count == 1
        flat.extend(part.parts if joined and isinstance(part, AtLeast) else [part])
    return flat[0] if len(flat) == 1 else AtLeast(1, tuple(flat))


def at_least(count: int, parts: Iterable[Expression]) -> Expression:
    """Match the documents that satisfy at least `count` of several expressions.

    Parameters
    ----------
    count : int
        Not negative.
    parts : iterable of Expression

    Returns
    -------
    Expression

    Raises
    ------
    FilterError
        The count is not a whole number, a part is no expression, or all are too many.

    Examples
    --------
    >>> from annx.filters import F, at_least
    >>> two = at_least(2, [F("skills") == skill for skill in ("python", "sql", "rust")])
    >>> two.matches({"skills": ["sql", "rust"]})
    True
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 0:
        raise FilterError(f"expected a whole number of conditions, got {count!r}")
    return any_of(parts) if count == 1 else AtLeast(count, tuple(_checked(parts)))


def _checked(parts: Iterable[Expression]) -> list[Expression]:
    listed = list(parts)
    for part in listed:
        if not isinstance(part, Expression):
            raise FilterError(f"expected an expression, got {type(part).__name__}")
    return listed
