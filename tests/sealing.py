"""Index files taken apart, changed, and sealed again with checksums that are right."""

from __future__ import annotations

import struct
import zlib

HEADER, ENTRY, BLOCK = 80, 32, 1 << 16
#: Sections that "sums" does not cover.
UNSUMMED = ("sums", "log")


def entries(data):
    """Places of the table's lines, with name, offset and length of their sections."""
    (count,) = struct.unpack_from("<I", data, 24)
    for number in range(min(count, 64)):
        place = HEADER + ENTRY * number
        offset, length = struct.unpack_from("<QQ", data, place + 16)
        yield place, data[place : place + 8].rstrip(b"\0").decode(errors="replace"), offset, length


def sections(data):
    """Where each section begins and ends."""
    return {name: (offset, offset + length) for _, name, offset, length in entries(data)}


def block_sums(content):
    """The checksums of a section's blocks, as bytes."""
    blocks = (content[start : start + BLOCK] for start in range(0, len(content), BLOCK))
    return b"".join(struct.pack("<I", zlib.crc32(block)) for block in blocks)


def repaired(data):
    """The same file with its checksums made right."""
    data = bytearray(data)
    table = list(entries(data))
    sums = [block_sums(data[o : o + n]) for _, name, o, n in table if name not in UNSUMMED]
    for _, name, offset, length in table:
        if name == "sums" and length == len(b"".join(sums)) and offset + length <= len(data):
            data[offset : offset + length] = b"".join(sums)
    for place, name, offset, length in table:
        if name == "log":  # as it was before there were records
            continue
        crc = zlib.crc32(block_sums(data[offset : offset + length]))
        struct.pack_into("<I", data, place + 12, crc)
    return repaired_head(bytes(data))


def repaired_head(data):
    """The same file with the checksum of its header made right."""
    (count,) = struct.unpack_from("<I", data, 24)
    end = HEADER + ENTRY * min(count, 64)
    crc = zlib.crc32(data[16:end], zlib.crc32(data[:12]))
    return data[:12] + struct.pack("<I", crc) + data[16:]


def patched(data, offset, fmt, value):
    """The same file with another value somewhere."""
    changed = bytearray(data)
    struct.pack_into(fmt, changed, offset, value)
    return repaired(bytes(changed))


def joined(data, contents):
    """A file with the header of another and these sections.

    `contents` are name, element type, whether it is required, and bytes. A section "sums" is
    made.
    """
    others = [section for section in contents if section[0] not in UNSUMMED]
    sums = b"".join(block_sums(content) for *_, content in others)
    contents = [
        (name, kind, required, sums if name == "sums" else content)
        for name, kind, required, content in contents
    ]
    head = bytearray(data[:HEADER])
    struct.pack_into("<I", head, 24, len(contents))
    end = HEADER + ENTRY * len(contents)
    table, body = b"", b""
    for name, kind, required, content in contents:
        start = -(-end // 64) * 64
        crc = zlib.crc32(block_sums(content))
        table += struct.pack("<8sBB2xIQQ", name.encode(), kind, required, crc, start, len(content))
        body += bytes(start - end) + content
        end = start + len(content)
    return repaired_head(bytes(head) + table + body)


def split(data):
    """Sections as `joined` takes them."""
    return [
        (name, data[place + 8], data[place + 9], data[offset : offset + length])
        for place, name, offset, length in entries(data)
    ]


def repaired_log(data):
    """The same file with the checksums of its log made right, as far as it is one."""
    data = bytearray(data)
    ends = [offset + length for _, _, offset, length in entries(data)]
    slots = [offset for _, name, offset, length in entries(data) if name == "log" and length == 128]
    if not ends or not slots or slots[0] + 128 > len(data):
        return bytes(data)
    at = start = -(-ends[-1] // 64) * 64
    (chain,) = struct.unpack_from("<I", data, 12)
    sequence = 0
    while at + 64 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at + 24)
        end = at + 64 + -(-length // 64) * 64
        if end > len(data):
            break
        chain = zlib.crc32(data[at + 12 : end], chain)
        struct.pack_into("<I", data, at + 8, chain)
        (sequence,) = struct.unpack_from("<Q", data, at + 16)
        at = end
    if at > start:
        body = struct.pack("<QQI40x", sequence, at, chain)
        place = slots[0] + 64 * (sequence % 2)
        data[place : place + 64] = struct.pack("<I", zlib.crc32(body)) + body
    return bytes(data)
