"""`Collection`: documents in, the best documents out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn, Self

from annx import _validate
from annx.collection import _schema, _stats
from annx.collection._embed import Embedder
from annx.collection._open import open_store
from annx.collection._searching import Searchable
from annx.collection._sqlite import DURABILITY
from annx.collection._stats import Stats
from annx.collection._transfer import Transferable
from annx.collection._view import View
from annx.errors import ParameterError


class Collection(Transferable, Searchable):
    """Documents with vectors, text and metadata in a folder, which survive a crash.

    `Collection.open` makes one. All methods may be called from any threads at the same time:
    a search sees every write that had returned before it began, and of any batch all or
    nothing. One process writes, others may read meanwhile.

    Examples
    --------
    >>> import annx, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> with annx.Collection.open(folder.name, dim=2, metric="cosine") as points:
    ...     _ = points.upsert([{"id": "a", "vector": [1.0, 0.0], "city": "Oslo"}])
    ...     points.get("a")
    {'id': 'a', 'city': 'Oslo'}
    >>> folder.cleanup()
    """

    def __init__(self, view: View, path: Path) -> None:
        self._view = view
        self._path = path

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
        stored: Any = None,
        embed: Any = None,
        embed_from: Any = None,
        durability: str = "power",
        read_only: bool = False,
        num_threads: int | None = None,
    ) -> Self:
        """Open the collection in a folder, or create it.

        What fields a collection has is settled when it is created, and kept with it: to open
        it again the path is enough, and settings that are given must be those it has. Payload
        needs no settings; its keys may come and go.

        Parameters
        ----------
        path : str or path-like
            A folder.
        dim : int, optional
            Documents have one vector, under ``"vector"``, of so many elements.
        metric, codec : str, optional
            Of that vector, as for `annx.Index`.
        vectors : mapping of str to VectorField or mapping, optional
            In place of `dim`, `metric` and `codec`: named vectors, each with its settings.
        text : str, sequence of str, or mapping of str to TextField or mapping, optional
            Fields that keyword search looks into. Needs the extra ``text``.
        sparse : str or sequence of str, optional
            Fields of sparse vectors.
        stored : str or sequence of str, optional
            Payload keys that are given back and no more, such as long texts that no keyword
            search looks into: a filter on one is an error. Others can be filtered by, for
            which their values are held in memory.
        embed : callable, object with ``encode``, or mapping of str to these, optional
            Makes the vectors of documents that have none, and of queries that are text alone:
            it is given a list of n str and returns an array of shape (n, dim), as the models
            of sentence-transformers do. A mapping says which model goes with which vector
            field. It is not stored: pass it each time.
        embed_from : str, sequence of str, or mapping of str to these, optional
            The text fields that `embed` is given, joined by a line's end; all of them by
            default. A mapping says it for each vector field.
        durability : {"power", "process", "none"}
            What a write that returned survives. ``"power"``: the loss of power; the disk
            is waited for at each batch. ``"process"``: the end of the process in any way,
            ``kill -9`` too, but the last writes may be lost with the power. ``"none"``: as
            ``"process"``, but a loss of power may damage the records as well.
        read_only : bool
            Read what another process may be writing. Each search looks whether there is
            anything new.
        num_threads : int, optional
            For searches and writes; as for `annx.Index`.

        Returns
        -------
        Collection

        Raises
        ------
        MissingCollectionError
            There is none, and no settings to create one by, or `read_only`.
        SchemaError
            The collection has other settings, or they do not go together.
        LockedError
            It is open for writing elsewhere, in this process or another.
        StorageError
            Files cannot be read or written, or the records are damaged.
        MissingExtraError
            `text` without the extra ``text``.

        Warns
        -----
        RebuildWarning
            A file that is made from the records was damaged, and was made again.

        Notes
        -----
        After a fork, a child opens the collection again; what the parent had opened raises
        `ClosedError` there. With spawn, open it in each process: a `Collection` cannot be
        pickled.

        Examples
        --------
        >>> import annx, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> fields = {"title": {"dim": 2, "metric": "cosine"}, "body": {"dim": 3}}
        >>> annx.Collection.open(folder.name, vectors=fields).close()
        >>> annx.Collection.open(folder.name, dim=4)
        Traceback (most recent call last):
            ...
        annx.errors.SchemaError: ...
        >>> folder.cleanup()
        """
        _validate.choice(durability, "durability", tuple(DURABILITY))
        wanted = _schema.wanted(
            dim, metric, codec, vectors, text, sparse, embed, embed_from, stored
        )
        if isinstance(path, str) and (not path or "\0" in path):
            raise ParameterError(f"expected the path of a folder, got {path!r}")
        folder = Path(path).absolute()  # os.chdir moves no collection
        store = open_store(folder, wanted, durability, read_only, num_threads)
        try:
            embedder = Embedder(store.records.schema, embed)
        except BaseException:
            store.close()
            raise
        return cls(View(store, embedder), folder)

    @property
    def path(self) -> Path:
        """The folder, as an absolute path."""
        return self._path

    @property
    def schema(self) -> _schema.Schema:
        """The fields and their settings."""
        return self._view.schema

    def refresh(self) -> None:
        """Take in what another process has written by now.

        Each search does that; this does it ahead of time.
        """
        self._view.store.catch_up()

    def stats(self) -> Stats:
        """Say how many documents there are, and what they take.

        Returns
        -------
        Stats
        """
        return _stats.gather(self._view, self._path)

    def check(self) -> list[str]:
        """Examine the records and compare with them what is made from them.

        Returns
        -------
        list of str
            What is wrong; empty if all is well.

        Notes
        -----
        Reads everything: seconds for a hundred thousand documents. Writes wait meanwhile.
        """
        return _stats.check(self._view)

    def checkpoint(self) -> None:
        """Bring the files that are made from the records up to date.

        `close` does it, and so do writes now and then. The next to open the collection then
        has nothing to replay. The records are up to date at any time.

        Raises
        ------
        ReadOnlyError, StorageError
        """
        self._view.store.checkpoint()

    def compact(self) -> None:
        """Give back the memory and disk space of what was replaced and deleted.

        Searches go on meanwhile.

        Raises
        ------
        ReadOnlyError, StorageError
        """
        self._view.store.compact()

    def close(self) -> None:
        """Bring all files up to date and let go of them; again does nothing.

        Raises
        ------
        StorageError
            A file that is made from the records could not be written. The collection is
            closed, and the records are complete.
        """
        self._view.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a Collection cannot be pickled; open it in each process, with read_only=True "
            "where another one writes"
        )

    def __repr__(self) -> str:
        return f"<annx.Collection {str(self._path)!r}>"
