"""Index files: damage is refused with its place named."""

from __future__ import annotations

import struct
import sys
import tracemalloc

import numpy as np
import pytest
from conftest import load_backend
from samples import dump, sample
from sealing import ENTRY, HEADER, joined, patched, repaired, repaired_head, sections, split

import annx
from annx import FormatError, _format

NAMES = (
    "sums", "log", "norms", "levels", "down", "upper", "twins", "removed", "labels", "links",
    "rows",
)  # fmt: skip


@pytest.fixture(scope="module")
def data():
    return dump(*sample())


SHAPES = [
    ("cosine", "f32"), ("l2", "f32"), ("cosine", "i8"), ("cosine", "i8", "", True),
    ("l2", "sq8"), ("ip", "sq8"), ("cosine", "sq8"), ("l2", "sq8", "f16"), ("cosine", "sq8", "f16"),
    ("ip", "sq8", "f32"), ("cosine", "sq8", "f32"), ("l2", "sq10"), ("cosine", "sq10", "f16"),
    ("ip", "sq10", "", False, 1), ("cosine", "i8", "", True, 2), ("l2", "sq4"), ("ip", "sq4"),
    ("cosine", "sq4"), ("l2", "sq4", "f16"), ("cosine", "sq4", "f16"), ("cosine", "sq4", "f32"),
]  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_sample_is_valid(shape):
    config, state = sample(*shape)
    stored = _format.loads(dump(config, state, 17))
    assert stored.config == config and stored.ef_search == 17
    assert dump(stored.config, stored.state, 17) == dump(config, state, 17)
    for name in ("rows", "links", "labels", "twins"):
        assert np.array_equal(getattr(stored.state, name), getattr(state, name))
        flags = getattr(stored.state, name).flags
        assert flags.c_contiguous and flags.aligned


@pytest.mark.parametrize(
    "shape", [("l2", "sq8", "f16"), ("cosine", "sq8", "f32"), ("ip", "sq4", "f16")]
)
def test_any_flipped_bit_of_kept_vectors(shape):
    data = dump(*sample(*shape))
    start, stop = sections(data)["original"]
    for place in (*range(start, stop), *range(*sections(data)["rows"])):
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        with pytest.raises(FormatError, match="checksum"):
            _format.loads(bytes(damaged))
    for size in range(start, stop):
        with pytest.raises(FormatError, match="truncated: section 'original'"):
            _format.loads(data[:size])


def test_kept_vectors_must_be_there(data):
    kept = dump(*sample("l2", "sq8", "f16"))
    with pytest.raises(FormatError, match="'original': expected shape .6, 16., got 48"):
        _format.loads(patched(kept, 46, "<B", 2))
    with pytest.raises(FormatError, match="unknown section 'original'"):
        _format.loads(patched(kept, 46, "<B", 0))
    with pytest.raises(FormatError, match="section 'original' is missing"):
        _format.loads(patched(dump(*sample("l2", "sq8")), 46, "<B", 1))


def test_planes_have_no_codes_of_edges():
    with pytest.raises(FormatError, match="unknown edge bits 1 with codec sq4"):
        _format.loads(patched(dump(*sample("l2", "sq4")), 70, "<B", 1))


def test_layout_is_as_documented(data):
    places = sections(data)
    assert tuple(places) == NAMES
    end = HEADER + ENTRY * len(NAMES)
    for start, stop in places.values():
        assert start % 64 == 0 and start - end < 64 and not any(data[end:start])
        end = stop
    assert end == len(data)
    assert HEADER == 80 and ENTRY == 32 and data[:8] == b"\x89ANNX\r\n\x1a"


def test_truncated_anywhere(data):
    for size in range(len(data)):
        with pytest.raises(FormatError):
            _format.loads(data[:size])


def test_truncation_names_the_section(data):
    for name, (start, stop) in sections(data).items():
        if start == stop:
            continue
        with pytest.raises(FormatError, match=f"truncated: section '{name}' ends at {stop}"):
            _format.loads(data[: (start + stop) // 2])


def test_any_flipped_bit(data):
    for place in range(len(data)):
        for bit in (0, 7):
            damaged = bytearray(data)
            damaged[place] ^= 1 << bit
            if sections(data)["log"][0] <= place < sections(data)["log"][1]:
                # The other slot says the same.
                assert _format.dumps(_format.loads(bytes(damaged))) == data
                continue
            with pytest.raises(FormatError):
                _format.loads(bytes(damaged))


def test_header_bytes_with_the_checksum_repaired(data):
    """No value of a header byte may crash; most contradict something."""
    for place in range(8, HEADER + ENTRY * len(NAMES)):
        for value in (0, 1, 0x7F, 0xFF):
            damaged = bytearray(data)
            damaged[place] = value
            try:
                stored = _format.loads(repaired_head(bytes(damaged)))
            except FormatError:
                continue
            assert len(stored.state.rows) == 6


def test_junk_at_the_end(data):
    with pytest.raises(FormatError, match=f"expected a file of {len(data)} bytes"):
        _format.loads(data + b"x")
    # As an append leaves it that was cut off.
    assert _format.dumps(_format.loads(data + b"\0")) == data


HEADERS = {
    "empty": (lambda d: b"", "the file is empty"),
    "foreign": (lambda d: b"PK\x03\x04" * 50, "not an annx index"),
    "text_mode": (lambda d: d.replace(b"\r\n", b"\n"), "not an annx index"),
    "short": (lambda d: d[:30], "truncated: expected a header of 80 bytes, got 30"),
    "only_magic": (lambda d: d[:5], "truncated"),
    "version_0": (lambda d: patched(d, 8, "<I", 0), "expected format version 1, got 0"),
    "version_2": (lambda d: patched(d, 8, "<I", 2), "expected format version 1, got 2"),
    "checksum": (lambda d: d[:12] + b"\0\0\0\0" + d[16:], "header's checksum does not match"),
    "features": (lambda d: patched(d, 16, "<I", 4), "newer annx .flags 0x4"),
    "dim_0": (lambda d: patched(d, 28, "<I", 0), "header: dim must be in 1..65536, got 0"),
    "dim_3": (lambda d: patched(d, 28, "<I", 3), "'rows': expected shape .6, 12."),
    "dim_huge": (lambda d: patched(d, 28, "<I", 2**32 - 1), "dim must be in"),
    "M_1": (lambda d: patched(d, 32, "<I", 1), "header: M must be in 2..512"),
    "M_3": (lambda d: patched(d, 32, "<I", 3), "'upper': expected shape .4, 3."),
    "ef_construction": (lambda d: patched(d, 36, "<I", 0), "ef_construction must be in"),
    "ef_search": (lambda d: patched(d, 40, "<I", 0), "ef_search must be in"),
    "metric": (lambda d: patched(d, 44, "<B", 9), "unknown metric 9"),
    "codec": (lambda d: patched(d, 45, "<B", 9), "unknown metric 2, codec 9, keep 0 or wide 0"),
    "keep": (lambda d: patched(d, 46, "<B", 3), "codec 0, keep 3"),
    "keep_f32": (
        lambda d: patched(d, 46, "<B", 1),
        "keep goes with codecs sq8, sq10 and sq4 alone, got f32",
    ),
    "wide": (lambda d: patched(d, 47, "<B", 2), "keep 0 or wide 2"),
    "wide_f32": (lambda d: patched(d, 47, "<B", 1), "wide goes with codecs i8 and u8 alone"),
    "preset": (lambda d: patched(d, 68, "<B", 4), "unknown preset 4 or keep_vectors 0"),
    "preset_late": (lambda d: patched(d, 68, "<B", 1), "a preset goes with an empty index"),
    "keep_vectors": (lambda d: patched(d, 69, "<B", 4), "unknown preset 0 or keep_vectors 4"),
    "hamming_f32": (lambda d: patched(d, 44, "<B", 3), "'hamming' goes with codec 'b1'"),
    "edge_bits_f32": (lambda d: patched(d, 70, "<B", 1), "unknown edge bits 1 with codec f32"),
    "edge_bits": (lambda d: patched(d, 70, "<B", 3), "unknown edge bits 3"),
    "reserved": (lambda d: patched(d, 71, "<B", 1), "reserved bytes"),
    "reserved_end": (lambda d: patched(d, 79, "<B", 1), "reserved bytes"),
    "rows_5": (lambda d: patched(d, 56, "<Q", 5), "expected shape .5, 16., got 96"),
    "rows_huge": (lambda d: patched(d, 56, "<Q", 2**63), "header: rows must be in"),
    "entry": (lambda d: patched(d, 64, "<I", 1), "entry: expected less than 1, got 1"),
}


@pytest.mark.parametrize(("damage", "text"), HEADERS.values(), ids=HEADERS)
def test_header(data, damage, text):
    with pytest.raises(FormatError, match=text):
        _format.loads(damage(data))


def test_too_many_sections(data):
    damaged = data[:24] + struct.pack("<I", 65) + data[28:]
    with pytest.raises(FormatError, match="at most 64 sections, got 65"):
        _format.loads(damaged)


TABLE = {
    "unknown_type": (8, "<B", 7, "unknown kind at offset"),
    "unknown_flag": (9, "<B", 2, "unknown kind at offset"),
    "reserved": (10, "<B", 1, "unknown kind at offset"),
    "other_type": (8, "<B", 4, "section '.*': expected .*, got float32"),
    "overlap": (16, "<Q", 64, "expected offset .*, got 64"),
    "hole": (16, "<Q", 6400, "expected offset .*, got 6400"),
    "longer": (24, "<Q", 2**40, "truncated: section"),
    "wraps": (24, "<Q", 2**64 - 64, "truncated: section"),
}


@pytest.mark.parametrize(("place", "fmt", "value", "text"), TABLE.values(), ids=TABLE)
def test_section_table(data, place, fmt, value, text):
    damaged = bytearray(data)
    struct.pack_into(fmt, damaged, HEADER + ENTRY * NAMES.index("links") + place, value)
    with pytest.raises(FormatError, match=text):
        _format.loads(repaired_head(bytes(damaged)))


def test_sections_by_name(data):
    place = HEADER + ENTRY * NAMES.index("twins")
    for name, text in [(b"labels", "'labels' appears twice"), (b"tw", "'twins' is missing")]:
        damaged = data[:place] + name.ljust(8, b"\0") + data[place + 8 :]
        with pytest.raises(FormatError, match=text):
            _format.loads(repaired_head(damaged))


def with_section(data, required):
    """The file with one more section, of a name that this version does not know."""
    return joined(data, [*split(data), ("colour", 1, required, b"xyz")])


def test_unknown_sections(data):
    stored = _format.loads(with_section(data, 0))
    assert _format.dumps(stored) == data
    with pytest.raises(FormatError, match="unknown section 'colour': needs a newer annx"):
        _format.loads(with_section(data, 1))
    with pytest.raises(FormatError, match="section 'colour': checksum of bytes"):
        _format.loads(with_section(data, 0)[:-1] + b"w")


def test_sections_may_come_in_any_order(data):
    shuffled = joined(data, [s for s in reversed(split(data)) if s[0] != "sums"] + split(data)[:1])
    with pytest.raises(FormatError, match="checksum"):
        _format.loads(shuffled[:-1] + bytes([shuffled[-1] ^ 1]))
    assert _format.dumps(_format.loads(shuffled)) == data


@pytest.mark.parametrize("verify", ["full", "structure"])
def test_checksums_of_blocks_are_as_many_as_blocks(data, verify):
    for name in ("links", "twins"):
        longer = [(*s[:3], s[3] + bytes(70000) if s[0] == name else s[3]) for s in split(data)]
        whole = joined(data, longer)
        (start, stop), places = sections(whole)["sums"], list(sections(whole))
        number = places.index("sums")
        short = whole[:start] + whole[start:stop]
        short = bytearray(short + whole[stop:])
        struct.pack_into("<Q", short, HEADER + ENTRY * number + 24, stop - start - 4)
        with pytest.raises(FormatError):
            _format.loads(repaired(bytes(short)), verify=verify)


@pytest.mark.parametrize("verify", ["full", "structure"])
def test_what_is_verified(data, verify):
    """Structure is always; bytes that may be anything are under their checksum alone."""
    for name, refused in [("norms", verify == "full"), ("sums", verify == "full"), ("links", True)]:
        damaged = bytearray(data)
        damaged[sections(data)[name][0]] ^= 2
        if refused:
            with pytest.raises(FormatError):
                _format.loads(bytes(damaged), verify=verify)
        else:
            _format.loads(bytes(damaged), verify=verify)
    damaged = bytearray(data)
    damaged[sections(data)["rows"][0] + 1] ^= 2
    with pytest.raises(FormatError, match="section 'rows': checksum of bytes [0-9]+ to"):
        _format.loads(bytes(damaged))


def test_padding_must_be_zero(data):
    start, stop = sections(data)["labels"]
    assert stop % 64
    with pytest.raises(FormatError, match=f"offset {stop}: padding is not zero"):
        _format.loads(data[:stop] + b"\1" + data[stop + 1 :])


def test_big_endian_machines_are_refused(data, monkeypatch):
    monkeypatch.setattr(sys, "byteorder", "big")
    with pytest.raises(annx.BackendError, match="little-endian"):
        _format.loads(data)


def test_nothing_is_allocated_for_sizes_that_the_file_does_not_have(data):
    damaged = patched(data, 56, "<Q", 2**29)
    tracemalloc.start()
    with pytest.raises(FormatError):
        _format.loads(damaged)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2 * len(data) + (1 << 20)


@pytest.mark.parametrize("name", ["reference", "native", "numba"])
def test_a_core_takes_the_sample(name, data, use_backend):
    load_backend(name)
    use_backend(name)
    index = annx.Index.from_bytes(data)
    assert index.search([0.6, 0.8, 0, 0], k=2, ef_search=6).labels.tolist() in (
        [[9, -3]],
        [[-3, 9]],
    )
    assert index.labels.tolist() == [5, 6, 7, 8, 9, -3]
    np.testing.assert_allclose(index.get(5), [2, 0, 0, 0])


def test_every_damaged_piece_is_named(tmp_path):
    x = np.random.default_rng(1).standard_normal((3000, 40), dtype=np.float32)
    index = annx.Index(40, codec="f32", M=4, ef_construction=10)
    index.add(x)
    path = tmp_path / "i.annx"
    index.save(path)
    assert annx.check_file(path).ok
    data = bytearray(path.read_bytes())
    start, stop = sections(data)["rows"]
    for place in (start, start + 70000, start + 140000, stop - 1):
        data[place + 3 if place < stop - 1 else place] ^= 1
    path.write_bytes(bytes(data))
    report = annx.check_file(path)
    assert not report.ok
    last = start + (stop - 1 - start) // 65536 * 65536
    assert report.damaged == (("rows", start, start + 3 * 65536), ("rows", last, stop))
    assert report.problems[0] == (
        f"section 'rows': checksum of bytes {start} to {start + 3 * 65536} does not match"
    )
    path.write_bytes(b"PK")
    assert annx.check_file(path).problems == (f"{path}: not an annx index",)


def test_open_files(tmp_path, data):
    path = tmp_path / "i.annx"
    path.write_bytes(b"before" + data)
    with open(path, "rb") as file:
        file.seek(6)
        assert annx.load(file).labels.tolist() == [5, 6, 7, 8, 9, -3]
        with pytest.raises(annx.ParameterError, match="mmap goes with the path"):
            annx.load(file, mmap=True)
        with pytest.raises(FormatError, match="the file is empty"):
            annx.load(file)


def test_an_allocation_that_fails_is_a_memory_error(tmp_path, data, monkeypatch):
    def fail(*_, **__):
        raise MemoryError

    path = tmp_path / "i.annx"
    path.write_bytes(data)
    monkeypatch.setattr(np, "empty", fail)
    with pytest.raises(MemoryError):
        annx.load(path)
    monkeypatch.undo()
    assert len(annx.load(path)) == 6
