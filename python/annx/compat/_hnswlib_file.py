"""The files of hnswlib 0.8.0: what is in them, checked before anything trusts it.

The format is that of ``HierarchicalNSW::saveIndex`` and ``BruteforceSearch::saveIndex``: memory
as a 64-bit little-endian machine has it, without a magic number, a checksum, the dimension or the
space.
"""

from __future__ import annotations

import math
import os
import stat
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from annx import _atomic
from annx.compat._hnswlib_errors import FormatError, NoFileError

# Offset of level 0, max_elements, elements, bytes of an element, offset of its label, offset of its
# vector, highest level, entry point, M of upper levels, M of level 0, M, 1 / ln(M), ef_construction
_HEADER = struct.Struct("<QQQQQQiIQQQdQ")
# max_elements, bytes of an element, elements
_FLAT = struct.Struct("<QQQ")
#: The fields of the header, as hnswlib's pickles call them.
_PARAMS = (
    "offset_level0",
    "max_elements",
    "cur_element_count",
    "size_data_per_element",
    "label_offset",
    "offset_data",
    "max_level",
    "enterpoint_node",
    "max_M",
    "max_M0",
    "M",
    "mult",
    "ef_construction",
)
_NONE = 0xFFFFFFFF
_DELETED = 1 << 16
_COUNT = _DELETED - 1
_MAX_M = 512
_MAX_ELEMENTS = (1 << 30) - 2
_MAX_LEVELS = 64
_CHUNK = 1 << 22


@dataclass(slots=True)
class Content:
    """An index as hnswlib has it.

    Attributes
    ----------
    M, ef_construction, max_elements : int
    vectors : ndarray of shape (n, dim), float32
        Unit vectors under cosine.
    labels : ndarray of shape (n,), int64
        The bits of hnswlib's uint64.
    deleted : ndarray of shape (n,), bool
    degrees : ndarray of shape (n,), uint32
        Links of each element on level 0.
    links : ndarray of shape (n, 2 * M), uint32
        These links; what follows the last means nothing.
    levels : ndarray of shape (n,), int64
        The highest level of each element.
    upper : list of (nodes, degrees, links)
        For each level from 1 up its elements in order, and their links, at most M, as of level 0.
    entry : int
        An element of the top level; 0 without elements.
    """

    M: int
    ef_construction: int
    max_elements: int
    vectors: NDArray[np.float32]
    labels: NDArray[np.int64]
    deleted: NDArray[np.bool_]
    degrees: NDArray[np.uint32]
    links: NDArray[np.uint32]
    levels: NDArray[np.int64]
    upper: list[tuple[NDArray[np.int64], NDArray[np.uint32], NDArray[np.uint32]]]
    entry: int

    def marked(self) -> dict[int, None]:
        """Labels that are marked deleted. Of a label's elements the last one counts."""
        if not self.deleted.any():
            return {}
        flags = dict(zip(self.labels.tolist(), self.deleted.tolist(), strict=True))
        return {label: None for label, flag in flags.items() if flag}


def file_size(dim: int, M: int, levels: Sequence[int]) -> int:
    """Bytes of a file with ``levels[i]`` elements on level i."""
    lists = sum(levels[1:]) * _list_words(M) * 4
    return _HEADER.size + levels[0] * (_element_size(dim, M) + 4) + lists


def read(path: str | os.PathLike[str], dim: int) -> Content:
    """Read and check a file.

    Raises
    ------
    FormatError
        Says what is wrong, and where.
    NoFileError
    """
    name, data = _bytes_of(path)
    try:
        return _parse(data, dim)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None


def of_params(params: dict[str, Any], dim: int) -> Content:
    """Read what hnswlib's ``Index.__getstate__`` gives: the same memory, in another order.

    Raises
    ------
    FormatError
    """
    try:
        fields = [params[name] for name in _PARAMS]
        n, M = int(params["cur_element_count"]), int(params["M"])
        level0 = np.asarray(params["data_level0"]).tobytes()
        lists = np.asarray(params["link_lists"]).tobytes()
        levels = np.asarray(params["element_levels"], np.int64)[:n]
        if not 0 <= n == len(levels) or ((levels < 0) | (levels > _MAX_LEVELS)).any():
            raise FormatError("element_levels: expected a level of each element")
        parts = [_HEADER.pack(*fields), level0]
        place = 0
        for level in levels.tolist():
            size = level * _list_words(M) * 4
            parts += [struct.pack("<I", size), lists[place : place + size]]
            place += size
        if place != len(lists):
            raise FormatError(f"link_lists: expected {place} bytes, got {len(lists)}")
    except (KeyError, TypeError, ValueError, OverflowError, struct.error) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"no parameters of an index of hnswlib: {error}") from None
    return _parse(np.frombuffer(b"".join(parts), np.uint8), dim)


def read_flat(
    path: str | os.PathLike[str], dim: int
) -> tuple[NDArray[np.float32], NDArray[np.int64], int]:
    """Read and check a file of ``BFIndex``: vectors, labels, and the most elements.

    Raises
    ------
    FormatError, NoFileError
    """
    name, data = _bytes_of(path)
    if len(data) < _FLAT.size:
        raise FormatError(f"{name}: truncated: expected a header of {_FLAT.size} bytes")
    limit, width, n = _FLAT.unpack(data[: _FLAT.size].tobytes())
    if width != 4 * dim + 8:
        raise FormatError(
            f"{name}: expected elements of dim {dim}, {4 * dim + 8} bytes, got {width}"
        )
    if n > limit or len(data) != _FLAT.size + limit * width:
        raise FormatError(
            f"{name}: expected {n} of {limit} elements of {width} bytes, the file has {len(data)}"
        )
    elements = data[_FLAT.size : _FLAT.size + n * width].reshape(n, width)
    vectors = np.ascontiguousarray(elements[:, : 4 * dim]).view("<f4")
    labels = np.ascontiguousarray(elements[:, 4 * dim :]).view("<i8")[:, 0]
    if len(np.unique(labels)) != n or (labels == -1).any():
        raise FormatError(f"{name}: a label comes twice, or is 2**64 - 1")
    return vectors, labels, limit


def _bytes_of(path: str | os.PathLike[str]) -> tuple[str, NDArray[np.uint8]]:
    name = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(name).st_mode):
            raise FormatError(f"{name}: not a regular file")
        return name, np.fromfile(name, np.uint8)
    except FileNotFoundError as error:
        raise NoFileError(error.errno, "Cannot open file", name) from None


def _element_size(dim: int, M: int) -> int:
    return 4 * (1 + 2 * M) + 4 * dim + 8


def _list_words(M: int) -> int:
    """Words of a list of links on an upper level: their number, and room for M."""
    return 1 + M


def _parse(data: NDArray[np.uint8], dim: int) -> Content:
    if len(data) < _HEADER.size:
        raise FormatError(f"truncated: expected a header of {_HEADER.size} bytes, got {len(data)}")
    fields = _HEADER.unpack(data[: _HEADER.size].tobytes())
    start, limit, n, width, label_at, vector_at, top, entry, upper_m, base_m, M, mult, ef = fields
    if not 2 <= M <= _MAX_M:
        raise FormatError(f"header: expected M from 2 to {_MAX_M}, got {M}")
    if upper_m != M or base_m != 2 * M or start != 0 or vector_at != 4 * (1 + 2 * M):
        raise FormatError("header: M and the places of links and vectors contradict each other")
    if label_at != vector_at + 4 * dim:
        raise FormatError(f"expected dim {dim}, got {(label_at - vector_at) / 4:g}")
    if width != _element_size(dim, M):
        raise FormatError(
            f"header: expected elements of {_element_size(dim, M)} bytes, got {width}"
        )
    if not (math.isfinite(mult) and mult > 0) or not 1 <= ef < 1 << 63:
        raise FormatError(f"header: level factor {mult} or ef_construction {ef} is out of range")
    if n > limit or n > _MAX_ELEMENTS or limit > _NONE:
        raise FormatError(f"header: {n} elements, of at most {limit}")
    tail = _HEADER.size + n * width
    if len(data) < tail + 4 * n or (len(data) - tail) % 4:
        raise FormatError(f"truncated: {n} elements of {width} bytes, the file has {len(data)}")
    elements = data[_HEADER.size : tail].reshape(n, width)
    words = np.ascontiguousarray(elements[:, :vector_at]).view("<u4")
    head = words[:, 0]
    if (head & ~np.uint32(_DELETED | _COUNT)).any():
        raise FormatError("level 0: unknown flags")
    content = Content(
        M=M,
        ef_construction=ef,
        max_elements=limit,
        vectors=np.ascontiguousarray(elements[:, vector_at:label_at]).view("<f4"),
        labels=np.ascontiguousarray(elements[:, label_at:]).view("<i8")[:, 0],
        deleted=(head & _DELETED) != 0,
        degrees=head & np.uint32(_COUNT),
        links=words[:, 1:],
        levels=np.zeros(n, np.int64),
        upper=[],
        entry=entry if n else 0,
    )
    if (content.labels == -1).any():
        raise FormatError("label 2**64 - 1 is one that annx cannot hold")
    _check_links(content.degrees, content.links, np.ones(n, np.bool_), "level 0")
    _parse_upper(content, data[tail:].view("<u4"))
    if n == 0 and (top, entry) != (-1, _NONE):
        raise FormatError("header: an entry point without elements")
    if n and (entry >= n or content.levels[entry] != top or top != len(content.upper)):
        raise FormatError(f"header: entry point {entry} is not on the top level, {top}")
    return content


def _check_links(
    degrees: NDArray[np.uint32],
    links: NDArray[np.uint32],
    there: NDArray[np.bool_],
    part: str,
) -> None:
    """Refuse links that lead to no element of the level."""
    width = links.shape[1]
    if (degrees > width).any():
        raise FormatError(f"{part}: expected at most {width} links, got {degrees.max()}")
    used = np.arange(width, dtype=np.uint32) < degrees[:, None]
    ends = links[used]
    if (ends >= len(there)).any() or not there[ends].all():
        raise FormatError(f"{part}: a link leads to no element of that level")


def _parse_upper(content: Content, words: NDArray[np.uint32]) -> None:
    """Read each element's lists above level 0: their bytes together, then one list a level."""
    n, block = len(content.levels), _list_words(content.M)
    # Most elements have none, a single zero: only what is not zero need be looked at.
    filled = np.flatnonzero(words)
    starts: list[int] = []
    owners: list[int] = []
    place = element = next_filled = 0
    while element < n:
        next_filled += int(np.searchsorted(filled[next_filled:], place))
        first = int(filled[next_filled]) if next_filled < len(filled) else len(words)
        element += first - place
        place = first
        if element >= n:
            place -= element - n
            break
        if place >= len(words):
            raise FormatError("upper levels: truncated")
        levels, rest = divmod(int(words[place]), 4 * block)
        if rest or levels > _MAX_LEVELS:
            raise FormatError(f"element {element}: its lists have {words[place]} bytes")
        if place + 1 + levels * block > len(words):
            raise FormatError("upper levels: truncated")
        starts.append(place + 1)
        owners.append(element)
        content.levels[element] = levels
        place += 1 + levels * block
        element += 1
    if place != len(words):
        raise FormatError(f"upper levels: {4 * (len(words) - place)} bytes are left over")
    begin = np.array(starts, np.int64)
    nodes = np.array(owners, np.int64)
    for level in range(1, int(content.levels.max(initial=0)) + 1):
        on = content.levels[nodes] >= level
        nodes, begin = nodes[on], begin[on]
        lists = words[(begin + (level - 1) * block)[:, None] + np.arange(block)]
        degrees, links = lists[:, 0], lists[:, 1:]
        there = content.levels >= level
        _check_links(degrees, links, there, f"level {level}")
        content.upper.append((nodes, degrees, links))


def write(path: str | os.PathLike[str], content: Content) -> None:
    """Write a file whole or not at all.

    Raises
    ------
    OSError
    """
    _atomic.write(path, lambda file: _write(file, content))


def _write(file: BinaryIO, content: Content) -> None:
    n, dim = content.vectors.shape
    M = content.M
    vector_at = 4 * (1 + 2 * M)
    file.write(
        _HEADER.pack(
            0,
            content.max_elements,
            n,
            _element_size(dim, M),
            vector_at + 4 * dim,
            vector_at,
            len(content.upper) if n else -1,
            content.entry if n else _NONE,
            M,
            2 * M,
            M,
            1 / math.log(M),
            content.ef_construction,
        )
    )
    element = np.dtype(
        [("head", "<u4"), ("links", "<u4", 2 * M), ("vector", "<f4", dim), ("label", "<i8")]
    )
    step = max(1, _CHUNK // element.itemsize)
    for first in range(0, n, step):
        part = slice(first, first + step)
        out = np.zeros(len(content.labels[part]), element)
        out["head"] = content.degrees[part] + content.deleted[part] * np.uint32(_DELETED)
        used = np.arange(2 * M, dtype=np.uint32) < content.degrees[part, None]
        out["links"] = np.where(used, content.links[part], 0)
        out["vector"] = content.vectors[part]
        out["label"] = content.labels[part]
        file.write(out.tobytes())
    block = _list_words(M)
    begin = np.cumsum(1 + content.levels * block) - content.levels * block
    words = np.zeros(n + int(content.levels.sum()) * block, "<u4")
    words[begin - 1] = content.levels * 4 * block
    for level, (nodes, degrees, links) in enumerate(content.upper):
        lists = (begin[nodes] + level * block)[:, None] + np.arange(block)
        used = np.arange(M, dtype=np.uint32) < degrees[:, None]
        words[lists[:, 0]] = degrees
        words[lists[:, 1:]] = np.where(used, links, 0)
    file.write(words.tobytes())


def write_flat(
    path: str | os.PathLike[str],
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    limit: int,
) -> None:
    """Write a file of ``BFIndex``, whole or not at all; zeros where there is room for more.

    Raises
    ------
    OSError
    """
    n, dim = vectors.shape
    element = np.dtype([("vector", "<f4", dim), ("label", "<i8")])
    elements = np.zeros(n, element)
    elements["vector"], elements["label"] = vectors, labels

    def content(file: BinaryIO) -> None:
        file.write(_FLAT.pack(limit, element.itemsize, n))
        file.write(elements.tobytes())
        for left in range((limit - n) * element.itemsize, 0, -_CHUNK):
            file.write(bytes(min(left, _CHUNK)))

    _atomic.write(path, content)
