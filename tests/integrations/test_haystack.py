"""Haystack's own suites of document stores, and the slow twins: its filters and in-memory store."""

from __future__ import annotations

from dataclasses import replace

import ecosystem
import numpy as np
import pytest

ecosystem.need("haystack", "tantivy")

from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.testing import document_store as suites
from haystack.testing import document_store_async as async_suites

from annx.integrations.haystack import (
    AnnxDocumentStore,
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
