"""The slow twin is LlamaIndex's SimpleVectorStore, which publishes no suite of tests."""

from __future__ import annotations

import itertools

import ecosystem
import numpy as np
import pytest

ecosystem.need("llama_index.core", "tantivy")

from hypothesis import given, settings
from hypothesis import strategies as st
from llama_index.core.schema import (
    TextNode,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterCondition,
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
    VectorStoreQueryMode,
)
from llama_index_samples import NODES, asked, assert_same, metadata, nodes_of

from annx import FilterError, ParameterError
from annx.integrations.llama_index import AnnxVectorStore


@pytest.fixture(scope="module")
def nodes():
    return nodes_of(np.random.default_rng(7))


@pytest.fixture(scope="module")
def stores(nodes):
    """Ours and the twin, for tests that change nothing."""
    ours, twin = AnnxVectorStore(codec="f32"), SimpleVectorStore()
    assert ours.add(nodes) == twin.add(nodes)
    yield ours, twin
    ours.close()


@pytest.mark.parametrize("top_k", [1, 5, NODES, 2 * NODES])
def test_default_mode(stores, top_k):
    ours, twin = stores
    query = asked(similarity_top_k=top_k)
    got = ours.query(query)
    assert_same(got, twin.query(query))
    assert got.nodes[0].metadata == metadata(int(got.ids[0][1:]))


@pytest.mark.parametrize("threshold", [None, 0.0, 0.2, 0.8, 1.0])
def test_mmr_mode(stores, threshold):
    ours, twin = stores
    query = asked(similarity_top_k=7, mode=VectorStoreQueryMode.MMR)
    want = twin.query(query, mmr_threshold=threshold)
    assert_same(ours.query(query, mmr_threshold=threshold, mmr_prefetch_k=NODES), want)
    query.mmr_threshold = threshold
    assert_same(ours.query(query, mmr_prefetch_factor=NODES), want)
    few = ours.query(query, mmr_prefetch_k=7)
    assert sorted(few.ids) == sorted(ours.query(asked(similarity_top_k=7)).ids)


KEYS = ["number", "rate", "city", "date", "seldom", "id", "text", "vector", "missing", "ref_doc_id"]
SCALARS = {
    "number": [0, 7, 30, 30.0, -1],
    "rate": [0.25, 7.5, 3, 100],
    "city": ["Oslo", "oslo", "", "Paris", "Z"],
    "date": ["2020-01-01", "2020-01-01T00:00:00", "2020-06-01"],
    "seldom": ["yes", "no"],
    "id": [0, 2],
    "text": ["kind 1", "kind"],
    "vector": [1, 3],
    "missing": [1, "a"],
    "ref_doc_id": ["doc3", "doc"],
    "tags": ["t1", "t", "t3"],
    "sizes": [7, 2],
}
O = FilterOperator  # noqa: E741


def every_filter():
    for key in KEYS:
        for value in SCALARS[key]:
            yield from (MetadataFilter(key=key, value=value, operator=o) for o in (O.EQ, O.NE))
            # Dates in two forms are ordered as dates, and by the twin as text.
            for operator in (O.GT, O.GTE, O.LT, O.LTE) if key != "date" else ():
                yield MetadataFilter(key=key, value=value, operator=operator)
        for operator in (O.IN, O.NIN):
            for kind in (str, int, float):
                values = [each for each in SCALARS[key] if type(each) is kind]
                for size in range(len(values) + 1):
                    yield MetadataFilter(key=key, value=values[:size], operator=operator)
    for key in ("city", "text", "seldom", "date", "missing"):
        for value in ("o", "OSLO", "kind 1", "2020", "yes", ""):
            for operator in (O.TEXT_MATCH, O.TEXT_MATCH_INSENSITIVE, O.CONTAINS):
                yield MetadataFilter(key=key, value=value, operator=operator)
        for operator in (O.ANY, O.ALL):
            yield MetadataFilter(key=key, value=["os", "lo", "y"], operator=operator)
    for key, kind in itertools.product(("tags", "sizes"), (0, 1, 2)):
        for value in SCALARS[key][: kind + 1]:
            for operator in (O.CONTAINS, O.EQ, O.NE):
                yield MetadataFilter(key=key, value=value, operator=operator)
        for operator in (O.ANY, O.ALL, O.IN, O.NIN):
            yield MetadataFilter(key=key, value=SCALARS[key][:kind], operator=operator)
    for key in [*KEYS, "tags", "sizes"]:
        yield MetadataFilter(key=key, value=None, operator=O.IS_EMPTY)


ALL_FILTERS = list(every_filter())


def said(stores, filters):
    """Ids by both stores; None of the twin where it cannot compare."""
    ours, twin = stores
    got = ours.query(asked(filters=filters)).ids
    try:
        want = twin.query(asked(filters=filters)).ids
    except TypeError:
        want = None
    return got, want


def test_every_operator(stores):
    compared, operators = 0, set()
    for each in ALL_FILTERS:
        got, want = said(stores, MetadataFilters(filters=[each]))
        if want is not None:
            assert got == want, each
            compared += 1
            if 0 < len(want) < NODES:
                operators.add(each.operator)
    assert operators == set(FilterOperator)
    assert compared > 0.9 * len(ALL_FILTERS)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from(ALL_FILTERS), max_size=4),
    st.sampled_from([None, *FilterCondition]),
)
def test_combined_filters(stores, filters, condition):
    got, want = said(stores, MetadataFilters(filters=filters, condition=condition))
    if want is not None:
        assert got == want


def test_nested_filters(stores):
    ours, _ = stores
    oslo = MetadataFilter(key="city", value="Oslo")
    small = MetadataFilter(key="number", value=10, operator=O.LT)
    tagged = MetadataFilter(key="tags", value="t4", operator=O.CONTAINS)
    either = MetadataFilters(filters=[small, tagged], condition="or")
    neither = MetadataFilters(filters=[small, tagged], condition="not")
    for inner, passes in (
        (either, lambda m: m["number"] < 10 or "t4" in m["tags"]),
        (neither, lambda m: not (m["number"] < 10 or "t4" in m["tags"])),
        (MetadataFilters(filters=[]), lambda m: True),
    ):
        got = ours.get_nodes(filters=MetadataFilters(filters=[oslo, inner]))
        want = [
            f"n{n}" for n in range(NODES) if metadata(n)["city"] == "Oslo" and passes(metadata(n))
        ]
        assert [node.node_id for node in got] == want


def test_none_and_what_has_no_meaning(stores):
    ours, _ = stores
    none = MetadataFilter(key="seldom", value=None)
    some = MetadataFilter(key="seldom", value=None, operator=O.NE)
    assert len(ours.get_nodes(filters=MetadataFilters(filters=[none]))) == NODES - 9
    assert len(ours.get_nodes(filters=MetadataFilters(filters=[some]))) == 9
    for operator, value in (
        (O.GT, None),
        (O.IN, "a"),
        (O.ANY, 3),
        (O.EQ, ["a"]),
        (O.TEXT_MATCH, 3),
        (O.CONTAINS, None),
    ):
        filters = MetadataFilters(
            filters=[MetadataFilter(key="city", value=value, operator=operator)]
        )
        with pytest.raises(FilterError, match="expected"):
            ours.query(asked(filters=filters))


def test_dates_are_ordered_as_dates(stores):
    ours, _ = stores
    for operator, count in ((O.GTE, NODES), (O.GT, 20), (O.LTE, 40), (O.LT, 0)):
        one = MetadataFilter(key="date", value="2020-01-01T01:00+01:00", operator=operator)
        assert len(ours.get_nodes(filters=MetadataFilters(filters=[one]))) == count


def test_restricted_to_nodes_and_documents(stores):
    ours, twin = stores
    wanted = ["n3", "n4", "n50", "none"]
    assert_same(ours.query(asked(node_ids=wanted)), twin.query(asked(node_ids=wanted)))
    # An index that keeps nodes in the store asks with no ids at all.
    assert len(ours.query(asked(node_ids=[], doc_ids=[])).ids) == NODES
    found = ours.query(asked(doc_ids=["doc2", "doc4"]))
    assert {node.ref_doc_id for node in found.nodes} == {"doc2", "doc4"}
    assert len(found.ids) == sum(n % 9 in (2, 4) for n in range(NODES))


def test_words(stores):
    ours, _ = stores
    for mode in (VectorStoreQueryMode.SPARSE, VectorStoreQueryMode.TEXT_SEARCH):
        found = ours.query(VectorStoreQuery(query_str="w17 hens", mode=mode, similarity_top_k=3))
        assert found.ids[0] == "n17"
        assert found.similarities == sorted(found.similarities, reverse=True)
        assert all("hens" in node.text for node in found.nodes[1:])
    more = VectorStoreQuery(query_str="hens", mode="sparse", similarity_top_k=1, sparse_top_k=5)
    assert len(ours.query(more).ids) == 5


def test_hybrid_mode(stores):
    ours, _ = stores
    words, mode = "w17 hens", VectorStoreQueryMode.HYBRID
    by_vector = ours.query(asked())
    by_words = ours.query(VectorStoreQuery(query_str=words, mode="sparse", similarity_top_k=NODES))
    options = {"query_str": words, "mode": mode}
    assert ours.query(asked(alpha=1.0, **options)).ids == by_vector.ids
    # Below the first, the worst that words find ties at 0 with what they do not.
    assert ours.query(asked(alpha=0.0, **options)).ids[0] == by_words.ids[0] == "n17"

    def scaled(result):
        low, high = min(result.similarities), max(result.similarities)
        return {
            id: (score - low) / (high - low)
            for id, score in zip(result.ids, result.similarities, strict=True)
        }

    dense, sparse = scaled(by_vector), scaled(by_words)
    for alpha in (0.25, 0.6):
        got = ours.query(asked(alpha=alpha, **options))
        want = {id: alpha * dense[id] + (1 - alpha) * sparse.get(id, 0) for id in dense}
        assert dict(zip(got.ids, got.similarities, strict=True)) == pytest.approx(want, abs=1e-5)
    ranks = {id: 1 / (60 + rank) for rank, id in enumerate(by_vector.ids, 1)}
    for rank, id in enumerate(by_words.ids, 1):
        ranks[id] += 1 / (60 + rank)
    got = ours.query(asked(**options))
    assert dict(zip(got.ids, got.similarities, strict=True)) == pytest.approx(ranks)
    assert len(ours.query(asked(hybrid_top_k=3, sparse_top_k=9, **options)).ids) == 3
    only = MetadataFilters(filters=[MetadataFilter(key="city", value="Bergen")])
    some = ours.query(asked(filters=only, **options))
    assert {node.metadata["city"] for node in some.nodes} == {"Bergen"}


def test_modes_that_are_not_there(stores):
    ours, _ = stores
    for mode in ("svm", "semantic_hybrid"):
        with pytest.raises(ParameterError, match=mode):
            ours.query(asked(mode=VectorStoreQueryMode(mode)))
    with pytest.raises(ParameterError, match="query_str"):
        ours.query(asked(mode=VectorStoreQueryMode.HYBRID))
    with pytest.raises(ParameterError, match="query_embedding"):
        ours.query(VectorStoreQuery(query_str="a"))
    wordless = AnnxVectorStore(keywords=False)
    wordless.add([TextNode(text="a", embedding=[1.0, 0.0])])
    assert wordless.get_nodes()[0].text == "a"
    with pytest.raises(ParameterError, match="keywords"):
        wordless.query(VectorStoreQuery(query_str="a", mode=VectorStoreQueryMode.SPARSE))


@pytest.mark.parametrize("metric", ["ip", "l2"])
def test_metrics(nodes, metric):
    store = AnnxVectorStore(metric=metric, codec="f32")
    store.add(nodes)
    rows, query = np.array([node.embedding for node in nodes]), np.array(asked().query_embedding)
    want = rows @ query if metric == "ip" else 1 / (1 + ((rows - query) ** 2).sum(1))
    found = store.query(asked())
    assert found.ids == [f"n{number}" for number in np.argsort(-want)]
    assert found.similarities == pytest.approx(np.sort(want)[::-1].tolist(), rel=1e-4, abs=1e-5)


def test_random_changes(rng):
    ours, twin = AnnxVectorStore(codec="f32"), SimpleVectorStore()
    every = nodes_of(rng)
    for _ in range(40):
        action = rng.integers(0, 5)
        some = [every[n] for n in rng.choice(NODES, rng.integers(1, 12), replace=False)]
        filters = MetadataFilters(filters=[ALL_FILTERS[0], ALL_FILTERS[7]], condition="or")
        ids = [node.node_id for node in some]
        for store in (ours, twin):
            if action < 3:
                store.add(some)
            elif action == 3:
                store.delete(f"doc{len(ids) % 9}")
            elif len(ids) % 3 == 0:
                store.delete_nodes(ids)
            elif len(ids) % 3 == 1:
                store.delete_nodes(ids, filters)
            elif len(ids) == 11:
                store.clear()
            else:
                store.delete_nodes(filters=filters)
        assert_same(ours.query(asked()), twin.query(asked()))
    with pytest.raises(ParameterError, match="clear"):
        ours.delete_nodes()
