"""The dict syntax."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from annx.errors import FilterError
from annx.filters._field import F, checked_name
from annx.filters._tree import MAX_DEPTH, Expression, Not, all_of, any_of, at_least
from annx.filters._values import is_list


def _flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise FilterError(f"expected true or false for {name}, got {value!r}")
    return value


def _listed(value: Any, name: str) -> list[Any]:
    if not is_list(value):
        raise FilterError(f"expected a list for {name}, got {type(value).__name__}")
    return list(value)


def _pair(value: Any) -> list[Any]:
    pair = _listed(value, "$between")
    if len(pair) != 2:
        raise FilterError(f"expected two values for $between, got {len(pair)}")
    return pair


_OPERATORS: dict[str, Callable[[F, Any], Expression]] = {
    "$eq": lambda field, value: field == value,
    "$ne": lambda field, value: field != value,
    "$lt": lambda field, value: field < value,
    "$lte": lambda field, value: field <= value,
    "$gt": lambda field, value: field > value,
    "$gte": lambda field, value: field >= value,
    "$between": lambda field, value: field.between(*_pair(value)),
    "$in": lambda field, value: field.isin(_listed(value, "$in")),
    "$nin": lambda field, value: field.not_in(_listed(value, "$nin")),
    "$any": lambda field, value: field.contains_any(_listed(value, "$any")),
    "$all": lambda field, value: field.contains_all(_listed(value, "$all")),
    "$contains": lambda field, value: field.contains(value),
    "$exists": lambda field, value: field.exists() if _flag(value, "$exists") else field.is_empty(),
    "$empty": lambda field, value: field.is_empty() if _flag(value, "$empty") else field.exists(),
    "$prefix": lambda field, value: field.prefix(value),
    "$suffix": lambda field, value: field.suffix(value),
    "$substring": lambda field, value: field.substring(value),
    "$like": lambda field, value: field.like(value),
    "$equals": lambda field, value: field.equals(value),
    "$iequals": lambda field, value: field.equals(value, ignore_case=True),
    "$iprefix": lambda field, value: field.prefix(value, ignore_case=True),
    "$isuffix": lambda field, value: field.suffix(value, ignore_case=True),
    "$isubstring": lambda field, value: field.substring(value, ignore_case=True),
    "$ilike": lambda field, value: field.like(value, ignore_case=True),
}


def parse(filter: Expression | Mapping[str, Any]) -> Expression:
    """Make an expression of a filter in the dict syntax.

    Parameters
    ----------
    filter : mapping or Expression
        Fields with a value or with operators, ``{"city": "Oslo", "rate": {"$lt": 80}}``, and
        the connectives ``$and``, ``$or``, ``$not``, ``$nor`` and ``$atLeast``. All entries of a
        dict must hold. An expression is returned as it is.

    Returns
    -------
    Expression

    Raises
    ------
    FilterError
        An operator is unknown, an operand is of the wrong type, or the whole is too large.

    Examples
    --------
    >>> from annx.filters import F, parse
    >>> parse({"city": "Oslo", "rate": {"$gte": 40, "$lt": 80}}) == (
    ...     (F("city") == "Oslo") & (F("rate") >= 40) & (F("rate") < 80)
    ... )
    True
    >>> parse({"rate": {"$below": 80}})
    Traceback (most recent call last):
        ...
    annx.errors.FilterError: expected an operator for field 'rate', got '$below'
    """
    return _parse(filter, 1)


def _parse(given: Any, depth: int) -> Expression:
    if isinstance(given, Expression):
        return given
    if not isinstance(given, Mapping):
        raise FilterError(f"expected a filter as a dict, got {type(given).__name__}")
    _check_depth(depth)
    return all_of([_entry(key, value, depth) for key, value in given.items()])


def _check_depth(depth: int) -> None:
    # Before going deeper: what is too deep for the tree may be too deep for Python's stack.
    if depth > MAX_DEPTH:
        raise FilterError(f"expected a filter of at most {MAX_DEPTH} levels, got more")


def _entry(key: Any, value: Any, depth: int) -> Expression:
    if key == "$and":
        return all_of(_several(value, key, depth))
    if key == "$or":
        return any_of(_several(value, key, depth))
    if key == "$nor":
        return Not(any_of(_several(value, key, depth)))
    if key == "$not":
        return Not(all_of(_several(value if is_list(value) else [value], key, depth)))
    if key == "$atLeast":
        count, *parts = _listed(value, key) or [None]
        return at_least(count, _several(parts, key, depth))
    if isinstance(key, str) and key.startswith("$"):
        raise FilterError(f"expected a field or a connective, got the operator {key!r}")
    return _conditions(F(checked_name(key)), value, depth)


def _several(value: Any, name: str, depth: int) -> list[Expression]:
    return [_parse(each, depth + 1) for each in _listed(value, name)]


def _conditions(field: F, value: Any, depth: int) -> Expression:
    if is_list(value):
        raise FilterError(
            f"expected one value or an operator for field {field.name!r}, got a list; "
            "use $in, $any or $all"
        )
    if not isinstance(value, Mapping):
        equal: Expression = field == value
        return equal
    _check_depth(depth)
    if not value:
        raise FilterError(f"expected an operator for field {field.name!r}, got an empty dict")
    return all_of([_condition(field, key, operand, depth) for key, operand in value.items()])


def _condition(field: F, key: Any, operand: Any, depth: int) -> Expression:
    if key == "$not":
        return Not(_conditions(field, operand, depth + 1))
    if isinstance(key, str) and not key.startswith("$"):
        return _conditions(F(f"{field.name}.{key}"), operand, depth + 1)
    if not isinstance(key, str) or key not in _OPERATORS:
        raise FilterError(f"expected an operator for field {field.name!r}, got {key!r}")
    return _OPERATORS[key](field, operand)
