"""Vectors of labels that another thread may be removing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.errors import LabelError


def rows_of(
    contains: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
    get: Callable[[NDArray[np.int64]], NDArray[Any]],
    labels: NDArray[np.int64],
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Get rows by labels that were there a moment ago.

    Parameters
    ----------
    contains, get : callable
        As of a core, and asked each time of the one that the index has by then.
    labels : ndarray of shape (n,), int64

    Returns
    -------
    rows : ndarray of shape (n, columns)
        In place of each that is gone, another one; none if all are gone.
    there : ndarray of shape (n,), bool
    """
    while True:
        there = contains(labels)
        if there.any():
            wanted = np.where(there, labels, labels[np.argmax(there)])
        else:
            wanted = labels[:0]
        try:
            return get(wanted), there
        except LabelError:
            continue  # removed in between, and looked for again
