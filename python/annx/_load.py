"""`load`, the way back from `Index.save`."""

from __future__ import annotations

import os

from annx import _format
from annx.index import Index


def load(path: str | os.PathLike[str], *, num_threads: int | None = None) -> Index:
    """Read an index from a file.

    Parameters
    ----------
    path : str or path-like
    num_threads : int, optional
        As for `Index`.

    Returns
    -------
    Index

    Raises
    ------
    FormatError
        The file is not a valid annx index; the message says what is wrong.
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
    return Index._restore(_format.load(path), num_threads, follow=True)
