"""Searches of rows that pass a filter, and what they report."""

from __future__ import annotations

import numpy as np
import pytest
from data import clustered, vectors

import annx

SHARES = (0.9, 0.5, 0.2, 0.05, 0.003, 0.0)


@pytest.fixture(params=["reference", "native", "numba"])
def filtering(request, use_backend):
    """Backends that filter."""
    return use_backend(request.param)


def built(x, **options):
    index = annx.Index(x.shape[1], **({"codec": "f32", "ef_search": 80} | options))
    index.add(x, np.arange(len(x)) * 3)
    return index


def truth(index, query, allowed, k):
    """Distances of the k nearest of the allowed labels, by the slow way."""
    labels, distances = index.exact_search(query, k=len(index))
    keep = np.isin(labels[0], allowed)
    return labels[0][keep][:k], distances[0][keep][:k]


def dense(labels):
    """Whether each label from 0 to somewhere is among these."""
    passing = np.zeros(max(labels, default=0) + 1, np.bool_)
    passing[labels] = True
    return passing


def forms(index, mask):
    labels = index.labels[mask]
    yield labels
    yield labels.tolist()
    yield set(labels.tolist())
    yield mask
    yield np.packbits(mask)
    yield lambda given: np.isin(given, labels)
    yield annx.Filter(index, labels)
    yield ~annx.Filter(index, ~mask)
    yield annx.Filter.by_label(index, dense(labels))
    yield ~annx.Filter.by_label(index, dense(index.labels[~mask]))
    yield [labels] * 5
    yield [annx.Filter(index, mask), mask, labels, ~annx.Filter(index, ~mask), None][:4] + [mask]
    yield np.tile(mask, (5, 1))


@pytest.mark.parametrize("share", SHARES)
def test_every_form_gives_the_same(filtering, share, rng):
    index = built(vectors(rng, 400, 16, "f32"))
    queries = vectors(rng, 5, 16, "f32")
    mask = rng.random(400) < share
    allowed = index.labels[mask]
    for form in forms(index, mask):
        hits = index.search(queries, k=7, filter=form, ef_search=400)
        exact = index.exact_search(queries, k=7, filter=form)
        for i, query in enumerate(queries):
            want, near = truth(index, query, allowed, 7)
            for found in (hits, exact):
                assert found.labels[i, : len(want)].tolist() == want.tolist()
                np.testing.assert_allclose(found.distances[i, : len(want)], near, rtol=1e-5)
                assert (found.labels[i, len(want) :] == -1).all()
                assert np.isinf(found.distances[i, len(want) :]).all()


def test_a_filter_for_each_query(filtering, rng):
    index = built(vectors(rng, 300, 8, "f32"))
    queries = vectors(rng, 20, 8, "f32")
    lists = np.full((20, 30), -1, np.int64)
    for row in lists:
        row[: rng.integers(1, 30)] = 3 * rng.integers(0, 300)
    hits = index.search(queries, k=3, filter=lists)
    for found, row in zip(hits.labels, lists, strict=True):
        assert set(found[found >= 0]) <= set(row)
        assert len(found[found >= 0]) == min(3, len(set(row) - {-1}))


def test_deny_lists_of_each_query(filtering, rng):
    """What has been seen is the nearest there is."""
    index = built(vectors(rng, 3000, 16, "f32"))
    queries = vectors(rng, 10, 16, "f32")
    seen = index.exact_search(queries, k=60).labels
    denied = [~annx.Filter(index, row) for row in seen]
    hits = index.search(queries, k=10, filter=denied)
    want = index.exact_search(queries, k=70).labels[:, 60:]
    assert np.mean([len(set(a) & set(b)) for a, b in zip(hits.labels, want, strict=True)]) >= 9.5
    assert not any(set(a) & set(b) for a, b in zip(hits.labels, seen, strict=True))


def test_algebra(filtering, rng):
    index = built(vectors(rng, 60, 4, "f32"))
    a, b = rng.random((2, 60)) < 0.5
    labels = index.labels
    f, g = annx.Filter(index, a), annx.Filter(index, b)
    query = vectors(rng, 1, 4, "f32")

    def passes(filter):
        found = index.search(query, k=60, filter=filter).labels
        return set(found[found >= 0])

    for one, x in ((f, a), (~f, ~a)):
        for other, y in ((g, b), (~g, ~b)):
            assert passes(one & other) == set(labels[x & y])
            assert passes(one | other) == set(labels[x | y])
            assert passes(one - other) == set(labels[x & ~y])
    assert passes(~~f) == set(labels[a])
    assert repr(f) == f"<annx.Filter only {a.sum()} labels>"


def test_a_filter_stands_for_labels(filtering, rng):
    x = vectors(rng, 200, 8, "f32")
    index = built(x)
    only, but = annx.Filter(index, [0, 3, 6, 900]), ~annx.Filter(index, [0, 3])
    assert sorted(index.search(x[0], k=3, filter=only).labels[0]) == [0, 3, 6]
    index.remove(np.arange(0, 450, 3))
    index.add(x[:90], np.arange(10_000, 10_090))  # where the others were
    assert index.search(x[0], k=3, filter=only).labels.tolist() == [[-1, -1, -1]]
    index.add(x[:2], [3, 900])
    assert sorted(index.search(x[0], k=3, filter=only).labels[0]) == [-1, 3, 900]
    found = set(index.search(x[0], k=200, filter=but).labels[0]) - {-1}
    assert found == set(index.labels) - {3}
    index.compact()
    assert set(index.search(x[0], k=200, filter=but).labels[0]) - {-1} == found


def test_by_label(filtering, rng):
    """Labels below 0, beyond the end, removed, added and come again."""
    x = vectors(rng, 200, 8, "f32")
    index = annx.Index(8, codec="f32")
    labels = np.array([-5, *range(500, 20, -3)][:150], np.int64)
    index.add(x[:150], labels)
    passing = rng.random(400) < 0.5
    one = annx.Filter.by_label(index, passing)
    other = annx.Filter(index, np.flatnonzero(passing))
    passing[:] = False  # it was copied
    repr(one)

    def same():
        for a, b in (
            (one, other),
            (~one, ~other),
            (one & other, other),
            (one - other, ~other & other),
        ):
            np.testing.assert_array_equal(
                index.search(x[:9], k=7, filter=a).labels, index.search(x[:9], k=7, filter=b).labels
            )

    same()
    index.remove(labels[:60])
    same()
    index.add(x[:60], labels[:60])
    index.add(x[150:], np.arange(50) * 5 + 1000)
    same()
    index.compact()
    same()
    assert (index.search(x[0], filter=annx.Filter.by_label(index, [])).labels == -1).all()


@pytest.mark.parametrize("passing", [np.ones(3), np.ones((2, 2), bool), [1, 0], True, "a"])
def test_by_label_takes_bools_alone(filtering, passing, rng):
    index = built(vectors(rng, 9, 4, "f32"))
    with pytest.raises(annx.ParameterError, match="bool array of one dimension"):
        annx.Filter.by_label(index, passing)


def test_twins_pass_one_by_one(filtering, rng):
    x = np.repeat(vectors(rng, 50, 8, "f32"), 10, axis=0)
    index = annx.Index(8, codec="f32")
    index.add(x)
    for mask in (np.arange(500) % 10 == 7, np.arange(500) % 10 != 0, rng.random(500) < 0.6):
        for form in (mask, ~annx.Filter(index, ~mask)):
            hits = index.search(x[::10], k=5, filter=form, ef_search=50)
            want = index.exact_search(x[::10], k=5, filter=form)
            assert mask[hits.labels[hits.labels >= 0]].all()
            np.testing.assert_allclose(hits.distances, want.distances, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("codec", ["f32", "sq8", "sq4", "auto"])
@pytest.mark.parametrize("kind", ["random", "near", "far"])
def test_recall_at_every_selectivity(engine, codec, kind, rng):
    x, _ = clustered(rng, 12000, 32, clusters=300, spread=0.5)
    queries, _ = clustered(rng, 40, 32, clusters=40, spread=1.0)
    index = built(x, codec=codec, ef_search=64)
    plans = set()
    for share in (0.95, 0.75, 0.3, 0.001):
        count = int(share * len(x))
        filters = []
        for query in queries:
            order = index.exact_search(query, k=len(x)).labels[0]
            filters.append(
                {"random": rng.permutation(order)[:count], "near": order[:count]}.get(
                    kind, order[len(x) - count :]
                )
            )
        hits = index.search(queries, k=10, filter=filters, report=True)
        want = index.exact_search(queries, k=10, filter=filters)
        near = hits.distances <= want.distances[:, -1:] * (1 + 1e-5)
        assert near.mean() >= 0.93, share
        plans |= set(hits.report.plan.tolist())
    assert {"scan", "two-hop", "graph"} <= plans or kind == "far"


def test_report(filtering, rng):
    x = vectors(rng, 3000, 8, "f32")
    index = built(x)
    hits = index.search(x[:4], k=5, report=True)
    plain = index.search(x[:4], k=5)
    assert np.array_equal(hits.labels, plain.labels)
    assert np.array_equal(hits.similarities, plain.similarities)
    report = hits.report
    assert all(len(field) == 4 for field in report)
    assert (report.distances > 0).all() and (report.short == "").all()
    if filtering != "reference":
        assert set(report.plan) == {"graph"} and not report.exact.any()
        assert (report.visited > 0).all() and (report.distances < 3000).all()
    few = index.search(x[:2], k=5, filter=[0, 3], report=True).report
    assert few.exact.all() and set(few.short) == {"filter"} and set(few.plan) == {"scan"}
    many = index.exact_search(x[:1], k=4000, report=True).report
    assert set(many.short) == {"rows"} and many.distances[0] == 3000


@pytest.mark.parametrize(
    ("filter", "error"),
    [
        (np.zeros(7, bool), annx.ParameterError),
        (np.zeros(7, np.uint8), annx.ParameterError),
        (lambda labels: labels, annx.ParameterError),
        (lambda labels: labels[:2] > 0, annx.ParameterError),
        ([[1], [2], [3]], annx.ParameterError),
        ([0.5], annx.LabelError),
        ("abc", annx.LabelError),
    ],
)
def test_wrong_filters(filtering, filter, error, rng):
    index = built(vectors(rng, 20, 4, "f32"))
    with pytest.raises(error):
        index.search(np.zeros((2, 4)), filter=filter)


def test_filters_of_another_index(filtering, rng):
    index, other = built(vectors(rng, 9, 4, "f32")), built(vectors(rng, 9, 4, "f32"))
    foreign = annx.Filter(other, [0])
    with pytest.raises(annx.ParameterError, match="of this index"):
        index.search(np.zeros(4), filter=foreign)
    with pytest.raises(annx.ParameterError, match="of one index"):
        foreign & annx.Filter(index, [0])


def test_a_filter_outlives_a_change_of_codec(filtering, rng):
    index = annx.Index(32)
    index.add(rng.integers(0, 9, (60, 32)))
    allowed = annx.Filter(index, [5, 70])
    assert index.search(np.zeros(32), k=2, filter=allowed).labels.tolist() == [[5, -1]]
    index.add(vectors(rng, 20, 32, "f32"))
    assert sorted(index.search(np.zeros(32), k=2, filter=allowed).labels[0]) == [5, 70]


def test_filters_on_an_empty_index(filtering):
    index = annx.Index(4)
    for form in ([], [3], np.zeros(0, bool), ~annx.Filter(index, [3])):
        hits = index.search(np.zeros((2, 4)), k=3, filter=form, report=True)
        assert (hits.labels == -1).all()


def test_searching_large_k_is_exact(filtering, rng):
    x = vectors(rng, 2000, 24, "f32")
    index = annx.Index(24, codec="f32", M=4, ef_construction=10)
    index.add(x)
    for k in (1500, 2000, 2500):
        a, b = index.search(x[:5], k=k), index.exact_search(x[:5], k=k)
        np.testing.assert_allclose(a.distances, b.distances, rtol=1e-5, atol=1e-5)
        report = index.search(x[:5], k=k, report=True).report
        assert report.exact.all() or filtering == "reference"
