"""The part of `Collection` that imports and exports files of documents."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from annx import _validate
from annx._progress import Progress
from annx.collection import _files
from annx.collection._reading import Readable
from annx.collection._writing import BATCH, Writable, batches
from annx.errors import ParameterError


class Transferable(Writable, Readable):
    """Reads files of documents into a collection, and writes them."""

    def import_file(
        self,
        path: str | os.PathLike[str],
        *,
        format: str = "auto",
        rename: Mapping[str, str] | None = None,
        batch_size: int = BATCH,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> int:
        """Add the documents of a file, as `upsert` does.

        Parameters
        ----------
        path : str or path-like
            JSON lines (``.jsonl``, ``.ndjson``, also ``.gz``), an object each; Parquet, a
            document a row, in which null is nothing; or a BEIR folder, of which
            ``corpus.jsonl`` is read: ``_id`` is the id, and what is in ``metadata`` is set
            as if it stood beside.
        format : {"auto", "jsonl", "parquet", "beir"}
            By default the path's ending decides.
        rename : mapping of str to str, optional
            Names of the file to names of fields, such as ``{"docno": "id"}``.
        batch_size : int
            As for `upsert`.
        progress : callable or True, optional
            Called as ``progress(documents_done, n)`` after each batch. True shows a bar on
            stderr.

        Returns
        -------
        int
            Documents read.

        Raises
        ------
        DocumentError, DimensionError, DtypeError, NonFiniteError, ZeroVectorError
            As `upsert`; the message names the file and the line or row. Batches before it
            are there, of its own batch nothing: to import again does no harm.
        ParameterError
            The format is not known.
        MissingExtraError
            Parquet without the extra ``datasets``.
        OSError
            The file cannot be read.

        Examples
        --------
        >>> import annx, pathlib, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> file = pathlib.Path(folder.name, "cities.jsonl")
        >>> _ = file.write_text('{"id": "oslo", "country": "no"}')
        >>> cities = annx.Collection.open(folder.name + "/cities", dim=2)
        >>> cities.import_file(file)
        1
        >>> cities.close(); folder.cleanup()
        """
        size = _validate.integer(batch_size, "batch_size", 1, 1_000_000)
        names = _names(rename)
        store = self._view.store
        with store.writing():  # refuses a reader before the file is read
            pass
        source = _files.source(Path(path), format, self._view.schema)
        poll = Progress(progress, source.total)
        places: list[str] = []

        def documents() -> Iterator[Any]:
            for document, where in source.documents():
                places.append(where)
                yield _renamed(document, names, where)

        done = 0
        for some in batches(documents(), size):
            self._put(some, places.__getitem__)
            done += len(some)
            places.clear()
            poll(done)
        return done

    def export_file(
        self,
        path: str | os.PathLike[str],
        *,
        format: str = "auto",
        filter: Any = None,
        vectors: bool = True,
        progress: Callable[[int, int], object] | bool | None = None,
    ) -> int:
        """Write documents to a file that `import_file` reads.

        Parameters
        ----------
        path : str or path-like
            As for `import_file`; a folder is written as BEIR's. An older file is replaced
            when the new one is complete.
        format : {"auto", "jsonl", "parquet", "beir"}
        filter : mapping or Expression, optional
            Write the documents that pass.
        vectors : bool
            With their vectors and sparse vectors. Not in BEIR's format.
        progress : callable or True, optional
            As for `import_file`.

        Returns
        -------
        int
            Documents written.

        Raises
        ------
        FilterError
            The filter cannot be read.
        ParameterError, MissingExtraError, OSError
            As `import_file`.

        Notes
        -----
        Parquet has one type a column: keys whose values are of several are written as JSON
        text, and read back as they were. It does not tell None from nothing.
        """
        target = Path(path)
        kind = _files.kind_of(target, format)
        vectors = vectors and kind != "beir"
        poll = Progress(progress, self.count(filter))

        def documents() -> Iterator[dict[str, Any]]:
            return self.iterate(filter=filter, vectors=vectors)

        def told(done: int) -> None:
            if done % BATCH == 0:
                poll(done)

        count = _files.write(target, kind, documents, self._view.schema, told)
        poll(count)
        return count


def _names(rename: Mapping[str, str] | None) -> Mapping[str, str]:
    if rename is None:
        return {}
    if not isinstance(rename, Mapping) or not all(
        isinstance(each, str) for pair in rename.items() for each in pair
    ):
        raise ParameterError(f"expected rename as a mapping of names to names, got {rename!r}")
    return rename


def _renamed(document: Any, names: Mapping[str, str], where: str) -> Any:
    if not names or not isinstance(document, Mapping):
        return document
    made: dict[str, Any] = {}
    for key, value in document.items():
        key = names.get(key, key)
        if key in made:
            raise ParameterError(f"{where}: two values for {key!r}")
        made[key] = value
    return made
