"""What check, repair and why_not say."""

from __future__ import annotations

import numpy as np
import pytest
from data import vectors
from graphs import check_graph, entry_slot

import annx
from annx import _format
from annx._backends.base import NO_LINK, SLOT_MASK, TREE_FLAG


@pytest.fixture(params=["reference", "native", "numba"])
def living(request, use_backend):
    return use_backend(request.param)


def test_a_sound_index(living, rng):
    x = vectors(rng, 500, 8, "f32")
    x[100:110] = x[3]
    x[200] = x[4]
    index = annx.Index(8, M=4)
    assert index.check().ok
    index.add(x)
    report = index.check()
    assert report.ok and report.n == 500 and report.parts == 1 and report.invalid == ""
    assert (report.duplicate_groups, report.largest_group) == (2, 11)
    assert report.least_degree >= 1 and 0 <= report.one_way_share < 1
    assert report.dead_share == 0 and report.source == "memory"
    assert annx.Index.from_bytes(index.to_bytes()).check().source == "file"
    index.remove(np.arange(20, 30))
    report = index.check()
    assert report.ok and report.n == 490
    assert living == "reference" or report.dead_share == pytest.approx(10 / 489)
    index.compact()
    assert index.check().dead_share == 0 == index.check().free


def cut_off(index, picks):
    """The same index, but that nothing leads to some rows; all else is valid."""
    stored = index._stored()
    links, picks = stored.state.links, set(picks)
    for row in range(len(links)):
        kept = []
        for link in links[row][links[row] != NO_LINK]:
            other = int(link & SLOT_MASK)
            inside = row in picks, other in picks
            if inside[0] == inside[1]:
                kept.append(link)
            elif inside[0]:
                kept.append(link & ~TREE_FLAG)
        links[row] = NO_LINK
        links[row, : len(kept)] = kept
    for number, level in enumerate(stored.state.levels, 1):
        slots = np.arange(len(links))
        for below in stored.state.levels[:number]:
            slots = slots[below.down]
        level.links[np.isin(slots, list(picks))] = NO_LINK
        for row in range(len(level.links)):
            used = level.links[row][level.links[row] != NO_LINK]
            used = used[~np.isin(slots[used], list(picks))]
            level.links[row] = NO_LINK
            level.links[row, : len(used)] = used
    return annx.Index._restore(_format.loads(_format.dumps(stored), verify="structure"), None)


@pytest.mark.parametrize("count", [1, 5, 60])
def test_what_is_cut_off_is_found_and_joined(engine, count, rng):
    x = vectors(rng, 800, 8, "f32")
    whole = annx.Index(8, codec="f32", M=4, ef_construction=20)
    whole.add(x, np.arange(800) * 2)
    start = entry_slot(whole._core.export_state())
    picks = [slot for slot in rng.permutation(800).tolist() if slot != start][:count]
    index = cut_off(whole, picks)
    report = index.check()
    assert not report.ok and report.invalid == "" and report.parts > 1
    assert sorted(report.unreachable) == sorted(2 * slot for slot in picks)
    lost = 2 * picks[0]
    assert index.why_not(x[picks[0]], lost, k=1).reason == "unreachable"
    assert index.repair(seconds=0).parts > 1
    after = index.repair()
    assert after.ok and after.parts == 1
    check_graph(index)
    found = index.search(x, k=1, ef_search=200).labels[:, 0]
    assert np.array_equal(found, np.arange(800) * 2)


def test_repair_takes_removed_rows_out(living, rng):
    x = vectors(rng, 3000, 8, "f32")
    index = annx.Index(8)
    index.add(x)
    index.remove(np.arange(20))
    assert index.repair().dead_share == 0
    assert index.search(x[:5], k=3).labels.min() >= 20
    with pytest.raises(annx.ParameterError):
        index.repair(seconds=-1)


def test_why_not(living, rng):
    x = vectors(rng, 3000, 16, "f32")
    index = annx.Index(16, codec="f32", M=3, ef_construction=8)
    index.add(x)
    order = index.exact_search(x[7], k=3000).labels[0]
    assert index.why_not(x[7], 7).reason == "found"
    index.remove(5)
    assert index.why_not(x[7], 5).reason == "missing"
    far = int(order[-1])
    why = index.why_not(x[7], far, k=3)
    assert why.reason == "outranked" and why.rank == 2998 and why.distance > why.kth_distance
    assert index.why_not(x[7], far, filter=[7, 8]).reason == "filtered"
    assert index.why_not(x[7], far, filter=[7, far]).reason == "found"
    if living != "reference":
        hits = index.search(x, k=10, ef_search=10)
        exact = index.exact_search(x, k=10)
        for query in range(3000):
            lost = set(exact.labels[query]) - set(hits.labels[query])
            if lost:
                why = index.why_not(x[query], lost.pop(), ef_search=10)
                assert why.reason == "missed" and why.ef_search > 10
                break
        else:
            pytest.fail("expected a narrow beam in a poor graph to miss something")
