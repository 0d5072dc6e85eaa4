"""A store of LlamaIndex over its life: nodes in and out, files, and an index on top."""

from __future__ import annotations

import asyncio
import gc
import tempfile

import ecosystem
import numpy as np
import pytest

ecosystem.need("llama_index.core", "tantivy")

from llama_index.core import StorageContext, VectorStoreIndex, load_index_from_storage
from llama_index.core.embeddings import MockEmbedding
from llama_index.core.schema import (
    ImageNode,
    IndexNode,
    NodeRelationship,
    RelatedNodeInfo,
    TextNode,
)
from llama_index.core.vector_stores import SimpleVectorStore
from llama_index.core.vector_stores.types import (
    FilterOperator,
    MetadataFilter,
    MetadataFilters,
    VectorStoreQuery,
)
from llama_index_samples import DIM, asked, assert_same, nodes_of

import annx
from annx import Collection, ParameterError
from annx.integrations.llama_index import AnnxVectorStore

O = FilterOperator  # noqa: E741


@pytest.fixture(scope="module")
def nodes():
    return nodes_of(np.random.default_rng(7))


def test_nodes_come_back_whole(tmp_path):
    nodes = [
        TextNode(
            id_="text",
            text="a fox",
            metadata={"a": [1, {"b": None}], "text": "x", "_lists": 3, "node_id": "y"},
            excluded_llm_metadata_keys=["a"],
            start_char_idx=3,
            end_char_idx=9,
            embedding=[1.0, 0.5],
            relationships={NodeRelationship.NEXT: RelatedNodeInfo(node_id="image")},
        ),
        ImageNode(
            id_="image", text="", image_url="https://example.org/a.png", embedding=[0.5, 1.0]
        ),
        IndexNode(id_="index", text="see", index_id="other", embedding=[1.0, 1.0]),
    ]
    for settings_ in ({}, {"path": tmp_path / "p"}, {"keywords": False}):
        store = AnnxVectorStore(**settings_)
        store.add(nodes)
        assert store.get_nodes() == nodes
        assert store.get_nodes(["index", "none", "text"]) == [nodes[2], nodes[0]]
        found = store.query(VectorStoreQuery(query_embedding=[1.0, 0.5], similarity_top_k=3)).nodes
        assert [type(each) for each in found] == [TextNode, IndexNode, ImageNode]
        store.close()


def test_bad_nodes_change_nothing(nodes):
    store = AnnxVectorStore()
    store.add(nodes[:3])
    with pytest.raises(ValueError, match="embedding"):
        store.add([nodes[3], TextNode(text="without")])
    with pytest.raises(annx.DimensionError):
        store.add([nodes[3], TextNode(text="short", embedding=[1.0])])
    with pytest.raises(annx.NonFiniteError):
        store.add([nodes[3], TextNode(text="nan", embedding=[float("nan")] * DIM)])
    assert len(store.get_nodes()) == 3


def test_before_the_first_node(tmp_path):
    store = AnnxVectorStore(tmp_path / "new")
    assert store.client is None
    assert store.query(asked()).ids == store.get_nodes() == store.add([]) == []
    store.delete("a")
    store.delete_nodes(["a"])
    store.clear()
    store.persist(tmp_path / "kept")
    assert list(tmp_path.iterdir()) == []


def test_persistence(tmp_path, nodes):
    store = AnnxVectorStore(tmp_path / "store", codec="f32")
    store.add(nodes)
    want = store.query(asked(similarity_top_k=9))
    store.persist()  # in its own folder
    store.close()
    again = AnnxVectorStore(tmp_path / "store")
    assert again.query(asked(similarity_top_k=9)) == want
    again.close()
    with Collection.open(tmp_path / "store", read_only=True) as collection:
        assert AnnxVectorStore(collection=collection).query(asked(similarity_top_k=9)) == want


def test_persisting_a_temporary_store(tmp_path, nodes, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    store = AnnxVectorStore(codec="f32", language="en")
    store.add(nodes)
    path = tmp_path / "a" / "kept.json"
    store.persist(path)
    store.delete_nodes(["n0"])
    store.persist(path)
    want = store.query(asked())
    kept = AnnxVectorStore.from_persist_path(path)
    assert kept.query(asked()) == want
    assert kept.client.schema == store.client.schema
    with pytest.raises(annx.LockedError):
        store.persist(path)
    kept.close()
    assert [each.name for each in path.parent.iterdir()] == ["kept.json"]
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(ParameterError, match="no collection"):
        store.persist(tmp_path / "other.json")
    assert (tmp_path / "other.json").read_text() == "{}"
    with pytest.raises(annx.MissingCollectionError):
        AnnxVectorStore.from_persist_path(tmp_path / "nothing")
    del store
    gc.collect()
    assert list(folder.iterdir()) == []


def test_an_index_of_llama_index(tmp_path):
    model = MockEmbedding(embed_dim=DIM)
    store = AnnxVectorStore()
    context = StorageContext.from_defaults(vector_store=store)
    nodes = [TextNode(id_=f"n{n}", text=f"text {n}", metadata={"n": n}) for n in range(20)]
    index = VectorStoreIndex(nodes, storage_context=context, embed_model=model)
    filters = MetadataFilters(filters=[MetadataFilter(key="n", value=3, operator=O.LT)])
    retriever = index.as_retriever(similarity_top_k=9, filters=filters)
    assert {each.node_id for each in retriever.retrieve("text")} == {"n0", "n1", "n2"}
    hybrid = index.as_retriever(similarity_top_k=2, vector_store_query_mode="hybrid", alpha=0.1)
    assert hybrid.retrieve("text 17")[0].node_id == "n17"
    assert asyncio.run(hybrid.aretrieve("text 17"))[0].node_id == "n17"
    index.delete_nodes(["n17"])
    index.storage_context.persist(tmp_path)
    kept = AnnxVectorStore.from_persist_dir(str(tmp_path))
    context = StorageContext.from_defaults(vector_store=kept, persist_dir=str(tmp_path))
    again = load_index_from_storage(context, embed_model=model)
    assert len(again.as_retriever(similarity_top_k=50).retrieve("text")) == 19


def test_async_is_as_sync(nodes):
    async def run():
        store, twin = AnnxVectorStore(codec="f32"), SimpleVectorStore()
        assert await store.async_add(nodes) == twin.add(nodes)
        await store.adelete("doc3")
        twin.delete("doc3")
        await store.adelete_nodes(["n1", "n2"])
        twin.delete_nodes(["n1", "n2"])
        assert_same(await store.aquery(asked()), twin.query(asked()))
        assert await store.aget_nodes(["n5"]) == [nodes[5]]
        await store.aclear()
        assert await store.aget_nodes() == []

    asyncio.run(run())
