"""Rows of sq4, in files two planes of 4 bits, as the bytes that kernels read.

The upper 4 bits of all codes, the factors, the next 4 bits and, where no vectors are kept, the
2 lowest: a walk of the C++ core reads the beginning alone. Here a row is one of sq8 or sq10, of
coarser steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx._backends.base import Config
from annx._backends.numba_layout import byte_config

#: Added to a code of 8 bits, so that its upper 4 bits count from 1.
_ZERO = np.uint8(136)
#: Bytes that are turned together: with temporaries they stay within L2.
_BLOCK = 1 << 17


def to_planes(config: Config, inside: NDArray[Any]) -> NDArray[np.uint8]:
    """Rows as files have them."""
    out = np.empty((len(inside), config.row_stride), np.uint8)
    dim, plane = config.dim, config.plane
    padded = (dim + 3) // 4 * 4
    codes = np.full((_step(config), 2 * plane), _ZERO)
    for part in _blocks(config, len(inside)):
        rows, to = inside[part].view(np.uint8), out[part]
        block = codes[: len(rows)]
        np.add(rows[:, :dim], _ZERO, out=block[:, :dim])
        even, odd = block[:, ::2], block[:, 1::2]
        to[:, :plane] = even >> 4 | odd & 0xF0
        to[:, plane : plane + 8] = rows[:, -8:]
        to[:, plane + 8 : 2 * plane + 8] = even & 15 | odd << 4
        to[:, 2 * plane + 8 :] = rows[:, padded:-8]
    return out


def from_planes(config: Config, stored: NDArray[np.uint8], out: NDArray[Any]) -> None:
    """Rows of a file as they are inside, into `out`."""
    dim, plane = config.dim, config.plane
    padded = (dim + 3) // 4 * 4
    codes = np.empty((_step(config), 2 * plane), np.uint8)
    for part in _blocks(config, len(stored)):
        rows, to = stored[part], out[part].view(np.uint8)
        block = codes[: len(rows)]
        high, low = rows[:, :plane], rows[:, plane + 8 : 2 * plane + 8]
        block[:, ::2] = high << 4 | low & 15
        block[:, 1::2] = high & 0xF0 | low >> 4
        np.subtract(block[:, :dim], _ZERO, out=to[:, :dim])
        to[:, dim:padded] = 0
        to[:, -8:] = rows[:, plane : plane + 8]
        to[:, padded:-8] = rows[:, 2 * plane + 8 :]


def _step(config: Config) -> int:
    return max(1, _BLOCK // byte_config(config).row_stride)


def _blocks(config: Config, n: int) -> Iterator[slice]:
    for first in range(0, n, _step(config)):
        yield slice(first, first + _step(config))
