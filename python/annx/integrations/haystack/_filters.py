"""Haystack's filters as expressions of annx."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from typing import Any

import annx
from annx._extra import extra
from annx.filters import Expression, F, all_of, any_of

with extra("haystack"):
    from haystack.errors import FilterError

#: Fields of a document that are not in its meta, and are kept under their own names.
_OWN = ("id", "score")
#: Fields whose values no filter sees: only whether there is one.
_PRESENT = ("content", "embedding", "sparse_embedding")


def expression_of(filters: Mapping[str, Any] | None) -> Expression:
    """Make an expression of a filter.

    Parameters
    ----------
    filters : mapping or None
        A comparison or a logical condition; empty or None passes everything.

    Returns
    -------
    Expression

    Raises
    ------
    FilterError
        Haystack's: a key is missing, an operator unknown, a value of the wrong type.
    """
    if not filters:
        return all_of([])
    try:
        return _condition(filters)
    except annx.FilterError as error:
        raise FilterError(str(error)) from error


def _condition(given: Any) -> Expression:
    if not isinstance(given, Mapping):
        raise FilterError(f"expected a condition as a dict, got {given!r}")
    if "field" in given:
        return _comparison(given)
    operator = _part(given, "operator")
    conditions = _part(given, "conditions")
    if not isinstance(conditions, list):
        raise FilterError(f"expected conditions as a list, got {conditions!r}")
    parts = [_condition(each) for each in conditions]
    if operator == "AND":
        return all_of(parts)
    if operator == "OR":
        return any_of(parts)
    if operator == "NOT":
        return ~all_of(parts)
    raise FilterError(f"expected operator 'AND', 'OR' or 'NOT', got {operator!r}")


def _part(given: Mapping[str, Any], key: str) -> Any:
    if key not in given:
        raise FilterError(f"expected the key {key!r} in {dict(given)!r}")
    return given[key]


def _comparison(given: Mapping[str, Any]) -> Expression:
    operator, value, name = _part(given, "operator"), _part(given, "value"), given["field"]
    if not isinstance(operator, str) or operator not in _COMPARE:
        raise FilterError(f"expected an operator of {list(_COMPARE)}, got {operator!r}")
    if not isinstance(name, str):
        raise FilterError(f"expected the name of a field, got {name!r}")
    if name in _PRESENT:
        if value is not None or operator not in ("==", "!="):
            raise FilterError(f"{name!r} can be compared with None alone, by == and !=")
        return _COMPARE["!=" if operator == "==" else "=="](F("has"), name)
    return _COMPARE[operator](F(_place(name)), value)


def _place(name: str) -> str:
    if name in _OWN:
        return name
    # As in Haystack, a name that is no field of a document is one of its meta.
    return name if name.startswith(("meta.", "blob.")) else f"meta.{name}"


def _equal(field: F, value: Any) -> Expression:
    if isinstance(value, list):
        return all_of(_equal(field, each) for each in value) if value else field.is_empty()
    equal: Expression = field == value
    return equal


def _ordered(compare: Callable[[F, Any], Expression]) -> Callable[[F, Any], Expression]:
    def translate(field: F, value: Any) -> Expression:
        if value is None:
            return any_of([])  # nothing is less or greater
        if isinstance(value, str):
            try:
                value = datetime.datetime.fromisoformat(value)
            except ValueError:
                raise FilterError(
                    f"expected a number or an ISO 8601 date to order by, got {value!r}"
                ) from None
        elif not isinstance(value, int | float | datetime.date):
            raise FilterError(f"expected a number or a date to order by, got {value!r}")
        return compare(field, value)

    return translate


def _among(field: F, value: Any) -> Expression:
    if not isinstance(value, list):
        raise FilterError(f"expected a list for 'in' and 'not in', got {value!r}")
    return any_of(_equal(field, each) for each in value)


_COMPARE: dict[str, Callable[[F, Any], Expression]] = {
    "==": _equal,
    "!=": lambda field, value: ~_equal(field, value),
    ">": _ordered(lambda field, value: field > value),
    ">=": _ordered(lambda field, value: field >= value),
    "<": _ordered(lambda field, value: field < value),
    "<=": _ordered(lambda field, value: field <= value),
    "in": _among,
    "not in": lambda field, value: ~_among(field, value),
}
