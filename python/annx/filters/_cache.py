"""Masks of conditions that were asked for lately, as bits."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from annx.filters._cells import Bools
from annx.filters._clauses import Clause

#: 256 masks of a million rows.
_BYTES = 32 << 20
#: Bytes of an entry beside its bits.
_ENTRY = 512


class MaskCache:
    """Masks by condition, each good for one version of its column; the oldest go first."""

    __slots__ = ("_masks", "nbytes")

    def __init__(self) -> None:
        self._masks: OrderedDict[Clause, tuple[int, int, NDArray[np.uint8]]] = OrderedDict()
        self.nbytes = 0

    def get(self, clause: Clause) -> tuple[int, Bools] | None:
        """Return the last mask that `put` was given, and its version."""
        found = self._masks.get(clause)
        if found is None:
            return None
        self._masks.move_to_end(clause)
        return found[0], np.unpackbits(found[2], count=found[1]).view(np.bool_)

    def put(self, clause: Clause, version: int, mask: Bools) -> None:
        """Keep a mask, in place of that of another version."""
        self._drop(self._masks.pop(clause, None))
        bits = np.packbits(mask)
        self._masks[clause] = version, len(mask), bits
        self.nbytes += bits.nbytes + _ENTRY
        while self.nbytes > _BYTES:
            self._drop(self._masks.popitem(last=False)[1])

    def _drop(self, entry: tuple[int, int, NDArray[np.uint8]] | None) -> None:
        if entry is not None:
            self.nbytes -= entry[2].nbytes + _ENTRY

    def clear(self) -> None:
        """Forget all."""
        self._masks.clear()
        self.nbytes = 0
