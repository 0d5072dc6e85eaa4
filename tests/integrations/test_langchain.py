"""The slow twins of LangChain's store: its in-memory one, and NumPy."""

from __future__ import annotations

import asyncio
import gc
import tempfile

import ecosystem
import numpy as np
import pytest

ecosystem.need("langchain_core", "tantivy")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore

import annx
from annx import Collection, ParameterError, SchemaError
from annx.filters import F
from annx.integrations.langchain import AnnxHybridRetriever, AnnxVectorStore

EMBEDDING = DeterministicFakeEmbedding(size=16)


class Given(Embeddings):
    """Vectors by text."""

    def __init__(self, vectors):
        self.vectors = vectors

    def embed_documents(self, texts):
        return [self.vectors[text] for text in texts]

    def embed_query(self, text):
        return self.vectors[text]


@pytest.fixture
def given(rng):
    rows = rng.standard_normal((60, 8)) * rng.uniform(0.1, 20, (60, 1))
    return Given({f"text {number}": row.tolist() for number, row in enumerate(rows)})


def metadata(number):
    return {
        "number": number,
        "city": ["Oslo", "Bergen", "Paris"][number % 3],
        "tags": [f"t{number % 2}", f"t{number % 5}"],
        # Keys that the collection has for something else.
        "id": number % 4,
        "text": f"kind {number % 2}",
        "vector": {"deep": number % 7},
        "_metadata": number % 6,
        "text.dotted": number % 3,
        "nested": {"id": number % 3},
    }


def filled(given, **settings):
    texts = [text for text in given.vectors if text != "query"]
    return AnnxVectorStore.from_texts(
        texts,
        given,
        [metadata(number) for number in range(len(texts))],
        ids=[f"d{number}" for number in range(len(texts))],
        **settings,
    )


FILTERS = [
    ({"city": "Oslo"}, lambda m: m["city"] == "Oslo"),
    (F("city") != "Oslo", lambda m: m["city"] != "Oslo"),
    ({"number": {"$gte": 10, "$lt": 40}}, lambda m: 10 <= m["number"] < 40),
    ({"tags": {"$in": ["t3", "t4"]}}, lambda m: bool({"t3", "t4"} & set(m["tags"]))),
    ({"id": 2}, lambda m: m["id"] == 2),
    (F("id") == 2, lambda m: m["id"] == 2),
    ({"text": "kind 1"}, lambda m: m["text"] == "kind 1"),
    ({"vector.deep": {"$lt": 3}}, lambda m: m["vector"]["deep"] < 3),
    ({"_metadata": {"$in": [1, 2]}}, lambda m: m["_metadata"] in (1, 2)),
    ({"text.dotted": 1}, lambda m: m["text.dotted"] == 1),
    ({"nested.id": 1}, lambda m: m["nested"]["id"] == 1),
    (
        {"$or": [{"id": 1}, {"$not": {"text": "kind 0"}}, {"$and": [{"number": 8}]}]},
        lambda m: m["id"] == 1 or m["text"] != "kind 0" or m["number"] == 8,
    ),
    (
        {"$atLeast": [2, {"id": 1}, {"city": "Oslo"}, {"vector.deep": 1}]},
        lambda m: (m["id"] == 1) + (m["city"] == "Oslo") + (m["vector"]["deep"] == 1) >= 2,
    ),
    ({"number": {"$lt": 0}}, lambda m: False),
    ({}, lambda m: True),
]


@pytest.mark.parametrize("case", FILTERS, ids=lambda case: str(case[0]))
def test_filters(given, case):
    expression, passes = case
    store = filled(given)
    twin = InMemoryVectorStore(given)
    twin.add_texts(
        list(given.vectors),
        [metadata(number) for number in range(60)],
        ids=[f"d{number}" for number in range(60)],
    )
    want = twin.similarity_search_with_score(
        "text 5", k=60, filter=lambda document: passes(document.metadata)
    )
    for filter in (expression, lambda document: passes(document.metadata)):
        got = store.similarity_search_with_score("text 5", k=60, filter=filter)
        assert [found.id for found, _ in got] == [found.id for found, _ in want]
        assert [found for found, _ in got] == [found for found, _ in want]
        assert [score for _, score in got] == pytest.approx([score for _, score in want], abs=1e-6)
    words = store.keyword_search("text", k=60, filter=expression)
    assert {found.id for found in words} == {found.id for found, _ in want}
    deleted = AnnxVectorStore(given, collection=store.collection)
    deleted.delete(filter=expression)
    assert len(store.collection) == 60 - len(want)


def test_filter_function_that_few_pass(given):
    store = filled(given)
    hits = store.similarity_search("text 0", k=3, filter=lambda document: document.id == "d59")
    assert [hit.id for hit in hits] == ["d59"]
    with pytest.raises(annx.FilterError, match="below"):
        store.similarity_search("text 0", filter={"number": {"$below": 3}})


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
def test_scores_and_relevance(given, metric):
    store = filled(given, metric=metric, codec="f32")
    rows = np.array(list(given.vectors.values()))
    query = rows[7]
    truth = {
        "cosine": rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query),
        "ip": rows @ query,
        "l2": -((rows - query) ** 2).sum(1),
    }[metric]
    got = store.similarity_search_with_score("text 7", k=60)
    order = np.argsort(-truth)
    assert [found.id for found, _ in got] == [f"d{number}" for number in order]
    assert [score for _, score in got] == pytest.approx(truth[order].tolist(), rel=1e-4, abs=1e-4)
    # LangChain warns, an error here, of relevance that is not from 0 to 1.
    relevance = [s for _, s in store.similarity_search_with_relevance_scores("text 7", k=60)]
    assert all(0 <= each <= 1 for each in relevance)
    assert relevance == sorted(relevance, reverse=True)
    assert len(set(relevance)) == 60
    if metric != "ip":
        assert relevance[0] == pytest.approx(1)
    least = relevance[9]
    retriever = store.as_retriever(
        search_type="similarity_score_threshold", search_kwargs={"score_threshold": least, "k": 60}
    )
    assert len(retriever.invoke("text 7")) == 10


def test_relevance_of_ones_own(given):
    store = filled(given, relevance_score_fn=lambda score: 0.25)
    found = store.similarity_search_with_relevance_scores("text 7", k=2)
    assert [score for _, score in found] == [0.25, 0.25]


@pytest.mark.parametrize("metric", ["cosine", "l2"])
@pytest.mark.parametrize("lambda_mult", [0.0, 0.3, 0.5, 1.0])
def test_mmr(given, rng, metric, lambda_mult):
    unit = {text: row / np.linalg.norm(row) for text, row in given.vectors.items()}
    embedding = Given({text: row.tolist() for text, row in unit.items()})
    # Were it stored, all others would tie at 0.5.
    embedding.vectors["query"] = rng.standard_normal(8).tolist()
    store = filled(embedding, metric=metric, codec="f32")
    twin = InMemoryVectorStore.from_texts(list(unit), embedding)
    options = {"k": 6, "fetch_k": 25, "lambda_mult": lambda_mult}
    want = [found.page_content for found in twin.max_marginal_relevance_search("query", **options)]
    got = store.max_marginal_relevance_search("query", **options)
    assert [found.page_content for found in got] == want
    retriever = store.as_retriever(search_type="mmr", search_kwargs=options)
    assert [found.page_content for found in retriever.invoke("query")] == want
    some = store.max_marginal_relevance_search("query", k=6, filter={"city": "Oslo"})
    assert len(some) == 6 and all(found.metadata["city"] == "Oslo" for found in some)


@pytest.fixture
def manual():
    """Words that vectors say nothing of."""
    texts = [f"part {code} is out of stock" for code in ("XJ900", "XJ901", "QQ7")]
    texts += [f"the weather is {kind} today" for kind in ("mild", "wet", "cold")]
    store = AnnxVectorStore.from_texts(texts, EMBEDDING, [{"n": n} for n in range(6)])
    yield store
    store.close()


def test_keywords_and_hybrid(manual):
    assert manual.keyword_search("is QQ7 there")[0].page_content == "part QQ7 is out of stock"
    assert [found.metadata["n"] for found in manual.keyword_search("part", filter={"n": 1})] == [1]
    found = manual.hybrid_search_with_score("XJ900", k=6)
    assert found[0][0].page_content == "part XJ900 is out of stock"
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    # Reciprocal ranks: what words do not find has its rank by meaning alone.
    nearest = [each.page_content for each in manual.similarity_search("XJ900", k=6)]
    want = {text: 1 / (60 + rank) for rank, text in enumerate(nearest, 1)}
    want["part XJ900 is out of stock"] += 1 / 61
    assert {each.page_content: score for each, score in found} == pytest.approx(want)
    only = manual.hybrid_search("XJ900", k=6, weights=[0, 1])
    assert [each.page_content for each in only] == nearest


@pytest.mark.parametrize("search_type", ["similarity", "mmr", "hybrid", "keyword"])
def test_types_of_search(manual, search_type):
    options = {"k": 2, "filter": {"n": {"$lt": 3}}}
    want = manual.search("part XJ901", search_type, **options)
    assert len(want) == 2 and all(each.metadata["n"] < 3 for each in want)
    retriever = manual.as_retriever(search_type=search_type, search_kwargs=options)
    assert retriever.invoke("part XJ901") == want
    assert asyncio.run(retriever.ainvoke("part XJ901")) == want
    assert asyncio.run(manual.asearch("part XJ901", search_type, **options)) == want
    assert "AnnxVectorStore" in retriever.tags
    own = AnnxHybridRetriever(vectorstore=manual, search_type=search_type, search_kwargs=options)
    assert own.invoke("part XJ901") == want
    assert len(own.invoke("part XJ901", k=1)) == 1


def test_words_of_a_language():
    texts = ["he was running late", "she reads"]
    for language, count in ((None, 0), ("en", 1)):
        store = AnnxVectorStore.from_texts(texts, EMBEDDING, language=language)
        assert len(store.keyword_search("runs")) == count
        store.close()


def test_search_without_keywords():
    store = AnnxVectorStore.from_texts(["a b", "c d"], EMBEDDING, keywords=False)
    assert len(store.similarity_search("a", k=5)) == 2
    for search_type in ("hybrid", "keyword"):
        with pytest.raises(ParameterError, match="text field"):
            store.search("a", search_type)
    with pytest.raises(ValueError, match="search_type"):
        store.search("a", "telepathy")


def test_async_is_as_sync(given):
    async def run():
        store = await AnnxVectorStore.afrom_texts(
            list(given.vectors), given, [metadata(n) for n in range(60)], ids=[*map(str, range(60))]
        )
        twin = filled(given)
        for name in ("similarity_search", "max_marginal_relevance_search", "hybrid_search"):
            got = await getattr(store, f"a{name}")("text 9", k=5, filter={"city": "Oslo"})
            want = getattr(twin, name)("text 9", k=5, filter={"city": "Oslo"})
            assert [each.page_content for each in got] == [each.page_content for each in want]
            assert len(got) == 5
        scored = await store.asimilarity_search_with_score("text 9", k=3)
        want = twin.similarity_search_with_score("text 9", k=3)
        assert [score for _, score in scored] == [score for _, score in want]
        by_vector = await store.asimilarity_search_by_vector(given.embed_query("text 9"), k=3)
        assert by_vector == [document for document, _ in scored]
        assert await store.aget_by_ids(["9"]) == store.get_by_ids(["9"])
        assert await store.adelete(["9"])
        assert store.get_by_ids(["9"]) == []

    asyncio.run(run())


def test_persistence(tmp_path, given):
    path = tmp_path / "store"
    store = filled(given, path=path, metric="l2")
    want = store.similarity_search_with_score("text 4", k=9, filter={"id": 1})
    with pytest.raises(annx.LockedError):
        AnnxVectorStore(given, path=path)
    store.close()
    again = AnnxVectorStore(given, path=path)
    assert again.similarity_search_with_score("text 4", k=9, filter={"id": 1}) == want
    assert again.similarity_search_with_relevance_scores("text 4", k=1)[0][1] == pytest.approx(1)
    again.delete(["d4"])
    del again
    gc.collect()  # closes it
    with Collection.open(path, read_only=True) as collection:
        read = AnnxVectorStore(given, collection=collection)
        assert read.get_by_ids(["d4", "d5"]) == [
            Document(id="d5", page_content="text 5", metadata=metadata(5))
        ]
        with pytest.raises(annx.ReadOnlyError):
            read.add_texts(["text 4"])
    with pytest.raises(SchemaError, match="metric 'l2', got 'cosine'"):
        AnnxVectorStore(given, path=path, metric="cosine")
    AnnxVectorStore(given, path=path).close()


def test_temporary_collections_leave_nothing(given, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    closed, dropped = filled(given), filled(given)
    assert len(list(tmp_path.iterdir())) == 2
    closed.close()
    del dropped
    gc.collect()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(annx.ClosedError):
        closed.similarity_search("text 0")


def test_before_the_first_document(given, tmp_path):
    for settings in ({}, {"path": tmp_path / "new"}):
        store = AnnxVectorStore(given, **settings)
        assert store.collection is None
        assert store.similarity_search("text 0") == store.hybrid_search("text 0") == []
        assert store.max_marginal_relevance_search("text 0") == store.get_by_ids(["a"]) == []
        assert store.add_texts([]) == []
        assert store.delete(["a"]) and store.delete()
        store.close()
    assert not (tmp_path / "new").exists()


def test_a_collection_of_ones_own(tmp_path):
    settings = {"dim": 16, "metric": "cosine", "text": ["title", "body"]}
    with Collection.open(tmp_path, **settings) as jobs:
        vector = EMBEDDING.embed_query("sql")
        jobs.upsert(
            {"id": "j1", "vector": vector, "title": "Analyst", "body": "sql", "city": "Oslo"}
        )
        jobs.upsert({"id": "j2", "vector": vector, "title": "Poet"})
        store = AnnxVectorStore(EMBEDDING, collection=jobs, text_field="body")
        found = store.similarity_search("sql", filter={"city": "Oslo"})
        kept = {"title": "Analyst", "city": "Oslo"}
        assert found == [Document(id="j1", page_content="sql", metadata=kept)]
        assert store.get_by_ids(["j2"])[0].page_content == ""
        assert store.keyword_search("poet")[0].id == "j2"
        store.add_texts(["cooking"], [{"title": "Cook"}], ids=["j3"])
        assert jobs.get("j3") == {"id": "j3", "title": "Cook", "body": "cooking"}
        store.close()
        assert len(jobs) == 3  # who opened it closes it
        with pytest.raises(ParameterError, match="vector field"):
            AnnxVectorStore(EMBEDDING, collection=jobs, vector_field="body")
        with pytest.raises(ParameterError, match="both"):
            AnnxVectorStore(EMBEDDING, collection=jobs, path=tmp_path)


def test_bad_input_changes_nothing(given):
    store = filled(given)
    documents = [Document(page_content="text 0"), Document(page_content="text 1")]
    with pytest.raises(ParameterError, match="expected 2 ids, got 1"):
        store.add_documents(documents, ids=["a"])
    with pytest.raises(ParameterError, match="expected 2 ids, got 1"):
        store.add_texts(["text 0", "text 1"], ids=["a"])
    with pytest.raises(ParameterError, match="expected 2 metadatas, got 1"):
        store.add_texts(["text 0", "text 1"], [{}])
    with pytest.raises(annx.DocumentError, match="odd"):
        store.add_texts(["text 0", "text 1"], [{"odd": object()}, {}])
    given.vectors["short"] = [1.0]
    with pytest.raises(annx.DimensionError):
        store.add_texts(["text 0", "short"])
    assert len(store.collection) == 60


def test_random_changes_are_as_in_memory(given, rng):
    store, twin = AnnxVectorStore(given, codec="f32"), InMemoryVectorStore(given)
    texts = list(given.vectors)
    for _ in range(40):
        ids = [f"d{number}" for number in rng.choice(12, rng.integers(1, 5), replace=False)]
        if rng.random() < 0.3:
            store.delete(ids)
            twin.delete(ids)
        else:
            chosen = [texts[number] for number in rng.integers(0, 60, len(ids))]
            parts = [{"n": int(n)} for n in rng.integers(0, 3, len(ids))]
            assert store.add_texts(chosen, parts, ids=ids) == ids
            twin.add_texts(chosen, parts, ids=ids)
        want = twin.similarity_search_with_score("text 0", k=20)
        got = store.similarity_search_with_score("text 0", k=20)
        # Equal texts are ties.
        key = lambda pair: (-round(pair[1], 5), pair[0].id)  # noqa: E731
        assert [d for d, _ in sorted(got, key=key)] == [d for d, _ in sorted(want, key=key)]
        want = twin.similarity_search("text 0", k=20, filter=lambda d: d.metadata["n"] == 1)
        got = store.similarity_search("text 0", k=20, filter={"n": 1})
        assert {found.id for found in got} == {found.id for found in want}


def test_indexing_api_of_langchain(given):
    store, records = AnnxVectorStore(given), InMemoryRecordManager("annx")
    records.create_schema()
    pages = [
        Document(page_content=text, metadata={"source": f"s{number % 5}"})
        for number, text in enumerate(given.vectors)
    ]
    options = {"cleanup": "full", "source_id_key": "source", "key_encoder": "sha256"}
    assert index(pages, records, store, **options)["num_added"] == 60
    assert index(pages, records, store, **options)["num_skipped"] == 60
    assert index(pages[:50], records, store, **options)["num_deleted"] == 10
    assert len(store.collection) == 50
