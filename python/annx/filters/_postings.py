"""Where in a pool of codes each code stands, so that a few of them are found without a scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A shorter pool is scanned in less time than places are looked up.
SCANNED = 1 << 16
#: Codes looked up one by one; for more, a scan of the pool is as fast.
MOST = 256


class Postings:
    """Places of the codes in the first part of a pool, by code.

    A pool only grows, and a place whose value is gone has no owner: places stay right while it
    does both. What has come since is for the caller to scan.

    Parameters
    ----------
    pool : ndarray of int32
        Codes, and -1 where there is none.
    """

    __slots__ = ("places", "size", "starts")

    def __init__(self, pool: NDArray[np.int32]) -> None:
        self.size = len(pool)
        codes = int(pool.max(initial=-1)) + 1
        # NumPy sorts 16 bits by radix, ten times as fast as it sorts 32. -1 goes to the end.
        keys = pool.astype(np.uint16) if codes < 1 << 16 else pool.astype(np.uint32)
        order = np.argsort(keys, kind="stable")
        self.places: NDArray[np.int32] = order.astype(np.int32)
        counts = np.bincount(pool[pool >= 0], minlength=codes)
        self.starts = np.concatenate([[0], np.cumsum(counts)])

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.places.nbytes + self.starts.nbytes

    def find(self, codes: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the places of ascending codes."""
        codes = codes[codes < len(self.starts) - 1]
        first, last = self.starts[codes], self.starts[codes + 1]
        # Neighbours' places lie side by side.
        cut = np.flatnonzero(first[1:] != last[:-1]) + 1
        ends = np.append(last[cut - 1], last[-1:]) if len(codes) else last
        begins = np.append(first[:1], first[cut]) if len(codes) else first
        pieces = [self.places[a:b] for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]
        return np.concatenate(pieces) if pieces else self.places[:0]
