"""Checksums of what a file holds: CRC-32 of each 64 KiB, and of these.

Blocks have checksums of their own so that what is mapped can be verified where it is first
used, and so that damage has a place.
"""

from __future__ import annotations

import os
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends import select

#: Bytes that one checksum covers.
BLOCK = 1 << 16


def of_blocks(data: NDArray[Any], num_threads: int | None = None) -> NDArray[np.uint32]:
    """Return the CRC-32 of each block of a C-contiguous array."""
    view = data.reshape(-1).view(np.uint8).data
    if select.backend().name == "native":
        from annx import _native

        return _native.block_sums(view, num_threads or os.cpu_count() or 1)
    pieces = (view[start : start + BLOCK] for start in range(0, len(view), BLOCK))
    return np.fromiter(map(zlib.crc32, pieces), np.uint32, count_of_blocks(len(view)))


def count_of_blocks(length: int) -> int:
    """Return how many blocks so many bytes have."""
    return (length + BLOCK - 1) // BLOCK


def of_section(sums: NDArray[np.uint32]) -> int:
    """Return the checksum of a section from those of its blocks."""
    return zlib.crc32(sums.tobytes())
