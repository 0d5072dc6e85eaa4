"""Columns as bytes.

magic, version, CRC-32 of the rest, length of the whole; then, all little-endian, the names that
are skipped, the rows that hold a document, and field by field: its name, its table of rows if it
has one, bits for the kinds of values it has, the cells of each of these, their dictionaries. Every
fact stands once: of a kind's cells the states, the values in order of slots, and the counts of
slots with several.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from annx.errors import FormatError
from annx.filters import _dates
from annx.filters._cells import ONE, SEVERAL, Bools, Cells
from annx.filters._column import Column
from annx.filters._dictionary import Dictionary
from annx.filters._numbers import EXACT
from annx.filters._slots import RowTable

MAGIC = b"\x89ANNXCOL"
VERSION = 1
_HEADER = struct.Struct("<8sIIQ")
_NUMBER = struct.Struct("<Q")
_MAX_EXTENT = (1 << 31) - 1


class _Writer:
    def __init__(self) -> None:
        self.parts: list[bytes | memoryview] = []

    def number(self, value: int) -> None:
        self.parts.append(_NUMBER.pack(value))

    def raw(self, data: bytes) -> None:
        self.number(len(data))
        self.parts.append(data)

    def array(self, array: NDArray[Any], dtype: str) -> None:
        self.raw(np.ascontiguousarray(array, np.dtype(dtype)).tobytes())

    def strings(self, strings: list[str]) -> None:
        sizes = np.fromiter(map(len, strings), np.uint64, len(strings))
        width = 2 if not len(sizes) or sizes.max() <= 0xFFFF else 8
        self.number(width)
        self.array(sizes, f"<u{width}")
        # JSON may hold half of a surrogate pair.
        self.raw("".join(strings).encode("utf-8", "surrogatepass"))


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.place = 0

    def take(self, size: int) -> memoryview:
        if size > len(self.data) - self.place:
            raise FormatError(f"expected {size} bytes at {self.place}, got the end of the columns")
        self.place += size
        return self.data[self.place - size : self.place]

    def number(self) -> int:
        return int(_NUMBER.unpack(self.take(_NUMBER.size))[0])

    def array(self, dtype: str) -> NDArray[Any]:
        raw = self.take(self.number())
        wanted = np.dtype(dtype)
        if len(raw) % wanted.itemsize:
            raise FormatError(f"expected whole elements of {wanted.itemsize}, got {len(raw)} bytes")
        return np.frombuffer(raw, wanted).astype(wanted.newbyteorder("="))

    def flag(self) -> bool:
        value = self.number()
        if value > 1:
            raise FormatError(f"expected 0 or 1, got {value}")
        return value == 1

    def text(self) -> str:
        try:
            return str(self.take(self.number()), "utf-8", "surrogatepass")
        except UnicodeDecodeError:
            raise FormatError("expected UTF-8 in the columns") from None

    def joined(self) -> tuple[str, NDArray[np.int64]]:
        """Return strings in one, and their lengths."""
        width = self.number()
        if width not in (2, 8):
            raise FormatError(f"expected lengths of 2 or 8 bytes, got {width}")
        sizes = self.array(f"<u{width}")
        text = self.text()
        # As floats, which do not wrap, and are exact for sums as small as a file can have.
        if sizes.sum(dtype=np.float64) != len(text):
            raise FormatError(f"expected strings of {len(text)} characters, got others")
        return text, sizes.astype(np.int64)

    def strings(self) -> list[str]:
        return Dictionary(joined=self.joined()).items


def pack(columns: dict[str, Column], live: Bools, skip: frozenset[str]) -> bytes:
    """Return columns as bytes."""
    out = _Writer()
    out.strings(sorted(skip))
    out.number(len(live))
    out.raw(np.packbits(live).tobytes())
    out.number(len(columns))
    for name, column in columns.items():
        out.raw(name.encode("utf-8", "surrogatepass"))
        _write_column(out, column)
    size = _HEADER.size + sum(map(len, out.parts))
    crc = zlib.crc32(_NUMBER.pack(size))
    for part in out.parts:
        crc = zlib.crc32(part, crc)
    return b"".join([_HEADER.pack(MAGIC, VERSION, crc, size), *out.parts])


def _write_column(out: _Writer, column: Column) -> None:
    out.number(column.table is not None)
    if column.table:
        out.array(column.table.rows[: column.table.size], "<i8")
    out.number(column.floats)
    held = [cells for cells in column.cells if cells.size]
    out.number(sum(1 << at for at, cells in enumerate(column.cells) if cells.size))
    for cells in held:
        out.array(cells.state[: cells.size], "<u1")
        several = np.flatnonzero(cells.state[: cells.size] == SEVERAL)
        out.array(cells.count[several] if len(several) else several, "<u4")
        filled = np.flatnonzero(cells.state[: cells.size])
        values = cells.at(filled)[1]
        out.array(values, cells.values.dtype.newbyteorder("<").str)
    if column.string.size:
        out.strings(column.strings.items)
    if column.big.size:
        out.strings([format(big, "x") for big in column.bigs.items])


def unpack(data: bytes | bytearray | memoryview) -> tuple[dict[str, Column], Bools, frozenset[str]]:
    """Return what was given to `pack`.

    Raises
    ------
    FormatError
    """
    view = memoryview(data).cast("B")
    if len(view) < _HEADER.size:
        raise FormatError(f"expected at least {_HEADER.size} bytes of columns, got {len(view)}")
    magic, version, crc, size = _HEADER.unpack(view[: _HEADER.size])
    if magic != MAGIC:
        raise FormatError("expected columns of annx, got other bytes")
    if version != VERSION:
        raise FormatError(f"expected columns of version {VERSION}, got {version}")
    if size != len(view):
        raise FormatError(f"expected {size} bytes of columns, got {len(view)}")
    if zlib.crc32(view[_HEADER.size :], zlib.crc32(_NUMBER.pack(size))) != crc:
        raise FormatError("the checksum of the columns does not match")
    source = _Reader(view)
    source.place = _HEADER.size
    skip = frozenset(source.strings())
    extent = source.number()
    bits = source.array("<u1")
    if extent > _MAX_EXTENT or len(bits) != (extent + 7) // 8:
        raise FormatError(f"expected bits of {extent} rows, got {len(bits)} bytes")
    live = np.unpackbits(bits, count=extent).view(np.bool_)
    columns: dict[str, Column] = {}
    for _ in range(source.number()):
        name = source.text()
        if name in columns:
            raise FormatError(f"expected field {name!r} once, got it twice")
        columns[name] = _read_column(source, extent)
    if source.place != len(view):
        raise FormatError(f"expected the end of the columns at {source.place}, got {len(view)}")
    return columns, live, skip


def _read_column(source: _Reader, extent: int) -> Column:
    column = Column()
    slots = extent
    if source.flag():
        column.table = RowTable(_rows(source.array("<i8"), extent))
        slots = column.table.size
    else:
        column.table = None
    if source.flag():
        column.set_cells(True)
    kinds = source.number()
    if kinds >= 1 << len(column.cells):
        raise FormatError(f"expected bits of {len(column.cells)} kinds, got {kinds:#x}")
    for at, cells in enumerate(column.cells):
        if kinds >> at & 1:
            _read_cells(source, cells, slots)
    if column.string.size:
        column.strings = Dictionary(joined=source.joined())
    if column.big.size:
        column.bigs = Dictionary(map(_big, source.strings()))
    _check(column)
    return column


def _rows(rows: NDArray[np.int64], extent: int) -> NDArray[np.int64]:
    if len(rows) and (rows.min() < 0 or rows.max() >= extent or len(np.unique(rows)) < len(rows)):
        raise FormatError(f"expected different rows below {extent}, got others")
    return rows


def _read_cells(source: _Reader, cells: Cells, slots: int) -> None:
    state = source.array("<u1")
    counts = source.array("<u4").astype(np.int64)
    values = source.array(cells.values.dtype.newbyteorder("<").str)
    several = state == SEVERAL
    if not 0 < len(state) <= slots or (len(state) and state.max() > SEVERAL):
        raise FormatError(f"expected the states of up to {slots} slots, got others")
    if len(counts) != np.count_nonzero(several) or (len(counts) and counts.min() < 2):
        raise FormatError("expected the count of each slot with several values, got others")
    if len(state) == len(values) and state.all() and not len(counts):
        cells.values, cells.state = values, state
        cells.size = cells.singles = len(values)
        return
    filled = np.flatnonzero(state)
    each = (state[filled] == ONE).astype(np.int64)
    each[several[filled]] = counts
    if int(each.sum()) != len(values):
        raise FormatError(f"expected {int(each.sum())} values, got {len(values)}")
    cells.put(filled, each, values)
    cells.resize(len(state))


def _big(text: str) -> int:
    # Of 16 as base, which takes time in proportion to the digits, and any number of them.
    try:
        number = int(text, 16)
    except ValueError:
        raise FormatError("expected a whole number in the columns") from None
    if -EXACT <= number <= EXACT:
        raise FormatError(f"expected a number beyond 2**53, got {number}")
    return number


def _check(column: Column) -> None:
    """Refuse what no writer makes, so that nothing later meets it."""
    for cells, dictionary in ((column.string, column.strings), (column.big, column.bigs)):
        codes = cells.pairs()[1] if cells.size else cells.values
        if len(codes) and (codes.min() < 0 or codes.max() >= len(dictionary)):
            raise FormatError(f"expected codes below {len(dictionary)}, got others")
    dates = column.dates.pairs()[1] if column.dates.size else column.dates.values
    if len(dates) and not _dates.is_packed(dates):
        raise FormatError("expected dates of the years 1 to 9999, got others")
    booleans = column.booleans.pairs()[1] if column.booleans.size else column.booleans.values
    if len(booleans) and booleans.max() > 1:
        raise FormatError("expected bools of 0 and 1, got others")
