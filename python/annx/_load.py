"""`load`, the way back from `Index.save`."""

from __future__ import annotations

import os

from annx import _format, _validate
from annx.index import Index


def load(
    path: str | os.PathLike[str], *, verify: str = "full", num_threads: int | None = None
) -> Index:
    """Read an index from a file.

    Whatever the file holds, nothing is searched or allocated for it before it is known to
    be whole; a file from anywhere is safe to load.

    Parameters
    ----------
    path : str or path-like
    verify : {"full", "structure"}
        What to make sure of. ``"structure"``: all that a search relies on, so that no file
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
    _validate.choice(verify, "verify", _format.VERIFY)
    threads = None if num_threads is None else _validate.threads(num_threads, None, 1)
    stored = _format.load(path, verify=verify, num_threads=threads)
    return Index._restore(stored, num_threads, follow=True)
