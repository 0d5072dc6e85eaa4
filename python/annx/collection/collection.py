"""`Collection`: documents in, the best documents out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Self

from numpy.typing import NDArray

from annx import _validate
from annx.collection import _documents, _schema
from annx.collection._open import open_store
from annx.collection._sqlite import DURABILITY
from annx.collection._store import Store
from annx.collection._view import Snapshot
from annx.errors import ParameterError

_BATCH = 1000


class Collection:
    """Documents with vectors, text and metadata in a folder, which survive a crash.

    `Collection.open` makes one. All methods may be called from any threads at the same time.

    Examples
    --------
    >>> import annx, tempfile
    >>> from annx.collection import Collection
    >>> folder = tempfile.TemporaryDirectory()
    >>> with Collection.open(folder.name, dim=2, metric="cosine") as points:
    ...     _ = points.upsert([{"id": "a", "vector": [1.0, 0.0], "city": "Oslo"}])
    ...     points.get("a")
    {'id': 'a', 'city': 'Oslo'}
    >>> folder.cleanup()
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        dim: int | None = None,
        metric: str | None = None,
        codec: str | None = None,
        vectors: Mapping[str, Any] | None = None,
        text: Any = None,
        sparse: Any = None,
        embed: Any = None,
        embed_from: Any = None,
        durability: str = "power",
        read_only: bool = False,
        num_threads: int | None = None,
    ) -> Self:
        """Open the collection in a folder, or create it."""
        _validate.choice(durability, "durability", tuple(DURABILITY))
        wanted = _schema.wanted(dim, metric, codec, vectors, text, sparse, embed_from)
        return cls(open_store(Path(path), wanted, durability, read_only, num_threads))

    # Writing

    def upsert(self, documents: Iterable[Mapping[str, Any]], *, batch_size: int = _BATCH) -> int:
        """Add documents, in place of those with the same ids."""
        if isinstance(documents, Mapping):
            documents = [documents]
        done = 0
        for some in _batches(documents, batch_size):
            batch = _documents.encode(some, self._store.records.schema, self._check, done)
            self._store.put(batch)
            done += len(some)
        return done

    def _check(self, name: str, rows: NDArray[Any]) -> None:
        part: Any = self._store.parts[f"vector:{name}"]
        part.check(rows)

    def delete(self, ids: str | Iterable[str] | None = None, *, filter: Any = None) -> int:
        """Delete documents by their ids, or those that a filter lets pass."""
        if (ids is None) == (filter is None):
            raise ParameterError("expected ids or filter, got " + ("both" if ids else "neither"))
        store = self._store
        with store.writing():
            with self._snapshot() as snapshot:
                if ids is not None:
                    rows = list(snapshot.rows_of(_ids(ids)).values())
                else:
                    rows = snapshot.select(filter)
            if rows:
                store.remove(rows)
        return len(rows)

    # Reading

    @contextmanager
    def _snapshot(self) -> Iterator[Snapshot]:
        with self._store.reading() as connection:
            yield Snapshot(self._store, connection)

    def get(self, ids: str | Iterable[str], *, vectors: bool = False) -> Any:
        """Return documents by their ids."""
        wanted = _ids(ids)
        with self._snapshot() as snapshot:
            rows = snapshot.rows_of(wanted)
            fields = snapshot.schema.special if vectors else ()
            documents = snapshot.documents([rows.get(id, -1) for id in wanted], fields)
        return documents[0] if isinstance(ids, str) else documents

    def count(self, filter: Any = None) -> int:
        """Count the documents, or those that a filter lets pass."""
        with self._snapshot() as snapshot:
            return snapshot.count(filter)

    def __len__(self) -> int:
        return self.count()

    def __contains__(self, id: object) -> bool:
        if not isinstance(id, str):
            return False
        with self._snapshot() as snapshot:
            return bool(snapshot.rows_of([id]))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.iterate()

    def iterate(
        self, *, filter: Any = None, vectors: bool = False, batch_size: int = _BATCH
    ) -> Iterator[dict[str, Any]]:
        """Go through the documents in the order in which their ids came."""
        after = -1
        while True:
            with self._snapshot() as snapshot:
                fields = snapshot.schema.special if vectors else ()
                found = snapshot.scan(after, batch_size, filter, fields)
            if not found:
                return
            after = found[-1][0]
            yield from (document for _, document in found)

    def search(
        self, *, vector: Any = None, k: int = 10, filter: Any = None, **options: Any
    ) -> list[dict[str, Any]]:
        """Find the documents that fit a query best."""
        with self._snapshot() as snapshot:
            part = snapshot.vectors()
            rows, scores = part.search(vector, k, snapshot.allowed(filter), **options)
            documents = snapshot.documents(rows)
        pairs = zip(documents, scores.tolist(), strict=True)
        return [{**document, "score": score} for document, score in pairs if document]

    def close(self) -> None:
        """Make everything durable and let go of the files."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _ids(ids: str | Iterable[str]) -> list[str]:
    return [_documents.check_id(id) for id in ([ids] if isinstance(ids, str) else ids)]


def _batches(documents: Iterable[Any], size: int) -> Iterator[list[Any]]:
    source = iter(documents)
    while some := list(islice(source, size)):
        yield some
