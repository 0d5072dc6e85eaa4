"""`load`, the way back from `Index.save`."""

from __future__ import annotations

import os
from typing import Protocol, runtime_checkable

from annx import _format, _map, _validate
from annx.errors import ParameterError
from annx.index import Index


@runtime_checkable
class SupportsRead(Protocol):
    """An open binary file."""

    def read(self, size: int, /) -> bytes:
        """Read up to so many bytes; none at the end."""


def _read_all(file: SupportsRead) -> memoryview:
    # Piece by piece: what is not there is not made room for.
    data = bytearray()
    while piece := file.read(1 << 20):
        data += piece
    return memoryview(data)


def load(
    path: str | os.PathLike[str] | SupportsRead,
    *,
    mmap: bool = False,
    verify: str | None = None,
    num_threads: int | None = None,
) -> Index:
    """Read an index from a file.

    Whatever the file holds, nothing is searched or allocated for it before it is known to
    be whole; a file from anywhere is safe to load.

    Parameters
    ----------
    path : str, path-like or binary file
        An open file is read from where it stands to its end.
    mmap : bool
        Leave the index in the file, for reading alone: it opens in milliseconds, takes
        memory for what searches use, and processes that map one file share it. What is
        used is verified when it is first used, and searches raise `FormatError` if it is
        damaged. To change such an index raises `ReadOnlyError`. The file may be replaced,
        as `Index.save` does, but must not be changed or truncated in its place.
    verify : {"full", "structure"}, optional
        What to make sure of before this returns; ``"full"`` by default, nothing that takes
        time with `mmap`. ``"structure"``: all that a search relies on, so that no file
        can crash the process. ``"full"``: also that each byte is the one that was written,
        by its checksum, and that the graph leads to every row. Use the former to open a
        file that fails the latter, for `Index.check`, `Index.repair` and `Index.get`.
    num_threads : int, optional
        As for `Index`.

    Returns
    -------
    Index

    Raises
    ------
    FormatError
        The file is not a valid annx index; the message says what is wrong and where.
    ReadOnlyError
        With `mmap`: the file holds changes that incremental saves added to it. A save that is
        not incremental makes a file that maps.
    ParameterError
        `verify` or `num_threads` is none of these.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import annx, os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     annx.Index(2).save(os.path.join(folder, "points.annx"))
    ...     len(annx.load(os.path.join(folder, "points.annx")))
    0
    """
    if verify is not None:
        _validate.choice(verify, "verify", _format.VERIFY)
    threads = None if num_threads is None else _validate.threads(num_threads, None, 1)
    if isinstance(path, SupportsRead):
        if mmap:
            raise ParameterError("mmap goes with the path of a file alone")
        data = _read_all(path)
        stored = _format.loads(data, verify=verify or "full", num_threads=threads)
        return Index._restore(stored, num_threads)
    if mmap:
        stored, mapped = _map.load(path, verify=verify, num_threads=threads)
        return Index._restore(stored, num_threads, mapped=mapped)
    verify = verify or "full"
    stored = _format.load(path, verify=verify, num_threads=threads)
    return Index._restore(stored, num_threads, follow=True)
