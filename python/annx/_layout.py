"""The header of an index file and its table of sections, as bytes and back.

Specified in docs/file-format.md.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from annx import _validate
from annx._backends.base import EDGE_CODECS, MAX_ROWS, SCALED, Config
from annx.errors import AnnxError, FormatError

MAGIC = b"\x89ANNX\r\n\x1a"
VERSION = 1

# magic, version, crc32, required features, optional features, sections, dim, M,
# ef_construction, ef_search, metric, codec, keep, wide, seed, rows, entry,
# preset, keep_vectors, edge bits
HEADER = struct.Struct("<8sIIIIIIIIIBBBBQQIBBB9x")
CRC = slice(12, 16)
# name, element type, required, crc32, offset, length
SECTION = struct.Struct("<8sBB2xIQQ")
_ALIGNMENT = 64
#: The section that tells how far the log behind the sections goes.
LOG = "log"
_MAX_SECTIONS = 64
#: Required feature: rows were removed, so that labels are -1 or twins stand before what they
#: equal.
REMOVED = 1

# A name's place here is its number in the file.
_METRICS = ("l2", "ip", "cosine", "hamming")
_CODECS = ("f32", "f16", "bf16", "i8", "u8", "b1", "sq8", "sq10", "sq4")
_KEEPS = ("", "f16", "f32")
_PRESETS = (None, "auto", "compact", "turbo")
_WISHES = ("auto", "f16", "f32", "none")
_TYPES: dict[int, np.dtype[Any]] = {
    1: np.dtype(np.uint8),
    2: np.dtype("<u4"),
    3: np.dtype("<i8"),
    4: np.dtype("<f4"),
}
_TYPE_CODES = {dtype: code for code, dtype in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class Section:
    """A line of the section table."""

    name: str
    dtype: np.dtype[Any]
    required: bool
    crc: int
    offset: int
    length: int

    @property
    def end(self) -> int:
        """Offset of the byte after it."""
        return self.offset + self.length


@dataclass(frozen=True, slots=True)
class Head:
    """What header and section table say.

    Attributes
    ----------
    config : Config
    ef_search : int
    n : int
        Rows.
    entry : int
    preset : str or None
        The preset that the first rows of an empty index will decide about.
    keep : str
        The user's `keep_vectors`.
    removed : bool
        Whether rows were removed.
    sections : tuple of Section
        In order; they follow each other without overlap.
    """

    config: Config
    ef_search: int
    n: int
    entry: int
    preset: str | None
    keep: str
    removed: bool
    sections: tuple[Section, ...]

    @property
    def length(self) -> int:
        """Bytes of header and table."""
        return table_size(len(self.sections))

    @property
    def end(self) -> int:
        """Offset of the byte after the last section."""
        return self.sections[-1].end if self.sections else self.length


def aligned(offset: int) -> int:
    """Return the next place where a section may begin."""
    return (offset + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT


def table_size(sections: int) -> int:
    """Return the bytes of header and table."""
    return HEADER.size + SECTION.size * sections


def crc_of(head: bytes) -> int:
    """Return the checksum that header and table hold."""
    return int(struct.unpack("<I", head[CRC])[0])


def with_crc(head: bytes) -> bytes:
    """Put the checksum of header and table into its place."""
    return head[: CRC.start] + struct.pack("<I", _crc(head)) + head[CRC.stop :]


def _crc(head: bytes) -> int:
    return zlib.crc32(head[CRC.stop :], zlib.crc32(head[: CRC.start]))


def pack(head: Head) -> bytes:
    """Return header and table as bytes."""
    c = head.config
    fixed = HEADER.pack(
        MAGIC,
        VERSION,
        0,
        REMOVED if head.removed else 0,
        0,
        len(head.sections),
        c.dim,
        c.M,
        c.ef_construction,
        head.ef_search,
        _METRICS.index(c.metric),
        _CODECS.index(c.codec),
        _KEEPS.index(c.keep),
        c.wide,
        c.seed,
        head.n,
        head.entry,
        _PRESETS.index(head.preset),
        _WISHES.index(head.keep),
        c.edge_bits,
    )
    table = (
        SECTION.pack(s.name.encode(), _TYPE_CODES[s.dtype], s.required, s.crc, s.offset, s.length)
        for s in head.sections
    )
    return with_crc(fixed + b"".join(table))


def length_of(fixed: bytes, size: int) -> int:
    """Return the length of header and table from the first bytes of a file.

    Raises
    ------
    FormatError
    """
    if not fixed:
        raise FormatError("the file is empty")
    if fixed[: len(MAGIC)] != MAGIC[: len(fixed)]:
        raise FormatError("not an annx index")
    if len(fixed) < HEADER.size:
        raise FormatError(f"truncated: expected a header of {HEADER.size} bytes, got {size}")
    version, _, _, _, count = struct.unpack_from("<IIIII", fixed, len(MAGIC))
    if version != VERSION:
        raise FormatError(f"expected format version {VERSION}, got {version}")
    if count > _MAX_SECTIONS:
        raise FormatError(f"expected at most {_MAX_SECTIONS} sections, got {count}")
    length = table_size(int(count))
    if length > size:
        raise FormatError(f"truncated: expected {count} sections, the file ends at {size}")
    return length


def unpack(head: bytes, size: int) -> Head:
    """Read header and table, of `length_of` bytes, of a file of `size` bytes.

    Raises
    ------
    FormatError
    """
    if crc_of(head) != _crc(head):
        raise FormatError("the header's checksum does not match")
    fields = HEADER.unpack_from(head)
    required = fields[3]
    if required & ~REMOVED:
        raise FormatError(f"needs features of a newer annx (flags {required:#x})")
    if any(head[71 : HEADER.size]):
        raise FormatError("offset 71: reserved bytes are not zero")
    table = tuple(_table(head, fields[5], size))
    config, ef_search, n, entry = _parameters(fields)
    preset, keep = fields[17:19]
    if preset >= len(_PRESETS) or keep >= len(_WISHES):
        raise FormatError(f"header: unknown preset {preset} or keep_vectors {keep}")
    if preset and (n or config.codec != "f32"):
        raise FormatError("header: a preset goes with an empty index of codec f32 alone")
    wish = _PRESETS[preset], _WISHES[keep]
    return Head(config, ef_search, n, entry, *wish, bool(required & REMOVED), table)


def _table(head: bytes, count: int, size: int) -> Iterator[Section]:
    """Sections in order; they follow each other without overlap, up to the end or the log."""
    end = len(head)
    seen = set()
    for number in range(count):
        place = HEADER.size + SECTION.size * number
        raw, type_code, required, crc, offset, length = SECTION.unpack_from(head, place)
        name = raw.rstrip(b"\0").decode("ascii", "backslashreplace")
        if type_code not in _TYPES or required > 1 or any(head[place + 10 : place + 12]):
            raise FormatError(f"section {name!r}: unknown kind at offset {place + 8}")
        if name in seen:
            raise FormatError(f"section {name!r} appears twice")
        seen.add(name)
        if offset != aligned(end):
            raise FormatError(f"section {name!r}: expected offset {aligned(end)}, got {offset}")
        end = offset + length
        if end > size:
            raise FormatError(f"truncated: section {name!r} ends at {end}, the file at {size}")
        dtype = _TYPES[type_code]
        if length % dtype.itemsize:
            raise FormatError(f"section {name!r}: length {length} is no multiple of {dtype}")
        yield Section(name, dtype, bool(required), crc, offset, length)
    if end != size and LOG not in seen:
        raise FormatError(f"expected a file of {end} bytes, got {size}")


def _parameters(fields: tuple[Any, ...]) -> tuple[Config, int, int, int]:
    dim, m, ef_construction, ef_search, metric, codec, keep, wide, seed, n, entry = fields[6:17]
    edge_bits = fields[19]
    try:
        if metric >= len(_METRICS) or codec >= len(_CODECS) or keep >= len(_KEEPS) or wide > 1:
            raise FormatError(f"unknown metric {metric}, codec {codec}, keep {keep} or wide {wide}")
        _validate.integer(dim, "dim", 1, _validate.MAX_DIM)
        _validate.integer(m, "M", 2, _validate.MAX_M)
        _validate.integer(ef_construction, "ef_construction", 1, _validate.MAX_EF)
        _validate.integer(ef_search, "ef_search", 1, _validate.MAX_EF)
        _validate.integer(n, "rows", 0, MAX_ROWS)
        name = _CODECS[codec]
        _validate.pair(name, _METRICS[metric], dim)
        if keep and name not in SCALED:
            raise FormatError(f"keep goes with codecs sq8, sq10 and sq4 alone, got {name}")
        if edge_bits > 2 or (edge_bits and name not in EDGE_CODECS):
            raise FormatError(f"unknown edge bits {edge_bits} with codec {name}")
        if wide and name not in ("i8", "u8"):
            raise FormatError(f"wide goes with codecs i8 and u8 alone, got {name}")
    except AnnxError as error:
        raise FormatError(f"header: {error}") from None
    shape = (dim, _METRICS[metric], name, m, ef_construction, seed)
    return Config(*shape, _KEEPS[keep], bool(wide), edge_bits), ef_search, n, entry
