"""LlamaIndex's metadata filters as expressions of annx."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from annx import FilterError
from annx._extra import extra
from annx.filters import Expression, F, all_of, any_of

with extra("llama-index"):
    from llama_index.core.vector_stores.types import (
        FilterCondition,
        FilterOperator,
        MetadataFilter,
        MetadataFilters,
    )

#: Where a document says which keys of its metadata hold lists: filters see each value of a list
#: as they see a single one, and LlamaIndex's operators tell these apart.
LISTS = "_lists"


def expression_of(
    filters: MetadataFilters | None, place: Callable[[str], str]
) -> Expression | None:
    """Make an expression of filters, nested ones among them; None where nothing is filtered.

    Parameters
    ----------
    filters : MetadataFilters or None
    place : callable
        From a key of the metadata to its path in documents.

    Raises
    ------
    FilterError
        A value that does not go with its operator.
    """
    if filters is None or not filters.filters:
        return None
    parts = [_part(each, place) for each in filters.filters]
    condition = filters.condition or FilterCondition.AND
    if condition == FilterCondition.AND:
        return all_of(parts)
    if condition == FilterCondition.OR:
        return any_of(parts)
    return ~any_of(parts)


def _part(given: MetadataFilter | MetadataFilters, place: Callable[[str], str]) -> Expression:
    if isinstance(given, MetadataFilters):
        inner = expression_of(given, place)
        return all_of([]) if inner is None else inner
    field = F(place(given.key))
    is_list = F(LISTS).equals(given.key)
    return _OPERATORS[given.operator](field, is_list, given.value)


def lists_in(metadata: Mapping[str, Any]) -> list[str]:
    """Return the keys whose values are lists."""
    return [key for key, value in metadata.items() if isinstance(value, list)]


def _same(field: F, value: Any) -> Expression:
    # Of text, equality compares dates by their instants, which LlamaIndex does not.
    return field.equals(value) if isinstance(value, str) else field == value


def _equal(field: F, is_list: Expression, value: Any) -> Expression:
    if value is None:
        return field.is_empty()
    if isinstance(value, list):
        raise FilterError(f"expected one value for == and !=, got the list {value!r}")
    return _same(field, value) & ~is_list


def _ordered(
    compare: Callable[[F, Any], Expression],
) -> Callable[[F, Expression, Any], Expression]:
    def translate(field: F, is_list: Expression, value: Any) -> Expression:
        if value is None or isinstance(value, list):
            raise FilterError(f"expected a number or text to order by, got {value!r}")
        return compare(field, value) & ~is_list

    return translate


def _listed(value: Any, operator: str) -> list[Any]:
    if not isinstance(value, list):
        raise FilterError(f"expected a list for {operator!r}, got {value!r}")
    return value


def _like_a_date(value: Any) -> bool:
    return isinstance(value, str) and value[:4].isdigit() and value[4:5] == "-"


def _among(field: F, values: Iterable[Any]) -> Expression:
    given = list(values)
    exact = [field.equals(each) for each in given if _like_a_date(each)]
    return any_of([field.isin([each for each in given if not _like_a_date(each)]), *exact])


def _in(field: F, is_list: Expression, value: Any) -> Expression:
    return _among(field, _listed(value, "in")) & ~is_list


def _holds(field: F, is_list: Expression, value: Any) -> Expression:
    """What Python's `in` does: a list holds a value, a text a part of it."""
    if value is None or isinstance(value, list):
        raise FilterError(f"expected one value to be contained, got {value!r}")
    held = _same(field, value) & is_list
    if not isinstance(value, str):
        return held
    return any_of([held, field.substring(value) & ~is_list])


def _any(field: F, is_list: Expression, value: Any) -> Expression:
    return any_of(_holds(field, is_list, each) for each in _listed(value, "any"))


def _all(field: F, is_list: Expression, value: Any) -> Expression:
    parts = [_holds(field, is_list, each) for each in _listed(value, "all")]
    # A value is needed, be it an empty list.
    return all_of([any_of([field.exists(), is_list]), *parts])


def _text(field: F, value: Any, *, ignore_case: bool) -> Expression:
    if not isinstance(value, str):
        raise FilterError(f"expected text to match, got {value!r}")
    return field.substring(value, ignore_case=ignore_case)


_OPERATORS: dict[FilterOperator, Callable[[F, Expression, Any], Expression]] = {
    FilterOperator.EQ: _equal,
    FilterOperator.NE: lambda field, is_list, value: ~_equal(field, is_list, value),
    FilterOperator.GT: _ordered(lambda field, value: field > value),
    FilterOperator.GTE: _ordered(lambda field, value: field >= value),
    FilterOperator.LT: _ordered(lambda field, value: field < value),
    FilterOperator.LTE: _ordered(lambda field, value: field <= value),
    FilterOperator.IN: _in,
    FilterOperator.NIN: lambda field, is_list, value: ~_in(field, is_list, value),
    FilterOperator.ANY: _any,
    FilterOperator.ALL: _all,
    FilterOperator.CONTAINS: _holds,
    FilterOperator.TEXT_MATCH: lambda field, is_list, value: (
        _text(field, value, ignore_case=False) & ~is_list
    ),
    FilterOperator.TEXT_MATCH_INSENSITIVE: lambda field, is_list, value: (
        _text(field, value, ignore_case=True) & ~is_list
    ),
    FilterOperator.IS_EMPTY: lambda field, is_list, value: any_of(
        [field.is_empty(), field.equals("") & ~is_list]
    ),
}
