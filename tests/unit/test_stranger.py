"""A reader that knows docs/file-format.md alone: struct and NumPy, and nothing of annx.

It shows that the page is enough to write one.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest

import annx

GOLDEN = sorted((Path(__file__).parents[1] / "golden").rglob("*.annx"))

METRICS = ["l2", "ip", "cosine", "hamming"]
CODECS = ["f32", "f16", "bf16", "i8", "u8", "b1", "sq8", "sq10"]
TYPES = {1: "u1", 2: "<u4", 3: "<i8", 4: "<f4"}
SIZES = {"f32": "<f4", "f16": "<f2", "bf16": "<u2", "i8": "i1", "u8": "u1", "b1": "u1"}


def block_sums(content):
    blocks = [content[at : at + 65536] for at in range(0, len(content), 65536)]
    return b"".join(struct.pack("<I", zlib.crc32(block)) for block in blocks)


def read(data):
    """Header fields, and sections by name."""
    assert data[:8] == bytes.fromhex("89414E4E580D0A1A")
    version, crc, required, _, count, dim, m = struct.unpack_from("<7I", data, 8)
    assert version == 1 and required & ~1 == 0 and count <= 64
    end = 80 + 32 * count
    assert crc == zlib.crc32(data[:12] + data[16:end])
    metric, codec, keep, wide = data[44:48]
    n, entry = struct.unpack_from("<QI", data, 56)
    sections = {}
    sums = b""
    for at in range(80, end, 32):
        name, kind, needed, crc, offset, length = struct.unpack_from("<8sBB2xIQQ", data, at)
        name = name.rstrip(b"\0").decode()
        assert offset % 64 == 0 and offset + length <= len(data)
        content = data[offset : offset + length]
        if name == "log":
            continue  # what was added later, which this reader does not read
        assert crc == zlib.crc32(block_sums(content)), name
        sums += block_sums(content) if name != "sums" else b""
        sections[name] = np.frombuffer(content, TYPES[kind])
    assert sections["sums"].tobytes() == sums
    fields = {"dim": dim, "M": m, "n": n, "entry": entry, "wide": wide}
    fields |= {"metric": METRICS[metric], "codec": CODECS[codec], "keep": ["", "f16", "f32"][keep]}
    return fields, sections


def elements(raw, codec, dim):
    """Rows as numbers."""
    columns = dim // 8 if codec == "b1" else dim
    size = columns * np.dtype(SIZES[codec]).itemsize
    x = np.ascontiguousarray(raw[:, :size]).view(SIZES[codec])
    return (x.astype(np.uint32) << 16).view(np.float32) if codec == "bf16" else x


def vectors(fields, sections):
    """What was added, in order of slots; None where only codes are kept."""
    n, dim = fields["n"], fields["dim"]
    codec = fields["keep"] or fields["codec"]
    if codec in ("sq8", "sq10"):
        return None
    raw = sections["original" if fields["keep"] else "rows"].reshape(n, -1)
    x = elements(raw, codec, dim)
    return x * sections["norms"][:, None] if "norms" in sections else x


def reachable(fields, sections):
    """Slots that tree edges lead to from the entry point, and twins."""
    links = sections["links"].reshape(fields["n"], 2 * fields["M"])
    node = fields["entry"]
    ends = np.cumsum(sections["levels"])
    for level in range(len(ends) - 1, -1, -1):
        start = ends[level - 1] if level else 0
        node = sections["down"][start + node]
    seen, todo = {int(node)}, [int(node)]
    while todo:
        for link in links[todo.pop()]:
            slot = int(link & 0x3FFFFFFF)
            if link != 0xFFFFFFFF and link >> 31 and slot not in seen:
                seen.add(slot)
                todo.append(slot)
    return seen | {int(slot) for slot in sections["twins"][::2]}


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_reads_what_annx_wrote(path):
    index = annx.load(path)
    fields, sections = read(path.read_bytes())
    for name in ("dim", "M", "metric", "codec"):
        assert fields[name] == getattr(index, name)
    alive = sections["labels"] != -1
    labels = sections["labels"][alive]
    assert set(np.flatnonzero(alive).tolist()) <= reachable(fields, sections)
    if path.parent.name == "logged":
        return  # what annx reads has changes that this reader does not
    assert np.array_equal(labels, index.labels)
    removed = sections["removed"]
    assert np.array_equal(removed & 0x7FFFFFFF, np.flatnonzero(~alive))
    x = vectors(fields, sections)
    if x is not None:
        np.testing.assert_allclose(x[alive], index.get(labels), rtol=1e-6)


def test_sections_of_several_blocks(tmp_path):
    x = np.random.default_rng(1).standard_normal((3000, 40), dtype=np.float32)
    index = annx.Index(40, codec="f32", M=4, ef_construction=10)
    index.add(x)
    fields, sections = read(index.to_bytes())
    assert len(sections["sums"]) > 10
    assert np.array_equal(vectors(fields, sections), x)
