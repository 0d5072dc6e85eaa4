"""The collection behind a store: opened late, in a folder of the user's or a temporary one."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path

from annx import Collection, MissingCollectionError, ParameterError, SchemaError, StorageError


class Held:
    """A collection that a store is given, or opens once the first vectors say how long they are.

    Parameters
    ----------
    path : str or path-like, optional
        A folder. None: a temporary one, that is deleted with this object.
    collection : Collection, optional
        In place of `path`; it is left open.
    metric, codec : str, optional
        Of the vectors. None: cosine and ``"auto"`` for a new collection, whatever it has for
        one that is there.
    vector, text : str, optional
        Their fields; of a new collection ``"vector"`` and ``"text"``.
    keywords : bool
        Whether the text of a new collection can be searched by words.
    language : str, optional
        Whose words are reduced to stems.
    sparse : str, optional
        The field of sparse vectors of a new collection.
    stored : sequence of str
        Payload keys that no filter needs.

    Raises
    ------
    ParameterError
        Both `path` and `collection` are given, or a field is not one of the collection.
    SchemaError
        The collection at `path` has another metric or codec.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None,
        collection: Collection | None,
        *,
        metric: str | None,
        codec: str | None,
        vector: str | None,
        text: str | None,
        keywords: bool,
        language: str | None,
        sparse: str | None = None,
        stored: Sequence[str] = (),
    ) -> None:
        if path is not None and collection is not None:
            raise ParameterError("expected path or collection, got both")
        # The working directory may be another by the time the collection is made.
        self._path = None if path is None else Path(path).absolute()
        self._given = {"metric": metric, "codec": codec}
        self._fields = vector, text
        self._keywords, self._language = keywords, language
        self._sparse, self._stored = sparse, tuple(stored)
        self._lock = threading.Lock()
        self._temporary = False
        self._finalizer: weakref.finalize[..., Held] | None = None
        self.collection: Collection | None = None
        self.vector, self.text = vector or "vector", text or "text"
        if collection is not None:
            self._take(collection)
        elif self._path is not None:
            try:
                self._own(Collection.open(self._path), None)
            except MissingCollectionError:
                return  # until it is known how long vectors are

    def _take(self, collection: Collection) -> None:
        vector, text = self._fields
        fields = collection.schema.vectors
        if vector is None and len(fields) == 1:
            vector = next(iter(fields))
        if vector is None or vector not in fields:
            raise ParameterError(f"expected a vector field of {list(fields)}, got {vector!r}")
        for name, value in self._given.items():
            has = getattr(fields[vector], name)
            if value is not None and value != has:
                raise SchemaError(f"the collection has {name} {has!r}, got {value!r}")
        self.vector = vector
        self.text = text or next(iter(collection.schema.text), "text")
        self.collection = collection

    def _own(self, collection: Collection, temporary: str | None) -> None:
        try:
            self._take(collection)
        except BaseException:
            _release(collection, temporary)
            raise
        self._temporary = temporary is not None
        self._finalizer = weakref.finalize(self, _release, collection, temporary)

    def create(self, dim: int) -> Collection:
        """Return the collection, made for vectors of `dim` elements if there is none yet."""
        with self._lock:
            if self.collection is None:
                settings = {key: value for key, value in self._given.items() if value is not None}
                stored = self._stored
                text = {self.text: {"language": self._language}} if self._keywords else None
                if text is None:
                    stored = (self.text, *stored)
                temporary, durability = None, "power"
                path = self._path
                if path is None:
                    temporary, durability = tempfile.mkdtemp(prefix="annx-"), "none"
                    path = Path(temporary)
                try:
                    collection = Collection.open(
                        path,
                        vectors={self.vector: {"metric": "cosine", **settings, "dim": dim}},
                        text=text,
                        sparse=self._sparse,
                        stored=stored or None,
                        durability=durability,
                    )
                except BaseException:
                    if temporary is not None:
                        shutil.rmtree(temporary, ignore_errors=True)
                    raise
                self._own(collection, temporary)
            assert self.collection is not None
            return self.collection

    @property
    def metric(self) -> str:
        """Of the vectors."""
        if self.collection is None:
            return self._given["metric"] or "cosine"
        return self.collection.schema.vectors[self.vector].metric

    @property
    def temporary(self) -> bool:
        """Whether the collection goes with this object."""
        return self._temporary

    def copy(self, path: Path) -> None:
        """Write the documents to a collection at a path, in place of one that is there.

        Raises
        ------
        ParameterError
            There is something else.
        LockedError
            What is there is open for writing.
        """
        collection = self.collection
        if collection is None:
            return
        if path.exists():
            try:
                Collection.open(path).close()
            except (StorageError, SchemaError) as error:
                raise ParameterError(f"{path} is there, and no collection: {error}") from error
        path.parent.mkdir(parents=True, exist_ok=True)
        schema = collection.schema
        with tempfile.TemporaryDirectory(prefix=f"{path.name}-", dir=path.parent) as folder:
            new, old = Path(folder, "new"), Path(folder, "old")
            with Collection.open(
                new,
                vectors=schema.vectors,
                text=schema.text or None,
                sparse=list(schema.sparse) or None,
                stored=schema.stored or None,
            ) as copied:
                copied.upsert(collection.iterate(vectors=True))
            if path.exists():
                path.rename(old)
            new.rename(path)

    def close(self) -> None:
        """Close the collection, unless it was given; delete a temporary one."""
        if self._finalizer is not None:
            self._finalizer()


def _release(collection: Collection, temporary: str | None) -> None:
    try:
        collection.close()
    finally:
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)
