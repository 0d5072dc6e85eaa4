"""Haystack's own suites of document stores, and the slow twins: its filters and in-memory store."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import threading
from dataclasses import replace

import ecosystem
import numpy as np
import pytest

ecosystem.need("haystack", "tantivy")

from haystack import Document, Pipeline
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import DuplicatePolicy, FilterPolicy
from haystack.errors import FilterError
from haystack.testing import document_store as suites
from haystack.testing import document_store_async as async_suites
from haystack.utils.filters import document_matches_filter
from hypothesis import given, settings
from hypothesis import strategies as st

import annx
from annx import ParameterError, SchemaError
from annx.integrations.haystack import (
    AnnxDocumentStore,
    AnnxEmbeddingRetriever,
    AnnxHybridRetriever,
    AnnxKeywordRetriever,
    AnnxSparseEmbeddingRetriever,
)

ASYNC = [getattr(async_suites, name) for name in dir(async_suites) if name.endswith("AsyncTest")]


def single(document):
    """As a store of float32 gives it back."""
    if document.embedding is None:
        return document
    return replace(document, embedding=np.float32(document.embedding).tolist())


class Suite:
    @pytest.fixture
    def document_store(self):
        store = AnnxDocumentStore()
        yield store
        store.close()

    @staticmethod
    def assert_documents_are_equal(received, expected):
        assert received == [single(each) for each in expected]


class TestBaseAndExtended(
    Suite,
    suites.DocumentStoreBaseExtendedTests,
    suites.CountDocumentsByFilterTest,
    suites.CountUniqueMetadataByFilterTest,
    suites.GetMetadataFieldMinMaxTest,
    suites.GetMetadataFieldUniqueValuesTest,
    suites.GetMetadataFieldsInfoTest,
):
    def test_write_documents(self, document_store):
        """What the suite leaves to the store: without a policy, duplicates fail."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document])
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


class TestAsync(Suite, *ASYNC):
    async def test_write_documents_async(self, document_store):
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document])
        self.assert_documents_are_equal(await document_store.filter_documents_async(), [document])


@pytest.fixture
def store():
    made = AnnxDocumentStore(embedding_dim=4, codec="f32")
    yield made
    made.close()


def documents(rng, count=40):
    return [
        Document(
            id=f"d{number}",
            content=f"document w{number} is about {['foxes', 'hens', 'crows'][number % 3]}",
            meta={
                "number": number,
                "rate": number / 4,
                "city": ["Oslo", "Bergen", None][number % 3],
                "date": f"20{10 + number % 5}-03-0{1 + number % 9}",
                "odd": number % 2 == 1,
                "deep": {"er": number % 4},
            },
            embedding=np.float32(rng.standard_normal(4)).tolist() if number % 8 else None,
            sparse_embedding=SparseEmbedding([number % 5, 9], [1.0, 0.5]) if number % 2 else None,
        )
        for number in range(count)
    ]


VALUES = {
    "meta.number": [0, 7, 39, 100],
    "meta.rate": [0.25, 3, 9.75],
    "meta.city": ["Oslo", "Paris", "Bergen"],
    "meta.date": ["2012-03-03", "2014-03-05T00:00:00", "2030-01-01"],
    "meta.odd": [True, False],
    "meta.deep.er": [0, 3],
    "meta.missing": [1, "a"],
    "number": [7, 12],
    "id": ["d3", "d30", "none"],
}
ORDERED = ("meta.number", "meta.rate", "meta.date", "meta.deep.er", "number")


@st.composite
def comparisons(draw):
    field = draw(st.sampled_from(list(VALUES)))
    operators = ["==", "!=", "in", "not in"] + ["<", "<=", ">", ">="] * (field in ORDERED)
    operator = draw(st.sampled_from(operators))
    value = st.sampled_from([*VALUES[field], None])
    if operator.endswith("in"):
        value = st.lists(value, max_size=3)
    return {"field": field, "operator": operator, "value": draw(value)}


FILTERS = st.recursive(
    comparisons(),
    lambda inner: st.builds(
        lambda operator, conditions: {"operator": operator, "conditions": conditions},
        st.sampled_from(["AND", "OR", "NOT"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=6,
)


@pytest.fixture(scope="module")
def filled():
    listed = documents(np.random.default_rng(3))
    with_filters = AnnxDocumentStore(embedding_dim=4)
    with_filters.write_documents(listed)
    yield with_filters, listed
    with_filters.close()


@settings(max_examples=200, deadline=None)
@given(FILTERS)
def test_filters_are_as_haystack_says(filled, filters):
    store, listed = filled
    want = [each for each in listed if document_matches_filter(filters, each)]
    assert store.filter_documents(filters) == want
    assert store.count_documents_by_filter(filters) == len(want)
    found = store.search(embedding=[1, 0, 0, 0], filters=filters, top_k=40)
    assert {each.id for each in found} == {each.id for each in want if each.embedding}


def test_filters_on_what_is_not_meta(filled):
    store, listed = filled
    for field in ("embedding", "sparse_embedding", "content"):
        for operator in ("==", "!="):
            filters = {"field": field, "operator": operator, "value": None}
            want = [each for each in listed if document_matches_filter(filters, each)]
            assert store.filter_documents(filters) == want
        with pytest.raises(FilterError, match="None alone"):
            store.filter_documents({"field": field, "operator": "==", "value": "a"})


def test_rules_for_lists_and_dates(store):
    store.write_documents(
        [
            Document(id="a", meta={"tags": ["x", "y"], "at": "2020-01-01T12:00:00+02:00"}),
            Document(id="b", meta={"tags": ["y"], "at": "2020-01-01T10:00"}),
        ]
    )

    def ids(field, operator, value):
        found = store.filter_documents({"field": field, "operator": operator, "value": value})
        return "".join(each.id for each in found)

    assert ids("meta.tags", "==", "x") == "a" and ids("meta.tags", "in", ["y"]) == "ab"
    assert ids("meta.tags", "==", ["x", "y"]) == "a" and ids("meta.tags", "!=", ["x"]) == "b"
    assert ids("meta.at", "==", "2020-01-01T10:00:00Z") == "ab"


@pytest.mark.parametrize(
    "filters",
    [
        {"field": "meta.a", "operator": "~", "value": 1},
        {"field": 3, "operator": "==", "value": 1},
        {"field": "meta.a", "operator": "==", "value": {"a": 1}},
        {"field": "meta.a", "operator": "==", "value": object()},
        {"operator": "XOR", "conditions": []},
        {"operator": "AND", "conditions": {}},
        {"operator": "AND", "conditions": [3]},
        {"field": "meta.a", "operator": ">", "value": "soon"},
    ],
)
def test_filters_that_are_none(store, filters):
    for method in (store.filter_documents, store.delete_by_filter, store.count_documents_by_filter):
        with pytest.raises(FilterError, match="expected|must"):
            method(filters)


def test_documents_come_back_whole(store):
    blob = ByteStream(b"\x00\xff picture", {"from": "camera"}, "image/png")
    listed = [
        Document(id="blob", blob=blob, meta={"a": [1, {"b": None}]}, score=0.5),
        Document(id="text", content="", embedding=[1.0, 0.5, 0.25, 0.0]),
        Document(id="both", content="a", sparse_embedding=SparseEmbedding([1, 5], [0.5, 2.0])),
    ]
    store.write_documents(listed)
    assert store.filter_documents() == listed
    where = {"field": "blob.mime_type", "operator": "==", "value": "image/png"}
    assert store.filter_documents(where) == listed[:1]


def test_policies(store):
    first = [Document(id="a", content="1"), Document(id="b", content="1")]
    second = [Document(id="b", content="2"), Document(id="c", content="2")]
    store.write_documents(first)
    for policy in (DuplicatePolicy.FAIL, DuplicatePolicy.NONE):
        with pytest.raises(DuplicateDocumentError, match="'b'"):
            store.write_documents(second[::-1], policy)
        assert store.filter_documents() == first
    assert store.write_documents(second, DuplicatePolicy.SKIP) == 1
    assert store.filter_documents() == [*first, second[1]]
    assert store.write_documents(second, DuplicatePolicy.OVERWRITE) == 2
    assert store.filter_documents() == [first[0], *second]
    twice = [Document(id="d", content="1"), Document(id="d", content="2")]
    with pytest.raises(DuplicateDocumentError):
        store.write_documents(twice, DuplicatePolicy.FAIL)
    assert store.write_documents(twice, DuplicatePolicy.SKIP) == 1
    assert store.filter_documents()[-1].content == "1"
    with pytest.raises(annx.DimensionError, match="expected"):
        store.write_documents([Document(content="e"), Document(content="f", embedding=[1.0])])
    assert store.count_documents() == 4


def test_of_many_who_write_one_document_one_does(store):
    results = []

    def write():
        try:
            results.append(store.write_documents([Document(id="a", content="a")]))
        except DuplicateDocumentError:
            results.append(0)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [0] * 7 + [1]


@pytest.mark.parametrize("metric", ["cosine", "ip"])
def test_embedding_retriever(rng, metric):
    listed = documents(rng)
    store = AnnxDocumentStore(embedding_dim=4, metric=metric, codec="f32")
    function = "cosine" if metric == "cosine" else "dot_product"
    twin = InMemoryDocumentStore(embedding_similarity_function=function)
    store.write_documents(listed)
    twin.write_documents([each for each in listed if each.embedding])
    query = rng.standard_normal(4).tolist()
    filters = {"field": "meta.number", "operator": "<", "value": 30}
    for where in (None, filters):
        got = AnnxEmbeddingRetriever(store).run(query, filters=where, top_k=7)["documents"]
        want = twin.embedding_retrieval(query, filters=where, top_k=7)
        assert [each.id for each in got] == [each.id for each in want]
        scores = [each.score for each in want]
        assert [each.score for each in got] == pytest.approx(scores, abs=1e-5)
        assert got[0].embedding is None and got[0].meta == want[0].meta
    scaled = AnnxEmbeddingRetriever(store, top_k=40, scale_score=True, return_embedding=True)
    found = scaled.run(query)["documents"]
    assert len(found) == 35 and all(0 <= each.score <= 1 and each.embedding for each in found)
    if metric == "cosine":
        want = twin.embedding_retrieval(query, top_k=40, scale_score=True)
        scores = [each.score for each in want]
        assert [each.score for each in found] == pytest.approx(scores, abs=1e-5)
    store.close()


def test_retrievers_of_words_and_sparse_embeddings(filled):
    store, _ = filled
    found = AnnxKeywordRetriever(store, top_k=3).run("w17")["documents"]
    assert [each.id for each in found] == ["d17"] and found[0].score > 0
    query = SparseEmbedding([3, 9], [2.0, 1.0])
    found = AnnxSparseEmbeddingRetriever(store).run(query, top_k=4)["documents"]
    assert [each.id for each in found] == ["d3", "d13", "d23", "d33"]
    assert [each.score for each in found] == [2.5] * 4


def test_hybrid_retriever(filled):
    store, listed = filled
    query, words = listed[5].embedding, "w17 w18"
    dense = [each.id for each in AnnxEmbeddingRetriever(store, top_k=40).run(query)["documents"]]
    sparse = [each.id for each in AnnxKeywordRetriever(store).run(words)["documents"]]
    want = {}
    for ranking in (dense, sparse):
        for rank, id in enumerate(ranking, 1):
            want[id] = want.get(id, 0) + 1 / (60 + rank)
    hybrid = AnnxHybridRetriever(store, top_k=40)
    found = hybrid.run(words, query)["documents"]
    assert {each.id: each.score for each in found} == pytest.approx(want)
    weights = {"text": 0.0, "embedding": 1.0, "sparse_embedding": 5.0}
    vectors = AnnxHybridRetriever(store, top_k=5, weights=weights).run(words, query)["documents"]
    assert [each.id for each in vectors] == dense[:5]
    third = SparseEmbedding([7], [1.0])
    assert len(hybrid.run(words, query, third)["documents"]) == len(found)
    where = {"field": "meta.city", "operator": "==", "value": "Oslo"}
    some = hybrid.run(words, query, filters=where)["documents"]
    assert {each.meta["city"] for each in some} == {"Oslo"}


def test_filter_policies(filled):
    store, _ = filled
    odd = {"field": "meta.odd", "operator": "==", "value": True}
    small = {"field": "meta.number", "operator": "<", "value": 9}
    for policy, count in ((FilterPolicy.REPLACE, 7), ("merge", 4)):
        retriever = AnnxEmbeddingRetriever(store, odd, top_k=40, filter_policy=policy)
        assert len(retriever.run([1.0, 0, 0, 0], filters=small)["documents"]) == count
        assert len(retriever.run([1.0, 0, 0, 0])["documents"]) == 20


def test_pipelines_are_kept(tmp_path, rng):
    store = AnnxDocumentStore(str(tmp_path / "store"), embedding_dim=4, language="en")
    store.write_documents(documents(rng))
    pipeline = Pipeline()
    for name, made in {
        "embedding": AnnxEmbeddingRetriever(store, top_k=2, scale_score=True),
        "keyword": AnnxKeywordRetriever(store, {"field": "id", "operator": "!=", "value": "d1"}),
        "hybrid": AnnxHybridRetriever(store, fusion="wsum", weights={"text": 2.0}),
        "sparse": AnnxSparseEmbeddingRetriever(store, filter_policy=FilterPolicy.MERGE),
    }.items():
        data = made.to_dict()
        other = AnnxDocumentStore(embedding_dim=4)
        data["init_parameters"]["document_store"] = other
        alone = type(made).from_dict(data)
        assert alone.document_store is other
        data["init_parameters"]["document_store"] = other.to_dict()
        assert alone.to_dict() == data
        if name == "hybrid":
            pipeline.add_component(name, made)
    asked = {"hybrid": {"query": "crow", "query_embedding": [1.0, 0.0, 0.0, 0.0]}}
    want = pipeline.run(asked)
    assert len(want["hybrid"]["documents"]) == 10
    text = pipeline.dumps()
    store.close()
    again = Pipeline.loads(text, allowed_modules=["annx.integrations.haystack.*"])
    assert again.run(asked) == want
    again.get_component("hybrid").document_store.close()


def test_async_is_as_sync(filled):
    store, listed = filled

    async def run():
        query = listed[5].embedding
        for retriever, asked in (
            (AnnxEmbeddingRetriever(store, scale_score=True), {"query_embedding": query}),
            (AnnxKeywordRetriever(store), {"query": "crows"}),
            (AnnxHybridRetriever(store), {"query": "crows", "query_embedding": query}),
            (
                AnnxSparseEmbeddingRetriever(store),
                {"query_sparse_embedding": SparseEmbedding([1], [1.0])},
            ),
        ):
            assert await retriever.run_async(**asked, top_k=3) == retriever.run(**asked, top_k=3)

    asyncio.run(run())


def test_settings(tmp_path, monkeypatch):
    path = str(tmp_path / "store")
    AnnxDocumentStore(path, embedding_dim=4, metric="l2").close()
    AnnxDocumentStore(path, embedding_dim=4).close()
    with pytest.raises(SchemaError, match="embedding_dim 4, got 768"):
        AnnxDocumentStore(path)
    with pytest.raises(SchemaError, match="metric 'l2', got 'ip'"):
        AnnxDocumentStore(path, embedding_dim=4, metric="ip")
    wordless = AnnxDocumentStore(embedding_dim=4, keywords=False)
    wordless.write_documents([Document(content="a")])
    with pytest.raises(ParameterError, match="keywords"):
        AnnxKeywordRetriever(wordless).run("a")
    with pytest.raises(ParameterError, match="AnnxDocumentStore"):
        AnnxKeywordRetriever(InMemoryDocumentStore())
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    dropped = AnnxDocumentStore(embedding_dim=4)
    assert len(list(folder.iterdir())) == 1
    del dropped
    gc.collect()
    assert list(folder.iterdir()) == []
