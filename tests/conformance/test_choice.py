"""What the presets choose, and rows that come later and do not fit."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from data import all_distances, vectors

import annx
from annx._choose import PRESETS

#: Rows by name, of 40 elements but for "low", "narrow" and those with "wide" in it.
ROWS = {
    "bytes": lambda rng: rng.integers(0, 256, (200, 40)).astype(np.float32),
    "signed": lambda rng: rng.integers(-128, 128, (200, 40)).astype(np.float32),
    "floats": lambda rng: vectors(rng, 200, 40, "f32"),
    "low": lambda rng: vectors(rng, 200, 23, "f32"),
    "narrow": lambda rng: vectors(rng, 200, 31, "f32"),
    "wide bytes": lambda rng: rng.integers(0, 256, (200, 513)).astype(np.float32),
    "wide": lambda rng: vectors(rng, 200, 513, "f32"),
    "far off": lambda rng: vectors(rng, 200, 40, "f32") + np.float32(50),
    "tiny": lambda rng: vectors(rng, 200, 40, "f32") * np.float32(1e-6),
    "huge": lambda rng: vectors(rng, 200, 40, "f32") * np.float32(1e6),
    "large whole": lambda rng: rng.integers(0, 1000, (200, 40)).astype(np.float32),
}

# codec, keep_vectors, rows: the codec, what is kept, whether behind float32, bits an edge
CHOICES = [
    ("auto", "auto", "bytes", ("u8", "", True, 0)),
    ("auto", "auto", "signed", ("i8", "", True, 0)),
    ("auto", "auto", "floats", ("sq8", "f16", False, 0)),
    ("auto", "auto", "large whole", ("sq8", "f16", False, 0)),
    ("auto", "auto", "narrow", ("f32", "", False, 0)),
    ("auto", "auto", "tiny", ("sq8", "f32", False, 0)),
    ("auto", "auto", "huge", ("sq8", "f32", False, 0)),
    ("auto", "f16", "bytes", ("sq8", "f16", False, 0)),
    ("auto", "f32", "floats", ("sq8", "f32", False, 0)),
    ("auto", "f32", "bytes", ("u8", "", True, 0)),
    ("auto", "f32", "narrow", ("f32", "", False, 0)),
    ("auto", "f32", "far off", ("f32", "", False, 0)),
    ("auto", "none", "bytes", ("u8", "", True, 0)),
    ("auto", "none", "floats", ("sq10", "", False, 0)),
    ("auto", "none", "wide", ("sq10", "", False, 0)),
    ("auto", "auto", "wide", ("sq8", "f16", False, 0)),
    ("compact", "auto", "bytes", ("u8", "", True, 0)),
    ("compact", "auto", "floats", ("sq10", "", False, 0)),
    ("compact", "auto", "narrow", ("sq10", "", False, 0)),
    ("compact", "auto", "wide", ("sq10", "", False, 0)),
    ("compact", "f32", "wide", ("sq8", "f32", False, 0)),
    ("compact", "auto", "far off", ("f32", "", False, 0)),
    ("compact", "f16", "floats", ("sq8", "f16", False, 0)),
    ("turbo", "auto", "bytes", ("u8", "", True, 2)),
    ("turbo", "auto", "signed", ("i8", "", True, 2)),
    ("turbo", "auto", "floats", ("sq10", "", False, 2)),
    ("turbo", "auto", "narrow", ("sq10", "", False, 2)),
    ("turbo", "auto", "low", ("f32", "", False, 0)),
    ("turbo", "none", "low", ("sq10", "", False, 0)),
    ("turbo", "auto", "wide", ("sq10", "", False, 1)),
    ("turbo", "none", "floats", ("sq10", "", False, 2)),
    ("turbo", "f16", "floats", ("sq8", "f16", False, 2)),
    ("turbo", "f32", "wide", ("sq8", "f32", False, 1)),
    ("turbo", "auto", "far off", ("f32", "", False, 0)),
    ("sq8", "auto", "bytes", ("sq8", "f16", False, 0)),
    ("sq8", "none", "tiny", ("sq8", "", False, 0)),
    ("sq8", "f32", "narrow", ("sq8", "f32", False, 0)),
    ("sq10", "auto", "floats", ("sq10", "", False, 0)),
    ("sq10", "f16", "floats", ("sq10", "f16", False, 0)),
    ("sq4", "auto", "bytes", ("sq4", "f16", False, 0)),
    ("sq4", "f16", "floats", ("sq4", "f16", False, 0)),
    ("sq4", "none", "tiny", ("sq4", "", False, 0)),
    ("sq4", "f32", "narrow", ("sq4", "f32", False, 0)),
    ("f32", "auto", "bytes", ("f32", "", False, 0)),
]


def stored_as(index):
    c = index._config
    return c.codec, c.keep, c.wide, c.edge_bits


@pytest.mark.parametrize(("codec", "keep", "rows", "want"), CHOICES)
@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_what_the_first_rows_decide(backend, codec, keep, rows, want, metric, rng):
    x = ROWS[rows](rng)
    index = annx.Index(x.shape[1], metric, codec=codec, keep_vectors=keep)
    if codec in PRESETS:
        assert index.info()["codec_why"] == f"{codec}: the first rows will decide"
    index.add(x)
    assert stored_as(index) == want
    info = index.info()
    assert info["codec"] == want[0] and info["keep_vectors"] == (want[1] or None)
    assert info["codec_why"].startswith(f"{codec}:" if codec in PRESETS else "asked for")
    assert index.search(x[3], k=1).labels.tolist() == [[3]]


def test_any_number_type_may_come_first(backend, rng):
    x = rng.integers(0, 200, (50, 40))
    for dtype in (np.uint8, np.int64, np.float64, np.float16):
        index = annx.Index(40)
        index.add(x.astype(dtype))
        assert index.codec == "u8" and index.get(0).dtype == np.float32


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize(
    ("codec", "first", "later", "want"),
    [
        ("auto", "bytes", "floats", ("sq8", "f16", False, 0)),
        ("auto", "bytes", "signed", ("sq8", "f16", False, 0)),
        ("auto", "signed", "huge", ("sq8", "f32", False, 0)),
        ("auto", "floats", "tiny", ("sq8", "f32", False, 0)),
        ("sq8", "floats", "huge", ("sq8", "f32", False, 0)),
        ("compact", "bytes", "floats", ("sq10", "", False, 0)),
        ("compact", "wide bytes", "wide", ("sq10", "", False, 0)),
        ("turbo", "bytes", "floats", ("sq10", "", False, 2)),
        ("turbo", "wide bytes", "wide", ("sq10", "", False, 1)),
        ("turbo", "signed", "huge", ("sq10", "", False, 2)),
    ],
)
def test_rows_that_do_not_fit_change_the_codec(backend, codec, first, later, want, metric, rng):
    x, y = ROWS[first](rng), ROWS[later](rng)
    labels = np.arange(200) * 7 - 51
    index = annx.Index(x.shape[1], metric, codec=codec)
    index.add(x, labels)
    before = index.get(labels)
    more = index.add(y)
    assert more.tolist() == list(range(labels.max() + 1, labels.max() + 201))
    assert stored_as(index) == want
    assert np.array_equal(index.labels, np.concatenate([labels, more]))
    if want[1]:
        np.testing.assert_allclose(index.get(labels), before, rtol=1e-6)
    else:
        largest = np.abs(before).max()
        np.testing.assert_allclose(index.get(labels), before, atol=largest / 50)
    held = index.get(more)
    assert np.abs(held - y).max() <= 0.03 * np.abs(y).max()
    assert "changed from" in index.info()["codec_why"]
    own = index.search(x, k=1, ef_search=400).labels[:, 0]
    assert (own == labels).mean() > 0.95
    again = annx.Index.from_bytes(index.to_bytes())
    assert np.array_equal(again.get(labels), index.get(labels))


def test_rows_that_fit_later_change_nothing(backend, rng):
    index = annx.Index(40)
    index.add(ROWS["floats"](rng))
    core = index._core
    index.add(ROWS["bytes"](rng))
    assert index._core is core and stored_as(index) == ("sq8", "f16", False, 0)


@pytest.mark.parametrize("codec", [*PRESETS, "sq8", "sq10", "sq4"])
def test_kept_as_float16_refuses_what_float16_does_not_hold(backend, codec, rng):
    index = annx.Index(40, codec=codec, keep_vectors="f16")
    index.add(ROWS["floats"](rng))
    before = index.to_bytes()
    for rows in ("tiny", "huge"):
        with pytest.raises(annx.DtypeError, match="keep_vectors='f32' holds others"):
            index.add(ROWS[rows](rng))
        with pytest.raises(annx.DtypeError, match="float16"):
            annx.Index(40, codec=codec, keep_vectors="f16").add(ROWS[rows](rng))
    assert index.to_bytes() == before
    index = annx.Index.from_bytes(before)
    with pytest.raises(annx.DtypeError, match="float16"):
        index.add(ROWS["huge"](rng))


@pytest.mark.parametrize("preset", PRESETS)
def test_errors_and_no_rows_decide_nothing(backend, preset, rng):
    index = annx.Index(40, "cosine", codec=preset)
    index.add(np.empty((0, 40)))
    bad = ROWS["floats"](rng)
    bad[3] = 0
    calls = [
        (annx.ZeroVectorError, lambda: index.add(bad)),
        (annx.NonFiniteError, lambda: index.add(bad / 0)),
        (annx.DimensionError, lambda: index.add(bad[:, 1:])),
        (annx.LabelError, lambda: index.add(bad[:2], labels=[1, 1])),
        (annx.LabelError, lambda: index.add(bad[:2], labels=[1])),
        (annx.ParameterError, lambda: index.add(bad[:2], num_threads=0)),
    ]
    for error, call in calls:
        with np.errstate(all="ignore"), pytest.raises(error):
            call()
        assert index._preset == preset and len(index) == 0
    assert index.search(np.ones(40), k=2).labels.tolist() == [[-1, -1]]
    index.add(ROWS["bytes"](rng))
    assert index.codec == "u8"


@pytest.mark.parametrize("keep", ["auto", "f16", "f32", "none"])
@pytest.mark.parametrize("preset", PRESETS)
def test_an_undecided_index_stays_so_in_a_file(backend, preset, keep, rng):
    index = annx.Index(40, codec=preset, keep_vectors=keep)
    for other in (annx.Index.from_bytes(index.to_bytes()), copy.deepcopy(index)):
        assert other.info()["codec_why"] == f"{preset}: the first rows will decide"
        for each in (other, straight := annx.Index(40, codec=preset, keep_vectors=keep)):
            each.add(ROWS["floats"](np.random.default_rng(3)))
        assert stored_as(other) == stored_as(straight)


def test_the_wish_for_what_is_kept_outlives_a_file(backend, rng):
    index = annx.Index(40, codec="compact")
    index.add(ROWS["bytes"](rng))
    index = annx.Index.from_bytes(index.to_bytes())
    index.add(ROWS["floats"](rng))
    assert stored_as(index) == ("sq10", "", False, 0)


def test_labels_taken_before_a_change_of_codec_are_refused(backend, rng):
    index = annx.Index(40)
    index.add(ROWS["bytes"](rng))
    before = index.to_bytes()
    with pytest.raises(annx.LabelError, match="label 5 is already"):
        index.add(ROWS["floats"](rng), labels=np.arange(5, 205))
    with pytest.raises(annx.LabelError):
        index.add(ROWS["floats"](rng), labels=np.full(200, 900))
    assert index.to_bytes() == before


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("preset", PRESETS)
def test_clusters_within_which_codes_are_alike(engine, preset, metric, rng):
    """Of 6,200 such rows in 64 dimensions, codes of 8 bits found .65 at any width."""
    centres = 30 * rng.standard_normal((30, 32))
    x = np.repeat(centres, 100, axis=0) + rng.standard_normal((3000, 32))
    x = x.astype(np.float32)
    index = annx.Index(32, metric, codec=preset)
    index.add(x)
    assert index.info()["codec"] == "f32"
    assert "neighbours" in index.info()["codec_why"]
    true = all_distances(metric, x[::30].astype(np.float64), x.astype(np.float64))
    found = index.search(x[::30], 10, ef_search=100)
    tenth = np.sort(true, axis=1)[:, 9:10]
    theirs = np.take_along_axis(true, found.labels, axis=1)
    assert (theirs <= tenth * (1 + 1e-5) + 1e-7).mean() > 0.98


@pytest.mark.parametrize("preset", PRESETS)
def test_copies_are_no_such_clusters(engine, preset, rng):
    rows = vectors(rng, 100, 40, "f32")
    index = annx.Index(40, codec=preset)
    index.add(np.tile(rows, (30, 1)))
    assert index.info()["codec"] in ("sq8", "sq10")
