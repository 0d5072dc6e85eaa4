"""An index that stays in its file answers as one that was loaded, and does no harm."""

from __future__ import annotations

import copy
import os
import subprocess
import sys

import numpy as np
import pytest
from data import PAIRS, vectors
from sealing import repaired, sections

import annx
from annx import FormatError

OPTIONS = [(metric, {"codec": codec}) for codec, metric in PAIRS] + [
    ("cosine", {"codec": "sq8", "keep_vectors": "f32"}),
    ("cosine", {"codec": "sq8", "keep_vectors": "f16"}),
    ("l2", {"codec": "sq10", "keep_vectors": "none"}),
    ("ip", {"codec": "sq4", "keep_vectors": "none"}),
    ("l2", {"codec": "sq4", "keep_vectors": "f16"}),
    ("ip", {"codec": "turbo"}),
]


def saved(path, rng, metric="l2", options=None, removed=0, n=1500):
    options = options or {"codec": "f32"}
    index = annx.Index(32, metric, M=8, ef_construction=40, **options)
    codec = options["codec"]
    x = vectors(rng, n, 32, "f32" if codec in ("sq8", "sq10", "sq4", "turbo") else codec)
    x[50:80] = x[0]
    index.add(x, rng.permutation(n) * 3 - 302)
    if removed:
        index.remove(index.labels[rng.permutation(n)[:removed]])
    index.save(path)
    return index, x


def same_answers(one, other, x, labels):
    queries = x[:40]
    for call, options in [
        ("search", {"k": 5, "ef_search": 200}), ("exact_search", {"k": 5}),
        ("search", {"k": 5, "ef_search": 200, "filter": labels[::3]}),
        ("search", {"k": 5, "ef_search": 200, "filter": labels[5:]}),
        ("search", {"k": 800}),
    ]:  # fmt: skip
        a, b = getattr(one, call)(queries, **options), getattr(other, call)(queries, **options)
        assert np.array_equal(a.distances, b.distances), (call, options)
        assert np.array_equal(a.labels, b.labels)
    radius = float(np.median(one.exact_search(queries, k=20).distances))
    for exact in (False, True):
        a = one.range_search(queries, radius, exact=exact)
        b = other.range_search(queries, radius, exact=exact)
        assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True))


@pytest.mark.parametrize("removed", [0, 200])
@pytest.mark.parametrize(("metric", "options"), OPTIONS)
def test_answers_as_loaded(engine, metric, options, removed, rng, tmp_path):
    if engine == "numba" and not removed:
        pytest.skip("compiles long, and dead rows take the same way and more")
    path = tmp_path / "i.annx"
    index, x = saved(path, rng, metric, options, removed)
    index = annx.load(path)
    mapped = annx.load(path, mmap=True)
    assert mapped.read_only and not index.read_only
    assert len(mapped) == len(index) == 1500 - removed
    assert np.array_equal(mapped.labels, index.labels)
    labels = index.labels
    if options["codec"] == "turbo":
        # What guides a walk is not in the file; all that it finds is ranked alike.
        a, b = index.exact_search(x[:9], k=9), mapped.exact_search(x[:9], k=9)
        assert np.array_equal(a.labels, b.labels)
    else:
        same_answers(index, mapped, x, labels)
    assert np.array_equal(mapped.get(labels), index.get(labels))
    assert labels[3] in mapped and 10**6 not in mapped and -1 not in mapped
    with pytest.raises(annx.errors.LabelError):
        mapped.get([10**6])
    assert mapped.to_bytes() == path.read_bytes()
    assert mapped.check().ok and mapped.info()["n"] == len(index)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_small_ones(engine, n, rng, tmp_path):
    index = annx.Index(4, codec="f32")
    index.add(vectors(rng, n, 4, "f32"))
    index.save(tmp_path / "i.annx")
    mapped = annx.load(tmp_path / "i.annx", mmap=True)
    queries = vectors(rng, 3, 4, "f32")
    for call in ("search", "exact_search"):
        got, want = getattr(mapped, call)(queries, k=3), getattr(index, call)(queries, k=3)
        assert np.array_equal(got.labels, want.labels)
    assert len(mapped) == n


def test_cannot_be_changed_but_copied(engine, rng, tmp_path):
    path = tmp_path / "i.annx"
    _, x = saved(path, rng)
    mapped = annx.load(path, mmap=True)
    before = mapped.to_bytes()
    label = mapped.labels[0]
    changes = [
        lambda: mapped.add(x[:1]), lambda: mapped.add(x[:1], [label], upsert=True),
        lambda: mapped.update(label, x[1]), lambda: mapped.remove(label), mapped.compact,
        mapped.repair,
    ]  # fmt: skip
    for change in changes:
        with pytest.raises(annx.errors.ReadOnlyError, match="mapped from a file and cannot be"):
            change()
    core = mapped._core
    for change in (
        lambda: core.add(x[:1], None, num_threads=1), lambda: core.remove(mapped.labels[:1], 1),
        lambda: core.compact(1), lambda: core.repair(1.0, 1), lambda: core.reserve(9),
    ):  # fmt: skip
        with pytest.raises(annx.errors.ReadOnlyError):
            change()
    assert mapped.to_bytes() == before
    other = copy.deepcopy(mapped)
    assert not other.read_only
    other.remove(label)
    assert label in mapped and label not in other
    mapped.ef_search = 99
    assert mapped.ef_search == 99


@pytest.mark.skipif(os.name != "posix", reason="POSIX renames over open files")
def test_saved_over_while_it_is_mapped(engine, rng, tmp_path):
    path = tmp_path / "i.annx"
    index, x = saved(path, rng)
    mapped = annx.load(path, mmap=True)
    want = index.search(x[:20], k=3)
    changed = copy.deepcopy(mapped)
    changed.remove(changed.labels[:500])
    changed.save(path)
    mapped.save(tmp_path / "copy.annx")
    got = mapped.search(x[:20], k=3)
    assert np.array_equal(got.labels, want.labels)
    assert len(annx.load(path, mmap=True)) == 1000
    mapped.save(path)
    assert annx.load(path).to_bytes() == index.to_bytes()
    path.unlink()
    assert np.array_equal(mapped.search(x[:20], k=3).labels, want.labels)


def use_all(index, queries):
    """Everything that reads."""
    hits = [index.search(queries, k=5, ef_search=300), index.exact_search(queries, k=5)]
    hits.append(index.search(queries, k=5, filter=index.labels[::2]))
    index.range_search(queries, 1.0)
    index.get(index.labels)
    return hits


@pytest.mark.parametrize("sealed", [False, True])
def test_damage_is_found_where_it_is_used(engine, sealed, rng, tmp_path):
    """And where checksums are right, nothing reads or writes elsewhere."""
    path = tmp_path / "i.annx"
    options = {"codec": "sq8", "keep_vectors": "f16"}
    index, x = saved(path, rng, "l2", options, 100, n=600)
    data = path.read_bytes()
    index, queries = annx.load(path), x[:20]
    want = use_all(index, queries)
    places = sections(data)
    outcomes = set()
    names = [name for name, (start, stop) in places.items() if start < stop]
    for turn in range(120):
        start, stop = places[names[turn % len(names)]]
        damaged = bytearray(data)
        at = int(rng.integers(start, stop))
        if turn % 3:
            damaged[at] ^= 1 << int(rng.integers(8))
        else:
            damaged[at : min(at + 8, stop)] = bytes([255 * (turn % 2)]) * min(8, stop - at)
        damaged = bytes(damaged)
        if damaged == data:
            continue
        path.write_bytes(repaired(damaged) if sealed else damaged)
        try:
            got = use_all(annx.load(path, mmap=True), queries)
        except (FormatError, annx.errors.LabelError) as error:
            outcomes.add(type(error).__name__)
            assert sealed or isinstance(error, FormatError)
            continue
        outcomes.add("answers")
        if not sealed:
            for one, other in zip(got, want, strict=True):
                assert np.array_equal(one.labels, other.labels)
    assert "FormatError" in outcomes


def test_every_thread_finds_the_damage(engine, rng, tmp_path):
    """Under TSan: what a search raises belongs to its caller, whichever thread found it."""
    path = tmp_path / "i.annx"
    _, x = saved(path, rng)
    start, stop = sections(path.read_bytes())["rows"]
    damaged = bytearray(path.read_bytes())
    damaged[start:stop] = bytes(stop - start)
    path.write_bytes(damaged)
    index = annx.load(path, mmap=True)
    said = set()
    for _ in range(200):
        with pytest.raises(FormatError) as caught:
            index.exact_search(x[:64], k=3, num_threads=4)
        said.add(str(caught.value))
    assert len(said) == 1


def test_links_out_of_range_under_right_checksums(engine, rng, tmp_path):
    path = tmp_path / "i.annx"
    _, x = saved(path, rng)
    data = path.read_bytes()
    for name in ("links", "upper"):
        start, stop = sections(data)[name]
        damaged = bytearray(data)
        links = np.frombuffer(damaged, np.uint32, (stop - start) // 4, start)
        links[links != 0xFFFFFFFF] |= 0x3FFF0000
        path.write_bytes(repaired(bytes(damaged)))
        mapped = annx.load(path, mmap=True)
        with pytest.raises(FormatError, match="a link is out of range"):
            mapped.search(x[:10], k=3)


def test_labels_that_contradict_the_rest(engine, rng, tmp_path):
    """A map does not read them until they are needed; all of them, for a look-up by label."""
    path = tmp_path / "i.annx"
    for removed in (0, 100):
        _, x = saved(path, rng, removed=removed)
        data = path.read_bytes()
        start, stop = sections(data)["labels"]
        for label, match in ((None, "appears twice"), (-1, "removed")):
            damaged = bytearray(data)
            labels = np.frombuffer(damaged, np.int64, (stop - start) // 8, start)
            slots = np.flatnonzero(labels != -1)
            labels[slots[3]] = labels[slots[5]] if label is None else label
            known = labels[slots[5]]
            path.write_bytes(repaired(bytes(damaged)))
            with pytest.raises(FormatError, match=match):
                annx.load(path, mmap=True).get([known])
        # The last file, where a hit has no label.
        with pytest.raises(FormatError, match="removed"):
            annx.load(path, mmap=True).exact_search(x[:1], k=len(slots))


def test_what_is_small_is_verified_at_once(engine, rng, tmp_path):
    path = tmp_path / "i.annx"
    _, x = saved(path, rng, removed=100)
    data = path.read_bytes()
    for name in ("sums", "levels", "down", "twins", "removed"):
        damaged = bytearray(data)
        damaged[sections(data)[name][0]] ^= 1
        path.write_bytes(bytes(damaged))
        with pytest.raises(FormatError, match="checksum"):
            annx.load(path, mmap=True)
        path.write_bytes(repaired(bytes(damaged)))
        try:
            use_all(annx.load(path, mmap=True), x[:5])
        except (FormatError, annx.errors.LabelError):
            pass
    damaged = bytearray(data)
    damaged[sections(data)["rows"][0]] ^= 1
    path.write_bytes(bytes(damaged))
    annx.load(path, mmap=True)
    with pytest.raises(FormatError, match="i.annx: section 'rows': checksum of bytes"):
        annx.load(path, mmap=True, verify="full")
    path.write_bytes(b"")
    with pytest.raises(FormatError, match="the file is empty"):
        annx.load(path, mmap=True)
    with pytest.raises(annx.ParameterError, match="verify must be one of"):
        annx.load(path, mmap=True, verify="lazily")


CHILD = """
import sys, numpy as np, annx
index = annx.load(sys.argv[1], mmap=True)
index.exact_search(np.zeros(index.dim, np.float32), k=1)
print("ready", flush=True)
sys.stdin.readline()
name = sys.argv[1]
inside, counts = False, {}
for line in open("/proc/self/smaps"):
    fields = line.split()
    if "-" in fields[0] and not fields[0].endswith(":"):
        inside = line.rstrip().endswith(name)
    elif inside:
        counts[fields[0]] = counts.get(fields[0], 0) + int(fields[1]) if fields[1].isdigit() else 0
print(counts["Rss:"], counts["Shared_Clean:"], counts["Private_Dirty:"], flush=True)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps"), reason="needs /proc")
def test_processes_share_the_pages(engine, rng, tmp_path):
    path = tmp_path / "i.annx"
    index = annx.Index(256, codec="f32", M=4, ef_construction=10)
    index.add(vectors(rng, 3000, 256, "f32"))
    index.save(path)
    env = {**os.environ, "ANNX_BACKEND": engine}
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(path)],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        for child in children:
            assert child.stdout.readline() == "ready\n"
        for child in children:
            out, _ = child.communicate("go\n", timeout=60)
            rss, shared, dirty = map(int, out.split())
            # Kilobytes; rows alone are 3,000.
            assert rss > 3000 and shared > 0.9 * rss and dirty == 0
            # The other is still there only while the first is asked.
            break
    finally:
        for child in children:
            child.kill()
            child.wait()
            child.stdin.close()
            child.stdout.close()
