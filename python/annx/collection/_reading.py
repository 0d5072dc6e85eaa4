"""The part of `Collection` that gives documents back as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, overload

from annx import _validate
from annx.collection._view import View
from annx.collection._writing import BATCH, ids_of


class Readable:
    """Gets, counts and goes through documents."""

    _view: View

    @overload
    def get(  # type: ignore[overload-overlap]
        self, ids: str, *, vectors: bool = False
    ) -> dict[str, Any] | None: ...

    @overload
    def get(self, ids: Iterable[str], *, vectors: bool = False) -> list[dict[str, Any] | None]: ...

    def get(self, ids: str | Iterable[str], *, vectors: bool = False) -> Any:
        """Return documents by their ids.

        Parameters
        ----------
        ids : str or iterable of str
        vectors : bool
            With their vectors, as arrays of shape (dim,), and sparse vectors, as pairs
            (indices, weights).

        Returns
        -------
        dict, None, or list of these
            For one id its document; for several a list in their order. None where there is
            no document of an id.

        Raises
        ------
        DocumentError
            An id is not a str, or empty.
        StorageError
            A record is damaged.

        Examples
        --------
        >>> import annx, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> cities = annx.Collection.open(folder.name, dim=2)
        >>> _ = cities.upsert([{"id": "oslo", "country": "no"}])
        >>> cities.get(["oslo", "paris"])
        [{'id': 'oslo', 'country': 'no'}, None]
        >>> cities.close(); folder.cleanup()
        """
        wanted = ids_of(ids)
        with self._view.snapshot() as snapshot:
            rows = snapshot.rows_of(wanted)
            fields = self._view.schema.special if vectors else ()
            documents = snapshot.documents([rows.get(id, -1) for id in wanted], fields)
        return documents[0] if isinstance(ids, str) else documents

    def count(self, filter: Any = None) -> int:
        """Count the documents.

        Parameters
        ----------
        filter : mapping or Expression, optional
            Count those that pass, as for `search`.

        Raises
        ------
        FilterError
            The filter cannot be read.
        """
        with self._view.snapshot() as snapshot:
            return snapshot.count(filter)

    def __len__(self) -> int:
        return self.count()

    def __bool__(self) -> bool:
        # An empty collection is not the absence of one.
        return True

    def __contains__(self, id: object) -> bool:
        if not isinstance(id, str):
            return False
        with self._view.snapshot() as snapshot:
            return bool(snapshot.rows_of([id]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.iterate()

    def iterate(
        self, *, filter: Any = None, vectors: bool = False, batch_size: int = BATCH
    ) -> Iterator[dict[str, Any]]:
        """Go through the documents in the order in which their ids first came.

        Parameters
        ----------
        filter : mapping or Expression, optional
            Go through those that pass, as for `search`.
        vectors : bool
            As for `get`.
        batch_size : int
            Documents that are read at a time.

        Yields
        ------
        dict
            Each document that is there from the first to the last is given once, in the
            version of its moment; writes may go on meanwhile.

        Raises
        ------
        FilterError
            The filter cannot be read.
        """
        size = _validate.integer(batch_size, "batch_size", 1, 1_000_000)
        after = -1
        while True:
            with self._view.snapshot() as snapshot:
                fields = self._view.schema.special if vectors else ()
                found = snapshot.scan(after, size, filter, fields)
            if not found:
                return
            after = found[-1][0]
            yield from (document for _, document in found)
