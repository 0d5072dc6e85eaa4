"""Opening the folder of a collection, or making it."""

from __future__ import annotations

import errno
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from annx import _validate
from annx._extra import extra
from annx.collection._columns import FilterColumns
from annx.collection._derived import Derived
from annx.collection._embed import Embedder
from annx.collection._keywords import Keywords
from annx.collection._lock import WriterLock
from annx.collection._records import Records
from annx.collection._schema import Schema, Wanted
from annx.collection._sparse import SparseIndex
from annx.collection._store import Store
from annx.collection._vectors import VectorIndex, new_index
from annx.errors import MissingCollectionError, ParameterError, SchemaError, StorageError

RECORDS = "records.sqlite"
LOCK = "writer.lock"


def open_store(
    folder: Path, wanted: Wanted, durability: str, read_only: bool, num_threads: int | None
) -> Store:
    """Open what is in a folder, or create it.

    Raises
    ------
    MissingCollectionError, MissingExtraError, SchemaError, LockedError, StorageError
    """
    path = folder / RECORDS
    try:
        exists = path.exists()
    except OSError as error:  # such as a name that is too long
        raise StorageError(error.errno, f"cannot open {folder}: {error.strerror}") from error
    schema = wanted.create()
    if not exists:
        if read_only or schema is None:
            hint = "" if read_only else "; give dim, vectors, text or sparse to create one"
            raise MissingCollectionError(errno.ENOENT, f"no collection at {folder}{hint}")
        _check_new(schema, wanted.embed, num_threads)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(error.errno, f"cannot create {folder}: {error}") from error
    lock = None if read_only else WriterLock(folder / LOCK)
    try:
        if not path.exists() and schema is not None:
            if any(folder.glob("*.annx")):
                raise StorageError(
                    errno.ENOENT, f"{path} is missing beside files that were made from it"
                )
            Records.create(path, schema, durability)
        records = Records(path, durability, read_only=read_only)
        try:
            wanted.check(records.schema)
            parts = _parts(folder, records.schema, read_only, num_threads)
            return Store(records, lock, parts)
        except BaseException:
            records.close()
            raise
    except BaseException:
        if lock is not None:
            lock.close()
        raise


def _check_new(schema: Schema, embed: Any, num_threads: int | None) -> None:
    """Refuse what could not be opened, before there is a folder."""
    Embedder(schema, embed)
    _validate.threads(num_threads, None, 1)
    if schema.text:
        with extra("text"):
            import tantivy  # noqa: F401
    for name, field in schema.vectors.items():
        try:
            new_index(field, None)
        except ParameterError as error:
            raise SchemaError(f"vector field {name!r}: {error}") from None


def _parts(
    folder: Path, schema: Schema, read_only: bool, num_threads: int | None
) -> dict[str, Derived]:
    """Make the derived parts: ``"columns"``, ``"vector:NAME"`` and so on."""
    with ThreadPoolExecutor(max_workers=2) as pool:
        # What takes the longest, beside the rest.
        vectors = {
            f"vector:{name}": pool.submit(
                VectorIndex,
                folder,
                f"vector-{n}",
                name,
                field,
                read_only=read_only,
                num_threads=num_threads,
            )
            for n, (name, field) in enumerate(schema.vectors.items())
        }
        columns = FilterColumns(folder, schema, read_only=read_only)
        others: dict[str, Derived] = {
            f"sparse:{name}": SparseIndex(folder, f"sparse-{n}", name, read_only=read_only)
            for n, name in enumerate(schema.sparse)
        }
        if schema.text:
            others["text"] = Keywords(folder / "text", schema.text, read_only=read_only)
        loaded = {name: future.result() for name, future in vectors.items()}
        return {"columns": columns, **loaded, **others}
