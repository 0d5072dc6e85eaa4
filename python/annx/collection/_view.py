"""One state of a collection, as a search sees it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.collection._derived import Retriever
from annx.collection._embed import Embedder
from annx.collection._keywords import Keywords
from annx.collection._store import Store
from annx.errors import ParameterError
from annx.filters import Columns


class View:
    """What a search is given.

    Attributes
    ----------
    store : Store
    embedder : Embedder
    schema : Schema
    """

    def __init__(self, store: Store, embedder: Embedder) -> None:
        self.store = store
        self.embedder = embedder
        self.schema = store.records.schema

    @property
    def keywords(self) -> Keywords:
        """The keyword index.

        Raises
        ------
        ParameterError
            There are no text fields.
        """
        if not self.schema.text:
            raise ParameterError("expected a collection with text fields")
        part: Any = self.store.parts["text"]
        keywords: Keywords = part
        return keywords

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """Hold a state of the collection. Writes wait for it: keep it short.

        Raises
        ------
        ClosedError
        """
        with self.store.reading() as connection:
            yield Snapshot(self, connection)


class Snapshot:
    """A state that stays while `Store.reading` is held.

    Attributes
    ----------
    schema : Schema
    """

    def __init__(self, view: View, connection: sqlite3.Connection) -> None:
        self._view = view
        self._store = view.store
        self._connection = connection
        self.schema = view.schema

    @property
    def keywords(self) -> Keywords:
        """The keyword index."""
        return self._view.keywords

    @property
    def columns(self) -> Columns:
        """Filter columns, facets and values by row."""
        part: Any = self._store.parts["columns"]
        columns: Columns = part.columns
        return columns

    def vectors(self, name: str | None = None) -> Retriever:
        """Return the index of a vector field; the only one by default.

        Raises
        ------
        ParameterError
            No such field, or no name and several fields.
        """
        part: Retriever = self._part("vector", self.schema.vectors, name)
        return part

    def sparse(self, name: str | None = None) -> Retriever:
        """Return the index of a sparse field; the only one by default.

        Raises
        ------
        ParameterError
        """
        part: Retriever = self._part("sparse", self.schema.sparse, name)
        return part

    def _part(self, kind: str, fields: Iterable[str], name: str | None) -> Any:
        known = list(fields)
        if name is None and len(known) == 1:
            name = known[0]
        if name not in known:
            raise ParameterError(f"expected a {kind} field of {known}, got {name!r}")
        return self._store.parts[f"{kind}:{name}"]

    def allowed(self, filter: Any) -> NDArray[np.bool_] | None:
        """Which rows a filter lets pass, by row; None: all that are there.

        Raises
        ------
        FilterError
        """
        hidden = self._store.hidden_from
        if filter is None:
            return None if hidden is None else np.ones(hidden, np.bool_)
        # Rows that are hidden are not in the columns yet.
        return self.columns.mask(filter)

    def select(self, filter: Any) -> list[int]:
        """Return the rows that a filter lets pass, ascending."""
        rows: list[int] = self.columns.select(filter).tolist()
        return rows

    def count(self, filter: Any = None) -> int:
        """Count the documents that a filter lets pass."""
        if filter is None:
            return self._store.records.count(self._connection)
        return self.columns.count(filter)

    def integrity(self) -> list[str]:
        """Say what SQLite finds wrong with the file of records."""
        return self._store.records.integrity(self._connection)

    def rows_of(self, ids: Sequence[str]) -> dict[str, int]:
        """Find the rows of those ids that are there."""
        return self._store.records.rows_of(self._connection, ids)

    def scan(
        self, after: int, limit: int, filter: Any = None, fields: Iterable[str] = ()
    ) -> list[tuple[int, dict[str, Any]]]:
        """Read the next documents after a row, in order of insertion."""
        records = self._store.records
        if filter is None:
            return records.scan(self._connection, after, limit, fields)
        later = np.flatnonzero(self.columns.mask(filter)[after + 1 :])[:limit]
        rows = (later + (after + 1)).tolist()
        return records.existing(self._connection, rows, fields)

    def documents(
        self, rows: Iterable[int], fields: Iterable[str] = ()
    ) -> list[dict[str, Any] | None]:
        """Read documents, in the order of `rows`; None where there is none.

        Parameters
        ----------
        rows : iterable of int
        fields : iterable of str
            Vector and sparse fields to read as well.
        """
        wanted = [int(row) for row in rows]
        found = self._store.records.documents(self._connection, wanted, fields)
        return [found.get(row) for row in wanted]
