"""Metadata as top-level keys of a collection's documents, next to id, text and vector."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from annx.filters import Expression, parse

#: Where metadata goes whose keys mean something else in a document.
_ASIDE = "_metadata"


class Metadata:
    """Where each key of the metadata is in a document.

    Metadata lies flat among the keys of a document, so that filters of the collection and of
    the store are the same. Keys that a document has for something else, ``"id"`` among them,
    go into a mapping of their own.

    Parameters
    ----------
    taken : iterable of str
        Keys of a document that are no metadata.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = frozenset(("id", _ASIDE, *taken))

    def _aside(self, key: str) -> bool:
        return key.partition(".")[0] in self._taken

    def place(self, key: str) -> str:
        """Return the path of a key of the metadata in documents, for filters."""
        return f"{_ASIDE}.{key}" if self._aside(key) else key

    def spread(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """Return what metadata adds to a document."""
        flat = {key: value for key, value in metadata.items() if not self._aside(key)}
        aside = {key: value for key, value in metadata.items() if self._aside(key)}
        return {**flat, _ASIDE: aside} if aside else flat

    def gather(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the metadata of a document."""
        flat = {key: value for key, value in document.items() if not self._aside(key)}
        aside = document.get(_ASIDE)
        return {**flat, **aside} if isinstance(aside, Mapping) else flat

    def filter(self, given: Expression | Mapping[str, Any] | None) -> Expression | None:
        """Make a filter on metadata one on documents.

        Raises
        ------
        FilterError
        """
        if given is None:
            return None
        expression = parse(given)
        found = expression.to_dict()
        moved = self._moved(found)
        return expression if moved == found else parse(moved)

    def _moved(self, tree: Any) -> Any:
        if isinstance(tree, list):
            return [self._moved(each) for each in tree]
        if not isinstance(tree, dict):
            return tree
        return {
            key if key.startswith("$") else self.place(key): (
                self._moved(value) if key.startswith("$") else value
            )
            for key, value in tree.items()
        }
