"""Range search, groups and diversity."""

from __future__ import annotations

import numpy as np
import pytest
from data import PAIRS, all_distances, clustered, plain, vectors

import annx


@pytest.fixture(params=["reference", "native", "numba"])
def ranging(request, use_backend):
    """Backends that search a range."""
    return use_backend(request.param)


def within(result, i):
    part = slice(result.lims[i], result.lims[i + 1])
    return result.labels[part], result.distances[part]


@pytest.mark.parametrize(("codec", "metric"), PAIRS)
def test_all_within_the_radius(ranging, codec, metric, rng):
    x = vectors(rng, 400, 64, codec)
    x[50:60] = x[0]
    index = annx.Index(64, metric, codec=codec)
    index.add(x, np.arange(400) * 2)
    index.remove([40, 60])
    queries = vectors(rng, 8, 64, codec)
    nearest = index.exact_search(queries, k=398)
    for rank in (0, 1, 20, 300):
        radius = float(np.float32(nearest.distances[3, rank]))
        result = index.range_search(queries, radius)
        assert result.lims.tolist() == sorted(result.lims.tolist())
        assert result.lims[0] == 0 and result.lims[-1] == len(result.labels)
        for i in range(8):
            labels, distances = within(result, i)
            want = nearest.distances[i] < np.float32(radius)
            assert sorted(labels) == sorted(nearest.labels[i][want])
            assert (np.diff(distances) >= 0).all() and (distances < radius).all()


@pytest.mark.parametrize("codec", ["f32", "sq8", "sq4", "auto"])
def test_the_graph_finds_what_is_within(engine, codec, rng):
    x, centres = clustered(rng, 12000, 32, clusters=60, spread=0.2)
    index = annx.Index(32, codec=codec)
    index.add(x)
    queries = centres[:20] + np.float32(0.01)
    for radius in (1.0, 2.5, 60.0, 1e9):
        found = index.range_search(queries, radius)
        exact = index.range_search(queries, radius, exact=True)
        assert found.lims[-1] >= 0.99 * exact.lims[-1]
        for i in range(20):
            assert set(within(found, i)[0]) <= set(within(exact, i)[0])
        true = all_distances("l2", queries.astype(np.float64), x.astype(np.float64))
        # f16 keeps 11 bits.
        assert abs(int((true < radius).sum()) - int(exact.lims[-1])) <= 0.01 * exact.lims[-1] + 20


def test_ranges_of_filtered_rows(ranging, rng):
    x = vectors(rng, 6000, 8, "f32")
    index = annx.Index(8, codec="f32")
    index.add(x)
    mask = rng.random(6000) < 0.5
    for filter in (mask, ~annx.Filter(index, ~mask), [3, 4, 5], []):
        found = index.range_search(x[:5], 3.0, filter=filter)
        plain_hits = index.range_search(x[:5], 3.0, exact=True)
        allowed = set(np.flatnonzero(mask)) if len(np.shape(filter)) and len(filter) > 3 else None
        allowed = set(np.flatnonzero(mask)) if isinstance(filter, annx.Filter) else allowed
        allowed = set(filter) if allowed is None else allowed
        for i in range(5):
            want = [label for label in within(plain_hits, i)[0] if label in allowed]
            assert len(set(within(found, i)[0]) ^ set(want)) <= 0.01 * len(want)


def test_odd_radii(ranging, rng):
    index = annx.Index(2)
    assert index.range_search([[0, 0]], 1).lims.tolist() == [0, 0]
    index.add([[0, 0], [3, 4]])
    assert index.range_search([0, 0], 25).labels.tolist() == [0]
    assert index.range_search([0, 0], np.float32(25.5)).labels.tolist() == [0, 1]
    assert index.range_search([0, 0], float("inf")).labels.tolist() == [0, 1]
    assert index.range_search([0, 0], -1).labels.tolist() == []
    assert index.range_search(np.empty((0, 2)), 3).lims.tolist() == [0]
    for radius in (float("nan"), "3", None, [1, 2]):
        with pytest.raises(annx.ParameterError, match="radius"):
            index.range_search([0, 0], radius)


def capped(index, query, groups, most, k, filter=None):
    """The slow way: down the whole ranking."""
    hits = index.exact_search(query, k=len(index), filter=filter).labels[0]
    place = {label: i for i, label in enumerate(index.labels.tolist())}
    seen: dict[int, int] = {}
    out = []
    for label in hits[hits >= 0].tolist():
        group = int(groups[place[label]])
        if seen.get(group, 0) < most and len(out) < k:
            seen[group] = seen.get(group, 0) + 1
            out.append(label)
    return out + [-1] * (k - len(out))


@pytest.mark.parametrize("most", [1, 3])
def test_groups(ranging, most, rng):
    x, _ = clustered(rng, 1500, 8, clusters=15, spread=0.1)
    index = annx.Index(8, codec="f32", ef_search=200)
    index.add(x, rng.permutation(1500) * 3)
    index.remove(index.labels[::7])
    groups = rng.integers(0, 12, len(index))
    allowed = index.labels[rng.random(len(index)) < 0.4]
    for filter in (None, allowed):
        hits = index.search(
            x[:6], k=10, max_per_group=most, groups=groups, filter=filter, report=True
        )
        for i in range(6):
            assert hits.labels[i].tolist() == capped(index, x[i], groups, most, 10, filter)
        assert len(hits.report.plan) == 6
    short = index.search(x[:2], k=10, max_per_group=1, groups=groups // 6)
    assert (short.labels[:, :2] >= 0).all() and (short.labels[:, 2:] == -1).all()


@pytest.mark.parametrize(("codec", "metric"), [("f32", "l2"), ("f32", "cosine"), ("b1", "hamming")])
def test_diversity(ranging, codec, metric, rng):
    x = vectors(rng, 300, 64, codec)
    index = annx.Index(64, metric, codec=codec, ef_search=300)
    index.add(x)
    query = vectors(rng, 1, 64, codec)
    same = index.search(query, k=8, diversity=0)
    assert np.array_equal(same.labels, index.search(query, k=8).labels)
    values = plain(x, codec)
    pool = index.search(query, k=64, report=True)  # candidates come in this order
    apart = all_distances(metric, values[pool.labels[0]], values[pool.labels[0]])
    for weight in (0.3, 0.9):
        chosen = [0]
        while len(chosen) < 8:
            score = (1 - weight) * pool.distances[0] - weight * apart[:, chosen].min(axis=1)
            score[chosen] = np.inf
            chosen.append(int(np.argmin(score)))
        hits = index.search(query, k=8, diversity=weight)
        assert hits.labels[0].tolist() == pool.labels[0][chosen].tolist()
        np.testing.assert_allclose(hits.distances[0], pool.distances[0][chosen])


def test_diverse_groups(ranging, rng):
    x = vectors(rng, 200, 8, "f32")
    index = annx.Index(8)
    index.add(x)
    groups = np.arange(200) % 4
    hits = index.search(x[:3], k=8, diversity=0.5, max_per_group=2, groups=groups)
    assert (np.sort(hits.labels % 4, axis=1) == [0, 0, 1, 1, 2, 2, 3, 3]).all()


@pytest.mark.parametrize(
    "options",
    [
        {"max_per_group": 2},
        {"groups": [0, 1]},
        {"max_per_group": 0, "groups": [0, 1]},
        {"max_per_group": 1, "groups": [0, 1, 2]},
        {"max_per_group": 1, "groups": [0.5, 1]},
        {"diversity": 1.5},
        {"diversity": float("nan")},
        {"diversity": "much"},
    ],
)
def test_wrong_choices(ranging, options):
    index = annx.Index(2)
    index.add([[0, 0], [3, 4]])
    with pytest.raises(annx.ParameterError):
        index.search([0, 0], **options)
