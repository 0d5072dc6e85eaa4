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
CODECS = ["f32", "f16", "bf16", "i8", "u8", "b1", "sq8", "sq10", "sq4"]
SCALED = CODECS[6:]
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
    if codec in SCALED:
        return None
    raw = sections["original" if fields["keep"] else "rows"].reshape(n, -1)
    x = elements(raw, codec, dim)
    return x * sections["norms"][:, None] if "norms" in sections else x


def nibbles(plane):
    """Two numbers of each byte, the lower half first."""
    return np.stack([plane & 15, plane >> 4], axis=2).reshape(len(plane), -1).astype(int)


def coded(fields, sections):
    """The rotated vectors that rows of codes stand for, and their lengths."""
    n, dim, codec = fields["n"], fields["dim"], fields["codec"]
    raw = sections["rows"].reshape(n, -1)
    two = None
    if codec == "sq4":
        half = 4 * -(-dim // 8)
        high, factors, low, two = np.split(raw, [half, half + 8, 2 * half + 8], axis=1)
        assert two.shape[1] == (0 if fields["keep"] else 4 * -(-dim // 16))
        two = two if two.shape[1] else None
        u = 16 * nibbles(high) + nibbles(low)
        alive = sections["labels"] != -1
        assert (u[alive, :dim] >= 17).all() and (u[alive, dim:] == 136).all()
        codes = u[:, :dim] - 136.0
    else:
        codes = raw[:, :dim].view(np.int8).astype(float)
        factors = raw[:, -8:]
        two = raw[:, -(-dim // 4) * 4 : -8] if codec == "sq10" else None
    if two is not None:
        bits = two[:, :, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
        bits = bits.reshape(n, -1).astype(float)
        assert not bits[:, dim:].any()
        codes += (bits[:, :dim] - 2) / 4
    length, step = np.ascontiguousarray(factors).view("<f4").astype(float).T
    if fields["metric"] == "l2":
        length, step = np.sqrt(length), step / np.sqrt(2)
    return codes * step[:, None], length


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
    if fields["codec"] in SCALED:
        check_codes(fields, sections, index.get(labels), alive)
    if x is not None:
        np.testing.assert_allclose(x[alive], index.get(labels), rtol=1e-6)


def check_codes(fields, sections, x, alive):
    """A rotation changes no length and no angle."""
    rotated, length = (part[alive] for part in coded(fields, sections))
    true = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(length, true, rtol=0.02)
    if fields["metric"] == "cosine":
        x = x / true[:, None]
    size = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(rotated @ rotated.T, x @ x.T, atol=0.02 * (size * size).max())


@pytest.mark.parametrize("keep", ["none", "f16"])
@pytest.mark.parametrize("codec", SCALED)
@pytest.mark.parametrize("dim", [1, 5, 8, 17, 40])
def test_codes_of_any_width(dim, codec, keep):
    x = np.random.default_rng(dim).standard_normal((50, dim), dtype=np.float32)
    index = annx.Index(dim, codec=codec, keep_vectors=keep)
    index.add(x)
    fields, sections = read(index.to_bytes())
    check_codes(fields, sections, x, np.ones(50, bool))


def test_sections_of_several_blocks(tmp_path):
    x = np.random.default_rng(1).standard_normal((3000, 40), dtype=np.float32)
    index = annx.Index(40, codec="f32", M=4, ef_construction=10)
    index.add(x)
    fields, sections = read(index.to_bytes())
    assert len(sections["sums"]) > 10
    assert np.array_equal(vectors(fields, sections), x)
