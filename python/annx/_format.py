"""Index files: the one writer and the one reader, for every backend.

The layout is specified in docs/file-format.md.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from annx import _log, _validate
from annx._backends.base import EDGE_CODECS, MAX_ROWS, SCALED, Config, Level, State
from annx._check import check_state
from annx.errors import AnnxError, BackendError, FormatError

MAGIC = b"\x89ANNX\r\n\x1a"
VERSION = 1

# magic, version, crc32, required features, optional features, sections, dim, M,
# ef_construction, ef_search, metric, codec, keep, wide, seed, rows, entry,
# preset, keep_vectors, edge bits
_HEADER = struct.Struct("<8sIIIIIIIIIBBBBQQIBBB9x")
_CRC = slice(12, 16)
_FEATURES = 16
# name, element type, required, crc32, offset, length
_SECTION = struct.Struct("<8sBB2xIQQ")
_ALIGNMENT = 64
_MAX_SECTIONS = 64
_MAX_LEVELS = 64
_PIECE = 1 << 20
# Required feature: rows were removed, so that labels are -1 or twins stand before what they equal.
_REMOVED = 1
# The sections that a reader may skip.
_TUNING = "tuning"
_OPTIONAL = (_TUNING, _log.SECTION)

# A name's place here is its number in the file.
_METRICS = ("l2", "ip", "cosine", "hamming")
_CODECS = ("f32", "f16", "bf16", "i8", "u8", "b1", "sq8", "sq10")
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

_Reader = io.BufferedReader | io.BytesIO


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file holds.

    Attributes
    ----------
    config : Config
    ef_search : int
        Default width of a search.
    state : State
    preset : str or None
        The preset that the first rows of an empty index will decide about.
    keep : str
        The user's `keep_vectors`.
    tuning : ndarray of float32, or None
        What `tune` measured; its meaning is the caller's.
    tail : Tail or None
        As read from a file: what changed after the rest was written.
    """

    config: Config
    ef_search: int
    state: State
    preset: str | None = None
    keep: str = "auto"
    tuning: NDArray[np.float32] | None = None
    tail: _log.Tail | None = None


@dataclass(frozen=True, slots=True)
class _Section:
    name: str
    dtype: np.dtype[Any]
    required: bool
    crc: int
    offset: int
    length: int


def load(path: str | os.PathLike[str]) -> Stored:
    """Read and check a file.

    Raises
    ------
    FormatError
        Names the file, and what is wrong where.
    OSError
    """
    name = os.fspath(path)
    mode = os.stat(name).st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise FormatError(f"{name}: not a regular file")
    try:
        with open(name, "rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except FormatError as error:
        raise FormatError(f"{name}: {error}") from None


def dumps(stored: Stored) -> bytes:
    """Return the bytes that `write` writes."""
    buffer = io.BytesIO()
    write(buffer, stored)
    return buffer.getvalue()


def loads(data: bytes) -> Stored:
    """Read and check what `dumps` returned.

    Raises
    ------
    FormatError
    """
    return _read(io.BytesIO(data), len(data))


def _refuse_big_endian() -> None:
    if sys.byteorder != "little":
        raise BackendError("index files are little-endian, and this machine is not")


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _aligned(offset: int) -> int:
    return (offset + _ALIGNMENT - 1) // _ALIGNMENT * _ALIGNMENT


def _joined(arrays: list[NDArray[np.uint32]]) -> NDArray[np.uint32]:
    return np.concatenate([np.empty(0, np.uint32), *(array.reshape(-1) for array in arrays)])


def _arrays(state: State) -> dict[str, NDArray[Any]]:
    """Sections in the order of the file, the small ones first."""
    arrays: dict[str, NDArray[Any]] = {
        "levels": np.array([len(level.down) for level in state.levels], np.uint32),
        "down": _joined([level.down for level in state.levels]),
        "upper": _joined([level.links for level in state.levels]),
        "twins": state.twins,
        "labels": state.labels,
        "links": state.links,
        "rows": state.rows,
    }
    if state.originals is not None:
        arrays["original"] = state.originals
    return arrays if state.norms is None else {"norms": state.norms} | arrays


def _has_removed(state: State) -> bool:
    slots, representatives = state.twins.T
    return bool((state.labels == -1).any() or (representatives > slots).any())


def write(file: BinaryIO, stored: Stored) -> _log.Tail:
    """Write to an open file; returns what comes after."""
    _refuse_big_endian()
    config, state = stored.config, stored.state
    slots = np.frombuffer(_log.empty_section(), np.uint8)
    arrays = {_log.SECTION: slots} | _arrays(state)
    if stored.tuning is not None and stored.tuning.size:
        arrays = {_TUNING: stored.tuning} | arrays
    offset = _HEADER.size + _SECTION.size * len(arrays)
    table = b""
    places = []
    for name, array in arrays.items():
        offset = _aligned(offset)
        places.append(offset)
        data = _bytes_of(array)
        crc = zlib.crc32(data)
        kind, required = _TYPE_CODES[array.dtype], name not in _OPTIONAL
        table += _SECTION.pack(name.encode(), kind, required, crc, offset, len(data))
        offset += len(data)
    head = _HEADER.pack(
        MAGIC,
        VERSION,
        0,
        _REMOVED if _has_removed(state) else 0,
        0,
        len(arrays),
        config.dim,
        config.M,
        config.ef_construction,
        stored.ef_search,
        _METRICS.index(config.metric),
        _CODECS.index(config.codec),
        _KEEPS.index(config.keep),
        config.wide,
        config.seed,
        len(state.rows),
        state.entry,
        _PRESETS.index(stored.preset),
        _WISHES.index(stored.keep),
        config.edge_bits,
    )
    head = _with_crc(head + table)
    position = file.write(head)
    for place, array in zip(places, arrays.values(), strict=True):
        file.write(bytes(place - position))
        position = place + file.write(_bytes_of(array))
    slots_at = places[list(arrays).index(_log.SECTION)]
    return _log.without_records(head, _header_crc(head), slots_at, position)


def _header_crc(head: bytes) -> int:
    return zlib.crc32(head[_CRC.stop :], zlib.crc32(head[: _CRC.start]))


def _with_crc(head: bytes) -> bytes:
    return head[: _CRC.start] + struct.pack("<I", _header_crc(head)) + head[_CRC.stop :]


def _read(file: _Reader, size: int) -> Stored:
    _refuse_big_endian()
    head, count = _read_head(file, size)
    table = list(_read_table(head, count, size))
    config, ef_search, n, entry = _parameters(head)
    preset, keep = _wish(head, config, n)
    arrays: dict[str, NDArray[Any]] = {}
    position = len(head)
    for section in table:
        if file.read(section.offset - position).strip(b"\0"):
            raise FormatError(f"offset {position}: padding is not zero")
        position = section.offset + section.length
        if section.name == _log.SECTION:
            file.seek(position)  # has checksums of its own
            continue
        array = _read_section(file, section)
        if section.required or section.name == _TUNING:
            arrays[section.name] = array
    tuning = _take(arrays, _TUNING, np.float32, None) if _TUNING in arrays else None
    state = _assemble(config, n, entry, arrays)
    (features,) = struct.unpack_from("<I", head, _FEATURES)
    check_state(config, state)
    if _has_removed(state) != bool(features & _REMOVED):
        raise FormatError("feature flag 1 and the rows disagree about whether some were removed")
    slots_at = next((each.offset for each in table if each.name == _log.SECTION), 0)
    tail = _log.without_records(head, _header_crc(head), slots_at, position)
    tail = _log.read(file, tail, config)
    return Stored(config, ef_search, state, preset, keep, tuning, tail)


def _read_head(file: _Reader, size: int) -> tuple[bytes, int]:
    """Return the header and the section table, their checksum verified."""
    fixed = file.read(_HEADER.size)
    if not fixed:
        raise FormatError("the file is empty")
    if fixed[: len(MAGIC)] != MAGIC[: len(fixed)]:
        raise FormatError("not an annx index")
    if len(fixed) < _HEADER.size:
        raise FormatError(f"truncated: expected a header of {_HEADER.size} bytes, got {size}")
    version, _, required, _, count = struct.unpack_from("<IIIII", fixed, len(MAGIC))
    if version != VERSION:
        raise FormatError(f"expected format version {VERSION}, got {version}")
    if count > _MAX_SECTIONS:
        raise FormatError(f"expected at most {_MAX_SECTIONS} sections, got {count}")
    head = fixed + file.read(_SECTION.size * count)
    if len(head) < _HEADER.size + _SECTION.size * count:
        raise FormatError(f"truncated: expected {count} sections, the file ends at {size}")
    (stored_crc,) = struct.unpack("<I", head[_CRC])
    if stored_crc != _header_crc(head):
        raise FormatError("the header's checksum does not match")
    if required & ~_REMOVED:
        raise FormatError(f"needs features of a newer annx (flags {required:#x})")
    if any(fixed[71:]):
        raise FormatError("offset 71: reserved bytes are not zero")
    return head, count


def _read_table(head: bytes, count: int, size: int) -> Iterator[_Section]:
    """Sections in order; they follow each other without overlap up to the file's end."""
    end = len(head)
    seen = set()
    for number in range(count):
        place = _HEADER.size + _SECTION.size * number
        raw, type_code, required, crc, offset, length = _SECTION.unpack_from(head, place)
        name = raw.rstrip(b"\0").decode("ascii", "backslashreplace")
        if type_code not in _TYPES or required > 1 or any(head[place + 10 : place + 12]):
            raise FormatError(f"section {name!r}: unknown kind at offset {place + 8}")
        if name in seen:
            raise FormatError(f"section {name!r} appears twice")
        seen.add(name)
        if offset != _aligned(end):
            raise FormatError(f"section {name!r}: expected offset {_aligned(end)}, got {offset}")
        end = offset + length
        if end > size:
            raise FormatError(f"truncated: section {name!r} ends at {end}, the file at {size}")
        dtype = _TYPES[type_code]
        if length % dtype.itemsize:
            raise FormatError(f"section {name!r}: length {length} is no multiple of {dtype}")
        if name == _log.SECTION and (type_code != 1 or length != len(_log.empty_section())):
            raise FormatError(f"section {name!r}: unknown length {length}")
        yield _Section(name, dtype, bool(required), crc, offset, length)


def _parameters(head: bytes) -> tuple[Config, int, int, int]:
    fields = _HEADER.unpack_from(head)
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
            raise FormatError(f"keep goes with codecs sq8 and sq10 alone, got {name}")
        if edge_bits > 2 or (edge_bits and name not in EDGE_CODECS):
            raise FormatError(f"unknown edge bits {edge_bits} with codec {name}")
        if wide and name not in ("i8", "u8"):
            raise FormatError(f"wide goes with codecs i8 and u8 alone, got {name}")
    except AnnxError as error:
        raise FormatError(f"header: {error}") from None
    shape = (dim, _METRICS[metric], name, m, ef_construction, seed)
    return Config(*shape, _KEEPS[keep], bool(wide), edge_bits), ef_search, n, entry


def _wish(head: bytes, config: Config, n: int) -> tuple[str | None, str]:
    preset, keep = _HEADER.unpack_from(head)[17:19]
    if preset >= len(_PRESETS) or keep >= len(_WISHES):
        raise FormatError(f"header: unknown preset {preset} or keep_vectors {keep}")
    if preset and (n or config.codec != "f32"):
        raise FormatError("header: a preset goes with an empty index of codec f32 alone")
    return _PRESETS[preset], _WISHES[keep]


def _read_section(file: _Reader, section: _Section) -> NDArray[Any]:
    array = np.empty(section.length // section.dtype.itemsize, section.dtype)
    view = _bytes_of(array)
    crc = 0
    # Piece by piece, so that each is summed while the cache still has it.
    for start in range(0, section.length, _PIECE):
        piece = view[start : start + _PIECE]
        if file.readinto(piece) != len(piece):
            raise FormatError(f"section {section.name!r}: truncated while it was read")
        crc = zlib.crc32(piece, crc)
    if crc != section.crc:
        raise FormatError(
            f"section {section.name!r} (offset {section.offset}): checksum does not match"
        )
    return array


def _assemble(config: Config, n: int, entry: int, arrays: dict[str, NDArray[Any]]) -> State:
    """Give each section its shape; every length follows from the header and `levels`."""
    sizes = _take(arrays, "levels", np.uint32, None).tolist()
    if len(sizes) > _MAX_LEVELS:
        raise FormatError(f"section 'levels': expected at most {_MAX_LEVELS}, got {len(sizes)}")
    total = sum(sizes)
    down = _take(arrays, "down", np.uint32, (total,))
    upper = _take(arrays, "upper", np.uint32, (total, config.M))
    ends = np.cumsum(sizes, dtype=np.int64)[:-1]
    kept = (n, config.kept_stride) if config.keep else None
    state = State(
        rows=_take(arrays, "rows", np.uint8, (n, config.row_stride)),
        links=_take(arrays, "links", np.uint32, (n, 2 * config.M)),
        labels=_take(arrays, "labels", np.int64, (n,)),
        norms=_take(arrays, "norms", np.float32, (n,)) if config.has_norms else None,
        twins=_take(arrays, "twins", np.uint32, None).reshape(-1, 2),
        levels=[
            Level(*parts)
            for parts in zip(np.split(down, ends), np.split(upper, ends), strict=True)
            if sizes
        ],
        entry=entry,
        originals=None if kept is None else _take(arrays, "original", np.uint8, kept),
    )
    if arrays:
        raise FormatError(f"unknown section {next(iter(arrays))!r}: needs a newer annx")
    return state


def _take(
    arrays: dict[str, NDArray[Any]],
    name: str,
    dtype: type[np.generic],
    shape: tuple[int, ...] | None,
) -> NDArray[Any]:
    array = arrays.pop(name, None)
    if array is None:
        raise FormatError(f"section {name!r} is missing")
    if array.dtype != dtype:
        raise FormatError(f"section {name!r}: expected {np.dtype(dtype)}, got {array.dtype}")
    if shape is None:
        if name == "twins" and array.size % 2:
            raise FormatError("section 'twins': expected pairs")
        return array
    if array.size != int(np.prod(shape, dtype=object)):
        raise FormatError(f"section {name!r}: expected shape {shape}, got {array.size} elements")
    return array.reshape(shape)
