"""Cursors: which hits were shown, so that the next page shows others.

A cursor lists the rows of the pages before. So a document comes once, though it be replaced or
changed in between, and one that was there all along comes on some page. An id keeps its row until
it is deleted: inserted again it gets a new one, and may come again. A cursor is text for anyone to
keep, and not trusted: it can do no more than leave rows out.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

from annx.errors import CursorError

_VERSION = 1
_DIGEST = 8
#: Rows that one cursor may hold; some 25 kB then.
MOST_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a search is in its pages.

    Attributes
    ----------
    request : bytes
        Digest of what is asked for: a cursor goes with its own query alone.
    window : int
    seen : tuple of int
        Rows that were shown, in ascending order.
    """

    request: bytes
    window: int
    seen: tuple[int, ...]

    def dumps(self) -> str:
        """Write as text.

        Raises
        ------
        CursorError
            More rows than a cursor may hold.
        """
        if len(self.seen) > MOST_ROWS:
            raise CursorError(
                f"expected at most {MOST_ROWS:,} hits in pages; iterate(filter=...) goes "
                "through all documents"
            )
        body = bytearray([_VERSION]) + self.request
        _number(body, self.window)
        before = -1
        for row in self.seen:
            _number(body, row - before - 1)
            before = row
        return base64.urlsafe_b64encode(bytes(body) + digest(bytes(body))).decode().rstrip("=")

    @classmethod
    def loads(cls, text: str, request: bytes) -> Cursor:
        """Read what `dumps` wrote, for a request.

        Raises
        ------
        CursorError
            It is no cursor, damaged, or of another query.
        """
        if not isinstance(text, str) or len(text) > 16 * MOST_ROWS:
            raise CursorError("expected a cursor as `hits.cursor` gives it")
        try:
            data = base64.b64decode(
                text.encode() + b"=" * (-len(text) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, UnicodeEncodeError):
            raise CursorError("expected a cursor as `hits.cursor` gives it") from None
        body, check = data[:-_DIGEST], data[-_DIGEST:]
        if len(body) < 1 + _DIGEST or digest(body) != check or body[0] != _VERSION:
            raise CursorError("the cursor is damaged, or of another version")
        if body[1 : 1 + _DIGEST] != request:
            raise CursorError("the cursor is of another query: only k may differ between pages")
        numbers = _numbers(body[1 + _DIGEST :])
        if not 1 <= len(numbers) <= MOST_ROWS + 1:
            raise CursorError("the cursor is damaged, or of another version")
        seen, row = [], -1
        for step in numbers[1:]:
            row += step + 1
            seen.append(row)
        if row >= 1 << 62 or not 1 <= numbers[0] < 1 << 31:
            raise CursorError("the cursor is damaged, or of another version")
        return cls(request, numbers[0], tuple(seen))


def digest(data: bytes) -> bytes:
    """A short hash."""
    return hashlib.blake2b(data, digest_size=_DIGEST).digest()


def _number(out: bytearray, value: int) -> None:
    """7 bits a byte, the lowest first."""
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def _numbers(data: bytes) -> list[int]:
    found, value, shift = [], 0, 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            found.append(value)
            value, shift = 0, 0
        elif shift > 63:
            raise CursorError("the cursor is damaged, or of another version")
    if shift:
        raise CursorError("the cursor is damaged, or of another version")
    return found
