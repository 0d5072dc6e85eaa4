"""Who owns each code of a pool, so that the owners of a few codes are found without a scan."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: A shorter pool is scanned in less time than postings take.
SCANNED = 1 << 16
#: Codes looked up one by one; for more, a scan of the pool is as fast.
MOST = 256


class Postings:
    """Owners of the codes in the first part of a pool, by code.

    A pool only grows. What comes after is for the caller to scan; owners that lose what they had
    are told by `lose`, and what they may get anew is in the part that is scanned.

    Parameters
    ----------
    pool, owner : ndarray of int32
        Codes, -1 where there is none, and the slot of each.
    """

    __slots__ = ("lost", "lost_count", "owners", "size", "starts")

    def __init__(self, pool: NDArray[np.int32], owner: NDArray[np.int32]) -> None:
        self.size = len(pool)
        self.lost: list[NDArray[np.int64]] = []
        self.lost_count = 0
        codes = int(pool.max(initial=-1)) + 1
        # NumPy sorts 16 bits by radix, ten times as fast as it sorts 32. -1 goes to the end.
        keys = pool.astype(np.uint16) if codes < 1 << 16 else pool.astype(np.uint32)
        order = np.argsort(keys, kind="stable")
        self.owners = owner[order]
        counts = np.bincount(pool[pool >= 0], minlength=codes)
        self.starts = np.concatenate([[0], np.cumsum(counts)])

    @property
    def nbytes(self) -> int:
        """Bytes of memory."""
        return self.owners.nbytes + self.starts.nbytes + 8 * self.lost_count

    def lose(self, slots: NDArray[np.int64]) -> None:
        """Forget all that some slots had."""
        self.lost.append(slots)
        self.lost_count += len(slots)

    def mark(self, codes: NDArray[np.int64], out: NDArray[np.bool_]) -> None:
        """Add the owners of ascending codes to a mask."""
        if not self.lost:
            out[self._find(codes)] = True
            return
        found = np.zeros(len(out), np.bool_)
        found[self._find(codes)] = True
        for slots in self.lost:
            found[slots] = False
        out |= found

    def _find(self, codes: NDArray[np.int64]) -> NDArray[np.int32]:
        codes = codes[codes < len(self.starts) - 1]
        first, last = self.starts[codes], self.starts[codes + 1]
        # Owners of neighbouring codes lie side by side.
        cut = np.flatnonzero(first[1:] != last[:-1]) + 1
        ends = np.append(last[cut - 1], last[-1:]) if len(codes) else last
        begins = np.append(first[:1], first[cut]) if len(codes) else first
        pieces = [self.owners[a:b] for a, b in zip(begins.tolist(), ends.tolist(), strict=True)]
        return np.concatenate(pieces) if pieces else self.owners[:0]
