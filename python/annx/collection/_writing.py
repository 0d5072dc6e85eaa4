"""The part of `Collection` that changes what it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from numpy.typing import NDArray

from annx import _validate
from annx._progress import Progress
from annx.collection import _documents
from annx.collection._documents import Label, check_documents, check_id, numbered
from annx.collection._schema import ID
from annx.collection._view import View
from annx.errors import DocumentError, ParameterError

#: Documents of a batch. Of some 300 bytes and 384 float32 each, a batch is 2 MB; larger ones
#: write no faster.
BATCH = 1000
_MAX_BATCH = 1_000_000
#: Bytes of a batch, or so: it ends before its number of documents is full.
_BATCH_BYTES = 64 << 20


class Writable:
    """Adds, changes and deletes documents."""

    _view: View

    def upsert(
        self,
        documents: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        batch_size: int = BATCH,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> int:
        """Add documents; one whose id is there replaces the document of that id.

        Parameters
        ----------
        documents : mapping or iterable of mapping
            Each with its ``"id"``, a str that is not empty; under the names of vector
            fields their vectors, array_like of shape (dim,); under those of text fields str;
            under those of sparse fields a mapping of index to weight or of ``"indices"`` and
            ``"values"``, a pair of these or a SciPy row; anything else is payload: what JSON
            holds, dates (kept as ISO 8601 text), tuples (kept as lists), NumPy scalars and
            arrays (kept as numbers and lists). Every field but the id may be missing or None.
            Of two with one id the later counts.
        batch_size : int
            An iterable is taken in batches of so many documents, or of some 64 MB. Each is
            written whole or not at all, and no search sees half of it.
        progress : callable or True, optional
            Called as ``progress(documents_done, n)`` after each batch, n being 0 where the
            iterable does not know its length. True shows a bar on stderr.

        Returns
        -------
        int
            Documents taken.

        Raises
        ------
        DocumentError
            A document, its id, or a value that cannot be kept. The message names it.
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError
            A vector; as `annx.Index.add`. The message names the document.
        ReadOnlyError, ClosedError
        StorageError
            The disk is full, or cannot be written.

        Notes
        -----
        After an error the batches before it are there, of its own batch nothing.

        Examples
        --------
        >>> import annx, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> cities = annx.Collection.open(folder.name, dim=2)
        >>> cities.upsert([{"id": "oslo", "vector": [59.9, 10.8], "country": "no"}])
        1
        >>> cities.close(); folder.cleanup()
        """
        size = _validate.integer(batch_size, "batch_size", 1, _MAX_BATCH)
        if isinstance(documents, Mapping):
            documents = [documents]
        poll = Progress(progress, len(documents) if isinstance(documents, Sized) else 0)
        done = 0
        store = self._view.store
        with store.writing():  # also where there is nothing to write
            pass
        for some in batches(documents, size):
            self._put(some, numbered(done))
            done += len(some)
            poll(done)
        return done

    def _put(self, documents: Sequence[Mapping[str, Any]], label: Label) -> None:
        view = self._view
        filled = view.embedder.fill(documents, label)
        view.store.put(_documents.encode(filled, view.schema, self._check, label))

    def update(
        self,
        documents: Mapping[str, Any] | Iterable[Mapping[str, Any]],
        *,
        batch_size: int = BATCH,
    ) -> int:
        """Change some fields of documents, and leave the others as they are.

        Parameters
        ----------
        documents : mapping or iterable of mapping
            As for `upsert`, with the fields to set. A field that is set to None holds None;
            a vector, None takes away. Where text changes that a vector is made of by
            `embed`, the vector is made again unless it is given.
        batch_size : int
            As for `upsert`.

        Returns
        -------
        int
            Documents taken.

        Raises
        ------
        DocumentError
            As for `upsert`; or there is no document of an id. Of its batch nothing is changed.
        DimensionError, DtypeError, NonFiniteError, ZeroVectorError
        ReadOnlyError, ClosedError, StorageError
            As for `upsert`.

        Examples
        --------
        >>> import annx, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> cities = annx.Collection.open(folder.name, dim=2)
        >>> _ = cities.upsert([{"id": "oslo", "vector": [59.9, 10.8], "country": "no"}])
        >>> cities.update({"id": "oslo", "population": 724_290})
        1
        >>> cities.get("oslo")
        {'id': 'oslo', 'country': 'no', 'population': 724290}
        >>> cities.close(); folder.cleanup()
        """
        size = _validate.integer(batch_size, "batch_size", 1, _MAX_BATCH)
        if isinstance(documents, Mapping):
            documents = [documents]
        done = 0
        store = self._view.store
        for some in batches(documents, size):
            # Nobody may change in between what is read here.
            with store.writing():
                self._put(self._merged(some, done), numbered(done))
            done += len(some)
        return done

    def _merged(self, changes: Sequence[Mapping[str, Any]], first: int) -> list[dict[str, Any]]:
        label = numbered(first)
        check_documents(changes, label)
        ids = [check_id(each[ID], label(place)) for place, each in enumerate(changes)]
        with self._view.snapshot() as snapshot:
            rows = snapshot.rows_of(ids)
            missing = [id for id in ids if id not in rows]
            if missing:
                raise DocumentError(f"there is no document {missing[0]!r} to update")
            held = snapshot.documents([rows[id] for id in ids], self._view.schema.special)
        # A later change of one id comes on top of an earlier one.
        whole: dict[str, dict[str, Any]] = {}
        for id, change, document in zip(ids, changes, held, strict=True):
            base = whole.setdefault(id, dict(document or {}))
            for name in self._view.embedder.stale(base, change):
                base.pop(name, None)
            base.update(change)
        return list(whole.values())

    def _check(self, name: str, rows: NDArray[Any]) -> None:
        part: Any = self._view.store.parts[f"vector:{name}"]
        part.check(rows)

    def delete(self, ids: str | Iterable[str] | None = None, *, filter: Any = None) -> int:
        """Delete documents, by their ids or by a filter.

        Parameters
        ----------
        ids : str or iterable of str, optional
            Those that are not there do no harm.
        filter : mapping or Expression, optional
            Delete the documents that pass, as for `search`.

        Returns
        -------
        int
            Documents deleted.

        Raises
        ------
        ParameterError
            Both `ids` and `filter` are given, or neither.
        FilterError
            The filter cannot be read.
        ReadOnlyError, ClosedError, StorageError
            As for `upsert`. Nothing is deleted.

        Examples
        --------
        >>> import annx, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> cities = annx.Collection.open(folder.name, dim=2)
        >>> _ = cities.upsert([{"id": "oslo"}, {"id": "rome", "country": "it"}])
        >>> cities.delete(["oslo", "paris"])
        1
        >>> cities.close(); folder.cleanup()
        """
        if (ids is None) == (filter is None):
            raise ParameterError(
                f"expected ids or filter, got {'neither' if ids is None else 'both'}"
            )
        store = self._view.store
        wanted = None if ids is None else ids_of(ids)
        with store.writing():
            with self._view.snapshot() as snapshot:
                if wanted is not None:
                    rows = list(snapshot.rows_of(wanted).values())
                else:
                    rows = snapshot.select(filter)
            if rows:
                store.remove(rows)
        return len(rows)


def ids_of(ids: str | Iterable[str]) -> list[str]:
    """Read an argument of ids.

    Raises
    ------
    DocumentError
        One of them is not a str that is not empty.
    """
    if isinstance(ids, str):
        ids = [ids]
    elif not isinstance(ids, Iterable):
        raise DocumentError(f"expected an id or a list of ids, got {ids!r}")
    return [check_id(id) for id in ids]


def batches(documents: Iterable[Mapping[str, Any]], size: int) -> Iterator[list[Mapping[str, Any]]]:
    """Cut documents into batches of a number, or of some 64 MB.

    Raises
    ------
    DocumentError
        It is nothing to go through.
    """
    if not isinstance(documents, Iterable) or isinstance(documents, str | bytes):
        raise DocumentError(f"expected documents as mappings, got {type(documents).__qualname__}")
    batch: list[Mapping[str, Any]] = []
    held = 0
    for document in documents:
        batch.append(document)
        held += _weight(document)
        if len(batch) == size or held >= _BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _weight(document: Any) -> int:
    """Bytes of a document, or so."""
    if not isinstance(document, Mapping):
        return 0
    total = 64 * len(document)
    for value in document.values():
        if isinstance(value, str | list | tuple):
            total += len(value)
        else:
            total += getattr(value, "nbytes", 0)
    return total
