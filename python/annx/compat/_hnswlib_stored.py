"""hnswlib's index as a file, a pickle, or an index of annx."""

from __future__ import annotations

import operator
import os
import warnings
from typing import Any

from annx import AnnxError, Filter
from annx.compat import _hnswlib_file as files
from annx.compat import _hnswlib_graph as graphs
from annx.compat._hnswlib_errors import HnswlibError, as_hnswlib
from annx.compat._hnswlib_shared import Shared, size
from annx.index import Index as AnnxIndex

_SER_VERSION = 1


class Stored(Shared):
    """The part of ``Index`` that writes and restores it."""

    _ef: int
    _keep: str
    _allow: bool
    _deleted: dict[int, None]
    _live: Filter | None

    def _set_up(self, space: str, dim: int, keep_vectors: str) -> None:
        raise NotImplementedError

    def save_index(self, path_to_index: str | os.PathLike[str]) -> None:
        """Write a file that hnswlib reads, whole or not at all.

        Raises
        ------
        OSError
            It cannot be written; an older one is unharmed.
        """
        with self._adding, as_hnswlib():
            index = self._ready()
            files.write(path_to_index, graphs.of_index(index, list(self._deleted), self._max))

    def index_file_size(self) -> int:
        """Bytes of the file that `save_index` would write."""
        with self._adding:
            index = self._ready()
            return files.file_size(self._dim, index.M, graphs.levels_of(index))

    def load_index(
        self,
        path_to_index: str | os.PathLike[str],
        max_elements: int = 0,
        allow_replace_deleted: bool = False,
    ) -> None:
        """Read a file that hnswlib or `save_index` wrote.

        Parameters
        ----------
        path_to_index : str or path-like
        max_elements : int
            The new limit; if it is less than the elements in the file, the limit in the file.
        allow_replace_deleted : bool
            As of `init_index`.

        Raises
        ------
        RuntimeError
            The file is not there, or no valid index of this dimension; the message says
            what is wrong. An index that was loaded before stays.
        """
        limit = size(max_elements, "max_elements")
        content = files.read(path_to_index, self._dim)
        with as_hnswlib():
            index = graphs.to_index(content, self._space, self._keep)
        if self._index is not None:
            warnings.warn(
                "Calling load_index for an already inited index. Old index is being deallocated.",
                stacklevel=2,
            )
        with self._adding:
            self._take(index, content)
            if limit and limit >= len(content.labels):
                self._max = limit
            self._allow = bool(allow_replace_deleted)

    def _take(self, index: AnnxIndex, content: files.Content) -> None:
        self._index = index
        self._deleted = content.marked()
        self._live = None
        self._max = content.max_elements
        self._next = len(content.labels)

    def to_annx(self) -> AnnxIndex:
        """Return the elements that are not marked deleted as an `annx.Index`; beyond hnswlib.

        Ids are its labels, those from 2**63 up as negative ones.

        Examples
        --------
        >>> import annx.compat.hnswlib as hnswlib
        >>> index = hnswlib.Index(space="cosine", dim=2)
        >>> index.init_index(max_elements=2)
        >>> index.add_items([[0, 1], [3, 4]])
        >>> index.to_annx()
        <annx.Index 2 x 2 cosine u8>
        """
        with self._adding:
            copy = AnnxIndex.from_bytes(self._ready().to_bytes())
            gone = list(self._deleted)
        if gone:
            copy.remove(gone)
            copy.compact()
        return copy

    def __getstate__(self) -> tuple[dict[str, Any]]:
        with self._adding:
            return (
                {
                    "ser_version": _SER_VERSION,
                    "space": self._space,
                    "dim": self._dim,
                    "index_inited": self._index is not None,
                    "num_threads": self._threads,
                    "ef": self._ef,
                    "max_elements": self._max,
                    "allow_replace_deleted": self._allow,
                    "keep_vectors": self._keep,
                    "next_label": self._next,
                    "deleted": list(self._deleted),
                    "annx": None if self._index is None else self._index.to_bytes(),
                },
            )

    def __setstate__(self, state: tuple[dict[str, Any]]) -> None:
        if not isinstance(state, tuple) or len(state) != 1 or not isinstance(state[0], dict):
            raise HnswlibError("Invalid state!")
        try:
            self._restore(state[0])
        except KeyError as error:
            if isinstance(error, AnnxError):
                raise
            raise HnswlibError(f"Unpickle Error: {error} is missing") from None

    def _restore(self, params: dict[str, Any]) -> None:
        if params.get("ser_version") != _SER_VERSION or "space" not in params:
            raise HnswlibError("Unpickle Error: Invalid serialization version!")
        self._set_up(params["space"], params["dim"], params.get("keep_vectors", "f32"))
        self._threads = operator.index(params["num_threads"])
        self._ef = size(params["ef"], "ef")
        if "annx" not in params:  # hnswlib's own
            if params["index_inited"]:
                with as_hnswlib():
                    content = files.of_params(params, self._dim)
                    self._take(graphs.to_index(content, self._space, self._keep), content)
                self._allow = bool(params.get("allow_replace_deleted", False))
            return
        self._max = params["max_elements"]
        self._allow = params["allow_replace_deleted"]
        self._next = params["next_label"]
        self._deleted = dict.fromkeys(params["deleted"])
        if params["annx"] is not None:
            with as_hnswlib():
                self._index = AnnxIndex.from_bytes(params["annx"])
