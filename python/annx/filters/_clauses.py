"""Conditions on one field, the leaves of an expression tree."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from annx.errors import FilterError
from annx.filters._like import Test
from annx.filters._like import test as text_test
from annx.filters._tree import Expression
from annx.filters._values import Scalar, instant, is_list, kind_of, operand, values_at

_ORDERS = ("<", "<=", ">", ">=")
_NAMES = {"==": "$eq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Clause(Expression):
    """A condition on one field: true if the values that a document has there satisfy it."""

    field: str

    @abstractmethod
    def test(self, values: list[Scalar]) -> bool:
        """Whether values of one document's field satisfy it."""

    def matches(self, document: Mapping[str, Any]) -> bool:
        return self.test(values_at(document, self.field))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Compare(Clause):
    """Some value is equal to, before or after an operand of its kind."""

    op: str
    value: Scalar

    def __post_init__(self) -> None:
        value = operand(self.value, f"the operand of {self.op}")
        if isinstance(value, bool) and self.op in _ORDERS:
            raise FilterError(f"expected a number, string or date for {self.op}, got a bool")
        object.__setattr__(self, "value", value)
        self._measure((), 1)

    def test(self, values: list[Scalar]) -> bool:
        wanted = kind_of(self.value)
        return any(kind_of(value) is wanted and self._compare(value) for value in values)

    def _compare(self, value: Any) -> bool:
        than: Any = self.value
        if isinstance(than, str) and (when := instant(than)) is not None:
            value, than = instant(value), when
            if value is None:
                return False
        if self.op == "==":
            return bool(value == than)
        if self.op == "<":
            return bool(value < than)
        if self.op == "<=":
            return bool(value <= than)
        return bool(value > than if self.op == ">" else value >= than)

    def to_dict(self) -> dict[str, Any]:
        return {self.field: {_NAMES[self.op]: self.value}}

    def _denied(self) -> dict[str, Any]:
        if self.op == "==":
            return {self.field: {"$ne": self.value}}
        return {"$not": self.to_dict()}

    def _key(self) -> tuple[Any, ...]:
        return (self.field, self.op, kind_of(self.value).__name__, self.value)


def _operands(values: Any, name: str) -> tuple[Scalar, ...]:
    if not is_list(values):
        raise FilterError(f"expected a list for {name}, got {type(values).__name__}")
    return tuple(operand(value, f"each operand of {name}") for value in values)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class In(Clause):
    """Some value equals one of several operands."""

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _operands(self.values, "in"))
        self._measure((), 1, len(self.values))

    def test(self, values: list[Scalar]) -> bool:
        return any(Compare(self.field, "==", value).test(values) for value in self.values)

    def to_dict(self) -> dict[str, Any]:
        return {self.field: {"$in": list(self.values)}}

    def _denied(self) -> dict[str, Any]:
        return {self.field: {"$nin": list(self.values)}}

    def _key(self) -> tuple[Any, ...]:
        return (self.field, *((kind_of(value).__name__, value) for value in self.values))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class All(Clause):
    """Each of one or more operands equals some value."""

    values: tuple[Scalar, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _operands(self.values, "contains_all"))
        if not self.values:
            raise FilterError("expected at least one value for contains_all, got none")
        # Each costs as much as a condition of its own.
        self._measure((), len(self.values))

    def test(self, values: list[Scalar]) -> bool:
        return all(Compare(self.field, "==", value).test(values) for value in self.values)

    def to_dict(self) -> dict[str, Any]:
        return {self.field: {"$all": list(self.values)}}

    def _key(self) -> tuple[Any, ...]:
        return (self.field, *((kind_of(value).__name__, value) for value in self.values))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Exists(Clause):
    """There is a value."""

    def __post_init__(self) -> None:
        self._measure((), 1)

    def test(self, values: list[Scalar]) -> bool:
        return bool(values)

    def to_dict(self) -> dict[str, Any]:
        return {self.field: {"$exists": True}}

    def _denied(self) -> dict[str, Any]:
        return {self.field: {"$exists": False}}

    def _key(self) -> tuple[Any, ...]:
        return (self.field,)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Text(Clause):
    """Some string, dates among them, begins with, ends with, holds, or is like a text."""

    how: str
    text: str
    ignore_case: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.text, str):
            raise FilterError(f"expected a string for {self.how}, got {type(self.text).__name__}")
        object.__setattr__(self, "text", str.__str__(self.text))
        self.tester()  # refuses what is no pattern
        self._measure((), 1)

    def tester(self) -> Test:
        """Return a function that tests one string."""
        return text_test(self.how, self.text, self.ignore_case)

    def test(self, values: list[Scalar]) -> bool:
        passes = self.tester()
        return any(isinstance(value, str) and passes(value) for value in values)

    def to_dict(self) -> dict[str, Any]:
        return {self.field: {f"${'i' if self.ignore_case else ''}{self.how}": self.text}}

    def _key(self) -> tuple[Any, ...]:
        return (self.field, self.how, self.text, self.ignore_case)


def reads_all(clause: Clause) -> bool:
    """Whether evaluating a clause reads every different string, for however few rows."""
    return isinstance(clause, Text) and (
        clause.ignore_case or clause.how not in ("prefix", "equals")
    )
