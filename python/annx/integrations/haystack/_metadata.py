"""The part of the document store that says what is in the meta of documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from annx import Collection
from annx.integrations.haystack._filters import expression_of


class Describing:
    """Values of the meta, all found by reading the documents that pass a filter."""

    _collection: Collection

    def _metas(self, filters: Mapping[str, Any] | None = None) -> Iterator[dict[str, Any]]:
        for document in self._collection.iterate(filter=expression_of(filters)):
            yield document.get("meta") or {}

    def count_unique_metadata_by_filter(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """Count the different values of fields of the meta, with or without ``meta.``.

        Raises
        ------
        haystack.errors.FilterError
        """
        names = [name.removeprefix("meta.") for name in metadata_fields]
        seen: dict[str, set[str]] = {name: set() for name in names}
        for meta in self._metas(filters):
            for name in names:
                if meta.get(name) is not None:
                    seen[name].add(_text(meta[name]))
        return {name: len(values) for name, values in seen.items()}

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """Return the types of the meta's fields: keyword, int, float or boolean."""
        types: dict[str, dict[str, str]] = {}
        for meta in self._metas():
            for name, value in meta.items():
                if value is not None:
                    types[name] = {"type": _type(value)}
        return types

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Return the least and the greatest number of a field, or text if it has no numbers."""
        name = metadata_field.removeprefix("meta.")
        values = [meta.get(name) for meta in self._metas()]
        found: list[Any] = [each for each in values if isinstance(each, int | float)]
        found = found or [each for each in values if isinstance(each, str)]
        return {"min": min(found, default=None), "max": max(found, default=None)}

    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """Return some of a field's different values, in order, and how many there are.

        Parameters
        ----------
        metadata_field : str
            With or without ``meta.``.
        search_term : str, optional
            Values that hold this text alone, in capital letters or small ones.
        from_, size : int
            Which of the values: numbers first, then texts, then anything else.
        filters : dict, optional

        Raises
        ------
        haystack.errors.FilterError
        """
        name = metadata_field.removeprefix("meta.")
        values = (meta.get(name) for meta in self._metas(filters))
        unique = {_text(value): value for value in values if value is not None}
        if search_term:
            term = search_term.lower()
            unique = {key: value for key, value in unique.items() if term in str(value).lower()}
        ordered = sorted(unique.values(), key=_order)
        return ordered[from_ : from_ + size], len(ordered)


def _text(value: Any) -> str:
    """The same for what is the same, 1, 1.0, "1" and True being different."""
    return json.dumps(value, sort_keys=True)


def _order(value: Any) -> tuple[int, float, str]:
    if isinstance(value, int | float):
        return 0, value, _text(value)
    return (1, 0.0, value) if isinstance(value, str) else (2, 0.0, _text(value))


def _type(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "int"
    return "float" if isinstance(value, float) else "keyword"
